//! `haulout migrate`: what it says of a cluster, and where its steps lead when they are run as they are printed.
//!
//! Run are all commands but those of helm, and of the step that waits for pods: this cluster has no node. Haulout runs as
//! processes, started where Helm installs it. [On a node](crate::installation) nothing is left out.

pub(crate) mod concierge;
pub(crate) mod script;
pub(crate) mod site;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_tests::cluster::{Cluster, ClusterOptions, HauloutStack, Profile, StackOptions};
use serde_json::{Value, json};

use self::concierge::{DEPLOYMENT, NAMESPACE};
use self::script::{Step, find};
use self::site::Site;
use crate::placement::{add_control_plane, haulout, printed};
use crate::shell::Shell;

/// A cluster with Pinniped's Concierge.
async fn start() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::new(Profile::Kubeadm))
        .await
        .unwrap();
    concierge::install(&cluster).await;
    cluster
}

impl<'a> Site<'a> {
    fn without_pods(cluster: &'a Cluster) -> Self {
        let registry = "registry.example.com/haulout";
        let shell = Shell::new(cluster, &[]).with("REGISTRY", registry);
        Self { cluster, shell }
    }

    /// Runs the step whose title begins so, as it is printed, but for what needs pods, and with the port of the webhook's
    /// process if one is given.
    async fn run(
        &self,
        steps: &[Step],
        beginning: &str,
        port: Option<u16>,
    ) -> Result<String, String> {
        let script = find(steps, beginning).script_without_pods(port);
        self.shell.run(&script).await
    }
}

fn jwt_authenticator(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec["issuer"] = json!("https://issuer.example.com");
    spec["audience"] = json!("cluster");
    json!({
        "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1",
        "kind": "JWTAuthenticator",
        "metadata": {"name": name},
        "spec": spec,
    })
}

async fn add_authenticators(site: &Site<'_>) {
    let source = |kind: &str, name: &str, key: &str| json!({"tls": {"certificateAuthorityDataSource": {"kind": kind, "name": name, "key": key}}});
    let ca = std::fs::read_to_string(site.cluster.ca_certificate()).unwrap();
    let items = json!([
        {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "corp-ca", "namespace": NAMESPACE},
            "data": {"ca.crt": ca, "unused": "x"},
        },
        {
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "reviews-ca", "namespace": NAMESPACE},
            "stringData": {"bundle": ca, "password": "x"},
        },
        jwt_authenticator("corp", source("ConfigMap", "corp-ca", "ca.crt")),
        {
            "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1",
            "kind": "WebhookAuthenticator",
            "metadata": {"name": "reviews"},
            "spec": {
                "endpoint": "https://reviews.example.com",
                "tls": source("Secret", "reviews-ca", "bundle")["tls"],
            },
        },
    ]);
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": items});
    concierge::apply(site.cluster, &objects).await;
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_a_migration_is_checked_first() {
    let cluster = start().await;
    let site = Site::without_pods(&cluster);
    add_authenticators(&site).await;
    put_hindrances(&site).await;
    let before = site.kept_uids().await;
    let (report, stderr) = site.migrate(&["--check"], 1).await;
    let blocking = lines(&report, "blocks");
    assert_eq!(blocking.len(), 5, "{report}");
    for expected in [
        "no place for the agent",
        "impersonation proxy",
        "formats cannot",
        "reviews-ca",
        "namespace haulout-agent is there",
    ] {
        let mut blocking = blocking.iter();
        assert!(
            blocking.any(|line| line.contains(expected)),
            "{expected}: {report}"
        );
    }
    assert!(stderr.contains("5 of the findings block"), "{stderr}");
    let (script, _) = site.migrate(&[], 1).await;
    assert_eq!(script, "", "no steps that would break something");

    remove_hindrances(&site).await;
    let (report, stderr) = site.migrate(&["--check"], 0).await;
    assert_eq!(
        (lines(&report, "blocks").len(), stderr.as_str()),
        (0, ""),
        "{report}"
    );
    for expected in [
        "JWTAuthenticator corp (https://issuer",
        "WebhookAuthenticator reviews (https://",
        "kubeconfigs",
    ] {
        let carried = lines(&report, "carries over");
        assert!(
            carried.iter().any(|line| line.contains(expected)),
            "{expected}: {report}"
        );
    }
    let kept = site.kept_uids().await.len();
    assert_eq!(kept, before.len() - 1, "only what we deleted is gone");

    site.migrate(&["--check", "--back"], 2).await;
    site.migrate(&["--api-group-suffix=nodot"], 2).await;
    let other = ["--api-group-suffix=walrus.example.com"];
    let (_, stderr) = site.migrate(&other, 1).await;
    assert!(
        stderr.contains("walrus.example.com leads to no Service"),
        "{stderr}"
    );
}

fn lines<'a>(report: &'a str, weight: &str) -> Vec<&'a str> {
    report
        .lines()
        .filter(|line| line.starts_with(weight))
        .collect()
}

const PATCH_ISSUER: [&str; 4] = [
    "patch",
    "credentialissuer",
    "pinniped-concierge-config",
    "--type=merge",
];

/// An expression that Haulout does not know, a CA that is not there, a namespace that somebody has made, and an impersonation
/// proxy in use.
async fn put_hindrances(site: &Site<'_>) {
    let format = json!({"claims": {"usernameExpression": "'%s'.format([claims.sub])"}});
    concierge::apply(site.cluster, &jwt_authenticator("formats", format)).await;
    let kubectl = site.cluster.kubectl();
    let delete = ["-n", NAMESPACE, "delete", "secret", "reviews-ca"];
    kubectl.run(delete).await.unwrap();
    let create = ["create", "namespace", "haulout-agent"];
    kubectl.run(create).await.unwrap();
    let strategies = json!({"status": {"strategies": [{
        "type": "ImpersonationProxy", "status": "Success", "reason": "Listening", "message": "x",
        "lastUpdateTime": "2026-11-25T00:00:00Z",
    }]}});
    let strategies = strategies.to_string();
    let status = ["--subresource=status", "-p", &strategies];
    kubectl
        .run([&PATCH_ISSUER[..], &status].concat())
        .await
        .unwrap();
}

async fn remove_hindrances(site: &Site<'_>) {
    add_control_plane(site.cluster, "cp-1", Profile::Kubeadm).await;
    let kubectl = site.cluster.kubectl();
    // As if it had come with an installation: nobody ends the deletion of a namespace here.
    let name = ["create", "clusterrolebinding", "haulout-webhook"];
    let rights = ["--clusterrole=view", "--user=nobody"];
    kubectl
        .run([name.as_slice(), &rights].concat())
        .await
        .unwrap();
    let disabled = [
        "-p",
        r#"{"spec":{"impersonationProxy":{"mode":"disabled"}}}"#,
    ];
    kubectl
        .run([&PATCH_ISSUER[..], &disabled].concat())
        .await
        .unwrap();
    let status = [
        "--subresource=status",
        "-p",
        r#"{"status":{"strategies":[]}}"#,
    ];
    kubectl
        .run([&PATCH_ISSUER[..], &status].concat())
        .await
        .unwrap();
    kubectl
        .run(["delete", "jwtauthenticator", "formats"])
        .await
        .unwrap();
    add_authenticators(site).await;
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_a_login_api_that_refuses_strangers_blocks_a_migration() {
    let options = ClusterOptions {
        anonymous: haulout_tests::cluster::Anonymous::Off,
        ..ClusterOptions::new(Profile::Kubeadm)
    };
    let cluster = Cluster::start(options).await.unwrap();
    let kubeconfig = cluster.kubectl().kubeconfig();
    let (_, stderr) = printed(&haulout(kubeconfig, &["migrate"]).await, 1);
    assert!(stderr.contains("this cluster has no Concierge"), "{stderr}");
    concierge::install(&cluster).await;
    add_control_plane(&cluster, "cp-1", Profile::Talos).await;
    let (report, _) = printed(&haulout(kubeconfig, &["migrate", "--check"]).await, 1);
    let blocking = lines(&report, "blocks");
    assert!(
        matches!(blocking.as_slice(), [one] if one.contains("answers 401")),
        "{report}"
    );
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_the_printed_steps_lead_to_haulout_and_back() {
    let cluster = start().await;
    let site = Site::without_pods(&cluster);
    add_control_plane(site.cluster, "cp-1", Profile::Kubeadm).await;
    add_authenticators(&site).await;
    let old_specs = site.api_services().await;
    let kept = site.kept_uids().await;

    let there = site.steps(&[]).await;
    for beginning in [
        "Back up",
        "Put Haulout's CRDs",
        "Make the namespace",
        "Install Haulout",
    ] {
        site.run(&there, beginning, None).await.unwrap();
    }
    installed_beside(&site).await;
    assert_eq!(
        site.api_services().await,
        old_specs,
        "logins go where they went"
    );
    let options = StackOptions {
        unregistered: true,
        ..StackOptions::default()
    };
    let stack = HauloutStack::start(site.cluster, &options).await.unwrap();
    assert_eq!(
        site.api_services().await,
        old_specs,
        "Haulout leaves what is not its own alone"
    );

    switch(&site, &there, &stack).await;
    let switched = site.api_services().await;
    let port = Some(stack.addresses().webhook);
    let refused = site
        .run(&there, "Stop the Concierge", port)
        .await
        .unwrap_err();
    assert!(refused.contains("The request is invalid"), "{refused}");
    assert_eq!(
        site.api_services().await,
        switched,
        "what leads elsewhere is left alone"
    );

    concierge::install_impostor(site.cluster).await;
    // Half way it can be turned round, and gone again.
    lead_back(&site, &old_specs).await;
    switch(&site, &site.steps(&[]).await, &stack).await;

    let rest = site.steps(&[]).await;
    assert_eq!(
        rest.len(),
        2,
        "what is done is not printed again: {rest:#?}"
    );
    site.run(&rest, "Delete what is left", None).await.unwrap();
    site.nothing_is_left().await;
    let mut kept_now = site.kept_uids().await;
    kept_now.retain(|uid| kept.contains(uid));
    assert_eq!(
        kept_now, kept,
        "CRDs, APIServices and authenticators outlive it"
    );
    log_in(&site, &stack).await;
    let (_, stderr) = site.migrate(&[], 1).await;
    assert!(
        stderr.contains("nothing of a Concierge is left"),
        "{stderr}"
    );

    all_the_way_back(&site, &old_specs).await;
}

/// The steps from the stop of the Concierge to a login.
async fn switch(site: &Site<'_>, steps: &[Step], stack: &HauloutStack) {
    let port = Some(stack.addresses().webhook);
    site.run(steps, "Stop the Concierge", port).await.unwrap();
    site.run(steps, "Log in", port).await.unwrap();
    log_in(site, stack).await;
    assert_eq!(site.old_replicas().await, 0);
}

async fn log_in(site: &Site<'_>, stack: &HauloutStack) {
    let token = stack.token("alice", &["devs"]).await.unwrap();
    stack.login(site.cluster, &token, None).await.unwrap();
}

/// The steps back, up to where logins go to the Concierge.
async fn lead_back(site: &Site<'_>, old_specs: &[Value; 2]) {
    let back = site.steps(&["--back"]).await;
    site.run(&back, "Start the Concierge", None).await.unwrap();
    site.run(&back, "Lead logins to it", None).await.unwrap();
    assert_eq!(&site.api_services().await, old_specs);
    assert_eq!(site.old_replicas().await, 2);
}

/// What the first four steps have done, and what they must not.
async fn installed_beside(site: &Site<'_>) {
    let backup = site.shell.folder().join("haulout-migration");
    let values = std::fs::read_to_string(backup.join("values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&values).unwrap();
    let expected = json!({
        "agent": {"preset": "kubeadm"},
        "image": {"registry": "registry.example.com/haulout"},
        "apiGroupSuffix": "pinniped.dev",
        "advertise": {"server": "https://kubernetes.example.com"},
        "audit": {"logUsernamesAndGroups": "enabled"},
        "webhook": {"proxy": {
            "httpsProxy": "http://proxy.example.com:3128",
            "noProxy": "$(KUBERNETES_SERVICE_HOST),.svc,.cluster.local",
        }},
    });
    assert_eq!(values, expected);
    let namespace = site.get(&["namespace", "haulout-system"]).await;
    assert_eq!(
        namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        "restricted"
    );
    let copy = site
        .get(&["-n", "haulout-system", "configmap", "corp-ca"])
        .await;
    let ca = std::fs::read_to_string(site.cluster.ca_certificate()).unwrap();
    assert_eq!(copy["data"], json!({"ca.crt": ca}));
    let original = site.get(&["-n", NAMESPACE, "secret", "reviews-ca"]).await;
    let copy = site
        .get(&["-n", "haulout-system", "secret", "reviews-ca"])
        .await;
    assert_eq!(
        copy["data"],
        json!({"bundle": original["data"]["bundle"]}),
        "nothing but the key that is named"
    );
    let crd = site
        .get(&[
            "crd",
            "jwtauthenticators.authentication.concierge.pinniped.dev",
        ])
        .await;
    assert!(
        crd.to_string().contains("usernamePrefix"),
        "the CRD is ours"
    );
}

async fn all_the_way_back(site: &Site<'_>, old_specs: &[Value; 2]) {
    let restore = site.steps(&["--back"]).await;
    let refused = site.run(&restore, "Restore it", None).await.unwrap_err();
    let there_already = r#"namespaces "pinniped-concierge" already exists"#;
    assert!(refused.contains(there_already), "{refused}");
    let ca = STANDARD.encode(std::fs::read(site.cluster.ca_certificate()).unwrap());
    concierge::make_run_time_objects(site.cluster, &ca).await;

    lead_back(site, old_specs).await;
    let back = site.steps(&["--back"]).await;
    assert_eq!(
        back.len(),
        1,
        "what is done is not printed again: {back:#?}"
    );
    site.run(&back, "Remove Haulout", None).await.unwrap();
    let namespace = site.get(&["namespace", "haulout-system"]).await;
    assert_eq!(namespace["status"]["phase"], "Terminating");
    for restored in [
        &["jwtauthenticator", "corp"][..],
        &["credentialissuer", "pinniped-concierge-config"],
        &["clusterrolebinding", "pinniped-concierge-pre-authn-apis"],
        &["-n", NAMESPACE, "serviceaccount", DEPLOYMENT],
        &[
            "-n",
            "kube-system",
            "role",
            "pinniped-concierge-kube-system-pod-read",
        ],
    ] {
        assert!(site.exists(restored).await, "{restored:?}");
    }
    let service = site
        .get(&["-n", NAMESPACE, "service", "pinniped-concierge-api"])
        .await;
    let selector = json!({"deployment.pinniped.dev": "concierge"});
    assert_eq!(service["spec"]["selector"], selector);
}
