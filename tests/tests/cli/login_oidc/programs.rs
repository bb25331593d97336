//! A login without a user: the client's own.

use haulout_tests::supervisor::{Behaviour, MACHINE};

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
