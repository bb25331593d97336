//! `haulout logout`.

use std::process::ExitCode;
use std::time::Duration;

use haulout_tests::supervisor::Behaviour;

use super::{Outcome, Site, assert_fails};

const CLUSTER: &[&str] = &["--request-audience=my-cluster"];

impl Site {
    async fn log_out(&self, more: &[&str]) -> Outcome {
        let ca = self.ca_flag();
        let flags = [&["logout", &ca][..], more].concat();
        let outcome = self.run_flags(&flags).await;
        assert_eq!(outcome.code, ExitCode::SUCCESS, "{}", outcome.stderr);
        outcome
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_here_and_at_the_issuer() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    let outcome = site.log_out(&[]).await;
    let expected = format!(
        "Logged out of {}, which has revoked the session.\n",
        site.supervisor.url()
    );
    assert_eq!(outcome.stdout, expected);
    assert_eq!(outcome.stderr, "");
    assert_eq!(site.supervisor.calls().revocations, 2, "both tokens");
    for file in [site.sessions_file(), site.machine.cache_file()] {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("token") && !text.contains("ey"), "{text}");
    }
    // Whoever wants in has to log in.
    site.wait(1);
    site.log_in(CLUSTER).await.credential();
    assert_eq!(site.supervisor.calls().authorize, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_away_keeps_nobody_logged_in() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    // Its certificate is not trusted.
    let outcome = site.run_flags(&["logout"]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    assert!(outcome.stderr.contains("--ca-bundle"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("here alone"), "{}", outcome.stdout);
    assert!(
        outcome.stderr.starts_with("Warning: "),
        "{}",
        outcome.stderr
    );
    let sessions = std::fs::read_to_string(site.sessions_file()).unwrap();
    assert!(!sessions.contains("refresh"), "{sessions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_other_issuers_stay_if_one_is_named() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    let outcome = site.log_out(&["--issuer=https://other.example.com"]).await;
    assert_eq!(
        outcome.stdout,
        "No session; all credentials are forgotten.\n"
    );
    assert_eq!(site.supervisor.calls().revocations, 0);
    let sessions = std::fs::read_to_string(site.sessions_file()).unwrap();
    assert!(sessions.contains("refresh"), "{sessions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_secret_shows_it() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    site.supervisor.behaviour().revokes_for = Some("the secret");
    let issuer = format!("--issuer={}", site.supervisor.url());
    let flags = [&issuer, "--client-secret-env=SECRET"];
    let ca = site.ca_flag();
    let outcome = site.run_flags(&["logout", &ca, &issuer, flags[1]]).await;
    assert_fails(
        &outcome,
        1,
        "--client-secret-env variable \"SECRET\" is not set",
    );
    let without_issuer = site.run_flags(&["logout", &ca, flags[1]]).await;
    assert_fails(&without_issuer, 2, "--issuer");
    site.machine.set("SECRET", "the secret");
    site.log_out(&flags).await;
    assert_eq!(site.supervisor.calls().revocations, 2);

    site.wait(1);
    site.log_in(CLUSTER).await.credential();
    let outcome = site.run_flags(&["logout", &ca]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    assert!(
        outcome.stderr.contains("invalid_client"),
        "{}",
        outcome.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_there_until_it_is_revoked_and_what_failed_writers_left_goes_too() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    let remains: Vec<_> = [site.sessions_file(), site.machine.cache_file()]
        .into_iter()
        .flat_map(|file| {
            ["haulout-new", "haulout-damaged"]
                .map(|name| file.with_extension(format!("yaml.{name}")))
        })
        .collect();
    for file in &remains {
        std::fs::write(file, "refresh").unwrap();
    }
    let file = site.sessions_file();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let look = std::sync::Arc::clone(&seen);
    site.supervisor.on_revocation(move || {
        *look.lock().unwrap() = std::fs::read_to_string(&file).unwrap();
    });
    site.log_out(&[]).await;
    assert!(
        seen.lock().unwrap().contains("refresh"),
        "it is erased before"
    );
    for file in &remains {
        assert!(!file.exists(), "{}", file.display());
    }
}

/// Otherwise the login would bring the session back.
#[tokio::test(flavor = "multi_thread")]
async fn logout_waits_for_a_login_to_the_session() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    site.wait(121);
    site.supervisor.behaviour().tokens_take = Duration::from_secs(1);
    let (login, logout) = tokio::join!(site.run(CLUSTER), async {
        while site.supervisor.calls().refreshes == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        site.log_out(&[]).await
    });
    login.credential();
    assert!(logout.stdout.contains("has revoked"), "{}", logout.stdout);
    let sessions = std::fs::read_to_string(site.sessions_file()).unwrap();
    assert!(!sessions.contains("refresh"), "{sessions}");
}

/// As for `login oidc`: an empty one is the default, as for Pinniped's CLI.
#[tokio::test(flavor = "multi_thread")]
async fn session_cache_is_named_as_at_login() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(&["--session-cache=none"]).await.credential();
    assert!(!site.sessions_file().exists());
    std::fs::remove_file(site.machine.cache_file()).unwrap();
    site.log_in(&["--session-cache="]).await.credential();
    let outcome = site.log_out(&["--session-cache=none"]).await;
    assert!(outcome.stdout.contains("No session"), "{}", outcome.stdout);
    let outcome = site.log_out(&["--session-cache="]).await;
    assert!(outcome.stdout.contains("has revoked"), "{}", outcome.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_named_and_not_there_is_warned_of() {
    let site = Site::new(Behaviour::default()).await;
    let home = site.machine.home.path();
    let (nope, gone) = (home.join("nope"), home.join("gone.yaml"));
    let flags = [
        format!("--session-cache={}", nope.display()),
        format!("--credential-cache={}", gone.display()),
    ];
    let outcome = site.log_out(&[&flags[0], &flags[1]]).await;
    let expected = format!(
        "Warning: there is no credential cache {}\nWarning: there is no session cache {}\n",
        gone.display(),
        nope.display()
    );
    assert_eq!(outcome.stderr, expected);
    assert!(!nope.exists() && !gone.exists());
    // Those that nobody has named, or that are no files.
    for flags in [
        &[][..],
        &["--session-cache=", "--credential-cache="],
        &["--session-cache=none", "--credential-cache=none"],
    ] {
        assert_eq!(site.log_out(flags).await.stderr, "", "{flags:?}");
    }
}
