use haulout_api::authenticator::{
    CertificateAuthorityDataSource, ClaimValidationRule, JwtTokenClaims, WebhookAuthenticatorSpec,
};
use haulout_api::group::ApiGroupSuffix;

use super::*;
use crate::authenticator_kind::AuthenticatorKind;
use crate::migrate::example::{name, ours, state};
use crate::migrate::state::Service;

/// Texts of one weight.
fn texts(state: &State, weight: Weight) -> Vec<String> {
    let found = judge(state).into_iter();
    found
        .filter(|finding| finding.weight == weight)
        .map(|finding| finding.text)
        .collect()
}

/// What makes a state another.
type Change = fn(&mut State);

fn jwt_spec(state: &mut State) -> &mut JwtAuthenticatorSpec {
    state.jwt[0].spec.as_mut().unwrap()
}

fn concierge(state: &mut State) -> &mut Concierge {
    state.concierge.as_mut().unwrap()
}

fn source(is_there: bool) -> Source {
    Source {
        of: "JWTAuthenticator corp".to_owned(),
        namespace: name("pinniped-concierge"),
        source: CertificateAuthorityDataSource {
            kind: CertificateAuthorityDataSourceKind::ConfigMap,
            name: "corp-ca".to_owned(),
            key: "ca.crt".to_owned(),
        },
        is_there,
    }
}

#[test]
fn nothing_blocks_in_a_plain_installation() {
    assert_eq!(texts(&state(), Weight::Blocks), [""; 0]);
    let mut half_way = state();
    half_way.identity = Some(ours());
    half_way.namespaces = vec!["haulout-system", "haulout-agent"];
    half_way.is_installed = true;
    assert_eq!(texts(&half_way, Weight::Blocks), [""; 0]);
    let carried = texts(&state(), Weight::CarriesOver);
    let authenticator = "JWTAuthenticator corp (https://issuer.example.com)".to_owned();
    assert!(carried.contains(&authenticator), "{carried:?}");
    assert!(
        carried
            .iter()
            .any(|text| text.starts_with("kubeconfigs that log in")),
        "{carried:?}"
    );
}

#[test]
fn what_haulout_cannot_do_blocks() {
    let cases: [(Change, &str); 15] = [
        (
            |state| state.version = (1, 29),
            "Kubernetes 1.29: Haulout needs 1.30 or later",
        ),
        (|state| state.concierge = None, "leads to no Deployment"),
        (
            |state| state.identity = None,
            "identity.concierge.pinniped.dev leads to nowhere",
        ),
        (
            |state| {
                state.identity = Some(Service {
                    namespace: name("x"),
                    name: name("other"),
                });
            },
            "leads to x/other",
        ),
        (
            |state| state.namespaces = vec!["haulout-system"],
            "namespace haulout-system is there",
        ),
        (
            |state| state.namespaces = vec!["haulout-agent"],
            "namespace haulout-agent is there",
        ),
        (|state| state.anonymous = Anonymous::Refused, "answers 401"),
        (
            |state| state.placement = Err("no pod".to_owned()),
            "no place for the agent: no pod",
        ),
        (|state| concierge(state).objects.clear(), "has no label app"),
        (
            |state| state.issuers[0].is_proxy_up = true,
            "impersonation proxy is in use",
        ),
        (
            |state| state.issuers[0].mode = "enabled".to_owned(),
            "impersonation proxy is in use",
        ),
        (
            |state| state.sources.push(source(false)),
            "ConfigMap pinniped-concierge/corp-ca, key ca.crt, which is not there",
        ),
        (
            |state| state.jwt[0].spec = Err("missing field".to_owned()),
            "JWTAuthenticator corp cannot be used as it is: missing field",
        ),
        (
            |state| {
                jwt_spec(state).claims = Some(JwtTokenClaims {
                    username_expression: "claims.".to_owned(),
                    ..JwtTokenClaims::default()
                });
            },
            "usernameExpression",
        ),
        (
            |state| {
                jwt_spec(state)
                    .claim_validation_rules
                    .push(ClaimValidationRule {
                        expression: "claims.admin".to_owned(),
                        ..ClaimValidationRule::default()
                    });
            },
            "claimValidationRules",
        ),
    ];
    for (change, expected) in cases {
        let mut state = state();
        change(&mut state);
        let texts = texts(&state, Weight::Blocks);
        assert!(
            matches!(texts.as_slice(), [one] if one.contains(expected)),
            "{expected}: {texts:?}"
        );
    }
}

#[test]
fn what_needs_a_look_is_mentioned_and_blocks_nothing() {
    let cases: [(Change, &str); 8] = [
        (
            |state| state.sources.push(source(true)),
            "the steps copy it",
        ),
        (
            |state| state.anonymous = Anonymous::Unknown("x".to_owned()),
            "could not be tried",
        ),
        (
            |state| state.jwt[0].phase = AuthenticatorPhase::Error,
            "corp is not Ready now",
        ),
        (
            |state| state.issuers[0].mode = "auto".to_owned(),
            "is deleted in the end",
        ),
        (
            |state| concierge(state).managers.push(Manager::Kapp),
            "do not run `kapp delete`",
        ),
        (
            |state| concierge(state).managers.push(Manager::Helm),
            "do not run `helm uninstall`",
        ),
        (
            |state| concierge(state).managers.push(Manager::ArgoCd),
            "--cascade=orphan",
        ),
        (
            |state| concierge(state).managers.push(Manager::Flux),
            "suspend it",
        ),
    ];
    for (change, expected) in cases {
        let mut state = state();
        change(&mut state);
        assert_eq!(texts(&state, Weight::Blocks), [""; 0], "{expected}");
        let texts = texts(&state, Weight::ToKnow);
        assert!(
            texts.iter().any(|text| text.contains(expected)),
            "{expected}: {texts:?}"
        );
    }
}

#[test]
fn supported_expressions_and_token_review_servers_carry_over() {
    let mut state = state();
    state.suffix = ApiGroupSuffix::parse("walrus.example.com").unwrap();
    jwt_spec(&mut state).claims = Some(JwtTokenClaims {
        username_expression: r#"claims.upn.split("@")[0]"#.to_owned(),
        ..JwtTokenClaims::default()
    });
    state.webhook.push(Authenticator {
        kind: AuthenticatorKind::Webhook,
        name: "corp".to_owned(),
        spec: Ok(WebhookAuthenticatorSpec {
            endpoint: "https://reviews.example.com".to_owned(),
            ..WebhookAuthenticatorSpec::default()
        }),
        phase: AuthenticatorPhase::Ready,
    });
    assert_eq!(texts(&state, Weight::Blocks), [""; 0]);
    let carried = texts(&state, Weight::CarriesOver);
    let expected = "WebhookAuthenticator corp (https://reviews.example.com)".to_owned();
    assert!(carried.contains(&expected), "{carried:?}");

    state.webhook[0].spec = Err("missing field".to_owned());
    let expected = "WebhookAuthenticator corp cannot be used as it is: missing field";
    assert_eq!(texts(&state, Weight::Blocks), [expected]);
}

#[test]
fn what_blocks_comes_first_and_cannot_steer_the_terminal() {
    let mut state = state();
    state.placement = Err("a\u{1b}[2Jb\nc".to_owned());
    let lines: Vec<_> = judge(&state).iter().map(Finding::to_string).collect();
    assert_eq!(
        lines[0],
        "blocks        no place for the agent: a\\u{1b}[2Jb c"
    );
    assert!(lines[1].starts_with("to know       "), "{lines:?}");
    assert!(
        lines.last().unwrap().starts_with("carries over  "),
        "{lines:?}"
    );
}
