use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::{Extension, Router};
use http_body_util::BodyExt;
use prometheus_client::metrics::counter::Counter;
use tower::ServiceExt;

use super::*;
use crate::front_proxy::Caller;

async fn get(router: &Router, path: &str) -> (StatusCode, String, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type
        .map_or("", |value| value.to_str().unwrap())
        .to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        content_type,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

fn checks() -> (Router, Arc<AtomicBool>) {
    let (registry, broken) = registry();
    (router(&Arc::new(registry), Reasons::ForAll), broken)
}

/// `signing-key` counts for readiness, `loop` everywhere; both fail while the flag is set.
fn registry() -> (HealthRegistry, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(false));
    let (key, main_loop) = (Arc::clone(&broken), Arc::clone(&broken));
    let fails_if = |flag: &AtomicBool, reason: &str| {
        if flag.load(Ordering::Relaxed) {
            Err(reason.to_owned())
        } else {
            Ok(())
        }
    };
    let registry = HealthRegistry::new()
        .with_check("loop", Scope::Everywhere, move || {
            fails_if(&main_loop, "stuck for 90 s")
        })
        .with_check("signing-key", Scope::Readiness, move || {
            fails_if(&key, "no key was read")
        });
    (registry, broken)
}

#[tokio::test]
async fn healthy_is_ok_in_plain_text() {
    let (router, _) = checks();
    for path in [
        "/healthz",
        "/livez",
        "/readyz",
        "/livez/ping",
        "/readyz/signing-key",
    ] {
        let (status, content_type, body) = get(&router, path).await;
        assert_eq!((status, &*body), (StatusCode::OK, "ok"), "{path}");
        assert_eq!(content_type, "text/plain; charset=utf-8");
    }
}

#[tokio::test]
async fn verbose_lists_the_checks_of_the_endpoint() {
    let (router, _) = checks();
    let (_, _, ready) = get(&router, "/readyz?verbose").await;
    assert_eq!(
        ready,
        "[+]ping ok\n[+]loop ok\n[+]signing-key ok\nreadyz check passed\n"
    );
    let (_, _, live) = get(&router, "/livez?verbose=true").await;
    assert_eq!(live, "[+]ping ok\n[+]loop ok\nlivez check passed\n");
}

#[tokio::test]
async fn a_failure_is_500_and_says_why_without_being_asked() {
    let (router, broken) = checks();
    broken.store(true, Ordering::Relaxed);
    let (status, _, body) = get(&router, "/readyz").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        body,
        "[+]ping ok\n[-]loop failed: stuck for 90 s\n[-]signing-key failed: no key was read\n\
         readyz check failed\n"
    );
    let (status, _, body) = get(&router, "/readyz/signing-key").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body, "internal server error: no key was read\n");
}

#[tokio::test]
async fn what_does_not_count_is_shown_to_those_who_ask() {
    let degraded = || Finding::Degraded("0 of 2 agents".to_owned());
    let registry = HealthRegistry::new().with_check("agents", Scope::Readiness, degraded);
    let registry = Arc::new(registry);
    let everybody = router(&registry, Reasons::ForAll);
    let ok = (StatusCode::OK, "ok".to_owned());
    let ask = async |router: &Router, path: &str| {
        let (status, _, body) = get(router, path).await;
        (status, body)
    };
    assert_eq!(ask(&everybody, "/readyz").await, ok);
    let shown =
        "[+]ping ok\n[+]agents degraded, does not count: 0 of 2 agents\nreadyz check passed\n";
    let verbose = ask(&everybody, "/readyz?verbose").await;
    assert_eq!(verbose, (StatusCode::OK, shown.to_owned()));
    let one = ask(&everybody, "/readyz/agents").await;
    assert_eq!(
        one,
        (StatusCode::OK, "degraded: 0 of 2 agents\n".to_owned())
    );
    let strangers = router(&registry, Reasons::ForVouchedCallers);
    let (_, body) = ask(&strangers, "/readyz?verbose").await;
    assert!(body.contains("does not count: reason withheld\n"), "{body}");
}

#[tokio::test]
async fn strangers_are_not_told_why() {
    let (registry, broken) = registry();
    broken.store(true, Ordering::Relaxed);
    let router = router(&Arc::new(registry), Reasons::ForVouchedCallers);
    let vouched = Caller {
        is_vouched_for: true,
        ..Caller::anonymous()
    };
    let seen_by = |caller| router.clone().layer(Extension(caller));
    for (who, router, is_told) in [
        ("nobody", router.clone(), false),
        ("a stranger", seen_by(Caller::anonymous()), false),
        ("a caller through the API server", seen_by(vouched), true),
    ] {
        let reason = |reason| if is_told { reason } else { "reason withheld" };
        let (status, _, body) = get(&router, "/readyz").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        let (of_loop, of_key) = (reason("stuck for 90 s"), reason("no key was read"));
        assert_eq!(
            body,
            format!(
                "[+]ping ok\n[-]loop failed: {of_loop}\n[-]signing-key failed: {of_key}\n\
                 readyz check failed\n"
            ),
            "{who}"
        );
        let (_, _, body) = get(&router, "/readyz/signing-key").await;
        assert_eq!(body, format!("internal server error: {of_key}\n"), "{who}");
    }
}

#[tokio::test]
async fn excluded_checks_do_not_count() {
    let (router, broken) = checks();
    broken.store(true, Ordering::Relaxed);
    let path = "/readyz?verbose&exclude=loop&exclude=signing-key&exclude=nosuch";
    let (status, _, body) = get(&router, path).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body,
        "[+]ping ok\n[+]loop excluded: ok\n[+]signing-key excluded: ok\n\
         warn: some health checks cannot be excluded: no matches for \"nosuch\"\n\
         readyz check passed\n"
    );
    let (status, _, _) = get(&router, "/readyz?exclude=loop").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn readiness_does_not_make_a_process_dead() {
    let registry = HealthRegistry::new().with_check("agent", Scope::Readiness, || {
        Err("no agent answers".to_owned())
    });
    let router = router(&Arc::new(registry), Reasons::ForAll);
    assert_eq!(get(&router, "/livez").await.0, StatusCode::OK);
    assert_eq!(
        get(&router, "/readyz").await.0,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    assert_eq!(get(&router, "/livez/agent").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn metrics_are_openmetrics_with_our_prefix() {
    let metrics = Metrics::new();
    let logins = metrics.register(|registry| {
        let logins = Counter::<u64>::default();
        registry.register("logins", "Logins so far", logins.clone());
        logins
    });
    logins.inc();
    let (status, content_type, body) = get(&metrics.router(), "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        content_type,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(body.contains("haulout_logins_total 1\n"), "{body}");
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn version_has_the_fields_that_kubectl_reads() {
    let (status, _, body) = get(&version_router(), "/version").await;
    assert_eq!(status, StatusCode::OK);
    let version: serde_json::Value = serde_json::from_str(&body).unwrap();
    for field in [
        "major",
        "minor",
        "gitVersion",
        "gitCommit",
        "gitTreeState",
        "buildDate",
        "goVersion",
        "compiler",
        "platform",
    ] {
        assert!(version[field].is_string(), "{field} in {body}");
    }
    assert_eq!(
        version["gitVersion"],
        concat!("v", env!("CARGO_PKG_VERSION"))
    );
}
