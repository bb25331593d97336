//! Logins through the real API server: who gets in, and as whom.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haulout_tests::cluster::{AUDIENCE, Profile, StackOptions};
use haulout_tests::logins;
use serde_json::{Value, json};

use crate::running::{Running, until};

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
    for (profile, rs256) in [(Profile::Kubeadm, false), (Profile::Talos, true)] {
        let options = StackOptions {
            rs256,
            ..StackOptions::default()
        };
        let mut running = Running::start(profile, &options).await;
        let odd = ["devs", "ops, night", "a+b=c\\d", "Größe", " padded "];
        let token = running.stack.token("alice", &odd).await.unwrap();
        assert_eq!(has_key_id(&token), rs256, "{profile}");
        let user = running.whoami(&token).await;
        assert_eq!(user["username"], "alice", "{profile}");
        assert_eq!(groups(&user), with_authenticated(&odd), "{profile}");

        bindings_count(&running).await;
        many_groups_arrive(&running).await;
        old_stanzas_work(&running, &token).await;

        let log = running.webhook_log();
        assert!(!log.contains(&token), "{profile}: the token is in the log");
        assert!(
            !log.contains("alice") && !log.contains("ops, night"),
            "{profile}: names are redacted by default"
        );
        for part in [r#""username":"redacted""#, r#"["redacted 5 values"]"#] {
            assert!(log.contains(part), "{profile}: {part}");
        }
    }
}

/// Whether the token is of the kind that most issuers make: RS256, its key named.
fn has_key_id(token: &str) -> bool {
    let header = URL_SAFE_NO_PAD
        .decode(token.split('.').next().unwrap())
        .unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["alg"] == "RS256" && header["kid"].is_string()
}

fn groups(user: &Value) -> BTreeSet<&str> {
    let groups = user["groups"].as_array().unwrap();
    let set: BTreeSet<&str> = groups.iter().filter_map(Value::as_str).collect();
    assert_eq!(set.len(), groups.len(), "one stands twice");
    set
}

fn with_authenticated<'a>(groups: &[&'a str]) -> BTreeSet<&'a str> {
    let more = ["system:authenticated"];
    groups.iter().copied().chain(more).collect()
}

/// What is bound to a group, or to a user, is what his token allows him, and no more.
async fn bindings_count(running: &Running) {
    let admin = running.cluster.kubectl();
    for (what, subject) in [("configmaps", "--group=devs"), ("services", "--user=alice")] {
        let role = format!("read-{what}");
        let resource = format!("--resource={what}");
        let verbs = "--verb=get,list";
        let created = admin.run(["create", "clusterrole", &role, verbs, &resource]);
        created.await.unwrap();
        let role_ref = format!("--clusterrole={role}");
        let bound = admin.run(["create", "clusterrolebinding", &role, &role_ref, subject]);
        bound.await.unwrap();
    }
    let mut is_first = true;
    for (user, group, configmaps, services) in [
        ("alice", "devs", 200, 200),
        ("alice", "visitors", 403, 200),
        ("bob", "devs", 200, 403),
        ("bob", "visitors", 403, 403),
    ] {
        let token = running.stack.token(user, &[group]).await.unwrap();
        let credential = running.log_in(&token, user).await;
        let client = running.client_of(&credential);
        let get = async |what: &str| {
            let url = running.url(&format!("/api/v1/{what}"));
            client.get(url).send().await.unwrap().status().as_u16()
        };
        if std::mem::take(&mut is_first) {
            // The API server may take a moment to learn of bindings.
            until("the bindings count", async || {
                (get("configmaps").await, get("services").await) == (configmaps, services)
            })
            .await;
        }
        let seen = (get("configmaps").await, get("services").await);
        assert_eq!(seen, (configmaps, services), "{user} of {group}");
    }
}

/// 300 groups of more than 8 kB, in the certificate and in the headers to aggregated APIs.
async fn many_groups_arrive(running: &Running) {
    let many: Vec<String> = (0..300)
        .map(|number| format!("department-{number}/größte Gruppe, {number:04}"))
        .collect();
    assert!(many.iter().map(String::len).sum::<usize>() > 8 * 1024);
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let token = running.stack.token("carol", &many).await.unwrap();
    let user = running.whoami(&token).await;
    assert_eq!(groups(&user), with_authenticated(&many));
    let credential = running.log_in(&token, "300 groups").await;
    let seen = running.who_am_i(&running.client_of(&credential), &[]).await;
    assert_eq!(
        groups(&seen),
        groups(&user),
        "an aggregated API sees others"
    );
}

/// kubeconfigs that Pinniped's CLI wrote ask for version v1beta1 and send the cluster's data along.
async fn old_stanzas_work(running: &Running, token: &str) {
    let mut stanza = running.stack.exec_stanza(&running.cluster, None).unwrap();
    stanza["apiVersion"] = json!("client.authentication.k8s.io/v1beta1");
    stanza["provideClusterInfo"] = json!(true);
    stanza.as_object_mut().unwrap().remove("interactiveMode");
    let shown = running
        .kubectl_by(stanza, token, &["auth", "whoami"])
        .await
        .unwrap();
    assert!(shown.contains("alice"), "{shown}");
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
