use std::time::Duration;

use haulout_api::authenticator::{AuthenticatorPhase, TokenReviewVersion};
use haulout_pki::authority::generate_authority;
use haulout_pki::profile::Validity;

use super::*;
use crate::controllers::test_server::start;

const UNKNOWN: &str =
    "Unknown UnableToValidate: unable to validate; see other conditions for details";

fn kind() -> Webhook {
    haulout_operate::startup::install_crypto_provider();
    Webhook {
        proxies: ProxyRules::from_env(),
    }
}

fn spec(endpoint: &str) -> WebhookAuthenticatorSpec {
    WebhookAuthenticatorSpec {
        endpoint: endpoint.to_owned(),
        ..WebhookAuthenticatorSpec::default()
    }
}

fn roots() -> TrustRoots {
    let validity = Validity {
        not_before: start(),
        not_after: start() + Duration::from_secs(3600),
    };
    let pem = generate_authority("ca", validity).unwrap().certificate_pem;
    let bundle = haulout_pki::bundle::CertificateBundle::parse_pem(pem.as_bytes()).unwrap();
    TrustRoots::Only(
        bundle
            .certificates()
            .iter()
            .map(|der| der.to_vec())
            .collect(),
    )
}

/// Status, reason and message of every condition.
fn lines(findings: &Findings) -> Vec<String> {
    let observations = findings.observations().into_iter();
    observations
        .map(|o| {
            format!(
                "{} {} {}: {}",
                o.type_,
                o.status.as_str(),
                o.reason,
                o.message
            )
        })
        .collect()
}

async fn judged(endpoint: &str, roots: Result<TrustRoots, TrustError>) -> Judgement<Server> {
    kind().judge(&spec(endpoint), roots, None, start()).await
}

#[tokio::test]
async fn what_an_edit_must_mend_is_told_and_not_tried_again() {
    let good_trust =
        "TLSConfigurationValid True Success: spec.tls is valid: using configured CA bundle";
    let no_base64 = "TLSConfigurationValid False InvalidTLSConfig: spec.tls.certificateAuthorityData is invalid: illegal base64 data at input byte 7";
    let plain = "EndpointURLValid False InvalidEndpointURLScheme: spec.endpoint URL http://w has invalid scheme, require 'https'";
    let good_endpoint = "EndpointURLValid True Success: spec.endpoint is a valid URL";
    for (endpoint, roots, trust, url) in [
        ("http://w", Ok(roots()), good_trust, plain),
        (
            "https://w",
            Err(TrustError::Base64(7)),
            no_base64,
            good_endpoint,
        ),
        ("http://w", Err(TrustError::Base64(7)), no_base64, plain),
        (
            "https://[::1",
            Ok(roots()),
            good_trust,
            "EndpointURLValid False InvalidEndpointURL: spec.endpoint URL is invalid: invalid IPv6 address",
        ),
    ] {
        let judgement = judged(endpoint, roots).await;
        assert_eq!(
            lines(&judgement.findings),
            [
                trust.to_owned(),
                url.to_owned(),
                format!("WebhookConnectionValid {UNKNOWN}"),
                format!("AuthenticatorValid {UNKNOWN}"),
                "Ready False NotReady: the WebhookAuthenticator is not ready: see other conditions for details".to_owned(),
            ]
        );
        assert!(
            judgement.authenticator.is_none() && !judgement.may_heal,
            "{endpoint}"
        );
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_tried_again() {
    let judgement = judged("https://127.0.0.1:1", Ok(roots())).await;
    let connection = &lines(&judgement.findings)[2];
    let expected = "WebhookConnectionValid False UnableToDialServer: cannot dial server: dial tcp 127.0.0.1:1: connect:";
    assert!(connection.starts_with(expected), "{connection}");
    assert!(judgement.authenticator.is_none() && judgement.may_heal);
    assert_eq!(judgement.findings.phase(), AuthenticatorPhase::Error);
}

/// A server that was reached before.
fn known(spec: &WebhookAuthenticatorSpec) -> Arc<Server> {
    let endpoint = Endpoint::parse(&spec.endpoint, &kind().proxies).unwrap();
    let client = TokenReviewClient::new(endpoint, &roots()).unwrap();
    Arc::new(Server::new(spec, roots(), client))
}

#[tokio::test]
async fn an_outage_leaves_a_known_server_in_force_and_its_memory_alone() {
    let kind = kind();
    let spec = spec("https://127.0.0.1:1");
    let known = known(&spec);
    let judgement = kind
        .judge(&spec, Ok(known.roots.clone()), Some(&known), start())
        .await;
    assert!(judgement.may_heal);
    assert!(Arc::ptr_eq(
        &judgement.authenticator.unwrap(),
        &known.authenticator
    ));

    // An edit of what is asked counts also while the server is away.
    let edited = WebhookAuthenticatorSpec {
        token_review_version: Some(TokenReviewVersion::V1),
        ..spec.clone()
    };
    let judgement = kind
        .judge(&edited, Ok(known.roots.clone()), Some(&known), start())
        .await;
    assert!(!Arc::ptr_eq(
        &judgement.authenticator.unwrap(),
        &known.authenticator
    ));

    // Of another CA it is not known whether the server has a certificate of it.
    let judgement = kind.judge(&spec, Ok(roots()), Some(&known), start()).await;
    assert!(judgement.authenticator.is_none());
    let elsewhere = WebhookAuthenticatorSpec {
        endpoint: "https://127.0.0.1:2".to_owned(),
        ..spec.clone()
    };
    let judgement = kind
        .judge(&elsewhere, Ok(known.roots.clone()), Some(&known), start())
        .await;
    assert!(judgement.authenticator.is_none());
    assert!(kind.provisional(&elsewhere, Some(&known)).is_none());
    assert!(kind.provisional(&spec, Some(&known)).is_some());
    assert!(kind.provisional(&spec, None).is_none());
}

#[test]
fn an_unreadable_object_says_so() {
    let error = serde_json::from_str::<WebhookAuthenticatorSpec>("{}").unwrap_err();
    let findings = Webhook::unreadable(&error);
    assert_eq!(
        findings.first_fault(),
        Some((
            "UnableToInstantiateWebhook",
            "could not initialize webhook authenticator: spec: missing field `endpoint` at line 1 column 2"
        ))
    );
}
