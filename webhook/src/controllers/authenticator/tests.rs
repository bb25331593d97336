use std::time::Duration;

use haulout_serve::health::Metrics;
use http::Method;
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::controllers::jwt_authenticator;
use crate::controllers::test_server::environment;

const LIST: &str = "/apis/authentication.concierge.pinniped.dev/v1alpha1/jwtauthenticators";

#[tokio::test(start_paused = true)]
async fn a_replica_is_ready_once_all_that_it_found_is_judged() {
    let (environment, mut server, _) = environment(false);
    let suffix = ApiGroupSuffix::parse("pinniped.dev").unwrap();
    let readiness = Readiness::pending("waiting for the API server");
    let (end, tracker) = (CancellationToken::new(), TaskTracker::new());
    let client = environment.client;
    let context = Context {
        registry: Arc::default(),
        leadership: environment.leadership,
        clock: environment.clock,
        tracker: tracker.clone(),
        metrics: AuthenticatorMetrics::new(&Metrics::new()),
        trust: Arc::new(TrustSources::new(
            client.clone(),
            "haulout-system".to_owned(),
            tracker.clone(),
            end.clone(),
        )),
    };
    let run = jwt_authenticator::run(client, suffix, context, readiness.clone(), end.clone());
    tracker.spawn(run);
    let pause = || tokio::time::sleep(Duration::from_millis(1));

    server.fails(Method::GET, LIST, 403).await;
    let failed = |text: &str| text.starts_with("failed to list") && text.ends_with("test says 403");
    while !failed(&readiness.check().unwrap_err()) {
        pause().await;
    }
    // Empty specifications: judged without an issuer.
    let object = |name: &str| json!({"metadata": {"name": name}, "spec": {}});
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
        "items": [object("a"), object("b")]});
    server.answer(Method::GET, LIST, 200, &list).await;
    let listed = Instant::now();
    while readiness.check().is_err() {
        pause().await;
    }
    assert!(listed.elapsed() < Duration::from_secs(1), "waited in vain");
    end.cancel();
    tracker.close();
    tracker.wait().await;
}
