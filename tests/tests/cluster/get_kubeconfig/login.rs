//! The kubeconfig that is made, used.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_tests::cluster::{Credential, Profile, StackOptions, TOKEN_VARIABLE, free_ports};
use serde_json::{Map, Value, json};

use super::Shell;
use crate::running::{Running, until};

const TOKEN_ENV: &str = "--static-token-env=HAULOUT_TOKEN";

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_users_log_in_by_the_kubeconfig_that_an_administrator_got() {
    let [direct] = free_ports().unwrap();
    let endpoint = format!("https://localhost:{direct}");
    let direct = json!({"listen": format!("127.0.0.1:{direct}"), "externalUrl": endpoint});
    let options = StackOptions {
        webhook: Map::from_iter([("directEndpoint".to_owned(), direct)]),
        ..StackOptions::default()
    };
    let running = Running::start(Profile::Talos, &options).await;
    until("three strategies", async || running.strategies().await == 3).await;
    let shell = Shell::of(&running.cluster);
    c113_a_user_logs_in_with_a_token_of_a_variable(&running, &shell).await;
    a_user_logs_in_at_the_direct_endpoint(&running, &shell, &endpoint).await;
    several_files_and_an_administrator_by_plugin(&running, &shell).await;
    a_failure_leaves_the_old_file(&running, &shell).await;
    where_the_api_server_refuses_logins_the_direct_endpoint_is_chosen(&running, &shell, &endpoint)
        .await;
}

impl Running {
    /// How many strategies the CredentialIssuer has.
    async fn strategies(&self) -> usize {
        let issuer = self.credential_issuer("haulout").await;
        issuer["status"]["strategies"]
            .as_array()
            .map_or(0, Vec::len)
    }

    /// What the API server says of alice, who has this kubeconfig and a token.
    async fn alice_by(&self, kubeconfig: &str) -> Value {
        let path = self.cluster.folder().join("alice.kubeconfig");
        std::fs::write(&path, kubeconfig).unwrap();
        let token = self.stack.token("alice", &["devs"]).await.unwrap();
        let kubectl = self.cluster.kubectl().with_kubeconfig(&path);
        let whoami = ["auth", "whoami", "-o", "json"];
        let review = kubectl.run_with(&whoami, &[(TOKEN_VARIABLE, &token)]).await;
        let review: Value = serde_json::from_str(&review.unwrap()).unwrap();
        review["status"]["userInfo"]["username"].clone()
    }

    /// The administrator's kubeconfig, as JSON.
    fn admin_kubeconfig(&self) -> Value {
        let path = self.cluster.kubectl().kubeconfig();
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn write(&self, name: &str, config: &Value) -> PathBuf {
        let path = self.cluster.folder().join(name);
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }
}

/// The whole way: nothing but the variable's name is given.
async fn c113_a_user_logs_in_with_a_token_of_a_variable(running: &Running, shell: &Shell) {
    let made = shell.run(&[TOKEN_ENV]).await;
    assert_eq!(running.alice_by(&made.stdout).await, "alice");
    let arguments = made.arguments();
    assert_eq!(arguments[..2], ["login", "static"]);
    assert_eq!(arguments.last().unwrap(), "--token-env=HAULOUT_TOKEN");
    for line in [
        "discovered CredentialIssuer haulout",
        "discovered Concierge operating in TokenCredentialRequestAPI mode",
        "--concierge-mode=DirectEndpoint would work too",
        "discovered Concierge certificate authority bundle, roots: 1",
        "discovered JWTAuthenticator test-issuer",
        "validated connection to the cluster",
    ] {
        assert!(
            made.stderr.lines().any(|found| found == line),
            "{line}: {}",
            made.stderr
        );
    }

    // Nothing of the administrator's own credentials is in it.
    let admin = running.admin_kubeconfig();
    let user = admin.pointer("/users/0/user").unwrap().as_object().unwrap();
    let secrets: Vec<&str> = user.values().filter_map(Value::as_str).collect();
    assert_eq!(secrets.len(), 2, "a certificate and its key");
    for secret in secrets {
        assert!(!made.stdout.contains(secret));
        let pem = STANDARD.decode(secret).unwrap();
        assert!(!made.stdout.contains(std::str::from_utf8(&pem).unwrap()));
    }
    let user = made.kubeconfig();
    let user = user.pointer("/users/0/user").unwrap().as_object().unwrap();
    assert_eq!(user.keys().collect::<Vec<_>>(), ["exec"]);
}

/// Only the login goes there.
async fn a_user_logs_in_at_the_direct_endpoint(running: &Running, shell: &Shell, endpoint: &str) {
    let made = shell.run(&[TOKEN_ENV, "--concierge-mode=direct"]).await;
    let flag = format!("--concierge-endpoint={endpoint}");
    assert!(made.arguments().contains(&flag), "{}", made.stdout);
    let kubeconfig = made.kubeconfig();
    let server = kubeconfig.pointer("/clusters/0/cluster/server").unwrap();
    assert_eq!(server, running.cluster.server());
    assert_eq!(running.alice_by(&made.stdout).await, "alice");
}

/// Last, since nobody can log in at the API server any more.
async fn where_the_api_server_refuses_logins_the_direct_endpoint_is_chosen(
    running: &Running,
    shell: &Shell,
    endpoint: &str,
) {
    let binding = ["delete", "clusterrolebinding", "haulout-login-anonymous"];
    running.cluster.kubectl().run(binding).await.unwrap();
    let flag = format!("--concierge-endpoint={endpoint}");
    until("the direct endpoint", async || {
        shell.run(&[TOKEN_ENV]).await.arguments().contains(&flag)
    })
    .await;
    let made = shell.run(&[TOKEN_ENV]).await;
    for line in [
        "the API server lets nobody without credentials log in",
        "discovered Concierge operating in DirectEndpoint mode",
    ] {
        assert!(made.stderr.contains(line), "{line}: {}", made.stderr);
    }
    assert_eq!(running.alice_by(&made.stdout).await, "alice");
}

/// What kubectl takes, this takes too: a list of files, a CA in a file, an exec plugin.
async fn several_files_and_an_administrator_by_plugin(running: &Running, shell: &Shell) {
    let stanza = running.stack.exec_stanza(&running.cluster, None).unwrap();
    let by_plugin = running
        .cluster
        .kubeconfig("by-plugin", &Credential::Exec(stanza))
        .unwrap();
    let mut both: Value =
        serde_json::from_str(&std::fs::read_to_string(by_plugin).unwrap()).unwrap();
    let users = both.as_object_mut().unwrap().remove("users").unwrap();
    let users = running.write("users.kubeconfig", &json!({"users": users}));
    let cluster = both
        .pointer_mut("/clusters/0/cluster")
        .unwrap()
        .as_object_mut()
        .unwrap();
    let ca = cluster.remove("certificate-authority-data").unwrap();
    // Relative to the kubeconfig.
    std::fs::write(
        running.cluster.folder().join("relative.crt"),
        STANDARD.decode(ca.as_str().unwrap()).unwrap(),
    )
    .unwrap();
    cluster.insert("certificate-authority".to_owned(), json!("relative.crt"));
    cluster.insert("tls-server-name".to_owned(), json!("localhost"));
    both["contexts"][0]["context"]["namespace"] = json!("team");
    let rest = running.write("rest.kubeconfig", &both);
    let list = std::env::join_paths([&users, &rest]).unwrap();

    let run = async |groups: &[&str]| {
        let token = running.stack.token("boss", groups).await.unwrap();
        let mut command = shell.with_kubeconfig(&list).command(&[TOKEN_ENV]);
        command.env(TOKEN_VARIABLE, token);
        super::finish(command).await
    };
    run(&["nobodies"])
        .await
        .assert_fails("could not list CredentialIssuers");
    let bind = [
        "create",
        "clusterrolebinding",
        "bosses",
        "--clusterrole=cluster-admin",
        "--group=bosses",
    ];
    running.cluster.kubectl().run(bind).await.unwrap();
    until("the right", async || {
        run(&["bosses"]).await.status.success()
    })
    .await;
    let made = run(&["bosses"]).await;
    assert_eq!(running.alice_by(&made.stdout).await, "alice");
    let kubeconfig = made.kubeconfig();
    assert_eq!(kubeconfig["contexts"][0]["context"]["namespace"], "team");
    let data = kubeconfig
        .pointer("/clusters/0/cluster/certificate-authority-data")
        .unwrap();
    assert_eq!(data, &ca);
    let name = kubeconfig.pointer("/clusters/0/cluster/tls-server-name");
    assert_eq!(name, Some(&json!("localhost")));
    let warning = "Warning: tls-server-name is for kubectl alone";
    assert!(made.stderr.contains(warning), "{}", made.stderr);
}

async fn a_failure_leaves_the_old_file(running: &Running, shell: &Shell) {
    let path = running.cluster.folder().join("made.kubeconfig");
    let output = format!("--output={}", path.display());
    let made = shell.run(&[TOKEN_ENV, &output]).await;
    assert_eq!(
        (made.status.code(), made.stdout.as_str()),
        (Some(0), ""),
        "{}",
        made.stderr
    );
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("apiVersion: v1\n"), "{text}");
    let refused = shell
        .run(&[TOKEN_ENV, &output, "--concierge-mode=ImpersonationProxy"])
        .await;
    refused.assert_fails(
        "could not find successful Concierge strategy matching --concierge-mode=ImpersonationProxy",
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}
