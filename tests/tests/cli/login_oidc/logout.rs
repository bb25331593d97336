//! `haulout logout`.

use std::process::ExitCode;

use haulout_tests::supervisor::Behaviour;

use super::{Outcome, Site};

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
    assert_eq!(site.supervisor.calls().revocations, 1);
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
    assert_eq!(outcome.code, ExitCode::SUCCESS);
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
