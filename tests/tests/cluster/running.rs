//! A cluster with Haulout in it, and how tests use it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_tests::cluster::{
    AUDIENCE, Cluster, ClusterOptions, Credential, HauloutStack, Profile, Provider, StackOptions,
    TOKEN_VARIABLE,
};
use haulout_tests::logins;
use serde_json::{Value, json};

const TRIES: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// A cluster with Haulout; the stack is dropped first.
pub(crate) struct Running {
    pub(crate) stack: HauloutStack,
    pub(crate) cluster: Cluster,
}

impl Running {
    pub(crate) async fn start(profile: Profile, options: &StackOptions) -> Self {
        Self::start_in(ClusterOptions::new(profile), options).await
    }

    pub(crate) async fn start_in(cluster: ClusterOptions, options: &StackOptions) -> Self {
        let cluster = Cluster::start(cluster).await.unwrap();
        let stack = HauloutStack::start(&cluster, options).await.unwrap();
        Self { stack, cluster }
    }

    /// `kubectl` as a person with this token and a kubeconfig without secrets.
    pub(crate) async fn kubectl(&self, token: &str, arguments: &[&str]) -> Result<String, String> {
        let stanza = self.stack.exec_stanza(&self.cluster, None).unwrap();
        self.kubectl_by(stanza, token, arguments).await
    }

    /// The same by another `exec` stanza.
    pub(crate) async fn kubectl_by(
        &self,
        stanza: Value,
        token: &str,
        arguments: &[&str],
    ) -> Result<String, String> {
        let kubeconfig = self
            .cluster
            .kubeconfig("user", &Credential::Exec(stanza))
            .unwrap();
        self.cluster
            .kubectl()
            .with_kubeconfig(&kubeconfig)
            .run_with(arguments, &[(TOKEN_VARIABLE, token)])
            .await
            .map_err(|error| format!("{error:#}"))
    }

    /// Who the API server says that the holder of this token is, by `kubectl auth whoami`.
    pub(crate) async fn whoami(&self, token: &str) -> Value {
        let arguments = ["auth", "whoami", "-o", "json"];
        let text = self.kubectl(token, &arguments).await.unwrap();
        let review: Value = serde_json::from_str(&text).unwrap();
        review["status"]["userInfo"].clone()
    }

    /// A `CredentialIssuer`; null where there is none.
    pub(crate) async fn credential_issuer(&self, name: &str) -> Value {
        let get = [
            "get",
            "credentialissuer",
            name,
            "--ignore-not-found",
            "-o",
            "json",
        ];
        let text = self.cluster.kubectl().run(get).await.unwrap();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Makes a `JWTAuthenticator` for this issuer's tokens with this audience, and waits until it is `Ready`.
    pub(crate) async fn trust(
        &self,
        name: &str,
        (issuer, ca_pem): (&str, &str),
        audience: &str,
        claims: Value,
    ) {
        let object = json!({
            "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1",
            "kind": "JWTAuthenticator",
            "metadata": {"name": name},
            "spec": {
                "issuer": issuer,
                "audience": audience,
                "claims": claims,
                "tls": {"certificateAuthorityData": STANDARD.encode(ca_pem)},
            },
        });
        let kubectl = self.cluster.kubectl();
        kubectl.apply(&object.to_string()).await.unwrap();
        let ready = ["--for=jsonpath={.status.phase}=Ready", "--timeout=30s"];
        let wait = [&["wait", "jwtauthenticator", name][..], &ready].concat();
        kubectl.run(wait).await.unwrap();
    }

    /// The same for an identity provider that runs beside the cluster.
    pub(crate) async fn trust_provider(
        &self,
        name: &str,
        provider: &Provider,
        audience: &str,
        claims: Value,
    ) {
        let ca = std::fs::read_to_string(provider.ca()).unwrap();
        self.trust(name, (provider.issuer(), &ca), audience, claims)
            .await;
    }

    /// An anonymous POST to the login path of the API server: status, `Audit-ID` and body.
    pub(crate) async fn post(&self, body: &Value) -> (u16, String, Value) {
        let path = format!(
            "/apis/{}/v1alpha1/tokencredentialrequests",
            self.stack.suffix().login_group()
        );
        let request = self.client(None).post(self.url(&path)).json(body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let audit_id = answer
            .headers()
            .get("audit-id")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let text = answer.text().await.unwrap();
        // The API server says in plain text that it cannot reach us.
        let body = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
        (status, audit_id, body)
    }

    /// One login through the API server, which must go well; gives the credential.
    pub(crate) async fn log_in(&self, token: &str, what: &str) -> Value {
        let (status, audit_id, answer) = self.post(&logins::body(token)).await;
        let credential = answer["status"]["credential"].clone();
        assert!(
            status == 201 && credential.is_object(),
            "{what}: {status} {audit_id}: {answer}"
        );
        credential
    }

    /// Ten logins through the API server one after the other, which must all go well.
    pub(crate) async fn log_in_ten_times(&self, token: &str, when: &str) {
        for number in 1..=10 {
            self.log_in(token, &format!("{when}, login {number} of 10"))
                .await;
        }
    }

    /// A GET as a member of `system:masters` with an `Accept` header that kubectl does not send.
    pub(crate) async fn get_as_admin(&self, path: &str, accept: &str) -> Value {
        let request = self.admin_client().get(self.url(path));
        let answer = request.header("accept", accept).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// A GET of the webhook's plain port: status and text.
    pub(crate) async fn plain(&self, port: u16, path: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{port}{path}");
        match self.client(None).get(url).send().await {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap()),
            Err(error) => (0, error.to_string()),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.cluster.server())
    }

    /// A client of the API server, with a client certificate and its key (PEM) if given.
    pub(crate) fn client(&self, identity: Option<&str>) -> reqwest::Client {
        let mut builder = self.client_builder();
        if let Some(pem) = identity {
            builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap());
        }
        builder.build().unwrap()
    }

    pub(crate) fn client_builder(&self) -> reqwest::ClientBuilder {
        let ca = std::fs::read(self.cluster.ca_certificate()).unwrap();
        reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&ca).unwrap())
            .timeout(Duration::from_secs(10))
            .no_proxy()
    }

    /// A client with a credential of ours.
    pub(crate) fn client_of(&self, credential: &Value) -> reqwest::Client {
        let [certificate, key] = ["clientCertificateData", "clientKeyData"]
            .map(|field| credential[field].as_str().unwrap());
        self.client(Some(&format!("{certificate}{key}")))
    }

    /// The same as a member of `system:masters`.
    pub(crate) fn admin_client(&self) -> reqwest::Client {
        let pair = self.cluster.pki();
        let pair = pair.user("admin-client", Some("system:masters")).unwrap();
        let [certificate, key] =
            [pair.certificate, pair.key].map(|path| std::fs::read_to_string(path).unwrap());
        self.client(Some(&format!("{certificate}{key}")))
    }

    pub(crate) fn webhook_log(&mut self) -> String {
        std::fs::read_to_string(self.stack.webhook().log()).unwrap()
    }

    /// A token of alice that outlives any test.
    pub(crate) async fn long_lived_token(&self) -> String {
        let claims = json!({
            "username": "alice", "groups": ["devs"], "aud": AUDIENCE, "exp": now() + 600,
        });
        self.stack.token_with(&claims).await.unwrap()
    }
}

pub(crate) fn now() -> i64 {
    let now = haulout_operate::clock::Clock::system().now();
    let seconds = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(seconds).unwrap()
}

/// Looks again and again until `done`.
pub(crate) async fn until<F: AsyncFnMut() -> bool>(what: &str, mut done: F) {
    for _ in 0..TRIES {
        if done().await {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{what}: not in time");
}
