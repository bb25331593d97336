//! What is found in a cluster, and what is said where it is not. Nothing of Haulout runs: the objects are all that counts.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_operate::clock::Clock;
use haulout_tests::cluster::{Cluster, ClusterOptions, Credential, Profile, workspace_root};
use haulout_tests::supervisor::{Behaviour, Supervisor};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{LIMIT, Outcome, Shell};

const ENV: &str = "--static-token-env=T";
/// Names one of two.
const ISSUER: &str = "--concierge-credential-issuer=first";
const AUTHENTICATOR: &str = "--concierge-authenticator-name=company";
const SUFFIX: &str = "walrus.example.com";

struct Site {
    cluster: Cluster,
    shell: Shell,
    supervisor: Supervisor,
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_what_a_kubeconfig_needs_is_discovered_and_each_lack_is_named() {
    let cluster = Cluster::start(ClusterOptions::new(Profile::Talos))
        .await
        .unwrap();
    let site = Site {
        shell: Shell::of(&cluster),
        supervisor: Supervisor::start(Clock::system(), Behaviour::default())
            .await
            .unwrap(),
        cluster,
    };
    c105_credential_issuers_are_none_several_missing_or_out_of_reach(&site).await;
    c106_failing_strategies_are_all_told(&site).await;
    c107_a_pending_strategy_is_waited_for(&site).await;
    c105_authenticators_are_none_several_missing_or_out_of_reach(&site).await;
    frontends_lead_to_their_endpoints(&site).await;
    c108_the_issuers_ca_comes_from_where_the_authenticator_says(&site).await;
    c044_an_audience_of_pinnipeds_own_is_refused(&site).await;
}

impl Site {
    async fn apply(&self, object: &Value) {
        self.cluster
            .kubectl()
            .apply(&object.to_string())
            .await
            .unwrap();
    }

    async fn delete(&self, what: &[&str]) {
        let arguments = ["delete"].iter().chain(what);
        self.cluster.kubectl().run(arguments).await.unwrap();
    }

    /// Makes a CredentialIssuer, and sets its status.
    async fn issuer(&self, name: &str, suffix: &str, strategies: &Value) {
        self.apply(&json!({
            "apiVersion": format!("config.concierge.{suffix}/v1alpha1"), "kind": "CredentialIssuer",
            "metadata": {"name": name}, "spec": {"impersonationProxy": {"mode": "disabled", "service": {"type": "None"}}},
        }))
        .await;
        let status = json!({"status": {"strategies": strategies}}).to_string();
        let resource = format!("credentialissuers.config.concierge.{suffix}");
        let patch = [
            "patch",
            &resource,
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ];
        self.cluster.kubectl().run(patch).await.unwrap();
    }

    /// The JWTAuthenticator `company`, whose issuer is the stand-in.
    async fn authenticator(&self, suffix: &str, audience: &str, tls: &Value) {
        self.apply(&json!({
            "apiVersion": format!("authentication.concierge.{suffix}/v1alpha1"), "kind": "JWTAuthenticator",
            "metadata": {"name": "company"},
            "spec": {"issuer": self.supervisor.url(), "audience": audience, "tls": tls},
        }))
        .await;
    }

    fn inline_ca(&self) -> Value {
        json!({"certificateAuthorityData": STANDARD.encode(self.supervisor.ca_pem())})
    }

    /// The CRDs with this suffix.
    async fn install(&self, suffix: &str) {
        let folder = workspace_root().join("manifests/crds");
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let kubectl = self.cluster.kubectl();
            kubectl
                .apply(&text.replace("pinniped.dev", suffix))
                .await
                .unwrap();
        }
        let wait = [
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "crd",
            "--all",
        ];
        self.cluster.kubectl().run(wait).await.unwrap();
    }

    /// The same shell with the rights of nobody but `list` and `get` of these resources.
    async fn limited_to(&self, user: &str, resources: &str) -> Shell {
        let pair = self.cluster.pki().user(user, None).unwrap();
        let kubeconfig = self
            .cluster
            .kubeconfig(user, &Credential::Certificate(pair))
            .unwrap();
        if !resources.is_empty() {
            let resource = format!("--resource={resources}");
            let role = ["create", "clusterrole", user, "--verb=list,get", &resource];
            self.cluster.kubectl().run(role).await.unwrap();
            let [role, user_flag] = [format!("--clusterrole={user}"), format!("--user={user}")];
            let bind = ["create", "clusterrolebinding", user, &role, &user_flag];
            self.cluster.kubectl().run(bind).await.unwrap();
            // The API server may take a moment to learn of the binding.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.shell.with_kubeconfig(kubeconfig)
    }

    async fn run(&self, flags: &[&str]) -> Outcome {
        self.shell.run(flags).await
    }
}

fn strategy(type_: &str, status: &str, reason: &str, message: &str, frontend: &Value) -> Value {
    let mut strategy = json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "lastUpdateTime": "2026-11-18T11:06:40Z",
    });
    if !frontend.is_null() {
        strategy["frontend"] = frontend.clone();
    }
    strategy
}

fn good() -> Value {
    let frontend = json!({"type": "TokenCredentialRequestAPI"});
    strategy(
        "KubeClusterSigningCertificate",
        "Success",
        "FetchedKey",
        "good",
        &frontend,
    )
}

async fn c105_credential_issuers_are_none_several_missing_or_out_of_reach(site: &Site) {
    // Without the kind, and without an object.
    site.run(&[ENV])
        .await
        .assert_fails("no CredentialIssuers were found");
    site.install("pinniped.dev").await;
    site.run(&[ENV])
        .await
        .assert_fails("no CredentialIssuers were found");
    for name in ["first", "second"] {
        site.issuer(name, "pinniped.dev", &json!([good()])).await;
    }
    let several = site.run(&[ENV]).await;
    several.assert_fails("multiple CredentialIssuers were found, so the --concierge-credential-issuer flag must be specified");
    several.assert_fails("there are first, second");
    let missing = site
        .run(&[ENV, "--concierge-credential-issuer=third"])
        .await;
    missing.assert_fails("could not find CredentialIssuer \"third\"");
    let nobody = site.limited_to("nobody", "").await;
    nobody
        .run(&[ENV])
        .await
        .assert_fails("could not list CredentialIssuers");
    nobody.run(&[ENV]).await.assert_fails("is forbidden");
    let named = nobody.run(&[ENV, ISSUER]).await;
    named.assert_fails("could not get CredentialIssuer \"first\"");
}

async fn c106_failing_strategies_are_all_told(site: &Site) {
    let failing = json!([
        strategy(
            "KubeClusterSigningCertificate",
            "Error",
            "CouldNotFetchKey",
            "no key",
            &Value::Null
        ),
        strategy(
            "ImpersonationProxy",
            "Error",
            "Disabled",
            "it is off",
            &Value::Null
        ),
    ]);
    site.issuer("first", "pinniped.dev", &failing).await;
    let none = site.run(&[ENV, ISSUER]).await;
    none.assert_fails("could not autodiscover --concierge-mode");
    for line in [
        "found strategy KubeClusterSigningCertificate: Error (CouldNotFetchKey): no key",
        "found strategy ImpersonationProxy: Error (Disabled): it is off",
    ] {
        assert!(
            none.stderr.lines().any(|found| found == line),
            "{line}: {}",
            none.stderr
        );
    }
    let flags = [ENV, ISSUER, "--concierge-mode=tokenCredentialRequestAPI"];
    let none = site.run(&flags).await;
    none.assert_fails("could not find successful Concierge strategy matching --concierge-mode=TokenCredentialRequestAPI");
}

async fn c107_a_pending_strategy_is_waited_for(site: &Site) {
    let pending = strategy(
        "ImpersonationProxy",
        "Error",
        "Pending",
        "no address yet",
        &Value::Null,
    );
    site.issuer("first", "pinniped.dev", &json!([good(), pending]))
        .await;
    site.authenticator("pinniped.dev", "this-cluster", &site.inline_ca())
        .await;
    let skipped = site.run(&[ENV, ISSUER, "--concierge-skip-wait"]).await;
    skipped.arguments();
    assert!(!skipped.stderr.contains("waiting"), "{}", skipped.stderr);
    let late = site.run(&[ENV, ISSUER, "--timeout=1s"]).await;
    late.assert_fails("CredentialIssuer first still has strategies that are pending after 1 s: ImpersonationProxy");

    let mut command = site.shell.command(&[ENV, ISSUER]);
    let begin = std::time::Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let waiting = "waiting 600 s at most for CredentialIssuer first: ImpersonationProxy: Error (Pending): no address yet";
    loop {
        let line = tokio::time::timeout(LIMIT, lines.next_line())
            .await
            .unwrap()
            .unwrap();
        if line.expect("it says that it waits") == waiting {
            break;
        }
    }
    site.issuer("first", "pinniped.dev", &json!([good()])).await;
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert!(output.status.success());
    assert!(output.stdout.starts_with(b"apiVersion: v1\n"));
    assert!(
        begin.elapsed() > Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    site.delete(&["jwtauthenticator", "company"]).await;
}

async fn c105_authenticators_are_none_several_missing_or_out_of_reach(site: &Site) {
    let run = async |flags: &[&str]| site.run(&[&[ENV, ISSUER], flags].concat()).await;
    run(&[]).await.assert_fails("no authenticators were found");
    site.authenticator("pinniped.dev", "this-cluster", &site.inline_ca())
        .await;
    site.apply(&json!({
        "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1", "kind": "WebhookAuthenticator",
        "metadata": {"name": "own"}, "spec": {"endpoint": "https://review.example.com"},
    }))
    .await;
    let several = run(&[]).await;
    several.assert_fails(
        "multiple authenticators were found, so the --concierge-authenticator-type/--concierge-authenticator-name flags",
    );
    several.assert_fails("there are JWTAuthenticator company, WebhookAuthenticator own");
    for (flags, name, type_) in [
        (
            &["--concierge-authenticator-type=WEBHOOK"][..],
            "own",
            "webhook",
        ),
        (&[AUTHENTICATOR], "company", "jwt"),
        (
            &["--concierge-authenticator-type=jwt", AUTHENTICATOR],
            "company",
            "jwt",
        ),
    ] {
        let arguments = run(flags).await.arguments();
        for flag in [
            format!("--concierge-authenticator-name={name}"),
            format!("--concierge-authenticator-type={type_}"),
        ] {
            assert!(arguments.contains(&flag), "{flag}: {arguments:?}");
        }
    }
    for (flags, expected) in [
        (
            &[
                "--concierge-authenticator-type=jwt",
                "--concierge-authenticator-name=own",
            ][..],
            "could not find JWTAuthenticator \"own\"",
        ),
        (
            &["--concierge-authenticator-name=x"],
            "no authenticator \"x\" was found",
        ),
    ] {
        run(flags).await.assert_fails(expected);
    }
    let bad = run(&["--concierge-authenticator-type=oidc"]).await;
    let text = "invalid authenticator type \"oidc\", supported values are \"webhook\" and \"jwt\"";
    assert!(bad.stderr.contains(text), "{}", bad.stderr);
    assert_eq!(bad.status.code(), Some(2));

    let limited = site
        .limited_to("half", "credentialissuers.config.concierge.pinniped.dev")
        .await;
    let unlisted = limited.run(&[ENV, ISSUER]).await;
    unlisted.assert_fails("could not list JWTAuthenticators");
    let both = [
        "--concierge-authenticator-type=webhook",
        "--concierge-authenticator-name=own",
    ];
    let unread = limited.run(&[&[ENV, ISSUER], &both[..]].concat()).await;
    unread.assert_fails("could not get WebhookAuthenticator \"own\"");
    site.delete(&["webhookauthenticator", "own"]).await;
}

async fn frontends_lead_to_their_endpoints(site: &Site) {
    let ca = STANDARD.encode(site.supervisor.ca_pem());
    let info = json!({"endpoint": "https://proxy.example.com", "certificateAuthorityData": ca});
    let proxy = json!({"type": "ImpersonationProxy", "impersonationProxyInfo": info});
    let direct = json!({"endpoint": "https://login.example.com"});
    let direct = json!({"type": "DirectEndpoint", "directEndpointInfo": direct});
    let strategies = json!([
        good(),
        strategy("ImpersonationProxy", "Success", "Listening", "up", &proxy),
        strategy("DirectEndpoint", "Success", "Listening", "up", &direct),
    ]);
    site.issuer("first", "pinniped.dev", &strategies).await;
    let ca_flag = format!("--concierge-ca-bundle-data={ca}");
    let api_server = site.cluster.server();
    let own_ca = std::fs::read(site.cluster.ca_certificate()).unwrap();
    let own_ca = STANDARD.encode(own_ca);
    for (mode, endpoint, login_ca, server, server_ca) in [
        (
            "TokenCredentialRequestAPI",
            api_server,
            Some(&own_ca),
            api_server,
            &own_ca,
        ),
        (
            "ImpersonationProxy",
            "https://proxy.example.com",
            Some(&ca),
            "https://proxy.example.com",
            &ca,
        ),
        (
            "Direct",
            "https://login.example.com",
            None,
            api_server,
            &own_ca,
        ),
    ] {
        let mode = format!("--concierge-mode={mode}");
        let made = site.run(&[ENV, ISSUER, &mode, "--skip-validation"]).await;
        let arguments = made.arguments();
        assert!(
            arguments.contains(&format!("--concierge-endpoint={endpoint}")),
            "{arguments:?}"
        );
        let found = arguments
            .iter()
            .find_map(|flag| flag.strip_prefix("--concierge-ca-bundle-data="));
        assert_eq!(found, login_ca.map(String::as_str), "{mode}");
        let kubeconfig = made.kubeconfig();
        let cluster = kubeconfig.pointer("/clusters/0/cluster").unwrap();
        let expected = json!({"server": server, "certificate-authority-data": server_ca});
        assert_eq!(cluster, &expected, "{mode}");
    }

    // A proxy that nobody reaches is told before anything is printed.
    let flags = [
        ENV,
        ISSUER,
        "--concierge-mode=impersonationproxy",
        "--timeout=1s",
    ];
    let unreached = site.run(&flags).await;
    unreached.assert_fails("could not validate the kubeconfig: the cluster does not answer at https://proxy.example.com");
    assert!(
        unreached.stderr.contains("does not answer yet"),
        "{}",
        unreached.stderr
    );

    let file = site.cluster.folder().join("proxy-ca.crt");
    std::fs::write(&file, site.supervisor.ca_pem()).unwrap();
    let bundle = format!("--concierge-ca-bundle={}", file.display());
    let given = [
        "--concierge-endpoint=https://other.example.com",
        &bundle,
        "--skip-validation",
    ];
    let made = site.run(&[&[ENV, ISSUER], &given[..]].concat()).await;
    assert!(made.arguments().contains(&ca_flag), "{}", made.stdout);
    let kubeconfig = made.kubeconfig();
    let cluster = kubeconfig.pointer("/clusters/0/cluster").unwrap();
    let expected = json!({"server": "https://other.example.com", "certificate-authority-data": ca});
    assert_eq!(cluster, &expected);
    site.issuer("first", "pinniped.dev", &json!([good()])).await;
}

async fn c108_the_issuers_ca_comes_from_where_the_authenticator_says(site: &Site) {
    let pem = site.supervisor.ca_pem();
    let ca_flag = format!("--ca-bundle-data={}", STANDARD.encode(pem));
    site.apply(
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "of-the-service"}}),
    )
    .await;
    let object = |kind: &str, field: &str, data: Value| {
        json!({
            "apiVersion": "v1", "kind": kind, "metadata": {"name": "issuer-ca", "namespace": "of-the-service"},
            field: data,
        })
    };
    let data = json!({"good": pem, "empty": "", "bad": "hunter2"});
    site.apply(&object("Secret", "stringData", data.clone()))
        .await;
    site.apply(&object("ConfigMap", "data", data)).await;
    let source = |kind: &str, name: &str, key: &str| json!({"certificateAuthorityDataSource": {"kind": kind, "name": name, "key": key}});
    let failure = async |tls: &Value, expected: &str| {
        site.authenticator("pinniped.dev", "this-cluster", tls)
            .await;
        let outcome = site.run(&[ISSUER]).await;
        outcome
            .assert_fails("tried to autodiscover --oidc-ca-bundle, but JWTAuthenticator company");
        outcome.assert_fails(expected);
        site.delete(&["jwtauthenticator", "company"]).await;
    };
    let secret = source("Secret", "issuer-ca", "good");
    failure(
        &secret,
        "there is no APIService v1alpha1.login.concierge.pinniped.dev",
    )
    .await;
    site.api_service("pinniped.dev", &Value::Null).await;
    failure(&secret, "leads to no Service").await;
    site.delete(&["apiservice", "v1alpha1.login.concierge.pinniped.dev"])
        .await;
    for suffix in ["pinniped.dev", SUFFIX] {
        let service = json!({"name": "haulout-api", "namespace": "of-the-service", "port": 443});
        site.api_service(suffix, &service).await;
    }
    for kind in ["Secret", "ConfigMap"] {
        for (name, key, expected) in [
            ("x", "good", format!("there is no {kind} of-the-service/x")),
            (
                "issuer-ca",
                "x",
                format!("{kind} of-the-service/issuer-ca has no key \"x\""),
            ),
            (
                "issuer-ca",
                "empty",
                format!("{kind} of-the-service/issuer-ca has nothing under \"empty\""),
            ),
            (
                "issuer-ca",
                "bad",
                format!("what {kind} of-the-service/issuer-ca has under \"bad\" cannot be used"),
            ),
        ] {
            failure(&source(kind, name, key), &expected).await;
        }
    }
    for data in ["*", "Zm9v"] {
        let tls = json!({"certificateAuthorityData": data});
        failure(&tls, "spec.tls.certificateAuthorityData is invalid").await;
    }

    for suffix in ["pinniped.dev", SUFFIX] {
        if suffix == SUFFIX {
            site.install(suffix).await;
            site.issuer("first", suffix, &json!([good()])).await;
        }
        let suffix_flag = format!("--concierge-api-group-suffix={suffix}");
        for tls in [
            site.inline_ca(),
            source("Secret", "issuer-ca", "good"),
            source("ConfigMap", "issuer-ca", "good"),
        ] {
            site.authenticator(suffix, "this-cluster", &tls).await;
            let made = site
                .run(&[
                    ISSUER,
                    &suffix_flag,
                    "--upstream-identity-provider-type=ldap",
                ])
                .await;
            let arguments = made.arguments();
            for flag in [
                suffix_flag.as_str(),
                &format!("--issuer={}", site.supervisor.url()),
                &ca_flag,
                "--request-audience=this-cluster",
                "--upstream-identity-provider-name=my-ldap",
                "--upstream-identity-provider-flow=cli_password",
            ] {
                assert!(
                    arguments.iter().any(|found| found == flag),
                    "{flag}: {arguments:?}"
                );
            }
            let resource = format!("jwtauthenticators.authentication.concierge.{suffix}");
            site.delete(&[&resource, "company"]).await;
        }
    }
    // Who may not read the object is told which.
    site.authenticator("pinniped.dev", "this-cluster", &secret)
        .await;
    let resources = "credentialissuers.config.concierge.pinniped.dev,jwtauthenticators.authentication.concierge.pinniped.dev";
    let limited = site.limited_to("reader", resources).await;
    let unread = limited
        .run(&[ISSUER, "--concierge-authenticator-type=jwt"])
        .await;
    unread.assert_fails("could not read APIService v1alpha1.login.concierge.pinniped.dev");
}

async fn c044_an_audience_of_pinnipeds_own_is_refused(site: &Site) {
    let expected = "request audience is not allowed to include the substring '.pinniped.dev': client.oauth.pinniped.dev-x";
    let flag = "--oidc-request-audience=client.oauth.pinniped.dev-x";
    site.authenticator("pinniped.dev", "this-cluster", &site.inline_ca())
        .await;
    site.run(&[ISSUER, flag]).await.assert_fails(expected);
    site.authenticator(
        "pinniped.dev",
        "client.oauth.pinniped.dev-x",
        &site.inline_ca(),
    )
    .await;
    site.run(&[ISSUER]).await.assert_fails(expected);
}

impl Site {
    /// Registers the login API with this Service behind it.
    async fn api_service(&self, suffix: &str, service: &Value) {
        let group = format!("login.concierge.{suffix}");
        let mut object = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("v1alpha1.{group}")},
            "spec": {"group": group, "version": "v1alpha1", "groupPriorityMinimum": 9900, "versionPriority": 15},
        });
        if !service.is_null() {
            object["spec"]["service"] = service.clone();
            object["spec"]["insecureSkipTLSVerify"] = json!(true);
        }
        self.apply(&object).await;
    }
}
