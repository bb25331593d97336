//! `Warning` headers of issuer and cluster.

use haulout_tests::supervisor::Behaviour;

use super::Site;
use crate::server::{self, Server};
use crate::{Machine, TOKEN, success};

#[tokio::test(flavor = "multi_thread")]
async fn c102_warning_of_the_issuer_is_shown_once_beside_the_credential() {
    let site = Site::new(Behaviour {
        warning: Some("your session ends \u{1b}[2Jsoon".to_owned()),
        ..Behaviour::default()
    });
    let site = site.await;
    // Control characters cannot stand in a header at all; HTTP drops such a one.
    assert_eq!(
        site.log_in(&["--request-audience=my-cluster"])
            .await
            .stderr
            .matches("Warning")
            .count(),
        0
    );
    site.supervisor.behaviour().warning =
        Some("the token of your provider lives 5 minutes".to_owned());
    let flags = [
        "--request-audience=other-cluster",
        "--credential-cache=",
        "--session-cache=none",
    ];
    let outcome = site.log_in(&flags).await;
    outcome.credential();
    let warning = "Warning: the token of your provider lives 5 minutes\n";
    assert_eq!(outcome.stderr.matches("Warning: ").count(), 1);
    assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
}

#[test]
fn c102_warning_of_the_cluster_is_shown_and_none_that_repeats_the_token() {
    let mut answer = server::json(201, &success());
    let headers = answer.headers_mut();
    let repeating = format!("299 - \"{TOKEN} is old\"");
    for warning in [
        r#"299 - "certificates live 5 minutes here""#,
        "299 malformed",
        &repeating,
    ] {
        headers.append("warning", warning.parse().unwrap());
    }
    let outcome = Machine::new().login(&Server::start([answer]), &[]);
    outcome.credential();
    assert_eq!(
        outcome.stderr,
        "Warning: certificates live 5 minutes here\n"
    );
}
