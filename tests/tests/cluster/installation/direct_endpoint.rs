//! From a Talos cluster as it ships, whose API server answers nobody without credentials, to a login: no patch, only
//! values of the chart.

use std::time::Duration;

use haulout_tests::cluster::{Anonymous, Cluster, ClusterOptions, Profile};
use serde_json::Value;

use crate::installed::Installed;

const NODE_PORT: u16 = 30443;
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_talos_logs_in_at_the_direct_endpoint_without_a_patch() {
    let options = ClusterOptions {
        nodes: 1,
        anonymous: Anonymous::Off,
        ..ClusterOptions::new(Profile::Talos)
    };
    let installed = Installed::into(Cluster::start(options).await.unwrap()).await;
    let (server, _) = installed.cluster.server().rsplit_once(':').unwrap();
    let url = format!("{server}:{NODE_PORT}");
    let endpoint = format!(
        "--set=directEndpoint.externalUrl={url},directEndpoint.service.type=NodePort,\
         directEndpoint.service.nodePort={NODE_PORT}"
    );
    let values = ["--set=agent.preset=talos,rbac.anonymous=false", &endpoint];
    installed.installation.install(&values).await.unwrap();
    installed.installation.wait_until_ready().await.unwrap();
    installed.add_authenticator().await;
    let whoami = ["auth", "whoami"];
    let refused = installed.as_alice(&whoami).await.unwrap_err();
    assert!(format!("{refused:#}").contains("401"), "{refused:#}");

    // By our own CA, which the status tells clients of.
    let info = told(&installed).await;
    assert_eq!(info["endpoint"], url.as_str());
    let ca = info["certificateAuthorityData"].as_str().unwrap();
    let kubeconfig = installed.kubeconfig_by(&url, ca);
    // More often than there are replicas: each has a certificate of its own.
    for _ in 0..6 {
        let shown = installed.as_alice_by(&kubeconfig, &whoami).await.unwrap();
        assert!(shown.contains("alice") && shown.contains("devs"), "{shown}");
    }
}

/// What the third strategy tells clients, once it is good.
async fn told(installed: &Installed) -> Value {
    let get = ["get", "credentialissuer", "haulout"];
    let mut last = Value::Null;
    let found = tokio::time::timeout(LIMIT, async {
        loop {
            let issuer = installed.kubectl().json(&get).await.unwrap();
            last = issuer["status"]["strategies"][2].clone();
            if last["status"] == "Success" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("{last:#}"));
    last["frontend"]["directEndpointInfo"].clone()
}
