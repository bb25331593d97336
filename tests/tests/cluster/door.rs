//! Our kinds as kubectl and the API server know them.

use haulout_tests::cluster::{Kubectl, Profile, StackOptions};

use crate::running::Running;
use crate::{crds, explain};

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_every_kind_is_found_explained_and_validated() {
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
    explain::every_field_is_described(&running).await;
    crds::good_objects_are_taken_and_bad_ones_refused(kubectl).await;
    freshness_is_current(&running).await;

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

/// Both groups are in the API server's own aggregated discovery.
async fn freshness_is_current(running: &Running) {
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
    for arguments in [&["get", "pinniped"][..], &["get", "pinniped", "-A"]] {
        let pinniped = kubectl.output(arguments).await.unwrap();
        let shown = String::from_utf8_lossy(&pinniped.stdout).into_owned();
        assert!(
            pinniped.status.success() && pinniped.stderr.is_empty(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&pinniped.stderr)
        );
        assert!(
            shown.contains("ISSUER") && shown.contains("AUDIENCE"),
            "{arguments:?}: {shown}"
        );
    }

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
