//! What is found in a cluster, and what is said where it is not. Nothing of Haulout runs: the objects are all that counts.

mod authenticator;
mod credential_issuer;
mod frontend;
mod issuer_ca;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_operate::clock::Clock;
use haulout_tests::cluster::{Cluster, ClusterOptions, Credential, Profile, workspace_root};
use haulout_tests::supervisor::{Behaviour, Supervisor};
use serde_json::{Value, json};

use super::{Outcome, Shell};
use crate::audit;
use crate::running::until;

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
    let mut options = ClusterOptions::new(Profile::Talos);
    audit::record_all(&mut options);
    let cluster = Cluster::start(options).await.unwrap();
    let site = Site {
        shell: Shell::of(&cluster),
        supervisor: Supervisor::start(Clock::system(), Behaviour::default())
            .await
            .unwrap(),
        cluster,
    };
    credential_issuer::c105_credential_issuers_are_none_several_missing_or_out_of_reach(&site)
        .await;
    credential_issuer::c106_failing_strategies_are_all_told(&site).await;
    credential_issuer::c107_a_pending_strategy_is_waited_for(&site).await;
    authenticator::c105_authenticators_are_none_several_missing_or_out_of_reach(&site).await;
    frontend::frontends_lead_to_their_endpoints(&site).await;
    frontend::what_is_given_wins_and_what_nobody_reaches_is_told(&site).await;
    issuer_ca::c108_each_lack_of_the_issuers_ca_has_a_text_of_its_own(&site).await;
    issuer_ca::c108_the_issuers_ca_comes_from_where_the_authenticator_says(&site).await;
    issuer_ca::c108_rights_that_are_missing_are_named(&site).await;
    authenticator::c044_an_audience_of_pinnipeds_own_is_refused(&site).await;
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
            let kubectl = self.cluster.kubectl().with_kubeconfig(&kubeconfig);
            until("may read", async || {
                kubectl.run(["get", resources]).await.is_ok()
            })
            .await;
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
