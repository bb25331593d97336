//! The exchange for the cluster's audience, and what is wrong with its answer.

use haulout_tests::supervisor::Behaviour;
use serde_json::{Value, json};

use super::{Site, assert_fails};

const CLUSTER: &[&str] = &["--request-audience=my-cluster"];

#[tokio::test(flavor = "multi_thread")]
async fn c042_answers_that_are_no_token_for_the_cluster_are_refused_and_not_kept() {
    let cases: [(Value, &str, &str); 5] = [
        (
            json!({}),
            "text/plain",
            "content-type \"text/plain\", not \"application/json\"",
        ),
        (
            json!({"token_type": "Bearer"}),
            "application/json",
            "token_type \"Bearer\", not \"N_A\"",
        ),
        (
            json!({"issued_token_type": "x"}),
            "application/json",
            "issued_token_type \"x\"",
        ),
        (
            json!({"access_token": "no token"}),
            "application/json",
            "not a JWT",
        ),
        (
            json!({"access_token": null}),
            "application/json",
            "the answer cannot be read",
        ),
    ];
    for (answer, content_type, expected) in cases {
        let site = Site::new(Behaviour {
            exchange_answer: answer,
            exchange_content_type: content_type,
            ..Behaviour::default()
        })
        .await;
        let outcome = site.log_in(CLUSTER).await;
        assert_fails(&outcome, 1, expected);
        assert!(!site.machine.cache_file().exists(), "{expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c042_a_token_for_another_audience_is_refused() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(&[]).await.credential();
    // The access token is exchanged for a token whose audience is not what was asked for.
    site.supervisor.behaviour().claims = json!({"aud": "other"});
    let outcome = site.run(CLUSTER).await;
    assert_fails(&outcome, 1, "expected audience \"my-cluster\"");
}
