use http::{Method, Request, Response};
use kube::client::Body;
use prometheus_client::encoding::text::encode;
use serde_json::{Value, json};
use tower_test::mock::{self, Handle};

use super::*;

const COLLECTION: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";
const ITEM: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/haulout-webhook";

/// The Lease as the API server returns it after its `version`th change.
fn lease(holder: &str, version: u8) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "haulout-webhook", "resourceVersion": version.to_string()},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3,
            "renewTime": format!("2026-01-01T00:00:{version:02}.000000Z"),
            "acquireTime": "2026-01-01T00:00:00.000000Z"},
    })
}

fn failure(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
        "message": format!("test says {reason}"), "code": code})
}

/// The API server's side.
struct Server(Handle<Request<Body>, Response<Body>>);

impl Server {
    /// Waits for the next call, compares it, answers it, and gives its body.
    async fn answer(&mut self, method: Method, path: &str, code: u16, body: Value) -> Value {
        let next = tokio::time::timeout(Duration::from_secs(60), self.0.next_request());
        let (request, send) = next
            .await
            .expect("no call came")
            .expect("the client is gone");
        assert_eq!((request.method(), request.uri().path()), (&method, path));
        let query = request.uri().query().unwrap_or_default();
        let is_ours = query.contains("fieldManager=haulout");
        assert_eq!(is_ours, method != Method::GET, "{query}");
        let sent = request.into_body().collect_bytes().await.unwrap();
        let response = Response::builder()
            .status(code)
            .body(Body::from(body.to_string().into_bytes()));
        send.send_response(response.unwrap());
        serde_json::from_slice(&sent).unwrap_or_default()
    }

    async fn get(&mut self, found: Value) {
        self.answer(Method::GET, ITEM, 200, found).await;
    }

    async fn put(&mut self, stored: Value) -> Value {
        self.answer(Method::PUT, ITEM, 200, stored).await
    }

    async fn put_fails(&mut self, code: u16, reason: &str) {
        let body = failure(code, reason);
        self.answer(Method::PUT, ITEM, code, body).await;
    }
}

struct Election {
    elector: LeaderElector,
    leadership: Leadership,
    registry: Registry,
    server: Server,
    stop: CancellationToken,
}

fn election() -> Election {
    let (service, handle) = mock::pair();
    let settings = LeaderSettings {
        namespace: "ns".to_owned(),
        lease: "haulout-webhook".to_owned(),
        identity: "me".to_owned(),
        labels: [("app".to_owned(), "haulout".to_owned())].into(),
        owner: None,
    };
    let mut registry = Registry::with_prefix("haulout");
    let (elector, leadership) = LeaderElector::new(
        Client::new(service, "ns"),
        settings,
        Clock::system(),
        &mut registry,
    );
    Election {
        elector,
        leadership,
        registry,
        server: Server(handle),
        stop: CancellationToken::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn leadership_ends_by_itself_at_the_renew_deadline() {
    let (publish, receiver) = watch::channel(Some(Instant::now() + RENEW_DEADLINE));
    let leadership = Leadership(receiver);
    assert!(leadership.is_leader());
    tokio::time::advance(RENEW_DEADLINE).await;
    assert!(!leadership.is_leader(), "nobody had to publish anything");
    drop(publish);
}

/// What is deleted meanwhile was known before: the new Lease names it, and is removed in turn.
#[tokio::test(start_paused = true)]
async fn the_lease_goes_with_a_deployment_that_was_there_at_the_start() {
    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/ns/deployments/haulout-webhook";
    let Election {
        mut elector,
        mut server,
        stop,
        ..
    } = election();
    let (service, handle) = mock::pair();
    let client = Client::new(service, "ns");
    let owner = Owner::new(client, "ns", "haulout-webhook");
    elector.settings.owner = Some(Arc::new(owner));
    let mut deployments = Server(handle);
    let script = async {
        let found = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "haulout-webhook", "uid": "u-1"}});
        deployments
            .answer(Method::GET, DEPLOYMENT, 200, found)
            .await;
        let missing = failure(404, "NotFound");
        server.answer(Method::GET, ITEM, 404, missing).await;
        let made = server
            .answer(Method::POST, COLLECTION, 201, lease("me", 1))
            .await;
        let owners = &made["metadata"]["ownerReferences"];
        assert_eq!(
            *owners,
            json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "haulout-webhook", "uid": "u-1"}])
        );
        stop.cancel();
        server.put(lease("", 2)).await;
    };
    tokio::join!(elector.run(stop.clone()), script);
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_made_renewed_and_given_back() {
    let Election {
        elector,
        mut leadership,
        registry,
        mut server,
        stop,
    } = election();
    let metric = || {
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let line = text.lines().find(|line| !line.starts_with('#')).unwrap();
        line.to_owned()
    };
    assert_eq!(metric(), "haulout_leader 0");
    let script = async {
        let missing = failure(404, "NotFound");
        server.answer(Method::GET, ITEM, 404, missing).await;
        let made = server
            .answer(Method::POST, COLLECTION, 201, lease("me", 1))
            .await;
        assert_eq!(made["spec"]["holderIdentity"], "me");
        assert_eq!(made["metadata"]["labels"]["app"], "haulout");
        leadership.changed().await;
        assert!(leadership.is_leader());
        assert_eq!(metric(), "haulout_leader 1");

        // The record is known: no read before the write.
        let renewed = server.put(lease("me", 2)).await;
        assert_eq!(renewed["metadata"]["resourceVersion"], "1");
        let renewed = server.put(lease("me", 3)).await;
        assert_eq!(renewed["metadata"]["resourceVersion"], "2");
        stop.cancel();

        let released = server.put(lease("", 4)).await;
        assert!(!leadership.is_leader(), "the flag falls before the Lease");
        assert_eq!(released["spec"]["holderIdentity"], "");
        assert_eq!(released["metadata"]["resourceVersion"], "3");
    };
    tokio::join!(elector.run(stop.clone()), script);
    assert_eq!(metric(), "haulout_leader 0");
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_no_leadership() {
    let Election {
        elector,
        leadership,
        mut server,
        stop,
        ..
    } = election();
    let script = async {
        server.get(lease("", 1)).await;
        server.put_fails(409, "Conflict").await;
        server.get(lease("other", 2)).await;
        assert!(!leadership.is_leader());
        stop.cancel();
    };
    // It does not lead, so it has nothing to give back: no further call.
    tokio::join!(elector.run(stop.clone()), script);
}

#[tokio::test(start_paused = true)]
async fn a_dead_leader_s_lease_is_taken_when_it_has_stood_still() {
    let Election {
        elector,
        leadership,
        mut server,
        stop,
        ..
    } = election();
    let start = Instant::now();
    let script = async {
        while start.elapsed() < LEASE_DURATION - RETRY_PERIOD {
            server.get(lease("other", 1)).await;
        }
        server.get(lease("other", 1)).await;
        let taken = server.put(lease("me", 2)).await;
        assert!(start.elapsed() >= LEASE_DURATION);
        assert_eq!(taken["spec"]["leaseTransitions"], 4);
        server.put(lease("me", 3)).await;
        assert!(leadership.is_leader());
        stop.cancel();
        server.put(lease("", 4)).await;
    };
    tokio::join!(elector.run(stop.clone()), script);
}

#[tokio::test(start_paused = true)]
async fn a_lease_taken_by_another_ends_leadership_at_once() {
    let Election {
        elector,
        mut leadership,
        mut server,
        stop,
        ..
    } = election();
    let script = async {
        server.get(lease("", 1)).await;
        server.put(lease("me", 2)).await;
        server.put_fails(409, "Conflict").await;
        server.get(lease("other", 3)).await;
        leadership.changed().await;
        leadership.changed().await;
        assert!(!leadership.is_leader());
        stop.cancel();
    };
    tokio::join!(elector.run(stop.clone()), script);
}

#[tokio::test(start_paused = true)]
async fn a_lease_deleted_while_held_is_made_anew_or_is_another_s() {
    let Election {
        elector,
        leadership,
        mut server,
        stop,
        ..
    } = election();
    let missing = || failure(404, "NotFound");
    let script = async {
        server.get(lease("", 1)).await;
        server.put(lease("me", 2)).await;
        server.put_fails(404, "NotFound").await;
        server.answer(Method::GET, ITEM, 404, missing()).await;
        assert!(leadership.is_leader(), "nobody else can lead yet");
        let made = server
            .answer(Method::POST, COLLECTION, 201, lease("me", 3))
            .await;
        assert_eq!(made["spec"]["holderIdentity"], "me");
        assert_eq!(made["metadata"].get("resourceVersion"), None, "{made}");
        let renewed = server.put(lease("me", 4)).await;
        assert_eq!(renewed["metadata"]["resourceVersion"], "3");
        assert!(leadership.is_leader());

        // Deleted again, and another claimant is faster, before our look or after it.
        server.put_fails(404, "NotFound").await;
        server.answer(Method::GET, ITEM, 404, missing()).await;
        let exists = failure(409, "AlreadyExists");
        server.answer(Method::POST, COLLECTION, 409, exists).await;
        server.get(lease("other", 5)).await;
        assert!(!leadership.is_leader(), "two would lead");
        stop.cancel();
    };
    tokio::join!(elector.run(stop.clone()), script);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_leading_and_comes_back() {
    let Election {
        elector,
        leadership,
        mut server,
        stop,
        ..
    } = election();
    let script = async {
        server.get(lease("", 1)).await;
        server.put(lease("me", 2)).await;
        let outage = Instant::now();
        server.put_fails(403, "Forbidden").await;
        assert!(leadership.is_leader(), "one failure is survived");
        while outage.elapsed() < RENEW_DEADLINE {
            server.put_fails(403, "Forbidden").await;
        }
        assert!(!leadership.is_leader());
        server.put(lease("me", 3)).await;
        server.put(lease("me", 4)).await;
        assert!(leadership.is_leader());
        stop.cancel();
        server.put(lease("", 5)).await;
    };
    tokio::join!(elector.run(stop.clone()), script);
}
