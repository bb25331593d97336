//! `haulout login oidc` as people meet it: kubectl starts it, a real browser opens, and a real cluster judges what comes of it.
//! The tests have a stage of their own, so they are not named `cluster_*`.

mod chromium;
mod desk;
mod device;
mod form_post;
mod keycloak;
mod login;
mod many;
mod webdriver;

use std::time::Duration;

use haulout_tests::cluster::{Profile, Provider, StackOptions, workspace_root};
use serde_json::{Value, json};

use crate::running::Running;
use chromium::Chromium;
use desk::Desk;

/// The client of `kubectl` at the issuer; the audience of its ID tokens, too.
const CLIENT: &str = "kubernetes";
/// The authenticator that knows the issuer.
const AUTHENTICATOR: &str = "company";

/// A cluster whose users are those of oidc-provider. Alice may look at its nodes.
struct Site {
    provider: Provider,
    running: Running,
}

impl Site {
    /// `ttl` has lives of tokens in seconds, as oidc-provider names them.
    async fn start(ttl: Value) -> Self {
        let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
        let alice = json!({
            "email": "alice@example.com", "email_verified": true, "groups": ["developers"],
        });
        let settings = json!({
            "clients": [{"id": CLIENT, "algorithm": "RS256"}],
            "accounts": {"alice": alice},
            "ttl": ttl,
        });
        let cluster = &running.cluster;
        let provider = Provider::start_oidc_provider(cluster, &settings)
            .await
            .unwrap();
        let claims = json!({"username": "email", "groups": "groups"});
        running
            .trust_provider(AUTHENTICATOR, &provider, CLIENT, claims)
            .await;
        let_developers_see_nodes(&running).await;
        Self { provider, running }
    }

    /// The `exec` arguments for oidc-provider, and `more`.
    fn arguments(&self, more: &[&str]) -> Vec<String> {
        // oidc-provider gives a refresh token only to whom the user has said so in person.
        let own = [
            &format!("--issuer={}", self.provider.issuer()),
            &format!("--ca-bundle={}", self.provider.ca().display()),
            &format!("--client-id={CLIENT}"),
            "--extra-parameter=prompt=consent",
        ];
        let all = own.into_iter().chain(more.iter().copied());
        all.map(str::to_owned).collect()
    }

    /// How often the provider has given tokens for grants of this type.
    fn granted(&self, grant_type: &str) -> usize {
        self.count(&format!("{grant_type} granted"))
    }

    /// How often it has not.
    fn refused(&self, grant_type: &str) -> usize {
        self.count(&format!("{grant_type} refused"))
    }

    fn count(&self, line: &str) -> usize {
        let log = std::fs::read_to_string(self.provider.log()).unwrap();
        log.lines().filter(|found| *found == line).count()
    }

    /// Asks for tokens without the program.
    async fn ask_token_endpoint(&self, form: &[(&str, &str)]) -> Value {
        let ca = std::fs::read(self.provider.ca()).unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()])
            .timeout(Duration::from_secs(10))
            .no_proxy()
            .build()
            .unwrap();
        let url = format!("{}/token", self.provider.issuer());
        let answer = http.post(url).form(form).send().await.unwrap();
        answer.json().await.unwrap()
    }
}

/// Makes a node, and lets the group `developers` see it.
async fn let_developers_see_nodes(running: &Running) {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
    let kubectl = running.cluster.kubectl();
    kubectl.apply(&node.to_string()).await.unwrap();
    let role = [
        "create",
        "clusterrole",
        "see-nodes",
        "--verb=get,list",
        "--resource=nodes",
    ];
    kubectl.run(role).await.unwrap();
    let binding = "create clusterrolebinding see-nodes --clusterrole=see-nodes --group=developers";
    kubectl.run(binding.split(' ')).await.unwrap();
}

const NODE: &str = "node-1";

/// Writes a picture for the documentation, if somebody wants it anew.
fn keep_picture(name: &str, png: &[u8]) {
    if std::env::var_os("HAULOUT_WRITE_PICTURES").is_some() {
        std::fs::write(workspace_root().join("docs/pictures").join(name), png).unwrap();
    }
}
