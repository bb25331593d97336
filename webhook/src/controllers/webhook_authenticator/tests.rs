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

async fn judged(endpoint: &str, roots: Result<TrustRoots, TrustError>) -> Judgement<Known> {
    judged_anew(&spec(endpoint), roots, None).await
}

/// The judgement of `spec`, when `server` was reached before.
async fn judged_anew(
    spec: &WebhookAuthenticatorSpec,
    roots: Result<TrustRoots, TrustError>,
    server: Option<&Arc<Server>>,
) -> Judgement<Known> {
    let kind = kind();
    let kept = Known {
        server: server.cloned(),
        other: None,
    };
    let kept = kind.prepare(spec, Some(&kept)).await;
    kind.judge(spec, roots, &kept, start()).await
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
    let spec = spec("https://127.0.0.1:1");
    let known = known(&spec);
    let judge = async |spec, roots| judged_anew(spec, Ok(roots), Some(&known)).await;
    let is_the_same = |judgement: &Judgement<Known>| {
        let authenticator = judgement.authenticator.as_ref().unwrap();
        Arc::ptr_eq(authenticator, &known.authenticator)
    };
    let judgement = judge(&spec, known.roots.clone()).await;
    assert!(judgement.may_heal && is_the_same(&judgement));

    // An edit of what is asked counts also while the server is away.
    let edited = WebhookAuthenticatorSpec {
        token_review_version: Some(TokenReviewVersion::V1),
        ..spec.clone()
    };
    assert!(!is_the_same(&judge(&edited, known.roots.clone()).await));

    // Of another CA it is not known whether the server has a certificate of it.
    assert!(judge(&spec, roots()).await.authenticator.is_none());
    let elsewhere = WebhookAuthenticatorSpec {
        endpoint: "https://127.0.0.1:2".to_owned(),
        ..spec.clone()
    };
    let judgement = judge(&elsewhere, known.roots.clone()).await;
    assert!(judgement.authenticator.is_none());
}

#[tokio::test]
async fn only_a_server_that_was_reached_is_in_force_before_it_is_asked_anew() {
    let spec = spec("https://127.0.0.1:1");
    let known = Known {
        server: Some(known(&spec)),
        other: None,
    };
    let first = spec.clone();
    for (endpoint, kept, in_force) in [
        ("https://127.0.0.1:1", Some(&known), true),
        ("https://127.0.0.1:2", Some(&known), false),
        ("https://127.0.0.1:1", None, false),
    ] {
        let spec = WebhookAuthenticatorSpec {
            endpoint: endpoint.to_owned(),
            ..spec.clone()
        };
        let has_known = kept.is_some();
        let kept = kind().prepare(&spec, kept).await;
        assert_eq!(Webhook::provisional(&kept).is_some(), in_force);
        // An edit back finds it again.
        let back = kind().prepare(&first, Some(&kept)).await;
        assert_eq!(Webhook::provisional(&back).is_some(), has_known);
    }
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
