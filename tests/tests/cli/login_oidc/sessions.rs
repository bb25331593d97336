//! From one run to the next: caches, refresh, and who waits for whom.

use std::path::Path;
use std::time::Duration;

use haulout_tests::supervisor::Behaviour;
use haulout_tests::terminal::Screen;
use serde_json::{Value, json};

use super::browser::Browser;
use super::{Site, assert_fails};

const CLUSTER: &[&str] = &["--request-audience=my-cluster"];
const NO_CACHE: &[&str] = &["--credential-cache="];

/// ID tokens that live long enough to be used more than once.
fn lasting() -> Behaviour {
    Behaviour {
        token_life: Duration::from_secs(3600),
        ..Behaviour::default()
    }
}

pub(super) fn claims(credential: &Value) -> Value {
    use base64::Engine as _;
    let token = credential["status"]["token"].as_str().unwrap();
    let part = token.split('.').nth(1).unwrap();
    let part = base64::prelude::BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .unwrap();
    serde_json::from_slice(&part).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn c081_second_login_prints_the_same_and_says_nothing() {
    let site = Site::new(Behaviour::default()).await;
    let first = site.log_in(CLUSTER).await;
    assert_eq!(claims(&first.credential())["aud"], "my-cluster");
    assert_eq!(claims(&first.credential())["username"], "alice");
    let calls = site.supervisor.calls();
    let second = site.run(CLUSTER).await;
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(second.stderr, "");
    assert_eq!(site.supervisor.calls(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn c081_second_login_prints_the_same_from_the_session_alone() {
    let site = Site::new(lasting()).await;
    let first = site.log_in(NO_CACHE).await;
    assert_eq!(claims(&first.credential())["username"], "alice");
    let calls = site.supervisor.calls();
    let second = site.run(NO_CACHE).await;
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(second.stderr, "");
    assert_eq!(site.supervisor.calls(), calls);
    assert!(!site.machine.cache_file().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn c082_without_id_and_access_token_the_session_is_refreshed() {
    let mut site = Site::new(Behaviour::default()).await;
    let first = site.log_in(CLUSTER).await;
    site.wait(121);
    let second = site.run(CLUSTER).await;
    assert_ne!(second.credential(), first.credential());
    assert_eq!(second.stderr, "");
    let calls = site.supervisor.calls();
    assert_eq!(
        (calls.authorize, calls.refreshes, calls.exchanges),
        (1, 1, 2)
    );
    // The refresh token is good once, and the new one was kept.
    site.wait(121);
    site.run(CLUSTER).await.credential();
    let calls = site.supervisor.calls();
    assert_eq!((calls.authorize, calls.refreshes, calls.reused), (1, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn c084_id_token_is_used_while_it_lasts_and_then_refreshed() {
    let mut site = Site::new(lasting()).await;
    let first = site.log_in(NO_CACHE).await;
    let calls = site.supervisor.calls();
    site.wait(2999);
    assert_eq!(site.run(NO_CACHE).await.stdout, first.stdout);
    assert_eq!(site.supervisor.calls(), calls, "no call at all");
    site.wait(2);
    assert_ne!(site.run(NO_CACHE).await.stdout, first.stdout);
    assert_eq!(site.supervisor.calls().refreshes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn c085_refresh_that_fails_leads_to_a_login_and_one_with_a_bad_token_to_an_error() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    site.wait(121);
    site.supervisor.behaviour().refuses_refresh = true;
    site.log_in(CLUSTER).await.credential();
    assert_eq!(site.supervisor.calls().authorize, 2);
    site.supervisor.behaviour().refuses_refresh = false;
    site.supervisor.behaviour().claims = json!({"iss": "https://other.example.com"});
    site.wait(121);
    let outcome = site.run(CLUSTER).await;
    assert_fails(
        &outcome,
        1,
        "could not complete Pinniped login: the issuer's ID token is not good",
    );
    assert_eq!(site.supervisor.calls().authorize, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_without_an_id_token_leads_to_a_login() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(&[]).await.credential();
    site.wait(121);
    site.supervisor.behaviour().refreshes_without_id_token = true;
    site.log_in(&[]).await.credential();
    assert_eq!(site.supervisor.calls().authorize, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_that_the_issuer_takes_no_more_is_replaced() {
    let mut site = Site::new(Behaviour::default()).await;
    let no_cache = &["--credential-cache=", "--request-audience=my-cluster"];
    site.log_in(no_cache).await.credential();
    site.supervisor.forget_access_tokens();
    site.run(no_cache).await.credential();
    let calls = site.supervisor.calls();
    assert_eq!((calls.authorize, calls.refreshes), (1, 1));
    // Where it cannot be refreshed either, the user logs in again.
    site.supervisor.forget_access_tokens();
    site.supervisor.behaviour().refuses_refresh = true;
    site.wait(1);
    site.log_in(no_cache).await.credential();
    assert_eq!(site.supervisor.calls().authorize, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_without_an_id_token_is_enough_where_the_access_token_is_exchanged() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    site.supervisor.behaviour().refreshes_without_id_token = true;
    for _ in 0..2 {
        site.wait(121);
        site.run(CLUSTER).await.credential();
    }
    let calls = site.supervisor.calls();
    assert_eq!((calls.authorize, calls.refreshes, calls.reused), (1, 2, 0));
}

/// An issuer that is away is no reason to ask the user for another login, nor to lose the session.
#[tokio::test(flavor = "multi_thread")]
async fn c085_refresh_that_cannot_be_asked_for_leaves_the_session_as_it_is() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    site.wait(121);
    site.supervisor.behaviour().tokens_are_away = true;
    let outcome = site.run(CLUSTER).await;
    assert_fails(&outcome, 1, "failed to refresh the tokens");
    site.supervisor.behaviour().tokens_are_away = false;
    site.run(CLUSTER).await.credential();
    let calls = site.supervisor.calls();
    assert_eq!((calls.authorize, calls.refreshes), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_is_not_spent_while_there_are_no_keys_to_check_its_fruits_with() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    site.wait(121);
    site.supervisor.behaviour().keys_are_away = true;
    let outcome = site.run(CLUSTER).await;
    assert_fails(&outcome, 1, "failed to fetch the issuer's keys");
    assert_eq!(site.supervisor.calls().refreshes, 0);
}

/// By `pinniped`, which has no lock, or where there can be none.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_another_has_just_spent_is_not_sent() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(NO_CACHE).await.credential();
    site.wait(121);
    let before = std::fs::read(site.sessions_file()).unwrap();
    site.run(NO_CACHE).await.credential();
    let after = std::fs::read(site.sessions_file()).unwrap();
    std::fs::write(site.sessions_file(), before).unwrap();
    // When the program has read the session already.
    let file = site.sessions_file();
    site.supervisor
        .on_keys(move || std::fs::write(&file, &after).unwrap());
    site.run(NO_CACHE).await.credential();
    let calls = site.supervisor.calls();
    assert_eq!((calls.authorize, calls.refreshes, calls.reused), (1, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_refresh_token_is_kept_whatever_becomes_of_the_rest() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    site.wait(121);
    site.supervisor.behaviour().claims = json!({"iss": "https://other.example.com"});
    assert_fails(&site.run(CLUSTER).await, 1, "ID token is not good");
    site.supervisor.behaviour().claims = json!({});
    site.run(CLUSTER).await.credential();
    let calls = site.supervisor.calls();
    assert_eq!((calls.authorize, calls.refreshes, calls.reused), (1, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn c086_for_another_audience_the_access_token_is_exchanged() {
    let mut site = Site::new(Behaviour::default()).await;
    let no_cache = &["--credential-cache=", "--request-audience=my-cluster"];
    site.log_in(no_cache).await.credential();
    site.wait(109);
    site.run(no_cache).await.credential();
    let calls = site.supervisor.calls();
    assert_eq!((calls.refreshes, calls.exchanges), (0, 2), "exchange only");
    site.wait(1);
    site.run(no_cache).await.credential();
    let calls = site.supervisor.calls();
    assert_eq!(
        (calls.refreshes, calls.exchanges),
        (1, 3),
        "refresh, then exchange"
    );
    let own = &["--credential-cache=", "--request-audience=pinniped-cli"];
    site.run(own).await.credential();
    assert_eq!(
        site.supervisor.calls().exchanges,
        4,
        "the ID token ends too soon"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn c086_an_id_token_of_the_right_audience_is_not_exchanged() {
    let site = Site::new(lasting()).await;
    let own = [NO_CACHE, &["--request-audience=pinniped-cli"]].concat();
    // One that has just come, and one from the session.
    let first = site.log_in(&own).await;
    assert_eq!(claims(&first.credential())["aud"], "pinniped-cli");
    assert_eq!(site.supervisor.calls().exchanges, 0);
    let calls = site.supervisor.calls();
    assert_eq!(site.run(&own).await.stdout, first.stdout);
    assert_eq!(site.supervisor.calls(), calls, "no call at all");
    // The same session for another audience.
    let other = [NO_CACHE, CLUSTER].concat();
    let exchanged = site.run(&other).await.credential();
    assert_eq!(claims(&exchanged)["aud"], "my-cluster");
    assert_eq!(site.supervisor.calls().exchanges, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn c104_without_a_credential_cache_later_logins_refresh_silently() {
    let mut site = Site::new(Behaviour::default()).await;
    let flags = [NO_CACHE, CLUSTER].concat();
    let first = site.log_in(&flags).await.credential();
    assert_eq!(claims(&first)["username"], "alice");
    let before = site.session()["tokens"].clone();
    site.wait(121);
    let later = site.run(&flags).await;
    assert_eq!(later.stderr, "");
    let later = later.credential();
    assert_ne!(later, first);
    assert_eq!(claims(&later)["username"], "alice");
    assert_eq!(claims(&later)["groups"], json!(["developers"]));
    let calls = site.supervisor.calls();
    assert_eq!(
        (calls.authorize, calls.refreshes, calls.exchanges),
        (1, 1, 2)
    );
    let after = site.session()["tokens"].clone();
    for token in ["/access/token", "/refresh/token", "/id/token"] {
        let [before, after] = [&before, &after].map(|tokens| tokens.pointer(token).unwrap());
        assert_ne!(before, after, "{token}");
    }
    // Two minutes from now, which is 2026-11-18T11:08:41Z.
    assert_eq!(after["access"]["expiryTimestamp"], "2026-11-18T11:10:41Z");
    assert_eq!(after["id"]["claims"]["username"], "alice");
    assert_eq!(after["id"]["claims"]["groups"], json!(["developers"]));
    assert!(!site.machine.cache_file().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_given_to_whomever_another_kubeconfig_trusts() {
    let site = Site::new(Behaviour::default()).await;
    let other = Site::new(Behaviour::default()).await.ca_flag();
    let wider = [CLUSTER, &[&other]].concat();
    site.log_in(CLUSTER).await.credential();
    site.log_in(&wider).await.credential();
    let mut calls = site.supervisor.calls();
    assert_eq!((calls.authorize, calls.exchanges), (2, 2));
    // Both are there.
    std::fs::remove_file(site.machine.cache_file()).unwrap();
    for flags in [CLUSTER, &wider] {
        site.run(flags).await.credential();
    }
    calls.discovery += 2;
    calls.exchanges += 2;
    assert_eq!(site.supervisor.calls(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_issuer_is_hinted_at_has_a_session_of_his_own() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    let hinted = [CLUSTER, &["--extra-parameter=login_hint=admin"]].concat();
    site.log_in(&hinted).await.credential();
    assert_eq!(site.supervisor.calls().authorize, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_open_one_login() {
    let site = Site::new(Behaviour::default()).await;
    let screen = Screen::default();
    let runs = (0..6).map(|_| site.run_on(&screen, CLUSTER, async |_| {}));
    let user = async {
        let browser = Browser::new(&site.supervisor);
        browser.log_in(&screen, "alice").await;
    };
    let (outcomes, ()) = tokio::join!(futures_util::future::join_all(runs), user);
    let first = outcomes.first().unwrap().credential();
    for outcome in &outcomes {
        assert_eq!(outcome.credential(), first);
    }
    assert_eq!(screen.text().matches("visiting this link").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_file_is_as_pinnipeds_cli_writes_it() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    let text = std::fs::read_to_string(site.sessions_file()).unwrap();
    let file: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(file["kind"], "SessionCache");
    let session = site.session();
    assert_eq!(
        session["key"],
        json!({
            "clientID": "pinniped-cli",
            "issuer": site.supervisor.url(),
            "redirect_uri": "http://localhost:0/callback",
            "scopes": ["groups", "offline_access", "openid", "pinniped:request-audience", "username"],
        })
    );
    let tokens = &session["tokens"];
    assert_eq!(tokens["access"]["type"], "bearer");
    assert_eq!(tokens["id"]["claims"]["username"], "alice");
    assert!(tokens["refresh"]["token"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_users_is_no_cache_and_stays() {
    let site = Site::new(Behaviour::default()).await;
    let theirs = site.machine.home.path().join(".bashrc");
    let text = "alias ls='ls -l'\n";
    std::fs::write(&theirs, text).unwrap();
    for flag in ["--session-cache", "--credential-cache"] {
        let flag = format!("{flag}={}", theirs.display());
        let outcome = site.log_in(&[&flag]).await;
        outcome.credential();
        let warning = format!("Warning: {} holds something else", theirs.display());
        assert!(outcome.stderr.contains(&warning), "{}", outcome.stderr);
        assert_eq!(std::fs::read_to_string(&theirs).unwrap(), text);
        assert_eq!(locks_beside(&theirs), [""; 0]);
    }
}

/// The locks of the folder that a file is in: one that nobody expects there may stop other programs, as `.git/index.lock` does.
fn locks_beside(file: &Path) -> Vec<String> {
    let names = std::fs::read_dir(file.parent().unwrap()).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name.ends_with(".lock"));
    names
}

/// What a session holds is the issuer's choice, and a shell would run some of it.
#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_made_that_a_shell_may_read() {
    for flag in ["--session-cache", "--credential-cache"] {
        let site = Site::new(Behaviour::default()).await;
        let [profile, beside] =
            [".bash_profile", ".bash_profile.new"].map(|name| site.machine.home.path().join(name));
        std::fs::write(&beside, "mine").unwrap();
        let flag = format!("{flag}={}", profile.display());
        let warning = "name a file that ends in .yaml";
        let outcome = site.log_in(&[&flag]).await;
        outcome.credential();
        assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
        assert!(!profile.exists());
        std::fs::write(&profile, "").unwrap();
        let outcome = site
            .log_in(&[&flag, "--listen-port=0", "--scopes=openid"])
            .await;
        outcome.credential();
        assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
        assert_eq!(std::fs::read_to_string(&profile).unwrap(), "");
        assert_eq!(std::fs::read_to_string(&beside).unwrap(), "mine");
        assert_eq!(locks_beside(&profile), [""; 0]);
    }
}

/// Such as the other cache, or an object of a Supervisor.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_kind_stays() {
    let site = Site::new(Behaviour::default()).await;
    let theirs = site.machine.home.path().join("domain.yaml");
    let text = "apiVersion: config.supervisor.pinniped.dev/v1alpha1\nkind: FederationDomain\n";
    std::fs::write(&theirs, text).unwrap();
    let flag = format!("--session-cache={}", theirs.display());
    site.log_in(&[&flag]).await.credential();
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), text);
}

/// As some issuers do for a token that does not expire.
#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_may_live_beyond_all_time() {
    for life in [json!(u64::MAX), json!(1e19), json!(-1), json!("3600")] {
        let site = Site::new(Behaviour {
            expires_in: Some(life),
            ..Behaviour::default()
        })
        .await;
        site.log_in(CLUSTER).await.credential();
    }
}
