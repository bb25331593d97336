//! Discovery against an issuer that misbehaves.

use std::time::SystemTime;

use haulout_https::{CallFault, TrustRoots};
use haulout_jwt::algorithms::AcceptedAlgorithms;
use haulout_jwt::client::IssuerClient;
use haulout_jwt::discovery::{DiscoveryError, discover};
use haulout_jwt::keys::KeyCache;
use haulout_tests::ensure_crypto;
use haulout_tests::issuer::{Fault, Faults, IssuerOptions, TestIssuer};

use crate::hostile::call_fault;

async fn issuer() -> TestIssuer {
    ensure_crypto();
    TestIssuer::start(IssuerOptions::default()).await.unwrap()
}

fn client_that_trusts(issuer: &TestIssuer) -> IssuerClient {
    let roots = TrustRoots::Only(vec![issuer.ca_certificate_der().to_vec()]);
    IssuerClient::new(&roots).unwrap()
}

async fn fault(fault: Fault) -> DiscoveryError {
    let issuer = issuer().await;
    issuer.set_faults(Faults {
        discovery: fault,
        ..Faults::default()
    });
    let client = client_that_trusts(&issuer);
    discover(&client, issuer.url()).await.unwrap_err()
}

#[tokio::test]
async fn the_keys_are_where_the_issuer_says() {
    let issuer = issuer().await;
    let provider = discover(&client_that_trusts(&issuer), issuer.url())
        .await
        .unwrap();
    assert_eq!(provider.jwks_uri, format!("{}/keys", issuer.url()));
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let (one, other) = (issuer().await, issuer().await);
    let error = discover(&client_that_trusts(&other), one.url())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "Get \"{}/.well-known/openid-configuration\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
            one.url()
        )
    );
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let issuer = issuer().await;
    let url = issuer.url().replace("127.0.0.1", "localhost");
    let error = discover(&client_that_trusts(&issuer), &url)
        .await
        .unwrap_err()
        .to_string();
    let expected = format!(
        "Get \"{url}/.well-known/openid-configuration\": tls: failed to verify certificate: x509: certificate not valid for name \"localhost\""
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[tokio::test]
async fn an_issuer_without_https_is_not_called() {
    let issuer = issuer().await;
    let url = issuer.url().replace("https", "http");
    assert!(discover(&client_that_trusts(&issuer), &url).await.is_err());
    assert_eq!(issuer.discovery_calls(), 0);
}

#[tokio::test]
async fn an_unreachable_issuer_is_named() {
    let issuer = issuer().await;
    let client = client_that_trusts(&issuer);
    let url = issuer.url().to_owned();
    drop(issuer);
    let error = discover(&client, &url).await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("Get \"{url}/.well-known/openid-configuration\": ")),
        "{error}"
    );
}

#[tokio::test]
async fn other_answers_than_200_are_errors() {
    assert_eq!(
        fault(Fault::NotFound).await.to_string(),
        "404 Not Found 404 page not found"
    );
    assert_eq!(
        fault(Fault::Broken).await.to_string(),
        "500 Internal Server Error <html>broken</html>"
    );
}

/// The target of the redirect would answer well.
#[tokio::test]
async fn redirects_are_not_followed() {
    assert_eq!(
        fault(Fault::Redirect).await.to_string(),
        "302 Found: redirects are not followed; use the URL that they lead to"
    );
}

/// The document itself, behind the white space, would be good.
#[tokio::test]
async fn huge_answers_are_cut_off() {
    let error = fault(Fault::Huge).await.to_string();
    assert!(
        error.ends_with("answer is longer than 524288 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn another_issuer_is_refused() {
    let error = fault(Fault::WrongIssuer).await;
    assert!(
        matches!(error, DiscoveryError::IssuerMismatch { .. }),
        "{error}"
    );
}

/// Google's keys, for one, lie on another host than the issuer.
#[tokio::test]
async fn the_keys_may_lie_on_another_host() {
    let (issuer, host) = (issuer().await, issuer().await);
    host.publish(issuer.published());
    issuer.name_keys_url(format!("{}/keys", host.url()));
    let fetch = async |client: IssuerClient| {
        let provider = discover(&client, issuer.url()).await.unwrap();
        let jwks_uri = provider.jwks_uri.parse().unwrap();
        KeyCache::fetch(client, jwks_uri, SystemTime::UNIX_EPOCH).await
    };
    let both = [&issuer, &host].map(|server| server.ca_certificate_der().to_vec());
    let client = IssuerClient::new(&TrustRoots::Only(both.to_vec())).unwrap();
    let keys = fetch(client).await.unwrap();
    let keys = keys.current(SystemTime::UNIX_EPOCH).unwrap();
    assert!(keys.serves(&AcceptedAlgorithms::default()));
    assert_eq!((issuer.key_calls(), host.key_calls()), (0, 1));

    let error = fetch(client_that_trusts(&issuer)).await.unwrap_err();
    assert!(
        matches!(call_fault(&error), Some(CallFault::Transport(_))),
        "the other host is trusted no more than the issuer: {error}"
    );
    assert_eq!(host.key_calls(), 1);
}
