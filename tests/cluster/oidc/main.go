// Command oidc tells what Kubernetes' own authenticator makes of a JWTAuthenticator and of a token's claims.
//
// It reads a JSON array of cases from standard input and writes a JSON array with one verdict each, in the same order.
// Pinniped's Concierge hands its specifications to the same packages, so this is what Haulout has to agree with.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/coreos/go-oidc"
	"gopkg.in/go-jose/go-jose.v2"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	authenticator "k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"
)

// testCase is a specification, and the payload of a token. The payload is signed as it stands, so the case decides about
// iss, aud and exp too.
type testCase struct {
	Spec   spec            `json:"spec"`
	Claims json.RawMessage `json:"claims"`
}

// spec has the fields of a JWTAuthenticator's specification that decide who the user is, under the names that the CRD
// gives them.
type spec struct {
	Issuer               string                `json:"issuer"`
	Audience             string                `json:"audience"`
	Claims               mappings              `json:"claims"`
	ClaimValidationRules []claimValidationRule `json:"claimValidationRules"`
	UserValidationRules  []userValidationRule  `json:"userValidationRules"`
}

type mappings struct {
	Username           string         `json:"username"`
	UsernameExpression string         `json:"usernameExpression"`
	Groups             string         `json:"groups"`
	GroupsExpression   string         `json:"groupsExpression"`
	Extra              []extraMapping `json:"extra"`
}

type extraMapping struct {
	Key             string `json:"key"`
	ValueExpression string `json:"valueExpression"`
}

type claimValidationRule struct {
	Claim         string `json:"claim"`
	RequiredValue string `json:"requiredValue"`
	Expression    string `json:"expression"`
	Message       string `json:"message"`
}

type userValidationRule struct {
	Expression string `json:"expression"`
	Message    string `json:"message"`
}

// verdict holds the user, or why there is none: the specification is not valid, or the token is refused.
type verdict struct {
	Valid   bool      `json:"valid"`
	Errors  string    `json:"errors,omitempty"`
	Refused string    `json:"refused,omitempty"`
	User    *userInfo `json:"user,omitempty"`
}

type userInfo struct {
	Username string              `json:"username"`
	UID      string              `json:"uid,omitempty"`
	Groups   []string            `json:"groups,omitempty"`
	Extra    map[string][]string `json:"extra,omitempty"`
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
	judge, err := newJudge()
	if err != nil {
		return err
	}
	verdicts := make([]verdict, 0, len(cases))
	for number, c := range cases {
		v, err := judge.verdict(c)
		if err != nil {
			return fmt.Errorf("case %d: %w", number, err)
		}
		verdicts = append(verdicts, v)
	}
	return json.NewEncoder(output).Encode(verdicts)
}

// judge signs tokens and is the key set that knows its one key, so that no issuer is called.
type judge struct {
	compiler authenticationcel.Compiler
	signer   jose.Signer
	public   *ecdsa.PublicKey
}

func newJudge() (*judge, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		return nil, err
	}
	return &judge{authenticationcel.NewDefaultCompiler(), signer, &key.PublicKey}, nil
}

// VerifySignature makes the judge an oidc.KeySet.
func (j *judge) VerifySignature(_ context.Context, jwt string) ([]byte, error) {
	signed, err := jose.ParseSigned(jwt)
	if err != nil {
		return nil, err
	}
	return signed.Verify(j.public)
}

// offline keeps distributed claims from being fetched.
type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no case may use the network")
}

func (j *judge) verdict(c testCase) (v verdict, err error) {
	// Some expressions make the type checker panic, and with it whatever would use them.
	defer func() {
		if r := recover(); r != nil {
			v, err = verdict{Errors: fmt.Sprint("panic: ", r)}, nil
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	jwt := c.Spec.authenticator()
	config := &apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{jwt}}
	if errs := validation.ValidateAuthenticationConfiguration(j.compiler, config, nil); len(errs) > 0 {
		return verdict{Errors: errs.ToAggregate().Error()}, nil
	}
	tokens, err := authenticator.New(ctx, authenticator.Options{
		JWTAuthenticator:     jwt,
		KeySet:               j,
		Client:               &http.Client{Transport: offline{}},
		Compiler:             j.compiler,
		SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256},
	})
	if err != nil {
		return verdict{}, err
	}
	signed, err := j.signer.Sign(c.Claims)
	if err != nil {
		return verdict{}, err
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		return verdict{}, err
	}
	response, ok, err := tokens.AuthenticateToken(ctx, token)
	switch {
	case err != nil:
		return verdict{Valid: true, Refused: err.Error()}, nil
	case !ok:
		return verdict{Valid: true, Refused: "not authenticated"}, nil
	}
	user := response.User
	return verdict{Valid: true, User: &userInfo{user.GetName(), user.GetUID(), user.GetGroups(), user.GetExtra()}}, nil
}

// authenticator translates the specification as Pinniped's Concierge does: no prefixes, and a default for a mapping that
// names neither claim nor expression.
func (s spec) authenticator() apiserver.JWTAuthenticator {
	jwt := apiserver.JWTAuthenticator{
		Issuer: apiserver.Issuer{URL: s.Issuer, Audiences: []string{s.Audience}},
		ClaimMappings: apiserver.ClaimMappings{
			Username: mapping(s.Claims.Username, s.Claims.UsernameExpression, "username"),
			Groups:   mapping(s.Claims.Groups, s.Claims.GroupsExpression, "groups"),
		},
	}
	for _, e := range s.Claims.Extra {
		jwt.ClaimMappings.Extra = append(jwt.ClaimMappings.Extra, apiserver.ExtraMapping(e))
	}
	for _, r := range s.ClaimValidationRules {
		jwt.ClaimValidationRules = append(jwt.ClaimValidationRules, apiserver.ClaimValidationRule(r))
	}
	for _, r := range s.UserValidationRules {
		jwt.UserValidationRules = append(jwt.UserValidationRules, apiserver.UserValidationRule(r))
	}
	return jwt
}

func mapping(claim, expression, defaultClaim string) apiserver.PrefixedClaimOrExpression {
	if claim == "" && expression == "" {
		claim = defaultClaim
	}
	m := apiserver.PrefixedClaimOrExpression{Claim: claim, Expression: expression}
	if claim != "" {
		m.Prefix = new(string)
	}
	return m
}
