use std::io;
use std::sync::Mutex;

use http::{Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use kube::{Api, Client};
use serde_json::json;
use tokio::time::Instant;
use tower_test::mock;

use super::*;

/// Plays back `outcomes`, the last one for ever, and notes when it was asked.
struct Scripted {
    outcomes: Vec<Result<u64, &'static str>>,
    asked: Arc<Mutex<Vec<u64>>>,
    start: Instant,
}

impl Reconciler for Scripted {
    type Error = io::Error;

    async fn reconcile(&mut self) -> Result<Duration, io::Error> {
        self.asked
            .lock()
            .unwrap()
            .push(self.start.elapsed().as_secs());
        let next = match self.outcomes.len() {
            0 => std::future::pending().await,
            1 => self.outcomes[0],
            _ => self.outcomes.remove(0),
        };
        next.map(Duration::from_secs).map_err(io::Error::other)
    }
}

/// The seconds at which it was reconciled within `limit` seconds.
async fn asked_within(
    limit: u64,
    wake_at: &[u64],
    outcomes: &[Result<u64, &'static str>],
) -> Vec<u64> {
    let start = Instant::now();
    let asked = Arc::default();
    let scripted = Scripted {
        outcomes: outcomes.to_vec(),
        asked: Arc::clone(&asked),
        start,
    };
    let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let script = async {
        for &second in wake_at {
            tokio::time::sleep_until(start + Duration::from_secs(second)).await;
            wake.notify_one();
        }
        tokio::time::sleep_until(start + Duration::from_secs(limit)).await;
        stop.cancel();
    };
    let metrics = ControllerMetrics::default();
    let controller = run("test", scripted, Arc::clone(&wake), metrics, stop.clone());
    tokio::join!(controller, script);
    asked.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn it_runs_at_once_and_then_as_often_as_it_asked() {
    assert_eq!(asked_within(25, &[], &[Ok(10)]).await, [0, 10, 20]);
}

#[tokio::test(start_paused = true)]
async fn it_runs_when_woken() {
    assert_eq!(
        asked_within(25, &[3, 4], &[Ok(10)]).await,
        [0, 3, 4, 14, 24]
    );
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_ever_more_slowly() {
    let asked = asked_within(300, &[], &[Err("no")]).await;
    assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    let recovered =
        asked_within(50, &[], &[Err("no"), Err("no"), Ok(20), Err("no"), Ok(100)]).await;
    assert_eq!(recovered, [0, 1, 3, 23, 24], "a success begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_reconciliation_is_given_up() {
    assert_eq!(asked_within(40, &[], &[]).await, [0, 31]);
}

#[test]
fn pauses_end_at_a_minute() {
    for (failures, seconds) in [(1, 1), (2, 2), (7, 60), (u32::MAX, 60)] {
        assert_eq!(pause_after(failures).as_secs(), seconds, "{failures}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_not_allowed_says_so_and_goes_on() {
    let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let api: Api<ConfigMap> = Api::namespaced(Client::new(service, "ns"), "ns");
    let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let observed = Observed::unwatched();
    let follow = observed
        .clone()
        .follow(api, "cm".to_owned(), Arc::clone(&wake), stop.clone());
    let script = async {
        let forbidden = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "reason": "Forbidden", "message": "configmaps is forbidden", "code": 403});
        let empty = json!({"kind": "ConfigMapList", "apiVersion": "v1",
            "metadata": {"resourceVersion": "1"}, "items": []});
        for (code, body) in [(403, forbidden), (200, empty)] {
            let (request, send) = handle.next_request().await.unwrap();
            let uri = request.uri().to_string();
            assert!(uri.contains("fieldSelector=metadata.name%3Dcm"), "{uri}");
            let body = Body::from(body.to_string().into_bytes());
            send.send_response(Response::builder().status(code).body(body).unwrap());
            wake.notified().await;
            match code {
                403 => assert_eq!(observed.fault().as_deref(), Some("configmaps is forbidden")),
                _ => assert!(observed.fault().is_none()),
            }
        }
        assert!(matches!(observed.sight(), Sight::Absent));
        stop.cancel();
    };
    tokio::join!(follow, script);
}
