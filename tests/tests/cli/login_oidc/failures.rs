//! Failures of an issuer, and of what stands between: each names the step, the address, the cause, and what to do.

use haulout_tests::supervisor::{AUDIT_ID, Behaviour, MACHINE};
use serde_json::json;

use super::processes::end;
use super::{LDAP, Site, assert_fails};
use crate::Machine;
use crate::server::{Server, with_headers};

const BEFORE: &str = "Error: could not complete Pinniped login: ";

#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_an_unknown_ca_names_the_flag_for_it() {
    let site = Site::new(Behaviour::default()).await;
    let other = Site::new(Behaviour::default()).await;
    let issuer = site.supervisor.url();
    let url = format!("--issuer={issuer}");
    let outcome = site
        .run_flags(&["login", "oidc", &url, &other.ca_flag()])
        .await;
    let expected = format!(
        "{BEFORE}failed to read the issuer's discovery document: Get \"{issuer}/.well-known/openid-configuration\": \
         tls: failed to verify certificate: x509: certificate signed by unknown authority; \
         name the CA of the issuer's certificate by --ca-bundle, or --oidc-ca-bundle of `get kubeconfig`\n"
    );
    assert_fails(&outcome, 1, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn issuer_that_is_away_is_named() {
    let site = Site::new(Behaviour::default()).await;
    let address = "127.0.0.1:1";
    let issuer = format!("--issuer=https://{address}");
    let outcome = site
        .run_flags(&["login", "oidc", &issuer, &site.ca_flag()])
        .await;
    let expected = format!(
        "{BEFORE}failed to read the issuer's discovery document: Get \"https://{address}/.well-known/openid-configuration\": "
    );
    assert_fails(&outcome, 1, &expected);
    let remedy =
        "; check the issuer's URL and your network, and HTTPS_PROXY where there is a proxy\n";
    assert_fails(&outcome, 1, remedy);
}

#[test]
fn issuer_that_is_ill_is_named_with_the_audit_id() {
    for (status, expected) in [
        (
            503,
            "answered 503 Service Unavailable; try again, and if it stays so, tell its administrator",
        ),
        (
            404,
            "answered 404 Not Found; is that the URL of an OIDC issuer?",
        ),
        (302, "answered 302 Found; redirects are not followed"),
    ] {
        let server = Server::start([with_headers(status, [("audit-id", "an-id")], "<html>")]);
        let issuer = format!("--issuer={}", server.url());
        let ca = format!("--ca-bundle-data={}", server.ca_base64());
        let outcome = Machine::new().run(&["login", "oidc", &issuer, &ca]);
        assert_fails(&outcome, 1, expected);
        assert_fails(
            &outcome,
            1,
            &format!("{}/.well-known/openid-configuration", server.url()),
        );
        assert_fails(&outcome, 1, "under Audit-ID an-id)\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_the_issuer_refuses_is_told_which_flags_to_check() {
    let mut site = Site::new(Behaviour::default()).await;
    site.machine.set("SECRET", "not the secret of this machine");
    let client = format!("--client-id={}", MACHINE.0);
    let flags = [
        "--flow=client_credentials",
        &client,
        "--client-secret-env=SECRET",
    ];
    let outcome = site.run(&flags).await;
    let expected = format!(
        "{BEFORE}failed to get a token with the client's credentials: {}/token refused with \"invalid_client\"",
        site.supervisor.url()
    );
    assert_fails(&outcome, 1, &expected);
    assert_fails(&outcome, 1, "; check --client-id and --client-secret-env");
    assert_fails(&outcome, 1, &format!("under Audit-ID {AUDIT_ID})\n"));
    assert!(
        !outcome.stderr.contains("not the secret"),
        "{}",
        outcome.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_that_is_ahead_is_what_to_look_at() {
    let mut site = Site::new(Behaviour::default()).await;
    site.set_password("alice");
    site.machine.now += 24 * 3600;
    let outcome = site.run(LDAP).await;
    let expected = "the issuer's ID token is not good by this computer's clock; check the date and time of both sides: ";
    assert_fails(&outcome, 1, &format!("{BEFORE}{expected}"));
    // Both times are told.
    for time in ["2026-11-18", "2026-11-19"] {
        assert_fails(&outcome, 1, time);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn issuer_that_sends_users_to_anothers_page_is_refused() {
    let site = Site::new(Behaviour::default()).await;
    site.supervisor.behaviour().discovery =
        json!({"authorization_endpoint": "https://127.0.0.1:1/authorize"});
    let outcome = site.run(&[]).await;
    let expected = format!(
        "{BEFORE}the issuer \"{}\" has its authorization_endpoint at https://127.0.0.1:1, which",
        site.supervisor.url()
    );
    assert_fails(&outcome, 1, &expected);
    assert_fails(&outcome, 1, "; check --issuer, and if it is right, ");
}

/// The password of the proxy is not repeated.
#[tokio::test(flavor = "multi_thread")]
async fn proxy_that_cannot_be_used_is_named_by_its_variable() {
    let site = Site::new(Behaviour::default()).await;
    let exchange = [
        "login",
        "static",
        "--token=t",
        "--enable-concierge",
        "--concierge-authenticator-type=jwt",
        "--concierge-authenticator-name=n",
        "--concierge-endpoint=https://127.0.0.1:1",
    ];
    let catalogue = ["kubeconfig", "--from=https://127.0.0.1:1/c.yaml"];
    for (flags, before, after) in [
        (
            site.flags(&[]),
            "failed to read the issuer's discovery document: ",
            "; set it right, or unset it, or have the issuer's host in NO_PROXY\n",
        ),
        (
            exchange.map(str::to_owned).into(),
            "could not login: ",
            "; set it right, or unset it, or have the cluster's host in NO_PROXY\n",
        ),
        (
            catalogue.map(str::to_owned).into(),
            "failed to get the catalogue: ",
            "; set it right, or unset it, or have the host of --from in NO_PROXY\n",
        ),
    ] {
        let mut command = site.command(&flags);
        command.env("HTTPS_PROXY", "socks5://us:hunter2@127.0.0.1:1");
        let outcome = end(command.spawn().unwrap());
        let fact = "the variable HTTPS_PROXY is not the URL of an HTTP proxy";
        assert_fails(&outcome, 1, &format!("{before}{fact}"));
        assert_fails(&outcome, 1, after);
        assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    }
}
