// Command machinery tells what Talos' own code makes of machine configs and of patches to them.
//
// It reads a JSON array of cases from standard input and writes a JSON array with one verdict each, in the same order.
// One program is built for each version of Talos' machinery module, from the one source here.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
)

// testCase is a machine config, given or generated, and patches that are applied to it one after the other.
type testCase struct {
	// Config is used as it stands; without it a new one is generated.
	Config string `json:"config"`
	// Type of the machine: controlplane or worker.
	Type string `json:"type"`
	// Contract is the version of Talos whose form of config is generated; the module's own when it is empty.
	Contract string `json:"contract"`
	// Image of the installer, whose tag is the version that the machine runs at first.
	Image   string   `json:"image"`
	Patches []string `json:"patches"`
}

// verdict has the config with all patches, if there can be one, and what Talos says of it.
type verdict struct {
	// Refused says why there is no config: one does not load, or a patch does not apply.
	Refused string `json:"refused,omitempty"`
	// Invalid says why Talos would not accept the config.
	Invalid  string   `json:"invalid,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Config   string   `json:"config,omitempty"`
	// APIServer is what Talos hands to the code that writes the static pod; absent on a worker.
	APIServer *apiServer `json:"apiServer,omitempty"`
}

type apiServer struct {
	// ExtraArgs maps to strings up to Talos 1.12, and to lists since.
	ExtraArgs any `json:"extraArgs"`
	// UsesDocument tells that authentication is configured by a document of its own, never by flags.
	UsesDocument bool `json:"usesDocument"`
	// Authentication is what that document holds, if there is one.
	Authentication map[string]any `json:"authentication,omitempty"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(input io.Reader, output io.Writer) error {
	decoder := json.NewDecoder(input)
	decoder.DisallowUnknownFields()
	var cases []testCase
	if err := decoder.Decode(&cases); err != nil {
		return fmt.Errorf("failed to read the cases: %w", err)
	}
	verdicts := make([]verdict, 0, len(cases))
	for number, c := range cases {
		v, err := c.judge()
		if err != nil {
			return fmt.Errorf("case %d: %w", number, err)
		}
		verdicts = append(verdicts, v)
	}
	return json.NewEncoder(output).Encode(verdicts)
}

// judge fails only where the case itself makes no sense.
func (c testCase) judge() (verdict, error) {
	text := []byte(c.Config)
	if c.Config == "" {
		var err error
		if text, err = c.generate(); err != nil {
			return verdict{}, err
		}
	}
	provider, err := configloader.NewFromBytes(text)
	if err != nil {
		return verdict{Refused: err.Error()}, nil
	}
	for _, text := range c.Patches {
		// Loaded again each time, as a node does that has stored what it was given.
		if provider, err = patched(provider, text); err != nil {
			return verdict{Refused: err.Error()}, nil
		}
	}
	return examine(provider)
}

func (c testCase) generate() ([]byte, error) {
	kind, err := machine.ParseType(c.Type)
	if err != nil {
		return nil, err
	}
	contract := config.TalosVersionCurrent
	if c.Contract != "" {
		if contract, err = config.ParseContractFromVersion(c.Contract); err != nil {
			return nil, err
		}
	}
	bundle, err := secrets.NewBundle(secrets.NewClock(), contract)
	if err != nil {
		return nil, err
	}
	input, err := generate.NewInput("example", "https://controlplane.example.com:6443", constants.DefaultKubernetesVersion,
		generate.WithVersionContract(contract), generate.WithSecretsBundle(bundle), generate.WithInstallDisk("/dev/sda"),
		generate.WithInstallImage(c.Image))
	if err != nil {
		return nil, err
	}
	provider, err := input.Config(kind)
	if err != nil {
		return nil, err
	}
	return provider.Bytes()
}

func patched(provider config.Provider, text string) (config.Provider, error) {
	patch, err := configpatcher.LoadPatch([]byte(text))
	if err != nil {
		return nil, err
	}
	output, err := configpatcher.Apply(configpatcher.WithConfig(provider), []configpatcher.Patch{patch})
	if err != nil {
		return nil, err
	}
	written, err := output.Bytes()
	if err != nil {
		return nil, err
	}
	return configloader.NewFromBytes(written)
}

func examine(provider config.Provider) (verdict, error) {
	written, err := provider.Bytes()
	if err != nil {
		return verdict{}, err
	}
	v := verdict{Config: string(written)}
	warnings, err := provider.Validate(bareMetal{})
	v.Warnings = warnings
	if err != nil {
		v.Invalid = err.Error()
	}
	if provider.Machine() != nil && provider.Machine().Type().IsControlPlane() {
		v.APIServer = examineAPIServer(provider)
	}
	return v, nil
}

// bareMetal is the mode that asks most of a config.
type bareMetal struct{}

func (bareMetal) String() string        { return "metal" }
func (bareMetal) RequiresInstall() bool { return true }
func (bareMetal) InContainer() bool     { return false }
