//! The identity providers of a Supervisor, and the flows that each offers.

use haulout_tests::supervisor::{Behaviour, IdentityProvider, MACHINE, PASSWORD};

use super::browser::Browser;
use super::flows::parameter;
use super::{LDAP, Site, assert_fails};

const VARIABLE: &str = "PINNIPED_UPSTREAM_IDENTITY_PROVIDER_FLOW";
const NO_CACHES: &[&str] = &[
    "--verbose",
    "--credential-cache=none",
    "--session-cache=none",
];

#[tokio::test(flavor = "multi_thread")]
async fn c095_name_and_password_come_from_the_environment() {
    let mut site = Site::new(Behaviour::default()).await;
    let outcome = site.run(LDAP).await;
    assert_fails(&outcome, 1, "stdin is not connected to a terminal");
    site.machine
        .set("PINNIPED_USERNAME", "bob")
        .set("PINNIPED_PASSWORD", "wrong");
    let outcome = site.run(LDAP).await;
    let expected = "login failed with code \"access_denied\": Username/password not accepted.";
    assert_fails(&outcome, 1, expected);
    site.machine.set("PINNIPED_PASSWORD", PASSWORD);
    let outcome = site.run(LDAP).await;
    outcome.credential();
    assert_eq!(outcome.stderr, "", "nothing is asked");
}

/// Which would have it in its log: the headers are Pinniped's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_sent_to_supervisors_only() {
    let mut site = Site::new(Behaviour {
        is_supervisor: false,
        ..Behaviour::default()
    })
    .await;
    site.set_password("bob");
    let outcome = site.run(&["--flow=cli_password"]).await;
    assert_fails(&outcome, 1, "gets no password");
    assert_eq!(site.supervisor.calls().authorize, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn c092_the_identity_provider_is_named_to_the_issuer_and_in_the_session() {
    let site = Site::new(Behaviour::default()).await;
    let flags = [
        LDAP,
        &["--upstream-identity-provider-flow=browser_authcode"],
    ]
    .concat();
    let browser = Browser::new(&site.supervisor);
    let outcome = site
        .run_with(&flags, async |screen| {
            let link = Browser::link(screen).await;
            let value = |name| parameter(&link, name);
            assert_eq!(value("pinniped_idp_name").as_deref(), Some("my-ldap"));
            assert_eq!(value("pinniped_idp_type").as_deref(), Some("ldap"));
            browser.log_in(screen, "alice").await;
        })
        .await;
    outcome.credential();
    let sessions = std::fs::read_to_string(site.sessions_file()).unwrap();
    assert!(
        sessions.contains("upstream_provider_name: my-ldap"),
        "{sessions}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn c093_each_wrong_identity_provider_has_an_error_of_its_own() {
    let cases: [(&[&str], &str); 4] = [
        (
            &[
                "--upstream-identity-provider-name=x",
                "--upstream-identity-provider-type=github",
            ],
            "of the type \"github\"",
        ),
        (
            &["--upstream-identity-provider-name=x"],
            "no identity provider \"x\"",
        ),
        (
            &[
                "--upstream-identity-provider-name=my-oidc 🦭",
                "--upstream-identity-provider-flow=cli_password",
            ],
            "does not offer the flow \"cli_password\"",
        ),
        (
            &["--upstream-identity-provider-name=no-flows"],
            "offers no flow",
        ),
    ];
    let site = Site::new(Behaviour::default()).await;
    let no_flows = IdentityProvider {
        name: "no-flows",
        type_: "oidc",
        flows: Vec::new(),
    };
    site.supervisor
        .behaviour()
        .identity_providers
        .push(no_flows);
    for (flags, expected) in cases {
        assert_fails(&site.run(flags).await, 1, expected);
    }
    site.supervisor.behaviour().is_supervisor = false;
    let outcome = site.run(&["--upstream-identity-provider-name=x"]).await;
    assert_fails(&outcome, 1, "it is no Pinniped Supervisor");
}

#[tokio::test(flavor = "multi_thread")]
async fn c094_the_flow_is_inferred_for_a_named_provider_only() {
    let mut site = Site::new(Behaviour::default()).await;
    site.set_password("bob");
    site.run(LDAP).await.credential();
    assert_eq!(site.supervisor.calls().identity_providers, 1);
    let outcome = site.log_in(&[]).await;
    assert!(
        outcome.stderr.contains("visiting this link"),
        "{}",
        outcome.stderr
    );
    assert_eq!(site.supervisor.calls().identity_providers, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn c099_the_environment_changes_the_flow() {
    let mut site = Site::new(Behaviour::default()).await;
    let flags = [
        LDAP,
        &["--upstream-identity-provider-flow=browser_authcode"],
    ]
    .concat();
    site.set_password("bob");
    for value in ["cli_password", ""] {
        site.machine.set(VARIABLE, value);
        let outcome = site.run(&flags).await;
        outcome.credential();
        assert_eq!(outcome.stderr, "", "{value}");
        std::fs::remove_dir_all(site.sessions_file().parent().unwrap()).unwrap();
    }
    site.machine.set(VARIABLE, "magic");
    let outcome = site.run(&flags).await;
    assert_fails(&outcome, 2, &format!("{VARIABLE} is 'magic'"));
}

/// The kubeconfig's flow is not for every place that its user sits at.
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_changes_the_flow_of_a_person_and_of_no_program() {
    let mut site = Site::new(Behaviour::default()).await;
    site.set_password("bob");
    site.machine.set("SECRET", MACHINE.1);
    let of_program = [
        "--flow=client_credentials",
        "--client-id=ci",
        "--client-secret-env=SECRET",
    ];
    let of_person = ["--flow=device_code"];
    for (flags, value, expected) in [
        (&of_person[..], "cli_password", "cli_password"),
        (&of_person, "", "device_code"),
        (&of_program, "cli_password", "client_credentials"),
        (&of_program, "", "client_credentials"),
    ] {
        site.machine.set(VARIABLE, value);
        let outcome = site.run(&[flags, NO_CACHES].concat()).await;
        outcome.credential();
        let told = format!("Debug: flow: {expected}\n");
        assert!(
            outcome.stderr.contains(&told),
            "{value}: {}",
            outcome.stderr
        );
    }
    for value in ["magic", "client_credentials"] {
        site.machine.set(VARIABLE, value);
        let outcome = site.run(&of_person).await;
        assert_fails(&outcome, 2, &format!("{VARIABLE} is '{value}'"));
    }
}
