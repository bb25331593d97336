//! Files that change, are half written, or go away while the agent runs.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;

/// Whether the certificate was signed by this CA: its name stands in it.
fn is_from(name: &'static str) -> impl Fn(&Answer) -> bool {
    move |answer| {
        let certificate = answer.certificate();
        certificate
            .windows(name.len())
            .any(|part| part == name.as_bytes())
    }
}

#[tokio::test]
async fn a_new_pair_is_used_without_a_restart() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    let request = request_for("alice", &[]);
    assert!(is_from("kubernetes")(&webhook.sign(&request).await));
    agent.files.write_ca(&new_ca("second", agent.network.now));
    webhook.sign_until(&request, is_from("second")).await;
}

#[tokio::test]
async fn half_a_pair_changes_nothing() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    let request = request_for("alice", &[]);
    let second = new_ca("second", agent.network.now);
    agent.files.write("ca.crt", &second.certificate_pem);
    // The metric tells that the agent has looked.
    let fault = r#"haulout_agent_file_fault{files="signing-key"} 1"#;
    while !agent.page("/metrics").await.1.contains(fault) {
        tokio::time::sleep(POLL).await;
    }
    assert!(is_from("kubernetes")(&webhook.sign(&request).await));
    assert_eq!(agent.page("/readyz").await.0, 200);
    agent.files.write("ca.key", second.key_pem.as_bytes());
    webhook.sign_until(&request, is_from("second")).await;
    while agent.page("/metrics").await.1.contains(fault) {
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn without_a_key_nothing_is_signed_and_the_reason_is_told() {
    let agent = Running::start_with(|files, network, _| {
        files.write("policy.yaml", "{}");
        files.write_tls(network);
    })
    .await;
    let webhook = agent.webhook().await;
    let request = request_for("alice", &[]);
    let answer = webhook.sign(&request).await;
    assert_eq!(answer.refusal(), refused(503, "KeyUnavailable"));
    assert!(answer.text.contains("ca.crt: No such file"), "{answer:?}");
    let (status, text) = agent.page("/readyz").await;
    assert_eq!(status, 500);
    assert!(
        text.contains("[-]signing-key failed: failed to read"),
        "{text}"
    );
    assert_eq!(agent.page("/livez").await.0, 200);

    agent
        .files
        .write_ca(&new_ca("kubernetes", agent.network.now));
    webhook
        .sign_until(&request, |answer| answer.status == 200)
        .await;
    assert_eq!(agent.page("/readyz").await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn without_a_policy_nothing_is_signed() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    let request = request_for("alice", &[]);
    assert_eq!(webhook.sign(&request).await.status, 200);
    for broken in [None, Some(""), Some("maxLifetime: 5"), Some("{")] {
        match broken {
            None => fs::remove_file(agent.files.path("policy.yaml")).unwrap(),
            Some(text) => agent.files.write("policy.yaml", text),
        }
        let answer = webhook
            .sign_until(&request, |answer| answer.status != 200)
            .await;
        assert_eq!(
            answer.refusal(),
            refused(503, "PolicyUnavailable"),
            "{broken:?}"
        );
        let (status, text) = agent.page("/readyz").await;
        assert_eq!(status, 500, "{broken:?}");
        assert!(text.contains("[-]policy failed: "), "{text}");
        agent.files.write("policy.yaml", "{}");
        webhook
            .sign_until(&request, |answer| answer.status == 200)
            .await;
    }
}

#[tokio::test]
async fn a_changed_policy_counts_for_open_connections() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    let request = request_for("alice", &["devs"]);
    assert_eq!(webhook.sign(&request).await.status, 200);
    agent.files.write("policy.yaml", "allow: {groups: [ops]}");
    let answer = webhook
        .sign_until(&request, |answer| answer.status != 200)
        .await;
    assert_eq!(answer.refusal(), refused(403, "RefusedByPolicy"));
}

/// In a cluster the Secret with this material is empty at first.
#[tokio::test]
async fn without_tls_material_nobody_gets_in() {
    let agent = Running::start_with(|files, _, now| {
        files.write_ca(&new_ca("kubernetes", now));
        files.write("policy.yaml", "{}");
    })
    .await;
    let identity = agent.network.client(WEBHOOK_URI);
    assert!(agent.client(Some(Arc::clone(&identity))).await.is_err());
    let (status, text) = agent.page("/readyz").await;
    assert_eq!(status, 500);
    let both = format!(
        "[-]connection failed: failed to read {}: No such file or directory (os error 2); \
         failed to read {}: No such file",
        agent.files.path("tls.crt").display(),
        agent.files.path("client-ca.crt").display()
    );
    assert!(text.contains(&both), "{text}");
    agent.files.write_tls(&agent.network);
    let mut client = agent.client(Some(Arc::clone(&identity))).await;
    while client.is_err() {
        tokio::time::sleep(POLL).await;
        client = agent.client(Some(Arc::clone(&identity))).await;
    }
    let request = request_for("alice", &[]);
    let webhook = client.unwrap();
    webhook
        .sign_until(&request, |answer| answer.status == 200)
        .await;
}

impl Files {
    /// What the kubelet does for a mounted Secret: a folder beside the last, to which a link is renamed.
    fn mount_tls(&self, folder: &str, network: &Network) {
        let (certificate, key) = network.server();
        let authority = network.authority.certificate_pem().to_owned();
        let contents = [
            ("tls.crt", certificate),
            ("tls.key", key),
            ("client-ca.crt", authority),
        ];
        fs::create_dir(self.path(folder)).unwrap();
        for (name, contents) in contents {
            self.write(&format!("{folder}/{name}"), contents);
        }
        symlink(folder, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
        for name in ["tls.crt", "tls.key", "client-ca.crt"] {
            // There from the first time.
            drop(symlink(format!("..data/{name}"), self.path(name)));
        }
    }
}

/// A Secret that is empty at first, filled later, and then replaced by that of another CA.
#[tokio::test]
async fn a_mounted_secret_is_followed() {
    let agent = Running::start_with(|files, _, now| {
        files.write_ca(&new_ca("kubernetes", now));
        files.write("policy.yaml", "{}");
    })
    .await;
    let first = agent.network.client(WEBHOOK_URI);
    assert!(agent.client(Some(Arc::clone(&first))).await.is_err());
    assert_eq!(agent.page("/readyz").await.0, 500);

    agent.files.mount_tls("..2026_1", &agent.network);
    let mut client = agent.client(Some(Arc::clone(&first))).await;
    while client.is_err() {
        tokio::time::sleep(POLL).await;
        client = agent.client(Some(Arc::clone(&first))).await;
    }
    let (open, request) = (client.unwrap(), request_for("alice", &[]));
    let is_signed = |answer: &Answer| answer.status == 200;
    open.sign_until(&request, is_signed).await;
    assert_eq!(agent.page("/readyz").await.0, 200);

    let other = Network::new(agent.network.now);
    agent.files.mount_tls("..2026_2", &other);
    let refused_now = open.sign_until(&request, |answer| !is_signed(answer)).await;
    assert_eq!(refused_now.refusal(), refused(401, "Unauthenticated"));
    // Nor does the old CA's webhook trust what is shown now.
    while agent.client(Some(Arc::clone(&first))).await.is_ok() {
        tokio::time::sleep(POLL).await;
    }
}

/// Who has the last good material is as able to answer as before.
#[tokio::test]
async fn tls_material_that_is_lost_later_leaves_the_agent_ready() {
    let agent = Running::start().await;
    for (file, files) in [
        ("tls.crt", "serving-certificate"),
        ("client-ca.crt", "client-ca"),
    ] {
        fs::remove_file(agent.files.path(file)).unwrap();
        let fault = format!(r#"haulout_agent_file_fault{{files="{files}"}} 1"#);
        while !agent.page("/metrics").await.1.contains(&fault) {
            tokio::time::sleep(POLL).await;
        }
        assert_eq!(agent.page("/readyz").await, (200, "ok".to_owned()));
    }
    let webhook = agent.webhook().await;
    let answer = webhook.sign(&request_for("alice", &[])).await;
    assert_eq!(answer.status, 200);
}

/// A CA that is taken away counts no more on connections that are open.
#[tokio::test]
async fn a_swapped_client_authority_ends_trust_at_once() {
    let agent = Running::start().await;
    let webhook = agent.webhook().await;
    let request = request_for("alice", &[]);
    assert_eq!(webhook.sign(&request).await.status, 200);
    let other = Network::new(agent.network.now);
    agent
        .files
        .write("client-ca.crt", other.authority.certificate_pem());
    let answer = webhook
        .sign_until(&request, |answer| answer.status != 200)
        .await;
    assert_eq!(answer.refusal(), refused(401, "Unauthenticated"));
    let successor = agent.client(Some(other.client(WEBHOOK_URI))).await.unwrap();
    assert_eq!(successor.sign(&request).await.status, 200);
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// An RSA CA as kubeadm has it, which signs off the thread that serves.
fn write_rsa_ca(files: &Files) {
    let (key, certificate) = (files.path("ca.key"), files.path("ca.crt"));
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    openssl(&["genrsa", "-traditional", "-out", key, "2048"]);
    let subject = ["-subj", "/CN=kubeadm", "-days", "10", "-out", certificate];
    openssl(&[&["req", "-x509", "-key", key], &subject[..]].concat());
}

#[tokio::test]
async fn an_rsa_authority_signs_beside_the_connections() {
    let agent = Running::start_with(|files, network, _| {
        write_rsa_ca(files);
        files.write("policy.yaml", "{}");
        files.write_tls(network);
    })
    .await;
    // The certificate may have begun within the second after the clock was read.
    agent.clock.advance(Duration::from_secs(5));
    let webhook = agent.webhook().await;
    let request = request_for("alice", &[]);
    webhook
        .sign_until(&request, |answer| {
            answer.status == 200 && is_from("kubeadm")(answer)
        })
        .await;
}

/// A request that could not be signed in time is refused; signing it late would only delay others.
#[tokio::test]
async fn what_waited_too_long_is_not_signed() {
    let files = Files(tempfile::tempdir().unwrap());
    write_rsa_ca(&files);
    files.write("policy.yaml", "{}");
    let now = Clock::system().now() + Duration::from_secs(5);
    let request = serde_json::from_value(request_for("alice", &[])).unwrap();
    let sign = async |longest_queue| {
        let keys = KeySource::new(&files.path("ca.crt"), &files.path("ca.key"));
        let path = files.path("policy.yaml");
        let policy = Watched::new("policy", [&*path], AtFault::Drop, |[yaml], _| {
            Ok(Policy::from_yaml(yaml)?)
        });
        let signer = Signer::new(keys, policy, Clock::manual(now).0, longest_queue);
        signer.keys.look(now);
        signer.policy.look(now);
        signer.sign(&request).await
    };
    let reason = sign(Duration::ZERO).await.unwrap_err().reason;
    assert_eq!(
        reason,
        haulout_api::signing::SigningFailureReason::RateLimited
    );
    assert!(sign(Duration::MAX).await.is_ok());
}
