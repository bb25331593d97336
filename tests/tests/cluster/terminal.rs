//! kubectl on a terminal, whose plugin asks the user; the issuer is a stand-in for a Pinniped Supervisor.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_operate::clock::Clock;
use haulout_tests::cluster::{Credential, Kubectl, Profile, StackOptions, exchange_flags};
use haulout_tests::supervisor::{Behaviour, IdentityProvider, PASSWORD, Supervisor};
use haulout_tests::terminal::{Ended, Terminal};
use serde_json::{Value, json};
use url::Url;

use crate::running::Running;

const CLUSTER: &str = "my-cluster";

/// A person whose kubectl logs in at the Supervisor with these flags.
struct Person {
    kubectl: Kubectl,
}

impl Person {
    /// With a stanza as `pinniped get kubeconfig` writes it, the command aside.
    fn new(running: &Running, supervisor: &Supervisor, name: &str, flags: &[&str]) -> Self {
        let folder = running.cluster.folder().join(name);
        let common = [
            "login".to_owned(),
            "oidc".to_owned(),
            "--concierge-api-group-suffix=pinniped.dev".to_owned(),
            format!("--credential-cache={}", folder.join("c.yaml").display()),
            format!("--issuer={}", supervisor.url()),
            "--client-id=pinniped-cli".to_owned(),
            "--scopes=offline_access,openid,pinniped:request-audience,username,groups".to_owned(),
            "--skip-browser".to_owned(),
        ];
        let more = [
            format!("--ca-bundle-data={}", STANDARD.encode(supervisor.ca_pem())),
            format!("--session-cache={}", folder.join("s.yaml").display()),
            format!("--request-audience={CLUSTER}"),
        ];
        let exchange = exchange_flags(&running.cluster, "supervisor").unwrap();
        let flags = flags.iter().map(|flag| (*flag).to_owned());
        let stanza = json!({
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": running.stack.products().program("haulout"),
            "args": common.into_iter().chain(exchange).chain(more).chain(flags).collect::<Vec<_>>(),
            "env": [],
            "provideClusterInfo": true,
        });
        let kubeconfig = running.cluster.kubeconfig(name, &Credential::Exec(stanza));
        let kubectl = running.cluster.kubectl();
        Self {
            kubectl: kubectl.with_kubeconfig(&kubeconfig.unwrap()),
        }
    }

    /// Runs `kubectl auth whoami` on a terminal.
    async fn whoami(&self, user: impl AsyncFnOnce(&mut Terminal) -> anyhow::Result<()>) -> Ended {
        let command = self.kubectl.on_terminal();
        let command = command.args(["auth", "whoami", "-o", "json"]);
        Terminal::run(command, user).await.unwrap()
    }

    /// The same as bob with this password, who is asked for both.
    async fn log_in_by(&self, password: &str) -> Ended {
        let keys = format!("{password}\n");
        let ended = self
            .whoami(async |terminal| {
                terminal.answer("Username: ", "bob\n").await?;
                terminal.answer_unseen("Password: ", &keys).await
            })
            .await;
        assert!(ended.leaves_sane_terminal);
        ended
    }
}

/// Who the API server says that it is.
fn username(ended: &Ended) -> String {
    let review: Value = serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", ended.shown));
    let name = &review["status"]["userInfo"]["username"];
    name.as_str().unwrap().to_owned()
}

/// The code that a browser shows for the link on the terminal.
async fn code(supervisor: &Supervisor, terminal: &Terminal) -> anyhow::Result<String> {
    let link = terminal.screen.line("https://").await?;
    let ca = reqwest::Certificate::from_pem(supervisor.ca_pem().as_bytes())?;
    let browser = reqwest::Client::builder()
        .tls_certs_only([ca])
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    let typed = HashMap::from([("username", "alice"), ("password", PASSWORD)]);
    let answer = browser.post(link).form(&typed).send().await?;
    let callback = Url::parse(answer.headers()["location"].to_str()?)?;
    let code = callback.query_pairs().find(|(name, _)| name == "code");
    Ok(code.unwrap().1.into_owned())
}

/// A cluster, and a Supervisor that it trusts.
async fn start() -> (Running, Supervisor) {
    let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let behaviour = Behaviour::default();
    let supervisor = Supervisor::start(Clock::system(), behaviour).await.unwrap();
    let issuer = (supervisor.url(), supervisor.ca_pem());
    running
        .trust("supervisor", issuer, CLUSTER, json!({}))
        .await;
    (running, supervisor)
}

/// kubectl once more, which has nothing to ask.
async fn needs_no_answer(person: &Person, name: &str) {
    let later = person.whoami(async |_| Ok(())).await;
    assert_eq!(username(&later), name);
    assert_eq!(later.shown, "");
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn c097_kubectl_lets_its_plugin_ask_for_a_code_once() {
    let (running, supervisor) = start().await;
    let alice = Person::new(&running, &supervisor, "alice", &["--skip-listen"]);
    let first = alice
        .whoami(async |terminal| {
            let code = code(&supervisor, terminal).await?;
            let question = "    Optionally, paste your authorization code: ";
            terminal.answer(question, &format!("{code}\n")).await
        })
        .await;
    assert_eq!(username(&first), "alice");
    assert!(first.leaves_sane_terminal);
    needs_no_answer(&alice, "alice").await;
    assert_eq!(supervisor.calls().codes, 1);
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn c098_kubectl_lets_its_plugin_ask_for_a_password_once() {
    let (running, supervisor) = start().await;
    for type_ in ["ldap", "activedirectory", "oidc"] {
        supervisor.behaviour().identity_providers = vec![IdentityProvider {
            name: "corp",
            type_,
            flows: vec!["browser_authcode", IdentityProvider::PASSWORD_FLOW],
        }];
        let flags = [
            "--upstream-identity-provider-name=corp",
            &format!("--upstream-identity-provider-type={type_}"),
            "--upstream-identity-provider-flow=cli_password",
        ];
        let bob = Person::new(&running, &supervisor, type_, &flags);
        let before = supervisor.calls().codes;
        let refused = bob.log_in_by("wrong").await;
        let reason = "login failed with code \"access_denied\": Username/password not accepted.";
        assert!(!refused.status.success());
        assert!(refused.shown.contains(reason), "{}", refused.shown);
        assert_eq!(username(&bob.log_in_by(PASSWORD).await), "bob");
        needs_no_answer(&bob, "bob").await;
        assert_eq!(supervisor.calls().codes, before + 1, "{type_}");
    }
}
