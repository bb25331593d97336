//! What stands in the caches, and what becomes of a login when it is not what it should be.

use std::process::ExitCode;

use haulout_tests::supervisor::{Behaviour, IdentityProvider};
use haulout_tests::terminal::Screen;
use serde_json::{Value, json};

use super::browser::Browser;
use super::sessions::claims;
use super::{LDAP, Site, assert_fails};
use crate::server::{self, Server};
use crate::{answer, success};

/// The flags that name a cluster.
fn cluster(server: &Server) -> Vec<String> {
    [
        "--enable-concierge",
        "--concierge-authenticator-name=supervisor",
        "--concierge-authenticator-type=jwt",
        &format!("--concierge-endpoint={}", server.url()),
        &format!("--concierge-ca-bundle-data={}", server.ca_base64()),
    ]
    .map(str::to_owned)
    .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn c117_login_and_exchange_fail_with_words_of_their_own_and_no_credential_is_kept() {
    let refused = answer(&json!({"message": "authentication failed"})).to_string();
    let refused = server::with_headers(201, [("audit-id", "an-id")], refused);
    let server = Server::start([refused, server::json(201, &success())]);
    let mut site = Site::new(Behaviour::default()).await;
    site.set_password("alice");
    let cluster = cluster(&server);
    let cluster = cluster.iter().map(String::as_str);
    let flags: Vec<&str> = LDAP.iter().copied().chain(cluster).collect();

    site.supervisor.behaviour().denies = Some(("access_denied", "not today"));
    let outcome = site.run(&flags).await;
    assert_fails(&outcome, 1, "Error: could not complete Pinniped login: ");
    site.supervisor.behaviour().denies = None;
    let outcome = site.run(&flags).await;
    let expected = "Error: could not complete Concierge credential exchange: login failed: authentication failed \
                    (the cluster's administrator finds the reason under Audit-ID an-id)\n";
    assert_fails(&outcome, 1, expected);
    assert!(!site.machine.cache_file().exists());
    assert!(site.sessions_file().exists(), "the login itself was good");

    let outcome = site.run(&flags).await;
    assert!(outcome.credential()["status"]["clientKeyData"].is_string());
    assert!(site.machine.cache_file().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn c101_what_an_identity_policy_says_is_shown_in_each_flow() {
    let reason = "identity policy rejected this authentication: only administrators on Sundays";
    let mut site = Site::new(Behaviour {
        denies: Some(("access_denied", reason)),
        ..Behaviour::default()
    })
    .await;
    let expected = format!(
        "Error: could not complete Pinniped login: login failed with code \"access_denied\": {reason}\n"
    );
    assert_fails(&site.log_in(&[]).await, 1, &expected);
    site.set_password("alice");
    assert_fails(&site.run(LDAP).await, 1, &expected);
}

/// As kubeconfigs have them that were made before there were such scopes.
#[tokio::test(flavor = "multi_thread")]
async fn c103_scopes_without_username_and_groups_still_work() {
    let mut site = Site::new(Behaviour::default()).await;
    site.set_password("alice");
    let scopes = ["--scopes=offline_access,openid,pinniped:request-audience"];
    let flags = [LDAP, &scopes, &["--request-audience=my-cluster"]].concat();
    let first = site.run(&flags).await.credential();
    assert_eq!(claims(&first)["aud"], "my-cluster");
    site.wait(121);
    assert_ne!(site.run(&flags).await.credential(), first);
    assert_eq!(site.supervisor.calls().refreshes, 1);
    let sessions = std::fs::read_to_string(site.sessions_file()).unwrap();
    for scope in ["- username", "- groups"] {
        assert!(!sessions.contains(scope), "{sessions}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c100_two_identity_providers_share_the_files_and_mix_nothing_up() {
    let mut site = Site::new(Behaviour::default()).await;
    let other = IdentityProvider {
        name: "größte Löwen 東京: #1",
        type_: "oidc",
        flows: vec!["browser_authcode"],
    };
    let names = ["my-oidc 🦭", other.name];
    site.supervisor.behaviour().identity_providers.push(other);
    let flags = names.map(|name| format!("--upstream-identity-provider-name={name}"));
    let browser = Browser::new(&site.supervisor);
    let log_in = async |flag: &str, user: &str| {
        let screen = Screen::default();
        let page = async |screen: &Screen| {
            browser.log_in(screen, user).await;
        };
        let outcome = site.run_on(&screen, &[flag], page).await;
        outcome.credential()
    };
    let (alice, bob) = tokio::join!(log_in(&flags[0], "alice"), log_in(&flags[1], "bob"));
    assert_eq!(claims(&alice)["username"], "alice");
    assert_eq!(claims(&bob)["username"], "bob");
    let calls = site.supervisor.calls();
    for (flag, credential) in [(&flags[0], &alice), (&flags[1], &bob)] {
        assert_eq!(site.run(&[flag]).await.credential(), *credential);
    }
    assert_eq!(site.supervisor.calls(), calls);

    // Both again, from the sessions.
    site.wait(121);
    let (first, second) = ([flags[0].as_str()], [flags[1].as_str()]);
    let (alice, bob) = tokio::join!(site.run(&first), site.run(&second));
    assert_eq!(claims(&alice.credential())["username"], "alice");
    assert_eq!(claims(&bob.credential())["username"], "bob");
    let sessions = std::fs::read_to_string(site.sessions_file()).unwrap();
    let sessions: Value = serde_saphyr::from_str(&sessions).unwrap();
    let sessions = sessions["sessions"].as_array().unwrap();
    let mut found: Vec<_> = sessions
        .iter()
        .map(|session| &session["key"]["upstream_provider_name"])
        .collect();
    found.sort_by_key(|name| name.to_string());
    let mut names = names.map(Value::from);
    names.sort_by_key(Value::to_string);
    assert_eq!(found, names.iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn c119_sessions_that_cannot_be_read_are_told_of_once_and_replaced() {
    let other_version = "apiVersion: config.supervisor.pinniped.dev/v2\nkind: SessionCache\n";
    for damaged in ["\u{0}", other_version, "apiVersion: conf"] {
        let mut site = Site::new(Behaviour::default()).await;
        site.set_password("alice");
        let file = site.sessions_file();
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, damaged).unwrap();
        let outcome = site.run(&[LDAP, &["--debug-session-cache"]].concat()).await;
        outcome.credential();
        assert_eq!(
            outcome.stderr,
            "Debug: the session cache is damaged, or of another kind; the next login replaces it\n",
            "{damaged}"
        );
        let sessions = std::fs::read_to_string(&file).unwrap();
        assert!(sessions.contains("my-ldap"), "{sessions}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c119_a_file_that_can_be_neither_locked_nor_read_stops_no_login() {
    for (obstacle, expected) in [
        ("sessions.yaml.lock", "failed to lock the session cache"),
        ("sessions.yaml", "failed to read the session cache"),
    ] {
        let mut site = Site::new(Behaviour::default()).await;
        site.set_password("alice");
        let file = site.sessions_file();
        // A folder where a file should be.
        std::fs::create_dir_all(file.with_file_name(obstacle)).unwrap();
        if obstacle != "sessions.yaml" {
            std::fs::write(&file, "").unwrap();
        }
        let quiet = site.run(LDAP).await;
        quiet.credential();
        assert_eq!(quiet.stderr, "");
        // Told of where the session is looked for, and once more where it would be written.
        let debugged = [LDAP, &["--debug-session-cache"]].concat();
        for (denies, reports) in [(Some(("access_denied", "no")), 1), (None, 2)] {
            site.supervisor.behaviour().denies = denies;
            let outcome = site.run(&debugged).await;
            assert_eq!(outcome.code == ExitCode::SUCCESS, denies.is_none());
            let reported = outcome.stderr.matches(expected).count();
            assert_eq!(reported, reports, "{}", outcome.stderr);
        }
    }
}
