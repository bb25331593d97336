use serde_json::{Value, json};

use super::*;
use crate::chain;

const CA: &str = "-----BEGIN CERTIFICATE-----\nY2x1c3Rlcg==\n-----END CERTIFICATE-----\n";

fn kubeconfig(cluster: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "ctx",
        "clusters": [{"name": "cl", "cluster": cluster}],
        "users": [{"name": "me", "user": {"token": "very-secret"}}],
        "contexts": [
            {"name": "ctx", "context": {"cluster": "cl", "user": "me", "namespace": "ns"}},
            {"name": "no-cluster", "context": {"cluster": "gone", "user": "me"}},
            {"name": "no-user", "context": {"cluster": "cl", "user": "gone"}},
        ],
    })
}

fn source(cluster: &Value, context: Option<&str>) -> Result<Source, String> {
    let kubeconfig = serde_json::from_value(kubeconfig(cluster));
    let kubeconfig = kubeconfig.map_err(|error| error.to_string())?;
    Source::of(&kubeconfig, context).map_err(|error| chain(&error))
}

#[test]
fn what_kubectl_needs_is_taken_and_nothing_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.crt");
    std::fs::write(
        &file,
        format!("{CA}-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n"),
    )
    .unwrap();
    let cluster = json!({
        "server": "https://admin:very-secret@k.example.com:6443",
        "certificate-authority": file,
        "proxy-url": "http://who:very-secret@proxy.example.com:3128",
        "tls-server-name": "kubernetes",
        "disable-compression": true,
        "extensions": [{"name": "x", "extension": {"a": 1}}],
        "unknown": "very-secret",
    });
    let source = source(&cluster, None).unwrap();
    assert_eq!(source.server(), "https://k.example.com:6443");
    let expected = json!({
        "server": "https://k.example.com:6443",
        "certificate-authority-data": CaBundle::parse(CA.as_bytes()).unwrap().to_base64(),
        "proxy-url": "http://proxy.example.com:3128",
        "tls-server-name": "kubernetes",
        "disable-compression": true,
        "extensions": [{"name": "x", "extension": {"a": 1}}],
    });
    assert_eq!(serde_json::to_value(&source.cluster).unwrap(), expected);
    assert_eq!(source.passwords_left_out, ["server", "proxy-url"]);
    assert_eq!(source.namespace.as_deref(), Some("ns"));
    assert!(!format!("{source:?}").contains("very-secret"));
}

#[test]
fn a_server_of_a_public_ca_needs_none() {
    let source = source(&json!({"server": "https://k.example.com"}), None).unwrap();
    assert_eq!(
        (source.ca, source.cluster.certificate_authority_data),
        (None, None)
    );
}

#[test]
fn c115_what_is_missing_is_named() {
    let good = json!({"server": "https://k.example.com"});
    let of = "could not load --kubeconfig/--kubeconfig-context: no such";
    for (cluster, context, expected) in [
        (good.clone(), Some("other"), format!("{of} context \"other\"")),
        (good.clone(), Some("no-cluster"), format!("{of} cluster \"gone\"")),
        (good, Some("no-user"), format!("{of} user \"gone\"")),
        (
            json!({}),
            None,
            "could not load --kubeconfig: cluster \"cl\" has no server".to_owned(),
        ),
        (
            json!({"server": "https://k", "insecure-skip-tls-verify": true}),
            None,
            "could not load --kubeconfig: cluster \"cl\" has insecure-skip-tls-verify".to_owned(),
        ),
        (
            json!({"server": "https://k", "certificate-authority": "/does/not/exist"}),
            None,
            "could not load --kubeconfig: the CA of cluster \"cl\" cannot be read from /does/not/exist: No such"
                .to_owned(),
        ),
        (
            json!({"server": "https://k", "certificate-authority-data": "Zm9v"}),
            None,
            "could not load --kubeconfig: the CA of cluster \"cl\" cannot be used: it holds no PEM".to_owned(),
        ),
    ] {
        let error = source(&cluster, context).unwrap_err();
        assert!(error.starts_with(&expected), "{error}");
    }
}
