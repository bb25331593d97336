//! What the issuer says, and what is said of it.

use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use haulout_tests::terminal::Screen;

use super::*;

/// The administrator, and the issuer that his users log in at.
struct Site {
    admin: Admin,
    supervisor: Supervisor,
}

impl Site {
    async fn new(behaviour: Behaviour) -> Self {
        let (clock, _hand) = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW));
        Self {
            admin: Admin::of_usual_cluster(),
            supervisor: Supervisor::start(clock, behaviour).await.unwrap(),
        }
    }

    /// Runs it with `more`, for users who log in at the issuer.
    async fn run(&self, more: &[&str]) -> Outcome {
        let ca = self.admin.file("issuer-ca.crt", self.supervisor.ca_pem());
        let usual = [
            "get",
            "kubeconfig",
            "--no-concierge",
            "--skip-validation",
            "--pinniped-cli-path=haulout",
            "--oidc-request-audience=this-cluster",
            &format!("--oidc-issuer={}", self.supervisor.url()),
            &format!("--oidc-ca-bundle={}", ca.display()),
        ]
        .map(str::to_owned);
        let more = more.iter().map(|flag| (*flag).to_owned());
        self.run_whole(usual.into_iter().chain(more).collect())
            .await
    }

    /// Runs the program with these arguments and no others.
    async fn run_whole(&self, flags: Vec<String>) -> Outcome {
        let machine = self.admin.machine.copy();
        machine.start(flags, Screen::default()).end().await
    }

    async fn arguments(&self, more: &[&str]) -> Vec<String> {
        arguments(&self.run(more).await)
    }
}

#[tokio::test]
async fn c048_the_whole_kubeconfig_of_a_supervisors_users() {
    let site = Site::new(Behaviour::default()).await;
    let outcome = site.run(&["--upstream-identity-provider-type=ldap"]).await;
    made(&outcome);
    let values = [
        ("CA", &*cluster_ca()),
        ("ISSUER", site.supervisor.url()),
        (
            "ISSUER_CA",
            &BASE64_STANDARD.encode(site.supervisor.ca_pem()),
        ),
    ];
    assert_eq!(outcome.stdout, golden(include_str!("oidc.yaml"), &values));
    let told = "discovered identity provider my-ldap and its flow cli_password\n";
    assert_eq!(outcome.stderr, told);
}

#[tokio::test]
async fn c048_all_flags_stand_in_the_stanza_in_this_order() {
    let site = Site::new(Behaviour::default()).await;
    let flags = [
        "--upstream-identity-provider-flow=cli_password",
        "--upstream-identity-provider-type=ldap",
        "--upstream-identity-provider-name=my-ldap",
        "--credential-cache=/credentials",
        "--oidc-debug-session-cache",
        "--oidc-session-cache=/sessions",
        "--oidc-listen-port=1234",
        "--oidc-skip-listen",
        "--oidc-skip-browser",
        "--oidc-scopes=openid,offline_access",
        "--oidc-client-id=my-client",
    ];
    let expected = [
        "login",
        "oidc",
        "--credential-cache=/credentials",
        &format!("--issuer={}", site.supervisor.url()),
        "--client-id=my-client",
        "--scopes=openid,offline_access",
        "--skip-browser",
        "--skip-listen",
        "--listen-port=1234",
        &format!(
            "--ca-bundle-data={}",
            BASE64_STANDARD.encode(site.supervisor.ca_pem())
        ),
        "--session-cache=/sessions",
        "--debug-session-cache",
        "--request-audience=this-cluster",
        "--upstream-identity-provider-name=my-ldap",
        "--upstream-identity-provider-type=ldap",
        "--upstream-identity-provider-flow=cli_password",
    ];
    assert_eq!(site.arguments(&flags).await, expected);
}

#[tokio::test]
async fn a_user_logs_in_by_the_arguments_that_were_made() {
    let mut site = Site::new(Behaviour::default()).await;
    let arguments = site
        .arguments(&["--upstream-identity-provider-type=ldap"])
        .await;
    let user = &mut site.admin.machine;
    user.set("PINNIPED_USERNAME", "alice");
    user.set("PINNIPED_PASSWORD", haulout_tests::supervisor::PASSWORD);
    let outcome = site.run_whole(arguments).await;
    let token = outcome.credential()["status"]["token"].clone();
    let claims = token.as_str().unwrap().split('.').nth(1).unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(
        (&claims["username"], &claims["aud"]),
        (&json!("alice"), &json!("this-cluster"))
    );
}

#[tokio::test]
async fn c043_a_list_of_identity_providers_elsewhere_is_not_asked() {
    let elsewhere =
        json!({"pinniped_identity_providers_endpoint": "https://other.example.com/list"});
    let site = Site::new(Behaviour {
        discovery: json!({"discovery.supervisor.pinniped.dev/v1alpha1": elsewhere}),
        ..Behaviour::default()
    })
    .await;
    let outcome = site.run(&[]).await;
    let expected = "Error: while fetching OIDC discovery data from issuer: the issuer";
    assert!(outcome.error(1).starts_with(expected), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("https://other.example.com/list"),
        "{}",
        outcome.stderr
    );
    assert_eq!(site.supervisor.calls().identity_providers, 0);
}

#[tokio::test]
async fn c044_an_audience_of_pinnipeds_own_is_refused_before_anything_is_asked() {
    let site = Site::new(Behaviour::default()).await;
    let outcome = site
        .run(&["--oidc-request-audience=a.pinniped.dev-b"])
        .await;
    let expected = "Error: request audience is not allowed to include the substring '.pinniped.dev': a.pinniped.dev-b";
    assert!(outcome.error(1).starts_with(expected), "{}", outcome.stderr);
    assert_eq!(site.supervisor.calls().discovery, 0);
}

#[tokio::test]
async fn c109_each_fault_of_the_issuer_has_a_text_of_its_own() {
    const DISCOVERY: &str = "/openid-configuration";
    const LIST: &str = "/identity-providers";
    let own = "discovery.supervisor.pinniped.dev/v1alpha1";
    let bad_list = json!({own: {"pinniped_identity_providers_endpoint": "%"}});
    let other = json!({"issuer": "https://other.example.com"});
    let at_discovery = "Error: while fetching OIDC discovery data from issuer: ";
    let at_list = "Error: while fetching the issuer's list of identity providers: ";
    for (discovery, failing, step, cause) in [
        (
            json!({}),
            Some((DISCOVERY, 400, "no")),
            at_discovery,
            "400 Bad Request",
        ),
        (
            json!({}),
            Some((DISCOVERY, 200, "no")),
            at_discovery,
            "/.well-known/openid-configuration cannot be read: Syntax error in line 1, column 2; is that the URL of an OIDC issuer?\n",
        ),
        (
            other,
            None,
            at_discovery,
            "calls itself \"https://other.example.com\"",
        ),
        (bad_list, None, at_discovery, "is no URL: \"%\""),
        (
            json!({}),
            Some((LIST, 400, "no")),
            at_list,
            "400 Bad Request",
        ),
        (
            json!({}),
            Some((LIST, 200, "no")),
            at_list,
            "cannot be read: ",
        ),
    ] {
        let site = Site::new(Behaviour {
            discovery,
            failing,
            ..Behaviour::default()
        })
        .await;
        let outcome = site.run(&[]).await;
        let error = outcome.error(1);
        assert!(
            error.starts_with(step) && error.contains(cause),
            "{cause}: {error}"
        );
    }
    for (issuer, cause) in [
        ("%", "issuer is no URL"),
        ("http://login.example.com", "issuer must be an https URL"),
        (
            "https://127.0.0.1:1",
            "failed to read the issuer's discovery document",
        ),
    ] {
        let site = Site::new(Behaviour::default()).await;
        let outcome = site.run(&[&format!("--oidc-issuer={issuer}")]).await;
        let error = outcome.error(1);
        assert!(
            error.starts_with(at_discovery) && error.contains(cause),
            "{error}"
        );
    }
}

#[tokio::test]
async fn c110_the_supervisors_list_leaves_one_choice_or_it_is_an_error() {
    let site = Site::new(Behaviour::default()).await;
    let outcome = site.run(&[]).await;
    let expected = "Error: multiple Supervisor upstream identity providers were found, so the \
                    --upstream-identity-provider-name/--upstream-identity-provider-type flags must be specified; there are [{";
    assert!(outcome.error(1).starts_with(expected), "{}", outcome.stderr);
    let outcome = site.run(&["--upstream-identity-provider-name=x"]).await;
    assert!(
        outcome
            .error(1)
            .starts_with("Error: no Supervisor upstream identity provider")
    );

    site.supervisor.behaviour().identity_providers.clear();
    let arguments = site.arguments(&[]).await;
    assert!(
        !arguments.iter().any(|flag| flag.starts_with("--upstream")),
        "{arguments:?}"
    );
}

#[tokio::test]
async fn c111_nobody_is_asked_where_all_three_are_given() {
    let site = Site::new(Behaviour {
        failing: Some(("/identity-providers", 500, "")),
        ..Behaviour::default()
    })
    .await;
    let flags = [
        "--upstream-identity-provider-name=not there",
        "--upstream-identity-provider-type=github",
        "--upstream-identity-provider-flow=browser_authcode",
    ];
    let arguments = site.arguments(&flags).await;
    assert!(
        arguments.ends_with(&flags.map(str::to_owned)),
        "{arguments:?}"
    );
    assert_eq!(site.supervisor.calls().identity_providers, 0);
}

/// A kubeconfig that has it would let nobody log in.
#[tokio::test]
async fn a_flow_that_no_login_takes_is_a_wrong_call() {
    let site = Site::new(Behaviour::default()).await;
    let outcome = site
        .run(&["--upstream-identity-provider-flow=by_mail"])
        .await;
    let expected = "Error: --upstream-identity-provider-flow=\"by_mail\" is no flow that";
    assert!(outcome.error(2).starts_with(expected), "{}", outcome.stderr);
}

#[tokio::test]
async fn c112_an_old_supervisor_is_not_asked_for_username_and_groups() {
    let flag = "--upstream-identity-provider-type=ldap";
    for (scopes, asked, expected) in [
        (
            vec!["openid", "username"],
            None,
            "--scopes=offline_access,openid,pinniped:request-audience",
        ),
        (
            vec!["openid"],
            Some("--oidc-scopes=openid,username,groups,x"),
            "--scopes=openid,x",
        ),
        (
            vec!["openid", "username", "groups"],
            Some("--oidc-scopes=openid,username"),
            "--scopes=openid,username",
        ),
    ] {
        let site = Site::new(Behaviour {
            scopes,
            ..Behaviour::default()
        })
        .await;
        let flags: Vec<&str> = [flag].into_iter().chain(asked).collect();
        let arguments = site.arguments(&flags).await;
        assert!(
            arguments.iter().any(|flag| flag == expected),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn another_issuer_is_asked_for_what_it_offers() {
    let site = Site::new(Behaviour {
        is_supervisor: false,
        scopes: vec!["openid", "offline_access", "email", "address"],
        ..Behaviour::default()
    })
    .await;
    let outcome = site.run(&[]).await;
    let flag = "--scopes=offline_access,openid,email";
    assert!(
        arguments(&outcome).iter().any(|found| found == flag),
        "{}",
        outcome.stdout
    );
    let told = "took the audience for the client ID, since the issuer is no Pinniped Supervisor\n";
    assert!(outcome.stderr.ends_with(told), "{}", outcome.stderr);
    let flags = arguments(&outcome);
    assert!(
        flags.contains(&"--client-id=this-cluster".to_owned()),
        "{flags:?}"
    );
    assert!(
        !flags
            .iter()
            .any(|flag| flag.starts_with("--request-audience")),
        "{flags:?}"
    );

    let outcome = site.run(&["--oidc-client-id=other"]).await;
    let warning = "is no Pinniped Supervisor: unless it exchanges tokens (RFC 8693), --oidc-client-id has to be the audience, \
                   this-cluster\n";
    assert!(outcome.stderr.ends_with(warning), "{}", outcome.stderr);
    let own = [
        "--oidc-client-secret-env=SECRET",
        "--oidc-flow=device_code",
        "--oidc-extra-parameter=prompt=consent",
    ];
    let flags = arguments(&site.run(&own).await);
    let end = [
        "--client-secret-env=SECRET",
        "--flow=device_code",
        "--extra-parameter=prompt=consent",
    ];
    assert!(flags.ends_with(&end.map(str::to_owned)), "{flags:?}");

    let outcome = site
        .run(&[
            "--oidc-client-id=this-cluster",
            "--oidc-scopes=openid,groups",
        ])
        .await;
    assert!(
        arguments(&outcome)
            .iter()
            .any(|found| found == "--scopes=openid,groups")
    );
    assert_eq!(outcome.stderr, "");
}

#[tokio::test]
async fn c113_a_token_needs_no_issuer() {
    let site = Site::new(Behaviour::default()).await;
    let arguments = site.arguments(&["--static-token-env=T"]).await;
    assert_eq!(arguments, ["login", "static", "--token-env=T"]);
    assert_eq!(site.supervisor.calls().discovery, 0);
    let outcome = site.run(&["--oidc-issuer="]).await;
    let expected = "Error: could not autodiscover --oidc-issuer and none was provided";
    assert!(outcome.error(1).starts_with(expected), "{}", outcome.stderr);
}
