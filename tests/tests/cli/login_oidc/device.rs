//! A login with a code that is confirmed in another browser.

use haulout_tests::supervisor::{Behaviour, PASSWORD};

use super::browser::Browser;
use super::{Site, assert_fails};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_code_is_confirmed_elsewhere() {
    for device_needs_pkce in [false, true] {
        let site = Site::new(Behaviour {
            pending_polls: u32::MAX,
            device_needs_pkce,
            ..Behaviour::default()
        })
        .await;
        let browser = Browser::new(&site.supervisor);
        let outcome = site
            .run_with(&["--flow=device_code"], async |screen| {
                let link = Browser::link(screen).await;
                screen.line("this code:").await.unwrap();
                let typed = [
                    ("user_code", "WDJB-MJHT"),
                    ("username", "alice"),
                    ("password", PASSWORD),
                ];
                assert_eq!(browser.post(link, &typed).await.status(), 200);
            })
            .await;
        assert!(
            outcome.stderr.contains("\n    WDJB-MJHT\n"),
            "{}",
            outcome.stderr
        );
        outcome.credential();
        assert!(site.supervisor.calls().polls >= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_code_is_given_to_a_client_that_is_named_beside_its_secret() {
    let mut site = Site::new(Behaviour::default()).await;
    site.machine.set("SECRET", "a secret");
    let flags = ["--flow=device_code", "--client-secret-env=SECRET"];
    site.run(&flags).await.credential();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_code_that_is_denied_ends_the_login() {
    let site = Site::new(Behaviour {
        denies: Some(("access_denied", "the user said no")),
        ..Behaviour::default()
    })
    .await;
    let outcome = site.run(&["--flow=device_code"]).await;
    assert_fails(
        &outcome,
        1,
        "refused with \"access_denied\": the user said no",
    );
}
