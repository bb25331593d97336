//! Door A as kubectl and the API server see it.

use haulout_tests::cluster::{Kubectl, Profile, StackOptions};

use crate::running::Running;

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_kubectl_finds_and_explains_every_kind() {
    let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let kubectl = running.cluster.kubectl();

    let resources = kubectl
        .run(["api-resources", "--categories=pinniped", "--no-headers"])
        .await
        .unwrap();
    let mut names: Vec<&str> = resources
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "credentialissuers",
            "jwtauthenticators",
            "tokencredentialrequests",
            "webhookauthenticators",
            "whoamirequests"
        ],
        "{resources}"
    );
    let everything = kubectl.output(["api-resources"]).await.unwrap();
    assert!(everything.status.success());
    assert_eq!(
        String::from_utf8_lossy(&everything.stderr),
        "",
        "partial discovery"
    );

    shows_lists(kubectl).await;
    explains_fields(kubectl).await;

    // Both groups are current in the API server's own aggregated discovery.
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let listed = running.get_as_admin("/apis", accept).await;
    for group in ["login", "identity"] {
        let name = format!("{group}.concierge.pinniped.dev");
        let item = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["metadata"]["name"] == name.as_str())
            .unwrap_or_else(|| panic!("{name} is not discovered"));
        assert_eq!(item["versions"][0]["freshness"], "Current");
    }
}

async fn shows_lists(kubectl: &Kubectl) {
    let pinniped = kubectl.output(["get", "pinniped", "-A"]).await.unwrap();
    let shown = String::from_utf8_lossy(&pinniped.stdout).into_owned();
    assert!(
        pinniped.status.success(),
        "{}",
        String::from_utf8_lossy(&pinniped.stderr)
    );
    assert!(
        shown.contains("ISSUER") && shown.contains("AUDIENCE"),
        "{shown}"
    );

    let none = kubectl
        .output(["get", "tokencredentialrequests"])
        .await
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&none.stderr).trim(),
        "No resources found"
    );
    let absent = kubectl
        .output(["get", "tokencredentialrequest", "x"])
        .await
        .unwrap();
    assert!(
        String::from_utf8_lossy(&absent.stderr)
            .contains("(NotFound): the server could not find the requested resource")
    );
}

async fn explains_fields(kubectl: &Kubectl) {
    let spec = kubectl
        .run(["explain", "tokencredentialrequest.spec"])
        .await
        .unwrap();
    for part in [
        "GROUP:",
        "login.concierge.pinniped.dev",
        "authenticator",
        "token",
        "-required-",
    ] {
        assert!(spec.contains(part), "{part}: {spec}");
    }
    for field in [
        "tokencredentialrequest.spec.token",
        "tokencredentialrequest.spec.authenticator.name",
        "tokencredentialrequest.status.message",
        "tokencredentialrequest.status.credential.expirationTimestamp",
        "tokencredentialrequest.metadata.name",
        "whoamirequest.status.kubernetesUserInfo.user.groups",
        "jwtauthenticator.spec.claims.username",
        "webhookauthenticator.spec.endpoint",
        "credentialissuer.status.strategies.message",
    ] {
        let text = kubectl.run(["explain", field]).await.unwrap();
        let description = text
            .split_once("DESCRIPTION:")
            .map_or("", |(_, rest)| rest)
            .trim();
        assert!(
            !description.is_empty() && description != "<empty>",
            "{field}: {text}"
        );
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_namespaces_can_be_deleted() {
    let running = Running::start(Profile::Kubeadm, &StackOptions::default()).await;
    let kubectl = running.cluster.kubectl();
    kubectl
        .run(["create", "namespace", "short-lived"])
        .await
        .unwrap();
    // Waits for the namespace controller, which needs every API group's discovery.
    kubectl
        .run(["delete", "namespace", "short-lived", "--timeout=40s"])
        .await
        .unwrap();
}
