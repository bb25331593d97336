//! Door A as a whole, without a socket before it and with a real one to the agent.

mod answers;
mod callers;
mod direct;
mod flood;
mod limits;
mod logs;
mod real_agent;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use haulout_api::identity::UserInfo;
use haulout_pki::bundle::CertificateBundle;
use haulout_pki::profile::ClientSubject;
use haulout_pki::secret_key::KeyPair;
use haulout_serve::authorize::{Attributes, Decision, ReviewError};
use haulout_serve::front_proxy::{FrontProxy, FrontProxyConfig};
use haulout_serve::health::HealthRegistry;
use haulout_serve::listener::PeerCertificates;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use zeroize::Zeroizing;

use super::login::tests::{Says, Setup, alice, setup};
use super::*;
use crate::signer::fake_agent::{GOOD, new_authority};

const TCR: &str = "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests";
const WHO_AM_I: &str = "/apis/identity.concierge.pinniped.dev/v1alpha1/whoamirequests";

/// A door A with one authenticator `main` that says `alice`.
struct Door {
    router: Router,
    setup: Setup,
    front_proxy: Arc<FrontProxy>,
    front_proxy_peer: PeerCertificates,
    /// Certificate and key behind it.
    front_proxy_pair: (String, Zeroizing<String>),
}

/// What the API server says to SubjectAccessReviews.
#[derive(Clone, Copy)]
enum Reviewer {
    Allows,
    Denies,
    Fails,
    Panics,
}

impl AccessReviewer for Reviewer {
    fn review<'a>(
        &'a self,
        _: &'a UserInfo,
        _: &'a Attributes,
    ) -> BoxFuture<'a, Result<Decision, ReviewError>> {
        let decision = |allowed| {
            Ok(Decision {
                allowed,
                reason: String::new(),
            })
        };
        let answer = match self {
            Self::Allows => decision(true),
            Self::Denies => decision(false),
            Self::Fails => Err(ReviewError::new("no API server")),
            Self::Panics => panic!("the reviewer panicked"),
        };
        futures_util::future::ready(answer).boxed()
    }
}

impl Door {
    async fn new() -> Self {
        Self::with(Says::User(alice()), Reviewer::Allows, "pinniped.dev").await
    }

    async fn with(says: Says, reviewer: Reviewer, suffix: &str) -> Self {
        Self::over(setup(says, GOOD, suffix).await, reviewer)
    }

    fn over(mut setup: Setup, reviewer: Reviewer) -> Self {
        let (front_proxy, front_proxy_peer, front_proxy_pair) = front_proxy();
        let router = router(ApiState {
            logins: setup.logins.take().unwrap(),
            front_proxy: Arc::clone(&front_proxy),
            reviewer,
            health: Arc::new(HealthRegistry::new()),
            metrics: setup.metrics.clone(),
        })
        .unwrap();
        Self {
            router,
            setup,
            front_proxy,
            front_proxy_peer,
            front_proxy_pair,
        }
    }

    /// Sends a request as the aggregator does for an anonymous client.
    async fn send(&self, request: Request<Body>) -> Response<Body> {
        let request = with_headers(
            request,
            &[
                ("x-remote-user", "system:anonymous"),
                ("x-remote-group", "system:unauthenticated"),
            ],
        );
        self.send_from(&self.front_proxy_peer, request).await
    }

    async fn send_from(
        &self,
        peer: &PeerCertificates,
        mut request: Request<Body>,
    ) -> Response<Body> {
        request.extensions_mut().insert(peer.clone());
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn create(&self, body: &Value) -> (StatusCode, String) {
        text(self.send(post_json(TCR, body)).await).await
    }
}

/// A front proxy's CA in force, and what a connection of the front proxy shows.
fn front_proxy() -> (
    Arc<FrontProxy>,
    PeerCertificates,
    (String, Zeroizing<String>),
) {
    let (authority, validity) = new_authority("front-proxy-ca");
    let key = KeyPair::generate_p256().unwrap();
    let subject = ClientSubject {
        username: "front-proxy-client".into(),
        ..ClientSubject::default()
    };
    let leaf = authority
        .issue_client_certificate(&subject, &key.spki_der(), validity)
        .unwrap();
    let chain = CertificateBundle::parse_pem(leaf.pem.as_bytes()).unwrap();

    let list = |name: &str| json!([name]).to_string();
    let data = BTreeMap::from([
        (
            "requestheader-client-ca-file".to_owned(),
            authority.certificate_pem().to_owned(),
        ),
        (
            "requestheader-allowed-names".to_owned(),
            list("front-proxy-client"),
        ),
        (
            "requestheader-username-headers".to_owned(),
            list("X-Remote-User"),
        ),
        ("requestheader-uid-headers".to_owned(), list("X-Remote-Uid")),
        (
            "requestheader-group-headers".to_owned(),
            list("X-Remote-Group"),
        ),
        (
            "requestheader-extra-headers-prefix".to_owned(),
            list("X-Remote-Extra-"),
        ),
    ]);
    let front_proxy = FrontProxy::new();
    front_proxy.replace(FrontProxyConfig::from_config_map(&data).unwrap());
    (
        Arc::new(front_proxy),
        PeerCertificates(chain.certificates().into()),
        (leaf.pem, key.pkcs8_pem()),
    )
}

fn request(method: Method, path: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap()
}

fn post_text(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header("content-type", content_type);
    request.body(body.into()).unwrap()
}

fn post_json(path: &str, body: &Value) -> Request<Body> {
    post_text(path, "application/json", body.to_string())
}

fn with_headers(mut request: Request<Body>, headers: &[(&str, &str)]) -> Request<Body> {
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

fn good_request() -> Value {
    json!({
        "kind": "TokenCredentialRequest",
        "apiVersion": "login.concierge.pinniped.dev/v1alpha1",
        "metadata": {"name": "ignored", "labels": {"a": "b"}, "creationTimestamp": null},
        "spec": {
            "token": "the-secret-token",
            "authenticator": {
                "apiGroup": "authentication.concierge.pinniped.dev",
                "kind": "JWTAuthenticator",
                "name": "main",
            },
        },
        "status": {},
    })
}

async fn text(response: Response<Body>) -> (StatusCode, String) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
