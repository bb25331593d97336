//! One client that asks too often, while others log in through the same API server.

use std::net::{IpAddr, Ipv4Addr};

use haulout_tests::cluster::{Profile, StackOptions};
use haulout_tests::logins;
use http::StatusCode;
use serde_json::{Value, json};

use crate::running::Running;

const LIMITED: &str =
    r#"haulout_token_credential_requests_total{result="limited",reason="PerAddress"} "#;
/// More than are let in within the time that so many take.
const MANY: u8 = 200;

/// Clients of the API server, each at an address of its own on loopback.
struct Clients<'a> {
    running: &'a Running,
    body: Value,
}

impl Clients<'_> {
    /// One login of the client at `address`, who says that he forwards for somebody else.
    async fn log_in(&self, address: Ipv4Addr, forwarded_for: &str) -> (StatusCode, Option<String>) {
        let client = self
            .running
            .client_builder()
            .local_address(IpAddr::V4(address));
        let url = self
            .running
            .url("/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests");
        let request = client.build().unwrap().post(url).json(&self.body);
        let answer = request.header("x-forwarded-for", forwarded_for);
        let answer = answer.send().await.unwrap();
        let header = answer.headers().get("retry-after");
        let retry_after = header.map(|value| value.to_str().unwrap().to_owned());
        (answer.status(), retry_after)
    }

    /// Logs in from `address` until that is too often; gives how often it went well.
    async fn use_up(&self, address: Ipv4Addr) -> u8 {
        for number in 0..MANY {
            let (status, retry_after) = self.log_in(address, &format!("198.51.100.{number}")).await;
            if status == StatusCode::TOO_MANY_REQUESTS {
                assert_eq!(retry_after.as_deref(), Some("1"));
                return number;
            }
            assert_eq!(status, StatusCode::CREATED);
        }
        panic!("{address} may log in {MANY} times");
    }

    /// How many logins were over the limit of their address.
    async fn limited(&self) -> u64 {
        let port = self.running.stack.addresses().webhook_metrics;
        let (_, metrics) = self.running.plain(port, "/metrics").await;
        let count = metrics.lines().find_map(|line| line.strip_prefix(LIMITED));
        count.map_or(0, |count| count.parse().unwrap())
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_one_address_is_told_to_wait_while_others_log_in() {
    let limits = json!({ "limits": { "perAddressPerSecond": 1, "perAddressBurst": 20 } });
    let options = StackOptions {
        webhook: limits.as_object().unwrap().clone(),
        ..StackOptions::default()
    };
    let mut running = Running::start(Profile::Kubeadm, &options).await;
    let token = running.long_lived_token().await;
    let clients = Clients {
        running: &running,
        body: logins::body(&token),
    };
    let [greedy, other] = [2, 3].map(|last| Ipv4Addr::new(127, 0, 0, last));
    // Whatever he says of himself, the API server adds where he really is.
    let went_well = clients.use_up(greedy).await;
    assert!(went_well >= 20, "{went_well}");
    for _ in 0..20 {
        let (status, _) = clients.log_in(other, &greedy.to_string()).await;
        assert_eq!(status, StatusCode::CREATED);
    }

    // The plugin waits for as long as it is told to, and asks again.
    let mut waited = false;
    for _ in 0..10 {
        clients.use_up(Ipv4Addr::LOCALHOST).await;
        let before = clients.limited().await;
        let login = running.stack.login(&running.cluster, &token, None).await;
        login.unwrap();
        waited = clients.limited().await > before;
        if waited {
            break;
        }
    }
    assert!(waited, "the plugin was never told to wait");

    let log = running.webhook_log();
    let lines = log.lines().filter(|line| line.contains("with 429"));
    let told: Vec<&str> = lines.collect();
    assert!(
        told.iter().any(|line| line.contains(r#""127.0.0.2""#)),
        "{told:?}"
    );
}
