//! The exchange for the cluster's audience, and what is wrong with its answer.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use haulout_tests::supervisor::Behaviour;
use serde_json::{Value, json};

use super::sessions::claims;
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
            "cannot be read: ",
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
        assert_only_the_login_is_kept(&site);
    }
}

/// All that it says is right, but it is not the issuer's.
#[tokio::test(flavor = "multi_thread")]
async fn c042_a_token_with_a_wrong_signature_is_refused_and_not_kept() {
    let site = Site::new(Behaviour::default()).await;
    let no_cache = [CLUSTER, &["--credential-cache="]].concat();
    let good = site.log_in(&no_cache).await.credential();
    let (signed, signature) = (good["status"]["token"].as_str().unwrap())
        .rsplit_once('.')
        .unwrap();
    let mut signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    signature[0] ^= 1;
    let forged = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
    site.supervisor.behaviour().exchange_answer = json!({"access_token": forged});
    let outcome = site.run(CLUSTER).await;
    assert_fails(&outcome, 1, "failed to verify id token signature");
    assert_eq!(site.supervisor.calls().exchanges, 2);
    assert_only_the_login_is_kept(&site);
}

/// Checks that no cache has anything of an exchange: there is no credential, and the session has the login's own tokens.
fn assert_only_the_login_is_kept(site: &Site) {
    assert!(!site.machine.cache_file().exists());
    let id = &site.session()["tokens"]["id"];
    assert_eq!(id["claims"]["aud"], "pinniped-cli");
    let credential = json!({"status": {"token": id["token"]}});
    assert_eq!(claims(&credential)["aud"], "pinniped-cli");
}

#[tokio::test(flavor = "multi_thread")]
async fn c042_a_token_for_another_audience_is_refused() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(&["--credential-cache="]).await.credential();
    // The access token is exchanged for a token whose audience is not what was asked for.
    site.supervisor.behaviour().claims = json!({"aud": "other"});
    let outcome = site.run(CLUSTER).await;
    assert_fails(&outcome, 1, "expected audience \"my-cluster\"");
    assert_only_the_login_is_kept(&site);
}

/// Whoever gets it at the cluster can use it there.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_others_too_is_used_with_a_warning() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(&["--credential-cache="]).await.credential();
    for (audiences, expected) in [
        (json!(["my-cluster"]), ""),
        (
            json!(["my-cluster", "account", "\u{1b}[2J"]),
            "Warning: the token for \"my-cluster\" is good for account, \\u{1b}[2J too, and whoever the cluster shows it to can \
             use it there; have the issuer give one for \"my-cluster\" alone\n",
        ),
    ] {
        site.supervisor.behaviour().claims = json!({"aud": audiences});
        let outcome = site
            .run(&[CLUSTER, &["--credential-cache="]].concat())
            .await;
        assert_eq!(claims(&outcome.credential())["aud"], audiences);
        assert_eq!(outcome.stderr, expected);
    }
}
