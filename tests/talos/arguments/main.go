// Command arguments tells how Talos' own code merges a machine config's arguments of kube-apiserver into those that
// Talos sets itself.
//
// It reads a JSON array of cases from standard input and writes a JSON array with one answer each, in the same order.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/siderolabs/talos/pkg/argsbuilder"
)

// testCase holds arguments in the form that the version has: strings up to 1.12, lists since.
type testCase struct {
	Own      argsbuilder.Args `json:"own"`
	Extra    argsbuilder.Args `json:"extra"`
	Denied   []string         `json:"denied"`
	Additive []string         `json:"additive"`
}

// answer has the command line, or why there is none.
type answer struct {
	Refused   string   `json:"refused,omitempty"`
	Arguments []string `json:"arguments,omitempty"`
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
	answers := make([]answer, 0, len(cases))
	for _, c := range cases {
		answers = append(answers, c.merge())
	}
	return json.NewEncoder(output).Encode(answers)
}

func (c testCase) merge() answer {
	policies := argsbuilder.MergePolicies{}
	for _, name := range c.Denied {
		policies[name] = argsbuilder.MergeDenied
	}
	for _, name := range c.Additive {
		policies[name] = argsbuilder.MergeAdditive
	}
	if err := c.Own.Merge(c.Extra, argsbuilder.WithMergePolicies(policies)); err != nil {
		return answer{Refused: err.Error()}
	}
	return answer{Arguments: c.Own.Args()}
}
