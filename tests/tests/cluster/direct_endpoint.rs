//! Door B: logins past an API server that answers nobody without credentials, without any patch of it.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_tests::cluster::{
    Anonymous, ClusterOptions, LOGIN_PATH, Profile, ReverseProxy, ServerAuthority, ServerPair,
    StackOptions, free_ports,
};
use haulout_tests::logins;
use serde_json::{Map, Value, json};

use crate::running::Running;

const NAMESPACE: &str = "haulout-system";
const SECRET: &str = "login-tls";
/// What the CredentialIssuer is watched for at most.
const LIMIT: Duration = Duration::from_secs(60);

/// A cluster as Talos ships it but for our manifests, and a webhook with this direct endpoint.
async fn start(direct_endpoint: Value) -> Running {
    let cluster = ClusterOptions {
        anonymous: Anonymous::Off,
        ..ClusterOptions::new(Profile::Talos)
    };
    let options = StackOptions {
        webhook: Map::from_iter([
            ("directEndpoint".to_owned(), direct_endpoint),
            (
                "limits".to_owned(),
                json!({"perAddressPerSecond": 1, "perAddressBurst": 20}),
            ),
        ]),
        ..StackOptions::default()
    };
    Running::start_in(cluster, &options).await
}

impl Running {
    /// The third strategy, once it has this reason and its message holds this text.
    async fn direct_strategy(&self, reason: &str, text: &str) -> Value {
        let mut last = Value::Null;
        let found = tokio::time::timeout(LIMIT, async {
            loop {
                let issuer = self.credential_issuer("haulout").await;
                last = issuer["status"]["strategies"].clone();
                let message = last[2]["message"].as_str().unwrap_or_default();
                if last[2]["reason"] == reason && message.contains(text) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let found = found.await;
        found.unwrap_or_else(|_| panic!("{reason}, {text}: {last:#}"));
        assert_eq!(last[2]["type"], "DirectEndpoint");
        last[2].clone()
    }

    /// URL and CA of the endpoint, as clients are told of them.
    async fn told(&self) -> (String, String) {
        let strategy = self
            .direct_strategy("Listening", "--concierge-endpoint=")
            .await;
        assert_eq!(strategy["status"], "Success");
        assert_eq!(strategy["frontend"]["type"], "DirectEndpoint");
        let info = &strategy["frontend"]["directEndpointInfo"];
        let text = |field: &str| info[field].as_str().unwrap().to_owned();
        (text("endpoint"), text("certificateAuthorityData"))
    }

    /// The `exec` stanza whose login goes to this endpoint; all else goes to the API server.
    fn direct_stanza(&self, (url, ca): &(String, String)) -> Value {
        let mut stanza = self.stack.exec_stanza(&self.cluster, None).unwrap();
        let arguments = stanza["args"].as_array_mut().unwrap();
        for argument in arguments {
            let name = argument.as_str().unwrap().split_once('=');
            match name.map(|(name, _)| name) {
                Some("--concierge-endpoint") => {
                    *argument = json!(format!("--concierge-endpoint={url}"));
                }
                Some("--concierge-ca-bundle-data") => {
                    *argument = json!(format!("--concierge-ca-bundle-data={ca}"));
                }
                _ => {}
            }
        }
        stanza
    }

    /// What the API server says of alice, who logs in at this endpoint.
    async fn whoami_by(&self, told: &(String, String)) -> Result<Value, String> {
        let token = self.stack.token("alice", &["devs"]).await.unwrap();
        let stanza = self.direct_stanza(told);
        let arguments = ["auth", "whoami", "-o", "json"];
        let text = self.kubectl_by(stanza, &token, &arguments).await?;
        let review: Value = serde_json::from_str(&text).unwrap();
        Ok(review["status"]["userInfo"].clone())
    }

    /// Puts fields into the webhook's `directEndpoint` and starts it anew.
    fn reconfigure(&mut self, fields: &Value) {
        let path: PathBuf = self.cluster.folder().join("haulout/haulout-webhook-0.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        let direct = config["directEndpoint"].as_object_mut().unwrap();
        direct.extend(fields.as_object().unwrap().clone());
        std::fs::write(&path, config.to_string()).unwrap();
        self.stack.webhook().restart().unwrap();
    }

    /// Makes or replaces the Secret with the endpoint's certificate.
    async fn put_secret(&self, pair: &ServerPair, ca: &ServerAuthority) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": SECRET, "namespace": NAMESPACE},
            "stringData": {
                "tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": ca.certificate(),
            },
        });
        self.cluster
            .kubectl()
            .apply(&secret.to_string())
            .await
            .unwrap();
    }
}

/// A client of the endpoint that comes from a loopback address of its own.
fn client(ca: &str, from: [u8; 4]) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
    reqwest::Client::builder()
        .tls_certs_only([ca])
        .local_address(std::net::IpAddr::from(from))
        .timeout(Duration::from_secs(10))
        .no_proxy()
        .build()
        .unwrap()
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_kubectl_works_behind_a_plain_reverse_proxy() {
    let [direct, proxied] = free_ports().unwrap();
    let (ca, url) = (
        ServerAuthority::new("company CA").unwrap(),
        format!("https://localhost:{proxied}"),
    );
    let running = start(json!({
        "listen": format!("127.0.0.1:{direct}"),
        "externalUrl": url,
        "certificateAuthorityData": STANDARD.encode(ca.certificate()),
        "trustedProxies": ["127.0.0.1"],
    }))
    .await;
    let pair = ca.issue("localhost").unwrap();
    let _nginx = ReverseProxy::start(&running.cluster, proxied, direct, &pair)
        .await
        .unwrap();

    // Nobody without credentials gets past the API server, on any path.
    let (status, _, _) = running.post(&logins::body("junk")).await;
    assert_eq!(status, 401);
    assert_eq!(
        running.cluster.anonymous_status("/version").await.unwrap(),
        401
    );

    let told = running.told().await;
    assert_eq!(told.0, url);
    // The column has the first that works, as before.
    let row = ["get", "credentialissuer", "haulout", "--no-headers"];
    let row = running.cluster.kubectl().run(row).await.unwrap();
    let columns: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(
        columns[..3],
        ["haulout", "disabled", "KubeClusterSigningCertificate"],
        "{row}"
    );
    let user = running.whoami_by(&told).await.unwrap();
    assert_eq!(user["username"], "alice");
    assert_eq!(user["groups"], json!(["devs", "system:authenticated"]));
    nodes_are_listed(&running, &told).await;

    let client = client(ca.certificate(), [127, 0, 0, 9]);
    what_a_caller_says_of_himself_means_nothing(&running, &client, &url).await;
    nothing_else_is_served(&running, &client, &url).await;
    addresses_have_limits_of_their_own(&running, &url, ca.certificate()).await;
}

async fn nodes_are_listed(running: &Running, told: &(String, String)) {
    let admin = running.cluster.kubectl();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "control-plane-1"}});
    admin.apply(&node.to_string()).await.unwrap();
    let role = [
        "create",
        "clusterrole",
        "nodes",
        "--verb=list",
        "--resource=nodes",
    ];
    admin.run(role).await.unwrap();
    let bind = [
        "create",
        "clusterrolebinding",
        "nodes",
        "--clusterrole=nodes",
        "--group=devs",
    ];
    admin.run(bind).await.unwrap();
    let stanza = running.direct_stanza(told);
    let mut last = Ok(String::new());
    for _ in 0..20 {
        // The API server may take a moment to learn of the binding.
        let token = running.stack.token("alice", &["devs"]).await.unwrap();
        last = running
            .kubectl_by(stanza.clone(), &token, &["get", "nodes"])
            .await;
        if last.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(
        last.as_ref()
            .is_ok_and(|shown| shown.contains("control-plane-1")),
        "{last:?}"
    );
}

async fn what_a_caller_says_of_himself_means_nothing(
    running: &Running,
    client: &reqwest::Client,
    url: &str,
) {
    let forge = |token: &str| {
        let request = client
            .post(format!("{url}{LOGIN_PATH}"))
            .json(&logins::body(token));
        [
            ("x-remote-user", "kubernetes-admin"),
            ("x-remote-group", "system:masters"),
            ("x-remote-extra-scopes", "all"),
            ("impersonate-user", "kubernetes-admin"),
            ("impersonate-group", "system:masters"),
            ("audit-id", "chosen-by-the-client"),
        ]
        .into_iter()
        .fold(request, |request, (name, value)| {
            request.header(name, value)
        })
        .send()
    };
    let junk = forge("junk").await.unwrap();
    assert_eq!(junk.status(), 201);
    let junk: Value = junk.json().await.unwrap();
    assert_eq!(junk["status"], json!({"message": "authentication failed"}));

    let token = running.stack.token("bob", &["visitors"]).await.unwrap();
    let answer = forge(&token).await.unwrap();
    assert_eq!(answer.status(), 201);
    let audit_id = answer.headers()["audit-id"].to_str().unwrap().to_owned();
    assert_ne!(audit_id, "chosen-by-the-client");
    let answer: Value = answer.json().await.unwrap();
    let bob = running.client_of(&answer["status"]["credential"]);
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let seen = bob
        .post(running.url(path))
        .json(&review)
        .send()
        .await
        .unwrap();
    let seen: Value = seen.json().await.unwrap();
    let user = &seen["status"]["userInfo"];
    assert_eq!(user["username"], "bob", "{seen}");
    assert_eq!(user["groups"], json!(["visitors", "system:authenticated"]));

    // Our own log is the only one that has such a login, with the client's address.
    let log = running.cluster.folder().join("logs/haulout-webhook.log");
    let log = std::fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(&audit_id))
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        assert!(line.contains(r#""sourceIP":"127.0.0.9""#), "{line}");
    }
}

async fn nothing_else_is_served(running: &Running, client: &reqwest::Client, url: &str) {
    let reason = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.unwrap();
        let code = answer.status().as_u16();
        let status: Value = answer.json().await.unwrap();
        assert_eq!(status["kind"], "Status", "{status}");
        (code, status["reason"].as_str().unwrap().to_owned())
    };
    for path in [
        "/",
        "/version",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/namespaces",
        "/apis/login.concierge.pinniped.dev/v1alpha1",
        "/apis/identity.concierge.pinniped.dev/v1alpha1/whoamirequests",
    ] {
        let seen = reason(client.get(format!("{url}{path}"))).await;
        assert_eq!(seen, (404, "NotFound".to_owned()), "{path}");
    }
    let list = reason(client.get(format!("{url}{LOGIN_PATH}"))).await;
    assert_eq!(list, (405, "MethodNotAllowed".to_owned()));
    let token = running.stack.token("bob", &["visitors"]).await.unwrap();
    for protocol in ["websocket", "SPDY/3.1"] {
        let request = client.post(format!("{url}{LOGIN_PATH}"));
        let request = request
            .header("connection", "upgrade")
            .header("upgrade", protocol)
            .json(&logins::body(&token));
        let seen = reason(request).await;
        assert_eq!(seen, (400, "BadRequest".to_owned()), "{protocol}");
    }
}

/// Through one proxy, which tells them apart.
async fn addresses_have_limits_of_their_own(running: &Running, url: &str, ca: &str) {
    let log_in = async |client: &reqwest::Client, token: &str| {
        let request = client
            .post(format!("{url}{LOGIN_PATH}"))
            .json(&logins::body(token));
        // What the client says of itself stands before what the proxy adds.
        let request = request.header("x-forwarded-for", "198.51.100.1");
        request.send().await.unwrap().status().as_u16()
    };
    // Made before, so that no new logins are due meanwhile.
    let token = running.stack.token("bob", &["visitors"]).await.unwrap();
    let [one, other] = [10, 11].map(|last| client(ca, [127, 0, 0, last]));
    let mut seen = Vec::new();
    for _ in 0..40 {
        seen.push(log_in(&one, "junk").await);
    }
    assert!(
        seen.starts_with(&[201; 20]) && seen.contains(&429),
        "{seen:?}"
    );
    assert_eq!(log_in(&other, &token).await, 201);
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_direct_endpoint_has_its_own_certificate_or_a_given_one() {
    let [direct] = free_ports().unwrap();
    let url = format!("https://localhost:{direct}");
    let mut running = start(json!({
        "listen": format!("127.0.0.1:{direct}"),
        "externalUrl": url,
    }))
    .await;
    let own = running.told().await;
    assert_eq!(own.0, url);
    let serving = [
        "get",
        "secret",
        "-n",
        NAMESPACE,
        "haulout-serving",
        "-o",
        "json",
    ];
    let serving = running.cluster.kubectl().json(&serving).await.unwrap();
    let pem = |encoded: &str| String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
    let serving_ca = pem(serving["data"]["ca.crt"].as_str().unwrap());
    assert_eq!(pem(&own.1), serving_ca);
    let user = running.whoami_by(&own).await.unwrap();
    assert_eq!(user["username"], "alice");

    running.reconfigure(&json!({"tlsSecretName": SECRET}));
    let awaited = running
        .direct_strategy("Pending", "haulout-system/login-tls")
        .await;
    assert_eq!(
        (&awaited["status"], &awaited["frontend"]),
        (&json!("Error"), &Value::Null)
    );
    let (first, second) = (
        ServerAuthority::new("first CA").unwrap(),
        ServerAuthority::new("second CA").unwrap(),
    );
    let issue = |ca: &ServerAuthority| ca.issue("localhost").unwrap();
    let told_of = |ca: &ServerAuthority| (url.clone(), STANDARD.encode(ca.certificate()));
    running.put_secret(&issue(&first), &first).await;
    assert_eq!(running.told().await, told_of(&first));
    running.whoami_by(&told_of(&first)).await.unwrap();

    // A mistake is told of, and leaves served what was good.
    let of_another_host = first.issue("other.example.com").unwrap();
    running.put_secret(&of_another_host, &first).await;
    let wrong = running
        .direct_strategy("ErrorDuringSetup", "no certificate for localhost")
        .await;
    assert_eq!(
        (&wrong["status"], &wrong["frontend"]),
        (&json!("Error"), &Value::Null)
    );
    running.whoami_by(&told_of(&first)).await.unwrap();

    // A renewed one is taken without a restart.
    let process = running.stack.webhook().id();
    running.put_secret(&issue(&second), &second).await;
    running.direct_strategy("Listening", "").await;
    assert_eq!(running.told().await, told_of(&second));
    running.whoami_by(&told_of(&second)).await.unwrap();
    let refused = running.whoami_by(&told_of(&first)).await.unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    assert_eq!(running.stack.webhook().id(), process);
}
