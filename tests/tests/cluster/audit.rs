//! Our audit events beside the API server's own audit log.

use aws_lc_rs::digest::{SHA256, digest};
use haulout_tests::cluster::ClusterOptions;
use haulout_tests::logins;
use serde_json::{Value, json};

use crate::running::{Running, until};

/// Name of the API server's audit log in the folder of the cluster.
pub(crate) const LOG: &str = "audit.log";

/// Makes the API server of these options write an audit log.
pub(crate) fn record_all(options: &mut ClusterOptions) {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}],
    });
    let file = "audit-policy.json".to_owned();
    let arguments = [
        format!("--audit-policy-file={file}"),
        format!("--audit-log-path={LOG}"),
    ];
    options.api_server_arguments.extend(arguments);
    options.files.push((file, policy.to_string()));
}

/// A login leaves two lines with us, which name the user if so configured, and one with the API server, all under the id
/// that the client was given.
pub(crate) async fn events_bear_the_id_of_the_api_server(running: &mut Running) {
    let token = running
        .stack
        .token("alice", &["devs", "ops, night"])
        .await
        .unwrap();
    let (status, audit_id, answer) = running.post(&logins::body(&token)).await;
    assert_eq!(status, 201, "{answer}");

    let log = running.webhook_log();
    let ours = with_id(&log, &audit_id);
    let messages: Vec<&Value> = ours.iter().map(|event| &event["message"]).collect();
    assert_eq!(
        messages,
        [
            "TokenCredentialRequest Token Received",
            "TokenCredentialRequest Authenticated User"
        ],
        "{ours:?}"
    );
    assert!(ours.iter().all(|event| event["auditEvent"] == true));
    let token_id = haulout_pki::hex(digest(&SHA256, token.as_bytes()).as_ref());
    assert_eq!(ours[0]["tokenID"], token_id);
    let person = &ours[1]["personalInfo"];
    assert_eq!(person["username"], "alice", "{person}");
    assert_eq!(person["groups"], json!(["devs", "ops, night"]), "{person}");

    // What the API server will log of requests with the certificate.
    let client = running.client_of(&answer["status"]["credential"]);
    let user = running.who_am_i(&client, &[]).await;
    let fingerprint = &ours[1]["issuedClientCert"]["x509SHA256"];
    assert_eq!(
        user["extra"]["authentication.kubernetes.io/credential-id"],
        json!([format!("X509SHA256={}", fingerprint.as_str().unwrap())])
    );

    let path = running.cluster.folder().join(LOG);
    let mut theirs = Vec::new();
    until("the end of the request in the audit log", async || {
        let log = std::fs::read_to_string(&path).unwrap();
        assert!(!log.contains(&token), "the token is in the audit log");
        theirs = with_id(&log, &audit_id);
        let mut stages = theirs.iter().map(|event| &event["stage"]);
        stages.any(|stage| stage == "ResponseComplete")
    })
    .await;
    for event in &theirs {
        assert_eq!(event["user"]["username"], "system:anonymous", "{event}");
        assert_eq!(
            event["objectRef"]["resource"], "tokencredentialrequests",
            "{event}"
        );
    }
}

/// The lines of a log that are JSON objects with this `auditID`.
fn with_id(log: &str, audit_id: &str) -> Vec<Value> {
    assert!(!audit_id.is_empty());
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["auditID"] == audit_id)
        .collect()
}
