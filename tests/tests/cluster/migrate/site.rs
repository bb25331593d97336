//! A cluster with Pinniped's Concierge, and an administrator who reads what `haulout migrate` prints.

use std::time::Duration;

use haulout_tests::cluster::Cluster;
use serde_json::Value;

use super::concierge::{DEPLOYMENT, NAMESPACE};
use super::script::{Step, steps};
use crate::placement::{haulout, printed};
use crate::shell::Shell;

const API_SERVICES: [&str; 2] = [
    "v1alpha1.login.concierge.pinniped.dev",
    "v1alpha1.identity.concierge.pinniped.dev",
];

pub(crate) struct Site<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) shell: Shell,
}

impl Site<'_> {
    /// What `haulout migrate` prints with these flags, if it ends with this code: stdout and stderr.
    pub(crate) async fn migrate(&self, flags: &[&str], code: i32) -> (String, String) {
        let arguments = [&["migrate"], flags].concat();
        printed(
            &haulout(self.cluster.kubectl().kubeconfig(), &arguments).await,
            code,
        )
    }

    pub(crate) async fn steps(&self, flags: &[&str]) -> Vec<Step> {
        let (script, stderr) = self.migrate(flags, 0).await;
        assert_eq!(stderr, "");
        steps(&script)
    }

    pub(crate) async fn get(&self, arguments: &[&str]) -> Value {
        let arguments = [&["get"], arguments].concat();
        self.cluster.kubectl().json(&arguments).await.unwrap()
    }

    pub(crate) async fn exists(&self, arguments: &[&str]) -> bool {
        let arguments = [&["get", "--ignore-not-found", "-o", "name"], arguments].concat();
        let found = self.cluster.kubectl().run(arguments).await.unwrap();
        !found.trim().is_empty()
    }

    /// `spec` of both APIServices.
    pub(crate) async fn api_services(&self) -> [Value; 2] {
        let [login, identity] = API_SERVICES;
        let login = self.get(&["apiservice", login]).await;
        let identity = self.get(&["apiservice", identity]).await;
        [login["spec"].clone(), identity["spec"].clone()]
    }

    /// All that must outlive the migration.
    pub(crate) async fn kept(&self) -> Vec<Value> {
        let mut kept = Vec::new();
        for kind in [
            "crd",
            "apiservice",
            "jwtauthenticator",
            "webhookauthenticator",
        ] {
            let list = self.get(&[kind]).await;
            let items = list["items"].as_array().unwrap().iter();
            let ours = items.filter(|item| item.to_string().contains("pinniped.dev"));
            kept.extend(ours.cloned());
        }
        assert!(kept.len() >= 6, "{kept:?}");
        kept
    }

    /// Their UIDs.
    pub(crate) async fn kept_uids(&self) -> Vec<Value> {
        let kept = self.kept().await.into_iter();
        kept.map(|object| object["metadata"]["uid"].clone())
            .collect()
    }

    /// Replicas that are wanted of the Concierge.
    pub(crate) async fn old_replicas(&self) -> Value {
        let old = self.get(&["-n", NAMESPACE, "deployment", DEPLOYMENT]).await;
        old["spec"]["replicas"].clone()
    }

    /// Waits until all that the Concierge's manifests and its program made is gone, but for its namespace.
    pub(crate) async fn nothing_is_left(&self) {
        let label = format!("app={DEPLOYMENT}");
        let kinds = "deployments,services,configmaps,secrets,serviceaccounts,roles,rolebindings";
        let kinds_of_cluster = "clusterroles,clusterrolebindings,credentialissuers";
        for _ in 0..600 {
            if !self.exists(&["-A", "-l", &label, kinds]).await {
                assert!(!self.exists(&["-l", &label, kinds_of_cluster]).await);
                return;
            }
            // What the program made goes by garbage collection.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("something is left of the Concierge in its namespace");
    }
}
