//! A login without a user: the client's own.

use haulout_tests::supervisor::{Behaviour, MACHINE};
use serde_json::json;

use super::sessions::claims;
use super::{Site, assert_fails};

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_logs_in_with_its_secret() {
    let mut site = Site::new(Behaviour::default()).await;
    let flags = [
        "--flow=client_credentials",
        "--client-id=ci",
        "--client-secret-env=SECRET",
    ];
    let outcome = site.run(&flags).await;
    assert_fails(
        &outcome,
        1,
        "--client-secret-env variable \"SECRET\" is not set",
    );
    site.machine.set("SECRET", MACHINE.1);
    let outcome = site.run(&flags).await;
    outcome.credential();
    assert!(!site.sessions_file().exists(), "it is no person's session");
    site.machine.set("SECRET", "wrong secret");
    let outcome = site
        .run(
            &[
                &flags[..],
                &["--credential-cache=", "--session-cache=/dev/null/x"],
            ]
            .concat(),
        )
        .await;
    assert_fails(&outcome, 1, "invalid_client");
    assert!(!outcome.stderr.contains("wrong secret"));
}

/// As of Keycloak, whose access token may have further audiences, and which adds an ID token for the client where `openid` is
/// asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_machines_token_is_that_which_is_for_the_cluster() {
    let mut site = Site::new(Behaviour::default()).await;
    site.machine.set("SECRET", MACHINE.1);
    let cluster = json!("cluster-1");
    let both = json!(["cluster-1", "account"]);
    for (given, scopes, wanted, expected) in [
        (&cluster, "openid", "cluster-1", &cluster),
        (&cluster, "email", "cluster-1", &cluster),
        (&both, "openid", "cluster-1", &both),
        (&both, "email", "cluster-1", &both),
        (&both, "openid", "", &json!("ci")),
    ] {
        site.supervisor.behaviour().client_token_for = Some(given.clone());
        let outcome = site.run_program(scopes, wanted).await;
        let case = format!("{given} {scopes} {wanted}: {}", outcome.stderr);
        assert_eq!(claims(&outcome.credential())["aud"], *expected, "{case}");
        // Who gets it there can use it elsewhere.
        let warning = "Warning: the token for \"cluster-1\" is good for account too";
        let is_warned = outcome.stderr.starts_with(warning);
        assert_eq!(is_warned, *expected == both, "{case}");
        assert_eq!(outcome.stderr.is_empty(), !is_warned, "{case}");
    }
    for scopes in ["openid", "email"] {
        let outcome = site.run_program(scopes, "other").await;
        assert_fails(&outcome, 1, "expected audience \"other\"");
    }
    assert_eq!(site.supervisor.calls().exchanges, 0);
}

impl Site {
    async fn run_program(&self, scopes: &str, audience: &str) -> super::Outcome {
        let flags = [
            "--flow=client_credentials",
            "--client-id=ci",
            "--client-secret-env=SECRET",
            "--credential-cache=none",
            &format!("--scopes={scopes}"),
            &format!("--request-audience={audience}"),
        ];
        self.run(&flags).await
    }
}
