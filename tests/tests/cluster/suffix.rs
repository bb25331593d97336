//! An installation whose API groups end in another suffix, as where Pinniped's own Concierge is installed too.

use haulout_api::group::ApiGroupSuffix;
use haulout_tests::cluster::{Anonymous, ClusterOptions, Credential, Profile, StackOptions};
use haulout_tests::logins;
use serde_json::json;

use crate::running::Running;

const SUFFIX: &str = "walrus.example.com";

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_another_api_group_suffix_serves_logins() {
    let suffix = ApiGroupSuffix::parse(SUFFIX).unwrap();
    let group = suffix.login_group();
    let login_path = format!("/apis/{group}/v1alpha1/tokencredentialrequests");
    let cluster = ClusterOptions {
        anonymous: Anonymous::login_only(&login_path),
        ..ClusterOptions::new(Profile::Talos)
    };
    let options = StackOptions {
        suffix,
        ..StackOptions::default()
    };
    let running = Running::start_in(cluster, &options).await;

    // The plugin is told of it by `--concierge-api-group-suffix`.
    let token = running.stack.token("alice", &["devs"]).await.unwrap();
    let user = running.whoami(&token).await;
    assert_eq!(user["username"], "alice");
    assert_eq!(user["groups"], json!(["devs", "system:authenticated"]));

    let kubectl = running.cluster.kubectl();
    let names = ["api-resources", "--categories=pinniped", "-o", "name"];
    let names = kubectl.run(names).await.unwrap();
    let expected = format!(".concierge.{SUFFIX}");
    assert_eq!(names.lines().count(), 5, "{names}");
    assert!(
        names.lines().all(|name| name.ends_with(&expected)),
        "{names}"
    );
    kubectl.run(["get", "pinniped"]).await.unwrap();
    only_its_own_groups_count(&running, &token).await;
    a_uid_that_is_not_asked_for_is_not_shown(&running).await;
}

async fn only_its_own_groups_count(running: &Running, token: &str) {
    let suffixed = logins::body(token).to_string();
    let suffixed = suffixed.replace("pinniped.dev", SUFFIX);
    let mut body = serde_json::from_str(&suffixed).unwrap();
    let (status, _, answer) = running.post(&body).await;
    assert_eq!(status, 201, "{answer}");
    assert!(answer["status"]["credential"].is_object(), "{answer}");
    assert_eq!(answer["apiVersion"], body["apiVersion"]);

    for group in [json!("authentication.concierge.pinniped.dev"), json!(null)] {
        body["spec"]["authenticator"]["apiGroup"] = group.clone();
        let (status, _, answer) = running.post(&body).await;
        let failed = json!({"message": "authentication failed"});
        assert_eq!((status, &answer["status"]), (201, &failed), "{group}");
    }
    // Of the wrong version of the object we are asked all the same, since the path is right.
    body["apiVersion"] = json!("login.concierge.pinniped.dev/v1alpha1");
    let (status, _, answer) = running.post(&body).await;
    assert_eq!(status, 400, "{answer}");
    // Texts keep the group that clients know.
    body["apiVersion"] = json!(format!("login.concierge.{SUFFIX}/v1alpha1"));
    body["spec"]["token"] = json!("");
    let (status, _, answer) = running.post(&body).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(answer["details"]["group"], "login.concierge.pinniped.dev");
}

/// This API server sends the header, as each does, but its ConfigMap does not name it.
async fn a_uid_that_is_not_asked_for_is_not_shown(running: &Running) {
    let token = ["create", "token", "default"];
    let token = running.cluster.kubectl().run(token).await.unwrap();
    let file = running.cluster.folder().join("account.token");
    std::fs::write(&file, token.trim()).unwrap();
    let credential = Credential::TokenFile(file);
    let kubeconfig = running.cluster.kubeconfig("account", &credential).unwrap();
    let kubectl = running.cluster.kubectl().with_kubeconfig(&kubeconfig);
    let review = kubectl.json(&["auth", "whoami"]).await.unwrap();
    let mut expected = review["status"]["userInfo"].clone();
    let uid = expected.as_object_mut().unwrap().remove("uid");
    assert!(uid.is_some(), "{review}");

    let bearer = format!("Bearer {}", token.trim());
    let client = running.client(None);
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(running.who_am_i(&client, &headers).await, expected);
}
