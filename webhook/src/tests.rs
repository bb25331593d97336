use std::path::Path;

use axum::body::Body;
use haulout_serve::listener::PeerCertificates;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;
use tower_test::mock::{self, Handle};

use super::*;

type Silence = Handle<Request<kube::client::Body>, Response<kube::client::Body>>;

/// A cluster that never answers, for as long as the second half lives.
fn silent_cluster() -> (Client, Silence) {
    let (service, handle) = mock::pair();
    (Client::new(service, "haulout-system"), handle)
}

/// Nobody is there either.
fn api_server() -> ApiServer {
    kube::Config::new("https://127.0.0.1:9".parse().unwrap()).into()
}

fn config(listen: SocketAddr) -> Config {
    let text = format!(
        "{{listen: '{listen}', metricsListen: '127.0.0.1:0', agent: {{addresses: ['127.0.0.1:9'], \
         tls: {{certFile: /nonexistent, keyFile: /nonexistent, caFile: /nonexistent}}}}, \
         directEndpoint: {{listen: '127.0.0.1:0', externalUrl: 'https://login.example.com'}}}}"
    );
    Config::parse(&text, Path::new("webhook.yaml")).unwrap()
}

async fn start(shutdown: &Shutdown) -> (Webhook, Silence) {
    let (client, silence) = silent_cluster();
    let audit = AuditLog::new(io::sink(), Clock::system());
    let config = config(([127, 0, 0, 1], 0).into());
    let webhook = Webhook::start(
        config,
        api_server(),
        client,
        Clock::system(),
        audit,
        shutdown,
    );
    (webhook.await.unwrap(), silence)
}

async fn get(router: Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn it_lives_and_says_what_it_waits_for() {
    let shutdown = Shutdown::default();
    let (webhook, _silence) = start(&shutdown).await;
    let plain = || webhook.plain_router.clone();
    assert_eq!(get(plain(), "/livez").await.0, StatusCode::OK);
    let (status, body) = get(plain(), "/readyz").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    for check in [
        "front-proxy",
        "serving-certificate",
        "jwt-authenticators",
        "webhook-authenticators",
        "agents",
    ] {
        assert!(body.contains(&format!("[-]{check} failed: ")), "{body}");
    }
    assert!(body.contains("[+]shutdown ok"), "{body}");
    shutdown.stopping.cancel();
    let (_, body) = get(plain(), "/readyz").await;
    let failed = "[-]shutdown failed: shutting down";
    assert!(body.contains(failed), "{body}");
    assert_eq!(get(plain(), "/livez").await.0, StatusCode::OK);
    // Anybody reaches door A.
    let (_, body) = get(webhook.router(), "/readyz").await;
    let failed = "[-]shutdown failed: reason withheld";
    assert!(body.contains(failed), "{body}");
}

#[tokio::test]
async fn the_plain_port_shows_metrics_and_health_and_no_api() {
    let shutdown = Shutdown::default();
    let (webhook, _silence) = start(&shutdown).await;
    let plain = || webhook.plain_router.clone();
    let (status, body) = get(plain(), "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("\nhaulout_leader 0\n"), "{body}");
    assert_eq!(get(plain(), "/livez").await.0, StatusCode::OK);
    for path in ["/apis", "/openapi/v2"] {
        let (status, _) = get(plain(), path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

/// Logins of the last seconds need the issuers' keys and the front proxy's CA as they are then.
#[tokio::test]
async fn what_answers_depend_on_is_followed_to_the_last_answer() {
    let shutdown = Shutdown::default();
    let (webhook, mut cluster) = start(&shutdown).await;
    shutdown.stopping.cancel();
    shutdown.drain.cancel();
    let mut unanswered = Vec::new();
    let answers = async {
        loop {
            let (request, reply) = cluster.next_request().await.unwrap();
            let uri = request.uri();
            let items = match uri.path() {
                _ if uri.query().is_some_and(|query| query.contains("watch")) => {
                    unanswered.push(reply);
                    continue;
                }
                path if path.ends_with("/jwtauthenticators") => json!([]),
                "/api/v1/namespaces/kube-system/configmaps" => json!([front_proxy_config()]),
                _ => {
                    unanswered.push(reply);
                    continue;
                }
            };
            let list = json!({"kind": "List", "apiVersion": "v1",
                "metadata": {"resourceVersion": "1"}, "items": items});
            reply.send_response(Response::new(list.to_string().into_bytes().into()));
        }
    };
    let ready = async {
        loop {
            let (_, body) = get(webhook.router(), "/readyz").await;
            if ["front-proxy", "jwt-authenticators"]
                .iter()
                .all(|check| body.contains(&format!("[+]{check} ok")))
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let followed = async {
        tokio::select! {
            () = ready => {}
            () = answers => {}
        }
    };
    let followed = tokio::time::timeout(Duration::from_secs(20), followed).await;
    assert!(followed.is_ok(), "nobody follows any more");
    webhook.serve(&shutdown).await;
    assert!(shutdown.finish(Duration::from_secs(20)).await);
}

fn front_proxy_config() -> serde_json::Value {
    let now = Clock::system().now();
    let validity = haulout_pki::profile::Validity {
        not_before: now,
        not_after: now + Duration::from_secs(3600),
    };
    let ca = haulout_pki::authority::generate_authority("front-proxy-ca", validity).unwrap();
    json!({
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {"requestheader-client-ca-file": ca.certificate_pem},
    })
}

#[tokio::test]
async fn it_ends_when_drained_and_leaves_no_task() {
    let shutdown = Shutdown::default();
    let (webhook, _silence) = start(&shutdown).await;
    shutdown.stopping.cancel();
    shutdown.drain.cancel();
    let nobody = PeerCertificates(Arc::default());
    assert!(!webhook.trust.trusts(&nobody));
    let direct = webhook.direct_address().unwrap().unwrap();
    assert!(std::net::TcpStream::connect(direct).is_ok());
    webhook.serve(&shutdown).await;
    assert!(std::net::TcpStream::connect(direct).is_err());
    assert!(shutdown.finish(Duration::from_secs(20)).await);
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (client, _silence) = silent_cluster();
    let audit = AuditLog::new(io::sink(), Clock::system());
    let shutdown = Shutdown::default();
    let webhook = Webhook::start(
        config(address),
        api_server(),
        client,
        Clock::system(),
        audit,
        &shutdown,
    );
    let error = webhook.await.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}
