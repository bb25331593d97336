//! What an administrator sees: audit log, metrics, health, shutdown; and what he must not see.

use clap::Parser;

use super::*;

#[tokio::test]
async fn each_certificate_has_a_line_without_names() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    let answer = webhook
        .sign(&request_for("alice", &["devs", "ops"]))
        .await
        .json();
    let lines = agent.audit();
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    for (field, value) in [
        ("message", json!("Certificate Issued")),
        ("auditEvent", json!(true)),
        ("auditID", json!("d0f7c2a4")),
        ("decision", json!("issued")),
        ("username", json!("redacted")),
        ("groups", json!(["redacted 2 values"])),
        ("x509SHA256", answer["x509Sha256"].clone()),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
    assert_eq!(line["serial"].as_str().unwrap().len(), 32);
    let dates = [&line["notBefore"], &line["notAfter"]].map(|date| date.as_str().unwrap().len());
    assert_eq!(dates, ["2026-11-24T01:02:03Z".len(); 2]);
    assert_eq!(line["client"]["x509SHA256"].as_str().unwrap().len(), 64);
    assert!(
        line["client"]["address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    assert!(line.get("reason").is_none() && line.get("detail").is_none());
}

#[tokio::test]
async fn without_its_line_no_certificate_leaves() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    agent.audit.full.store(true, Ordering::Relaxed);
    let answer = webhook.sign(&request_for("alice", &[])).await;
    assert_eq!(answer.refusal(), refused(500, "Internal"));
    assert!(!answer.text.contains("CERTIFICATE"), "{answer:?}");
    let denied = webhook.sign(&request_for("alice", &["system:x"])).await;
    assert_eq!(denied.refusal(), refused(403, "RefusedByPolicy"));
    agent.audit.full.store(false, Ordering::Relaxed);
    assert_eq!(webhook.sign(&request_for("alice", &[])).await.status, 200);
}

#[tokio::test]
async fn strangers_do_not_fill_the_audit_log() {
    let agent = Running::start().await;
    let stranger = agent.client(None).await.unwrap();
    let request = request_for("alice", &[]);
    let calls_told = || -> Vec<Value> {
        agent
            .audit()
            .iter()
            .map(|line| line["calls"].clone())
            .collect()
    };
    for _ in 0..5 {
        assert_eq!(stranger.sign(&request).await.status, 401);
    }
    assert_eq!(calls_told(), [1]);
    agent.clock.advance(Duration::from_secs(10));
    for _ in 0..2 {
        assert_eq!(stranger.sign(&request).await.status, 401);
    }
    assert_eq!(calls_told(), [1, 5]);
    assert_eq!(agent.webhook().await.sign(&request).await.status, 200);
    assert_eq!(agent.audit().len(), 3);
    let counted = r#"reason="Unauthenticated"} 7"#;
    let (_, metrics) = agent.page("/metrics").await;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn names_are_logged_when_the_policy_says_so() {
    let agent = Running::start().await;
    agent
        .files
        .write("policy.yaml", "audit: {logUsernamesAndGroups: enabled}");
    let webhook = agent.webhook().await;
    let request = request_for("alice", &["devs", "ops"]);
    while agent
        .audit()
        .last()
        .is_none_or(|line| line["username"] == "redacted")
    {
        webhook.sign(&request).await;
    }
    let line = agent.audit().pop().unwrap();
    assert_eq!(
        (&line["username"], &line["groups"]),
        (&json!("alice"), &json!(["devs", "ops"]))
    );
}

#[tokio::test]
async fn each_refusal_has_a_line_with_its_reason() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    webhook
        .sign(&request_for("alice", &["system:masters"]))
        .await;
    webhook.send(Method::POST, CERTIFICATES_PATH, "junk").await;
    let mut unsafe_id = request_for("alice", &[]);
    unsafe_id["auditId"] = json!("a\nb");
    webhook.sign(&unsafe_id).await;
    let stranger = agent.client(None).await.unwrap();
    stranger.sign(&request_for("alice", &[])).await;

    let lines = agent.audit();
    let field =
        |name: &str| -> Vec<Value> { lines.iter().map(|line| line[name].clone()).collect() };
    assert_eq!(field("decision"), vec![json!("refused"); 4]);
    assert_eq!(
        field("reason"),
        [
            "RefusedByPolicy",
            "InvalidRequest",
            "InvalidRequest",
            "Unauthenticated"
        ]
    );
    assert_eq!(
        field("auditID"),
        [json!("d0f7c2a4"), Value::Null, Value::Null, Value::Null]
    );
    assert_eq!(lines[0]["username"], "redacted");
    let detail =
        r#"a group is one that is never signed; see "What the agent never signs" in SECURITY.md"#;
    assert_eq!(lines[0]["detail"], detail);
    assert!(lines[1].get("username").is_none());
    assert!(lines[3]["client"].get("x509SHA256").is_none());
    let text = serde_json::to_string(&lines).unwrap();
    assert!(
        !text.contains("alice") && !text.contains("masters"),
        "{text}"
    );
}

#[tokio::test]
async fn outcomes_are_counted() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    webhook.sign(&request_for("alice", &[])).await;
    webhook.sign(&request_for("alice", &[])).await;
    webhook.sign(&request_for("system:x", &[])).await;
    let (status, text) = agent.page("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        r#"haulout_agent_certificates_total{result="issued",reason=""} 2"#,
        r#"haulout_agent_certificates_total{result="refused",reason="RefusedByPolicy"} 1"#,
        r#"haulout_agent_file_fault{files="policy"} 0"#,
        r#"haulout_agent_file_fault{files="client-ca"} 0"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("alice"));
}

#[tokio::test]
async fn a_stopping_agent_is_unready_and_serves_on_until_it_drains() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    assert_eq!(agent.page("/readyz").await.0, 200);
    agent.shutdown.stopping.cancel();
    let (status, text) = agent.page("/readyz").await;
    assert_eq!(status, 500);
    assert!(
        text.contains("[-]shutdown failed: the agent is stopping"),
        "{text}"
    );
    assert_eq!(agent.page("/livez").await.0, 200);
    assert_eq!(webhook.sign(&request_for("alice", &[])).await.status, 200);
    drop(webhook);
    assert!(agent.shutdown.finish(Duration::from_secs(60)).await);
    assert!(TcpStream::connect(agent.address).await.is_err());
}

/// Invariants 1 and 10: wherever the agent speaks, the key is not there.
#[tokio::test]
async fn the_key_is_nowhere_to_be_seen() {
    let agent = Running::start().await;
    let key = fs::read_to_string(agent.files.path("ca.key")).unwrap();
    let webhook = agent.webhook().await;
    let mut seen = webhook.sign(&request_for("alice", &[])).await.text;
    // A file that is almost a key is the likeliest to be quoted in an error.
    agent
        .files
        .write("ca.key", key.replace("-----END", "----END"));
    agent.files.write("ca.crt", &key);
    while agent
        .page("/metrics")
        .await
        .1
        .contains(r#"files="signing-key"} 0"#)
    {
        tokio::time::sleep(POLL).await;
    }
    seen += &webhook.sign(&request_for("system:x", &[])).await.text;
    for path in [
        "/metrics",
        "/readyz?verbose",
        "/readyz/signing-key",
        "/livez",
    ] {
        seen += &agent.page(path).await.1;
    }
    seen += &serde_json::to_string(&agent.audit()).unwrap();
    let secrets = key
        .lines()
        .filter(|line| !line.starts_with('-'))
        .filter_map(|line| line.get(..24));
    for secret in secrets {
        assert!(!seen.contains(secret), "{seen}");
    }
}

#[test]
fn a_changed_pair_is_seen_within_five_seconds() {
    let files = ["--ca-cert=a", "--ca-key=b", "--policy=c"];
    let tls = ["--tls-cert=d", "--tls-key=e", "--client-ca=f"];
    let arguments = ["haulout-agent"].into_iter().chain(files).chain(tls);
    let settings = Settings::try_parse_from(arguments).unwrap();
    assert!(settings.poll <= Duration::from_secs(5));
    assert_eq!(settings.listen, "[::]:9443".parse().unwrap());
    assert_eq!(settings.health_listen, "[::]:9444".parse().unwrap());
    assert_eq!(settings.least_life_seconds, 600);
}

#[test]
fn every_file_must_be_named() {
    assert!(Settings::try_parse_from(["haulout-agent"]).is_err());
    let unknown = ["haulout-agent", "--ca-cert=a", "--exec=b"];
    assert!(Settings::try_parse_from(unknown).is_err());
}

#[tokio::test]
async fn an_address_that_is_taken_leads_to_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let files = Files(tempfile::tempdir().unwrap());
    let settings = Settings {
        health_listen: address,
        ..files.settings()
    };
    let (clock, _hand) = Clock::manual(SystemTime::UNIX_EPOCH);
    let audit = AuditLog::stderr(clock.clone());
    let error = Agent::bind(&settings, clock, audit).await.unwrap_err();
    let text = format!("failed to listen on {address}; see --listen and --health-listen");
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn the_plain_port_reads_few_headers() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let agent = Running::start().await;
    for (count, status) in [(62, "200 OK"), (63, "431 ")] {
        let lines = "a: b\r\n".repeat(count);
        let request = format!("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n");
        let mut stream = TcpStream::connect(agent.health).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(status), "{count} and two: {answer}");
    }
}
