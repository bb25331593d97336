//! One login for many kubectl that start at the same time.

use serde_json::json;

use super::desk::{Call, Outcome};
use super::{Chromium, Desk, NODE, Site};

const MANY: usize = 30;

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn browser_opens_once_for_thirty_kubectl_and_one_of_them_refreshes() {
    let site = Site::start(json!({"IdToken": 300})).await;
    let desk = Desk::new(&site.running, "alice", &site.arguments(&[]));
    let chromium = Chromium::start(&site.running).await;

    let calls = start(&desk);
    // Those that wait say so after two seconds.
    for call in &calls {
        call.line(&["Log in by visiting", "Waiting for another haulout"])
            .await;
    }
    let waiting = calls
        .iter()
        .filter(|call| call.told().contains("Waiting for another"));
    assert_eq!(waiting.count(), MANY - 1);
    chromium.open(&desk.links()[0]).await;
    chromium.log_in("alice").await;
    end(calls).await;
    assert_eq!(desk.links().len(), 1);
    assert_eq!(site.granted("authorization_code"), 1);
    assert_eq!(site.granted("refresh_token"), 0);

    // As after some hours: the credentials have expired, and the session can be refreshed.
    std::fs::remove_file(desk.cache("credentials.yaml")).unwrap();
    end(start(&desk)).await;
    assert_eq!(desk.links().len(), 1, "a browser was opened again");
    assert_eq!(site.granted("authorization_code"), 1);
    assert_eq!(site.granted("refresh_token"), 1);
    assert_eq!(site.refused("refresh_token"), 0);
}

fn start(desk: &Desk) -> Vec<Call> {
    (0..MANY).map(|_| desk.kubectl(&["get", "nodes"])).collect()
}

async fn end(calls: Vec<Call>) {
    for call in calls {
        let Outcome { stdout, .. } = call.succeed().await;
        assert!(stdout.contains(NODE), "{stdout}");
    }
}
