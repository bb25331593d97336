//! What a login tells of itself when asked to, and that no secret is in it.

use haulout_tests::supervisor::{AUDIT_ID, Behaviour, PASSWORD};
use serde_json::{Value, json};

use super::{LDAP, Outcome, Site};
use crate::server::{self, Server, with_headers};
use crate::success;

/// What was told without the word before it, all other lines left out.
fn told(outcome: &Outcome) -> Vec<&str> {
    let lines = outcome.stderr.lines();
    lines
        .filter_map(|line| line.strip_prefix("Debug: "))
        .collect()
}

/// The tokens of the one session.
fn secrets_of(site: &Site) -> Vec<String> {
    let sessions = std::fs::read_to_string(site.sessions_file()).unwrap();
    let sessions: Value = serde_saphyr::from_str(&sessions).unwrap();
    let tokens = &sessions["sessions"][0]["tokens"];
    let kinds = ["id", "access", "refresh"];
    let token = |kind| tokens[kind]["token"].as_str().unwrap().to_owned();
    kinds.map(token).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn c083_cached_login_tells_four_lines_beside_the_credential() {
    let life = Behaviour {
        token_life: std::time::Duration::from_secs(3600),
        ..Behaviour::default()
    };
    let mut site = Site::new(life).await;
    let no_cache = &["--credential-cache="];
    let first = site.log_in(no_cache).await;
    site.machine.set("PINNIPED_DEBUG", "true");
    let second = site.run(no_cache).await;
    assert_eq!(second.stdout, first.stdout);
    let sessions = site.sessions_file();
    let sessions = sessions.display();
    assert_eq!(
        told(&second),
        [
            "credential cache: off".to_owned(),
            format!(
                "session cache {sessions}: hit, an ID token until 2026-11-18T12:06:40Z, an access token until \
                 2026-11-18T12:06:40Z, a refresh token"
            ),
            "next: use the ID token".to_owned(),
            "without --enable-concierge, the token itself is the credential".to_owned(),
        ]
    );
    assert_eq!(second.stderr.lines().count(), 4);
    // Any other value is none, as in Pinniped's CLI.
    site.machine.set("PINNIPED_DEBUG", "1");
    assert_eq!(site.run(no_cache).await.stderr, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn c083_credential_from_the_cache_is_told_in_a_line() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(&[]).await.credential();
    let cache = site.machine.cache_file();
    let expected = format!(
        "Debug: credential cache {}: hit, good until 2026-11-18T11:08:40Z\n",
        cache.display()
    );
    // The flag does not make it another login.
    for flag in ["-v", "--verbose"] {
        assert_eq!(site.run(&[flag]).await.stderr, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_of_a_login_is_told_without_what_is_secret() {
    let mut warned = server::json(201, &success());
    let id = "cluster-audit-id".parse().unwrap();
    warned.headers_mut().insert("audit-id", id);
    let cluster = Server::start([warned]);
    let mut site = Site::new(Behaviour::default()).await;
    site.set_password("alice");
    let endpoint = format!("--concierge-endpoint={}", cluster.url());
    let ca = format!("--concierge-ca-bundle-data={}", cluster.ca_base64());
    let flags = [
        "--verbose",
        "--enable-concierge",
        "--concierge-authenticator-type=jwt",
        "--concierge-authenticator-name=supervisor",
        &endpoint,
        &ca,
        "--request-audience=my-cluster",
    ];
    let outcome = site.run(&[&flags, LDAP].concat()).await;
    outcome.credential();
    let issuer = site.supervisor.url();
    let credentials = site.machine.cache_file();
    let credentials = credentials.display();
    let sessions = site.sessions_file();
    let sessions = sessions.display();
    let expected = [
        format!("credential cache {credentials}: miss; "),
        format!("session cache {sessions}: miss; "),
        "next: log in: ".to_owned(),
        format!(
            "read the issuer's discovery document: GET {issuer}/.well-known/openid-configuration: 200 OK"
        ),
        format!("read the list of identity providers: GET {issuer}/identity-providers: 200 OK"),
        "flow: cli_password".to_owned(),
        format!("log in with user name and password: GET {issuer}/authorize: 30"),
        format!("redeem the authorization code: POST {issuer}/token: 200 OK"),
        format!("fetch the issuer's keys: GET {issuer}/keys: 200 OK"),
        format!("session cache {sessions}: written"),
        format!("exchange token: POST {issuer}/token: 200 OK"),
        format!(
            "exchange the token at the cluster: POST {}/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests: \
             201 Created, Audit-ID cluster-audit-id",
            cluster.url()
        ),
        format!("credential cache {credentials}: written"),
    ];
    let told = told(&outcome);
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (line, expected) in told.iter().zip(&expected) {
        assert!(line.starts_with(expected), "{line}\nnot\n{expected}");
    }
    // Audit ids of an issuer are for what failed.
    assert!(!outcome.stderr.contains(AUDIT_ID), "{}", outcome.stderr);

    let mut secrets = secrets_of(&site);
    secrets.push(PASSWORD.to_owned());
    secrets.push("PRIVATE KEY".to_owned());
    let sent: Value = serde_json::from_slice(&cluster.received()[0].body).unwrap();
    secrets.push(sent["spec"]["token"].as_str().unwrap().to_owned());
    for secret in secrets {
        assert!(secret.len() > 10);
        assert!(!outcome.stderr.contains(&secret), "{secret}");
    }
    assert!(!outcome.stderr.contains('?'), "a query: {}", outcome.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn c124_audit_id_of_the_issuer_is_told_where_it_refuses() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(&[]).await.credential();
    site.wait(121);
    site.supervisor.behaviour().refuses_refresh = true;
    let outcome = site.log_in(&["--verbose"]).await;
    outcome.credential();
    let issuer = site.supervisor.url();
    let refused =
        format!("refresh the tokens: POST {issuer}/token: 400 Bad Request, Audit-ID {AUDIT_ID}");
    assert!(told(&outcome).contains(&&*refused), "{}", outcome.stderr);
    // Of a refusal by redirect too.
    site.set_password("alice");
    site.machine.set("PINNIPED_PASSWORD", "wrong");
    let outcome = site.run(&[LDAP, &["-v"]].concat()).await;
    assert!(
        outcome.error(1).contains("login failed with code"),
        "{}",
        outcome.stderr
    );
    let told = told(&outcome);
    let refused = told
        .iter()
        .find(|line| line.starts_with("log in with user name"))
        .unwrap();
    assert!(
        refused.ends_with(&format!(", Audit-ID {AUDIT_ID}")),
        "{refused}"
    );
}

#[test]
fn c124_audit_id_of_the_cluster_is_told_whatever_it_answers() {
    for (code, body) in [(201, success()), (403, json!({"kind": "Status"}))] {
        let answer = with_headers(code, [("audit-id", "cluster-audit-id")], body.to_string());
        let server = Server::start([answer]);
        let outcome = crate::Machine::new().login(&server, &["-v"]);
        let told = told(&outcome);
        let line = told
            .iter()
            .find(|line| line.starts_with("exchange the token"))
            .unwrap();
        assert!(line.ends_with(", Audit-ID cluster-audit-id"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_tells_what_it_asks() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(&[]).await.credential();
    let secrets = secrets_of(&site);
    let outcome = site.run_flags(&["logout", "-v", &site.ca_flag()]).await;
    let revoked = format!(
        "revoke the tokens: POST {}/revoke: 200 OK",
        site.supervisor.url()
    );
    assert_eq!(
        told(&outcome).last(),
        Some(&&*revoked),
        "{}",
        outcome.stderr
    );
    for secret in secrets {
        assert!(!outcome.stderr.contains(&secret), "{}", outcome.stderr);
    }
}
