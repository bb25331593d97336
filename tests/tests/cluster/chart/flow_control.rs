//! Which share of the API server callers without credentials take.

use super::Installed;
use crate::running::until;

const NOBODY: &str = "--as=system:anonymous";
const SOMEBODY: &str = "--as=somebody";

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn what_is_open_to_strangers_takes_from_the_share_of_logins_alone() {
    let installed = Installed::start().await;
    installed
        .put("install", &["--create-namespace"])
        .await
        .unwrap();
    let schema = installed.get(&["flowschema", "haulout-logins"]).await;
    let uid = schema["metadata"]["uid"].as_str().unwrap();
    for path in [
        "login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests",
        "identity.concierge.pinniped.dev/v1alpha1/whoamirequests",
    ] {
        until(&format!("{path} has its share"), async || {
            headers(&installed, NOBODY, path).await.contains(uid)
        })
        .await;
        let of_somebody = headers(&installed, SOMEBODY, path).await;
        assert!(!of_somebody.contains(uid), "{path}: {of_somebody}");
    }
    let elsewhere = headers(&installed, NOBODY, "apps/v1/deployments").await;
    assert!(!elsewhere.contains(uid), "{elsewhere}");
}

/// The headers of the answer to a create, among what kubectl prints. No webhook runs here, so that it is a refusal.
async fn headers(installed: &Installed, user: &str, path: &str) -> String {
    let path = format!("/apis/{path}");
    let create = ["create", "--raw", &path, "-f", "-", user, "-v=8"];
    let kubectl = installed.cluster.kubectl();
    let output = kubectl.output_of(&create, "{}").await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let name = "X-Kubernetes-Pf-Flowschema-Uid";
    assert!(said.contains(name), "{said}");
    said
}
