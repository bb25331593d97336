//! Two webhooks: one writes, both serve, and the other takes over.

use haulout_tests::cluster::{Profile, Replica, StackOptions};
use haulout_tests::logins;
use serde_json::Value;

use crate::running::{Running, until};

const LEASE: [&str; 4] = ["lease", "-n", "haulout-system", "haulout-webhook"];
const API_SERVICES: [&str; 2] = [
    "apiservice/v1alpha1.identity.concierge.pinniped.dev",
    "apiservice/v1alpha1.login.concierge.pinniped.dev",
];

/// A cluster with two webhooks.
struct Pair {
    replica: Replica,
    running: Running,
}

impl Pair {
    async fn lease(&self) -> Value {
        let get = ["get", "--ignore-not-found", "-o", "json"];
        let arguments = get.into_iter().chain(LEASE);
        let text = self.running.cluster.kubectl().run(arguments).await.unwrap();
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn is_held_by(&self, holder: &str) -> bool {
        self.lease().await["spec"]["holderIdentity"] == holder
    }

    /// `haulout_leader` of the first and of the second.
    async fn leaders(&self) -> [Option<bool>; 2] {
        let first = self.running.stack.addresses();
        let mut leaders = [None; 2];
        for (leads, addresses) in leaders.iter_mut().zip([first, self.replica.addresses]) {
            let port = addresses.webhook_metrics;
            let (_, metrics) = self.running.plain(port, "/metrics").await;
            let mut lines = metrics.lines();
            let line = lines.find_map(|line| line.strip_prefix("haulout_leader "));
            *leads = line.map(|value| value == "1");
        }
        leaders
    }

    /// Patches both APIServices.
    async fn patch_api_services(&self, patch: &str) {
        for name in API_SERVICES {
            let patch = ["patch", name, "--type=merge", "-p", patch];
            self.running.cluster.kubectl().run(patch).await.unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_of_two_replicas_one_writes_and_both_serve() {
    let running = Running::start(Profile::Kubeadm, &StackOptions::unlimited()).await;
    let replica = running.stack.start_replica(&running.cluster).await.unwrap();
    let token = running.long_lived_token().await;
    let mut pair = Pair { replica, running };
    assert_eq!(pair.leaders().await, [Some(true), Some(false)]);
    assert!(pair.is_held_by("haulout-webhook-0").await);

    let port = pair.replica.addresses.webhook;
    let to_follower = format!(r#"{{"spec":{{"service":{{"port":{port}}}}}}}"#);
    pair.patch_api_services(&to_follower).await;
    until("the follower is asked", async || {
        pair.running.post(&logins::body(&token)).await;
        served(&pair.replica) > 0
    })
    .await;
    pair.running.stack.wait_until_available().await.unwrap();
    let before = served(&pair.replica);
    pair.running
        .log_in_ten_times(&token, "by the follower")
        .await;
    assert_eq!(served(&pair.replica), before + 10, "another was asked");
    assert_eq!(pair.leaders().await, [Some(true), Some(false)]);

    the_other_takes_over(&mut pair, &token).await;
    a_deleted_lease_is_made_anew(&pair).await;

    pair.running.stack.webhook().restart().unwrap();
    until("the first is back and follows", async || {
        pair.leaders().await == [Some(false), Some(true)]
    })
    .await;
    pair.running
        .log_in_ten_times(&token, "after the first is back")
        .await;
}

/// How many tokens this webhook has received, by its log.
fn served(replica: &Replica) -> usize {
    let log = std::fs::read_to_string(replica.process.log()).unwrap();
    log.matches("TokenCredentialRequest Token Received").count()
}

/// The holder is killed and cannot give the Lease back; what needs a writer waits for the other.
async fn the_other_takes_over(pair: &mut Pair, token: &str) {
    pair.running.stack.webhook().kill();
    pair.running
        .log_in_ten_times(token, "without a leader")
        .await;
    pair.patch_api_services(r#"{"spec":{"caBundle":null}}"#)
        .await;
    until("the other holds the Lease", async || {
        pair.is_held_by("haulout-webhook-1").await
    })
    .await;
    let transitions = &pair.lease().await["spec"]["leaseTransitions"];
    assert_eq!(*transitions, 1, "a change of hands is counted");
    for name in API_SERVICES {
        until(&format!("caBundle of {name}"), async || {
            let get = ["get", name, "-o", "jsonpath={.spec.caBundle}"];
            let bundle = pair.running.cluster.kubectl().run(get).await.unwrap();
            !bundle.is_empty()
        })
        .await;
    }
    pair.running
        .log_in_ten_times(token, "under the other leader")
        .await;
}

async fn a_deleted_lease_is_made_anew(pair: &Pair) {
    let old = pair.lease().await["metadata"]["uid"].clone();
    let delete = ["delete"].into_iter().chain(LEASE);
    pair.running.cluster.kubectl().run(delete).await.unwrap();
    until("a new Lease of the same holder", async || {
        let lease = pair.lease().await;
        let uid = &lease["metadata"]["uid"];
        uid.is_string() && *uid != old && lease["spec"]["holderIdentity"] == "haulout-webhook-1"
    })
    .await;
    assert_eq!(
        pair.lease().await["metadata"]["labels"]["app.kubernetes.io/name"],
        "haulout"
    );
    assert_eq!(pair.leaders().await, [None, Some(true)]);
}
