//! Logins through the real API server: who gets in, as whom, and who does not.

use std::path::Path;
use std::process::Command;

use haulout_tests::cluster::{
    AUDIENCE, AUTHENTICATOR, Cluster, ClusterOptions, Credential, HauloutStack, LOGIN_PATH,
    Profile, StackOptions, TOKEN_VARIABLE,
};
use haulout_tests::logins;
use serde_json::{Value, json};

/// A cluster with Haulout; the stack is dropped first.
pub(crate) struct Running {
    pub(crate) stack: HauloutStack,
    pub(crate) cluster: Cluster,
}

impl Running {
    pub(crate) async fn start(profile: Profile, options: &StackOptions) -> Self {
        let cluster = Cluster::start(ClusterOptions::new(profile)).await.unwrap();
        let stack = HauloutStack::start(&cluster, options).await.unwrap();
        Self { stack, cluster }
    }

    /// `kubectl` as a person with this token and a kubeconfig without secrets.
    pub(crate) async fn kubectl(&self, token: &str, arguments: &[&str]) -> Result<String, String> {
        let stanza = self.stack.exec_stanza(&self.cluster, None).unwrap();
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

    /// An anonymous POST to the login path of the API server: status, `Audit-ID` and body.
    pub(crate) async fn post(&self, body: &Value) -> (u16, String, Value) {
        let client = self.client(|builder| builder);
        let url = format!("{}{LOGIN_PATH}", self.cluster.server());
        let answer = client.post(url).json(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let audit_id = answer
            .headers()
            .get("audit-id")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        (status, audit_id, answer.json().await.unwrap())
    }

    /// A GET as a member of `system:masters` with an `Accept` header that kubectl does not send.
    pub(crate) async fn get_as_admin(&self, path: &str, accept: &str) -> Value {
        let pair = self
            .cluster
            .pki()
            .user("discovery", Some("system:masters"))
            .unwrap();
        let mut identity = std::fs::read(pair.certificate).unwrap();
        identity.extend(std::fs::read(pair.key).unwrap());
        let client = self
            .client(|builder| builder.identity(reqwest::Identity::from_pem(&identity).unwrap()));
        let url = format!("{}{path}", self.cluster.server());
        client
            .get(url)
            .header("accept", accept)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    fn client(
        &self,
        with: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> reqwest::Client {
        let ca = std::fs::read(self.cluster.ca_certificate()).unwrap();
        let builder = reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&ca).unwrap())
            .timeout(std::time::Duration::from_secs(10))
            .no_proxy();
        with(builder).build().unwrap()
    }

    fn webhook_log(&mut self) -> String {
        std::fs::read_to_string(self.stack.webhook().log()).unwrap()
    }
}

fn now() -> i64 {
    let now = haulout_operate::clock::Clock::system().now();
    let seconds = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(seconds).unwrap()
}

fn openssl(arguments: &[&str], certificate: &Path) -> String {
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-in"])
        .arg(certificate)
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_a_token_becomes_the_user_and_every_group() {
    for profile in Profile::ALL {
        let mut running = Running::start(profile, &StackOptions::default()).await;
        let odd = ["devs", "ops, night", "a+b=c\\d", "Größe", " padded "];
        let token = running.stack.token("alice", &odd).await.unwrap();
        let text = running
            .kubectl(&token, &["auth", "whoami", "-o", "json"])
            .await
            .unwrap();
        let review: Value = serde_json::from_str(&text).unwrap();
        let user = &review["status"]["userInfo"];
        assert_eq!(user["username"], "alice", "{profile}");
        let mut groups: Vec<&str> = user["groups"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        groups.sort_unstable();
        let mut expected = odd.to_vec();
        expected.push("system:authenticated");
        expected.sort_unstable();
        assert_eq!(groups, expected, "{profile}");

        // Bound by group only: what the API server allows is what the token's groups are allowed.
        let admin = running.cluster.kubectl();
        admin
            .run([
                "create",
                "clusterrolebinding",
                "devs",
                "--clusterrole=view",
                "--group=devs",
            ])
            .await
            .unwrap();
        running
            .kubectl(&token, &["get", "configmaps", "-A"])
            .await
            .unwrap();
        let other = running.stack.token("bob", &["visitors"]).await.unwrap();
        let refused = running
            .kubectl(&other, &["get", "configmaps", "-A"])
            .await
            .unwrap_err();
        assert!(refused.contains("Forbidden"), "{refused}");

        let log = running.webhook_log();
        assert!(!log.contains(&token), "{profile}: the token is in the log");
        assert!(
            !log.contains("alice"),
            "{profile}: names are redacted by default"
        );
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_certificate_is_as_the_reference_s() {
    let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let claims =
        json!({"username": "alice", "groups": ["devs", "ops"], "aud": AUDIENCE, "jti": "j-1"});
    let token = running.stack.token_with(&claims).await.unwrap();
    let (status, audit_id, answer) = running.post(&logins::body(&token)).await;
    assert_eq!(status, 201, "{answer}");
    assert!(!audit_id.is_empty());
    assert_eq!(
        answer["spec"],
        json!({"authenticator": {"apiGroup": null, "kind": "", "name": ""}})
    );
    assert_eq!(answer["status"].get("message"), None);
    let credential = &answer["status"]["credential"];
    let file = running.cluster.folder().join("alice.crt");
    std::fs::write(&file, credential["clientCertificateData"].as_str().unwrap()).unwrap();

    let subject = openssl(&["-subject", "-nameopt", "RFC2253,sep_multiline"], &file);
    for part in [
        "CN=alice",
        "O=devs",
        "O=ops",
        "OU=authentication.kubernetes.io/credential-id=JTI\\=j-1",
    ] {
        assert!(
            subject
                .replace("\\=", "=")
                .contains(&part.replace("\\=", "=")),
            "{part}: {subject}"
        );
    }
    let text = openssl(&["-text"], &file);
    for part in [
        "TLS Web Client Authentication",
        "CA:FALSE",
        "sha256WithRSAEncryption",
        "prime256v1",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for part in [
        "Subject Alternative Name",
        "Key Usage: critical",
        "TLS Web Server",
    ] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    let expiration = credential["expirationTimestamp"].as_str().unwrap();
    let until = openssl(&["-enddate", "-dateopt", "iso_8601"], &file);
    assert_eq!(
        until.trim(),
        format!("notAfter={}", expiration.replace('T', " "))
    );
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_bad_tokens_get_the_one_answer() {
    let mut running = Running::start(Profile::Talos, &StackOptions::default()).await;
    let good = running.stack.token("alice", &["devs"]).await.unwrap();
    let cases = bad_tokens(&running.stack, &good).await;
    for (what, token) in &cases {
        let (status, audit_id, answer) = running.post(&logins::body(token)).await;
        assert_eq!(status, 201, "{what}: {answer}");
        assert_eq!(
            answer["status"],
            json!({"message": "authentication failed"}),
            "{what}"
        );
        let log = running.webhook_log();
        let reasons = log
            .lines()
            .filter(|line| line.contains(&audit_id) && line.contains("\"reason\""))
            .count();
        assert_eq!(reasons, 1, "{what}: the reason stands under {audit_id}");
        assert!(
            !log.contains(token.as_str()),
            "{what}: the token is in the log"
        );
    }
    // The good one still works.
    let (_, _, answer) = running.post(&logins::body(&good)).await;
    assert!(answer["status"]["credential"].is_object());

    let mut unknown = logins::body(&good);
    unknown["spec"]["authenticator"]["name"] = "nobody".into();
    let (status, _, answer) = running.post(&unknown).await;
    assert_eq!(
        (status, &answer["status"]),
        (201, &json!({"message": "authentication failed"}))
    );

    let (status, _, answer) = running.post(&logins::body("")).await;
    assert_eq!(status, 422);
    assert_eq!(
        answer["message"],
        ".login.concierge.pinniped.dev \"\" is invalid: spec.token.value: Required value: token must be supplied"
    );

    let spoken = running
        .kubectl(&cases[0].1, &["auth", "whoami"])
        .await
        .unwrap_err();
    assert!(spoken.contains("authentication failed"), "{spoken}");
}

async fn bad_tokens(stack: &HauloutStack, good: &str) -> Vec<(&'static str, String)> {
    let (head, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let claims =
        |aud: &str, exp: i64| json!({"username": "alice", "groups": [], "aud": aud, "exp": exp});
    let expired = stack
        .token_with(&claims(AUDIENCE, now() - 1))
        .await
        .unwrap();
    let elsewhere = stack
        .token_with(&claims("another-cluster", now() + 60))
        .await
        .unwrap();
    let foreign = stack
        .token_with(&json!({"iss": "https://evil.example.com", "username": "a", "aud": AUDIENCE}))
        .await
        .unwrap();
    let mut other_signature = signature.to_owned();
    let first = if other_signature.starts_with('A') {
        "B"
    } else {
        "A"
    };
    other_signature.replace_range(..1, first);
    let unsigned = "eyJhbGciOiJub25lIn0";
    vec![
        ("forged", format!("{head}.{payload}.{other_signature}")),
        ("no signature", format!("{head}.{payload}.")),
        ("alg none", format!("{unsigned}.{payload}.")),
        ("expired", expired),
        ("for another cluster", elsewhere),
        ("of another issuer", foreign),
        ("no JWT", "opaque".to_owned()),
        (
            "reserved group",
            stack.token("alice", &["system:masters"]).await.unwrap(),
        ),
        (
            "reserved user",
            stack.token("system:node:x", &[]).await.unwrap(),
        ),
        (
            "kubeadm group",
            stack
                .token("alice", &["kubeadm:cluster-admins"])
                .await
                .unwrap(),
        ),
        (
            "front proxy",
            stack.token("front-proxy-client", &[]).await.unwrap(),
        ),
    ]
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_status_tells_what_is_wrong_with_an_authenticator() {
    let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let kubectl = running.cluster.kubectl();
    let ready = kubectl
        .json(&["get", "jwtauthenticator", AUTHENTICATOR])
        .await
        .unwrap();
    let conditions = ready["status"]["conditions"].as_array().unwrap();
    let types: Vec<&str> = conditions
        .iter()
        .filter_map(|c| c["type"].as_str())
        .collect();
    assert_eq!(
        types,
        [
            "AuthenticatorValid",
            "DiscoveryURLValid",
            "IssuerURLValid",
            "JWKSFetchValid",
            "JWKSURLValid",
            "Ready",
            "TLSConfigurationValid"
        ]
    );
    assert!(
        conditions.iter().all(|c| c["status"] == "True"),
        "{conditions:?}"
    );

    let broken = json!({
        "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1", "kind": "JWTAuthenticator",
        "metadata": {"name": "broken"},
        "spec": {"issuer": "https://127.0.0.1:1", "audience": "x"},
    });
    kubectl.apply(&broken.to_string()).await.unwrap();
    kubectl
        .run([
            "wait",
            "--for=jsonpath={.status.phase}=Error",
            "--timeout=30s",
            "jwtauthenticator/broken",
        ])
        .await
        .unwrap();
    // The good one does not notice.
    let token = running.stack.token("alice", &[]).await.unwrap();
    running.kubectl(&token, &["auth", "whoami"]).await.unwrap();
    kubectl
        .run(["delete", "jwtauthenticator", AUTHENTICATOR])
        .await
        .unwrap();
    let mut tries = 0;
    loop {
        let (_, _, answer) = running.post(&logins::body(&token)).await;
        if answer["status"].get("message").is_some() {
            break;
        }
        tries += 1;
        assert!(tries < 100, "a deleted authenticator goes on");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
