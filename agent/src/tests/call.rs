//! The signing call: who may make it, what is refused, what is answered.

use haulout_pki::bundle::{common_name, spki_der, uri_sans, validity};
use haulout_serve::listener::PeerCertificates;

use super::*;

#[tokio::test]
async fn a_login_gets_a_certificate_of_the_cluster() {
    let agent = Running::start().await;
    let mut request = request_for("alice", &["devs", "ops", "system:authenticated"]);
    request["extra"] = json!({"example.com/team": ["x", "y"]});
    let answer = agent.webhook().await.sign(&request).await;
    assert_eq!(answer.status, 200, "{answer:?}");

    let certificate = answer.certificate();
    assert_eq!(common_name(&certificate).unwrap(), "alice");
    let key = BASE64_STANDARD.encode(spki_der(&certificate).unwrap());
    assert_eq!(key, request["publicKey"]);
    assert!(uri_sans(&certificate).is_empty());
    let within = |text: &str| {
        certificate
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    for text in [
        "devs",
        "ops",
        "system:authenticated",
        "example.com/team=x",
        "example.com/team=y",
    ] {
        assert!(within(text), "{text}");
    }

    let now = agent
        .network
        .now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let answer = answer.json();
    assert_eq!(answer["notBefore"], now.as_secs() - 300);
    assert_eq!(answer["notAfter"], now.as_secs() + 300);
    assert_eq!(answer["agentTimeMillis"], now.as_millis() as u64);
    let dates = validity(&certificate).unwrap();
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(
        seconds(dates.not_before),
        Duration::from_secs(now.as_secs() - 300)
    );
    assert_eq!(
        seconds(dates.not_after),
        Duration::from_secs(now.as_secs() + 300)
    );
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &certificate);
    let hash: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(answer["x509Sha256"], hash);
}

#[tokio::test]
async fn only_the_webhook_is_answered() {
    let agent = Running::start().await;
    let stranger = Network::new(agent.network.now);
    let (server_certificate, server_key) = agent.network.server();
    for (who, identity) in [
        ("no certificate", None),
        ("another CA", Some(stranger.client(WEBHOOK_URI))),
        ("another URI", Some(agent.network.client("haulout:agent"))),
        (
            "a longer URI",
            Some(agent.network.client("haulout:webhook2")),
        ),
        (
            "a certificate for servers",
            Some(identity(&server_certificate, &server_key)),
        ),
    ] {
        let client = agent.client(identity).await.unwrap();
        let answer = client.sign(&request_for("alice", &[])).await;
        assert_eq!(answer.refusal(), refused(401, "Unauthenticated"), "{who}");
    }
    assert!(
        agent
            .audit()
            .iter()
            .all(|line| line["decision"] == "refused")
    );
}

/// What it is trusted with is its connection: strangers' end after a while.
#[tokio::test]
async fn only_the_webhook_is_trusted() {
    let agent = Running::start().await;
    let key = KeyPair::generate_p256().unwrap();
    let trusted = |network: &Network, uri| {
        let pem = network.client_pem(uri, &key);
        let chain = CertificateBundle::parse_pem(pem.as_bytes()).unwrap();
        agent
            .trust
            .trusts(&PeerCertificates(chain.certificates().into()))
    };
    assert!(trusted(&agent.network, WEBHOOK_URI));
    assert!(!trusted(&agent.network, "haulout:agent"));
    assert!(!trusted(&Network::new(agent.network.now), WEBHOOK_URI));
    assert!(!agent.trust.trusts(&PeerCertificates(Arc::default())));
    agent.clock.advance(DAY + Duration::from_secs(1));
    assert!(!trusted(&agent.network, WEBHOOK_URI));
}

/// The rest of his request is not waited for.
#[tokio::test]
async fn a_stranger_is_answered_at_once() {
    let agent = Running::start().await;
    let stranger = agent.client(None).await.unwrap();
    let body = Body::from_stream(futures_util::stream::pending::<io::Result<&str>>());
    let answer = stranger.send(Method::POST, CERTIFICATES_PATH, body).await;
    assert_eq!(answer.refusal(), refused(401, "Unauthenticated"));
}

#[tokio::test]
async fn what_the_webhook_sends_comes_in_time() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    tokio::time::pause();
    let body = Body::from_stream(futures_util::stream::pending::<io::Result<&str>>());
    let answer = webhook.send(Method::POST, CERTIFICATES_PATH, body).await;
    assert_eq!(answer.refusal(), refused(400, "InvalidRequest"));
    assert!(answer.text.contains("took too long"), "{answer:?}");
}

#[tokio::test]
async fn no_more_headers_are_read_than_a_call_has() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    for (bytes, status) in [(15, 200), (17, 431)] {
        let mut request = Request::post(format!("https://{SERVER_NAME}{CERTIFICATES_PATH}"));
        for _ in 0..bytes {
            request = request.header("name", "x".repeat(1024 - 32 - "name".len()));
        }
        let body = Body::from(request_for("alice", &[]).to_string());
        let sent = webhook.0.clone().send_request(request.body(body).unwrap());
        assert_eq!(sent.await.unwrap().status(), status, "{bytes} KiB");
    }
}

/// A certificate that the cluster's CA issued opens nothing here, not even one that we made.
#[tokio::test]
async fn a_login_cannot_call_the_agent() {
    let agent = Running::start().await;
    let key = KeyPair::generate_p256().unwrap();
    let mut request = request_for(WEBHOOK_URI, &[]);
    request["publicKey"] = json!(BASE64_STANDARD.encode(key.spki_der()));
    let webhook = agent.webhook().await;
    assert_eq!(
        webhook.sign(&request).await.refusal(),
        refused(403, "RefusedByPolicy")
    );
    request["username"] = json!("alice");
    let answer = webhook.sign(&request).await;
    let pem = answer.json()["certificate"].as_str().unwrap().to_owned();
    let client = agent
        .client(Some(identity(&pem, &key.pkcs8_pem())))
        .await
        .unwrap();
    assert_eq!(
        client.sign(&request).await.refusal(),
        refused(401, "Unauthenticated")
    );
}

#[tokio::test]
async fn a_webhook_whose_certificate_has_expired_is_no_webhook() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    assert_eq!(webhook.sign(&request_for("alice", &[])).await.status, 200);
    agent.clock.advance(DAY + Duration::from_secs(1));
    let answer = webhook.sign(&request_for("alice", &[])).await;
    assert_eq!(answer.refusal(), refused(401, "Unauthenticated"));
}

/// Invariant 2, over the wire: what a webhook in foreign hands may ask for.
#[tokio::test]
async fn no_call_gets_more_than_the_policy_allows() {
    let agent = Running::start().await;
    agent.files.write(
        "policy.yaml",
        "allowedReservedNames: ['system:masters', 'system:node:*', 'front-proxy-client', 'haulout:*']",
    );
    let webhook = agent.webhook().await;
    for (username, groups) in [
        ("alice", &["system:masters"][..]),
        ("alice", &["kubeadm:cluster-admins"]),
        ("alice", &["system:nodes"]),
        (
            "alice",
            &["devs", "system:bootstrappers:kubeadm:default-node-token"],
        ),
        ("alice", &["system:serviceaccounts:kube-system"]),
        ("system:node:x", &["system:nodes"]),
        ("system:node:x", &[]),
        ("system:kube-controller-manager", &[]),
        ("system:serviceaccount:kube-system:default", &[]),
        ("front-proxy-client", &[]),
        ("haulout:webhook", &[]),
        ("haulout:canary", &["devs"]),
    ] {
        let answer = webhook.sign(&request_for(username, groups)).await;
        assert_eq!(
            answer.refusal(),
            refused(403, "RefusedByPolicy"),
            "{username} {groups:?}"
        );
        assert!(
            !answer.text.contains("masters") && !answer.text.contains("alice"),
            "{answer:?}"
        );
    }
    let mut too_long = request_for("alice", &[]);
    too_long["lifetimeSeconds"] = json!(3601);
    assert_eq!(
        webhook.sign(&too_long).await.refusal(),
        refused(403, "RefusedByPolicy")
    );
    let mut serving = request_for("alice", &[]);
    serving["dnsNames"] = json!(["kubernetes"]);
    assert_eq!(
        webhook.sign(&serving).await.refusal(),
        refused(400, "InvalidRequest")
    );
    let mut authority = request_for("alice", &[]);
    authority["isCA"] = json!(true);
    assert_eq!(
        webhook.sign(&authority).await.refusal(),
        refused(400, "InvalidRequest")
    );
    assert!(
        agent
            .audit()
            .iter()
            .all(|line| line["decision"] == "refused")
    );
}

#[tokio::test]
async fn evidence_is_refused_by_this_version() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    let mut request = request_for("alice", &[]);
    for evidence in [json!({"token": "secret-token"}), json!(null)] {
        request["evidence"] = evidence;
        let answer = webhook.sign(&request).await;
        assert_eq!(answer.refusal(), refused(400, "InvalidRequest"));
    }
    assert!(!agent.audit()[0].to_string().contains("secret-token"));
}

#[tokio::test]
async fn what_is_not_a_request_is_refused() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    let good = request_for("alice", &[]);
    let with = |field: &str, value: Value| {
        let mut request = good.clone();
        request[field] = value;
        request.to_string()
    };
    let spki = KeyPair::generate_p256().unwrap().spki_der();
    let encoded = |bytes: &[u8]| json!(BASE64_STANDARD.encode(bytes));
    let twice = good.to_string().replacen('{', r#"{"username":"bob","#, 1);
    for (what, body) in [
        ("nothing", String::new()),
        ("no JSON", "hello".to_owned()),
        ("null", "null".to_owned()),
        ("a list", "[]".to_owned()),
        ("no fields", "{}".to_owned()),
        ("more behind it", format!("{good}{good}")),
        ("a field twice", twice),
        ("an unknown field", with("caBundle", json!(""))),
        ("no user", with("username", json!(""))),
        ("null for a user", with("username", Value::Null)),
        ("one group as text", with("groups", json!("devs"))),
        ("an unsafe audit ID", with("auditId", json!("a\nb"))),
        ("no base64", with("publicKey", json!("***"))),
        ("no key", with("publicKey", json!(""))),
        ("half a key", with("publicKey", encoded(&spki[..60]))),
        (
            "a key and more",
            with("publicKey", encoded(&[&spki[..], b"\x30\x00"].concat())),
        ),
        ("a negative lifetime", with("lifetimeSeconds", json!(-1))),
        ("too much", with("username", json!("a".repeat(300 * 1024)))),
    ] {
        let answer = webhook.send(Method::POST, CERTIFICATES_PATH, body).await;
        assert_eq!(answer.refusal(), refused(400, "InvalidRequest"), "{what}");
        assert!(
            !answer.text.contains("alice") && !answer.text.contains("devs"),
            "{answer:?}"
        );
    }
    assert_eq!(webhook.sign(&good).await.status, 200);
}

#[tokio::test]
async fn there_is_one_call_and_no_other() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    for (method, path, status) in [
        (Method::GET, CERTIFICATES_PATH, 405),
        (Method::PUT, CERTIFICATES_PATH, 405),
        (Method::POST, "/v1/certificates/", 404),
        (Method::POST, "/v2/certificates", 404),
        (Method::GET, "/v1/key", 404),
        (Method::GET, "/metrics", 404),
        (Method::GET, "/", 404),
    ] {
        let answer = webhook.send(method.clone(), path, Body::empty()).await;
        assert_eq!(
            (answer.status, &*answer.text),
            (status, ""),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn over_the_rate_is_refused_at_once() {
    let agent = Running::start().await;
    agent
        .files
        .write("policy.yaml", "{ratePerSecond: 10, burst: 2}");
    let webhook = agent.webhook().await;
    let request = request_for("alice", &[]);
    let answer = webhook
        .sign_until(&request, |answer| answer.status == 429)
        .await;
    assert_eq!(answer.refusal(), refused(429, "RateLimited"));
    assert_eq!(answer.retry_after.as_deref(), Some("1"));
    agent.clock.advance(Duration::from_secs(1));
    for status in [200, 200, 429] {
        assert_eq!(webhook.sign(&request).await.status, status);
    }
    agent.clock.advance(Duration::from_millis(101));
    assert_eq!(webhook.sign(&request).await.status, 200);
    assert_eq!(webhook.sign(&request).await.status, 429);
    // What the policy refuses costs nothing of it.
    agent.clock.advance(Duration::from_millis(101));
    assert_eq!(
        webhook.sign(&request_for("system:x", &[])).await.status,
        403
    );
    assert_eq!(webhook.sign(&request).await.status, 200);
}

#[tokio::test]
async fn certificates_end_with_the_authority() {
    let agent = Running::start().await;
    let soon = agent.network.now + Duration::from_secs(60);
    let ca = Validity {
        not_before: agent.network.now - DAY,
        not_after: soon,
    };
    agent
        .files
        .write_ca(&generate_authority("short", ca).unwrap());
    let end = soon
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let webhook = agent.webhook().await;
    let clamped = |answer: &Answer| answer.json()["notAfter"] == end;
    webhook
        .sign_until(&request_for("alice", &[]), clamped)
        .await;
}

#[tokio::test]
async fn many_calls_share_a_connection() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    let request = request_for("alice", &["devs"]);
    let calls = (0..200).map(|_| webhook.sign(&request));
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let hashes: std::collections::BTreeSet<String> = answers
        .iter()
        .map(|answer| answer.json()["x509Sha256"].to_string())
        .collect();
    assert_eq!(hashes.len(), 200);
    assert_eq!(agent.audit().len(), 200);
}
