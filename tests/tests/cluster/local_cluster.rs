//! The local cluster itself.

use std::process::Command;

use haulout_tests::cluster::{
    Anonymous, Cluster, ClusterOptions, Component, LOGIN_PATH, Profile, kept_cluster_folder,
};
use serde_json::Value;

async fn start(profile: Profile) -> Cluster {
    Cluster::start(ClusterOptions::new(profile)).await.unwrap()
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_profiles_run_side_by_side_and_leave_nothing() {
    let (mut kubeadm, mut talos) = tokio::join!(start(Profile::Kubeadm), start(Profile::Talos));
    assert_ne!(kubeadm.server(), talos.server());
    let mut processes = Vec::new();
    let mut folders = Vec::new();
    for cluster in [&mut kubeadm, &mut talos] {
        let review = cluster.kubectl().json(&["auth", "whoami"]).await.unwrap();
        assert_eq!(review["status"]["userInfo"]["username"], "kubernetes-admin");
        for component in [
            Component::Etcd,
            Component::ApiServer,
            Component::ControllerManager,
            Component::Scheduler,
        ] {
            processes.push(cluster.process(component).unwrap().id());
        }
        folders.push(cluster.folder().to_owned());
    }
    drop((kubeadm, talos));
    for process in processes {
        assert!(
            !std::path::Path::new(&format!("/proc/{process}")).exists(),
            "{process} runs"
        );
    }
    for folder in folders {
        assert!(!folder.exists(), "{} is there", folder.display());
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_info_is_public_on_kubeadm_only() {
    for (profile, present) in [(Profile::Kubeadm, true), (Profile::Talos, false)] {
        let cluster = start(profile).await;
        let arguments = [
            "get",
            "configmap",
            "-n",
            "kube-public",
            "cluster-info",
            "--ignore-not-found",
        ];
        let object = cluster.kubectl().run(arguments).await.unwrap();
        assert_eq!(!object.is_empty(), present, "{profile}: {object}");
        let path = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
        let status = cluster.anonymous_status(path).await.unwrap();
        assert_eq!(status, if present { 200 } else { 401 }, "{profile}");
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_talos_opens_exactly_the_paths_of_the_patch() {
    let cluster = start(Profile::Talos).await;
    let lower = LOGIN_PATH.replace("pinniped", "Pinniped");
    let encoded = LOGIN_PATH.replace("login", "%6cogin");
    let double = LOGIN_PATH.replacen('/', "//", 1);
    let slash = format!("{LOGIN_PATH}/");
    for (path, expected) in [
        // Authentication lets it in; without our RBAC the answer is 403.
        (LOGIN_PATH, 403),
        (&format!("{LOGIN_PATH}?timeout=30s"), 403),
        (&encoded, 403),
        (&slash, 401),
        (&double, 401),
        (&lower, 401),
        ("/livez", 200),
        ("/readyz", 200),
        ("/healthz", 200),
        ("/livez/etcd", 401),
        ("/version", 401),
        ("/api", 401),
        ("/apis", 401),
        ("/apis/login.concierge.pinniped.dev/v1alpha1", 401),
        ("/openapi/v2", 401),
        ("/.well-known/openid-configuration", 401),
    ] {
        assert_eq!(
            cluster.anonymous_status(path).await.unwrap(),
            expected,
            "{path}"
        );
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_without_anonymous_access_answers_401_everywhere() {
    let cluster = Cluster::start(ClusterOptions {
        anonymous: Anonymous::Off,
        ..ClusterOptions::new(Profile::Talos)
    })
    .await
    .unwrap();
    for path in [LOGIN_PATH, "/livez", "/version", "/api"] {
        assert_eq!(cluster.anonymous_status(path).await.unwrap(), 401, "{path}");
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_talos_refuses_host_paths_outside_kube_system() {
    let cluster = start(Profile::Talos).await;
    let pod = |namespace: &str| {
        serde_json::json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": "host-path", "namespace": namespace },
            "spec": {
                "containers": [{ "name": "c", "image": "c" }],
                "volumes": [{ "name": "v", "hostPath": { "path": "/" } }],
            },
        })
        .to_string()
    };
    let refusal = cluster
        .kubectl()
        .apply(&pod("kube-public"))
        .await
        .unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("violates PodSecurity \"baseline:latest\""),
        "{refusal}"
    );
    cluster.kubectl().apply(&pod("kube-system")).await.unwrap();
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_survives_a_restart_of_its_api_server() {
    let mut cluster = start(Profile::Kubeadm).await;
    cluster
        .kubectl()
        .run(["create", "namespace", "before"])
        .await
        .unwrap();
    let first = cluster.process(Component::ApiServer).unwrap().id();
    cluster.restart(Component::ApiServer).await.unwrap();
    assert_ne!(cluster.process(Component::ApiServer).unwrap().id(), first);
    cluster
        .kubectl()
        .run(["get", "namespace", "before"])
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_publishes_how_the_front_proxy_is_known() {
    let cluster = start(Profile::Kubeadm).await;
    let arguments = [
        "get",
        "configmap",
        "-n",
        "kube-system",
        "extension-apiserver-authentication",
    ];
    let object = cluster.kubectl().json(&arguments).await.unwrap();
    let data = |key: &str| object["data"][key].as_str().map(str::to_owned);
    assert_eq!(
        data("requestheader-allowed-names").as_deref(),
        Some(r#"["front-proxy-client"]"#)
    );
    assert!(
        data("requestheader-client-ca-file")
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_start_that_fails_names_the_flag_and_leaves_nothing() {
    // One that would outlive this process too, and with a name, since others of this process may run meanwhile.
    let name = format!("fails-{}", std::process::id());
    let options = ClusterOptions {
        api_server_arguments: vec!["--no-such-flag".to_owned()],
        keep_as: Some(name.clone()),
        ..ClusterOptions::new(Profile::Kubeadm)
    };
    let error = format!("{:#}", Cluster::start(options).await.unwrap_err());
    assert!(error.contains("kube-apiserver ended"), "{error}");
    assert!(error.contains("no-such-flag"), "{error}");

    let folder = kept_cluster_folder(&name).unwrap();
    assert!(!folder.exists(), "{} is there", folder.display());
    let left: Vec<_> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| line.contains(folder.to_str().unwrap()))
        .collect();
    assert_eq!(left, [""; 0], "processes");
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cluster_authority_has_the_form_of_its_profile() {
    for (profile, subject, key) in [
        (
            Profile::Kubeadm,
            "subject=CN = kubernetes",
            "-----BEGIN RSA PRIVATE KEY-----",
        ),
        (
            Profile::Talos,
            "subject=O = kubernetes",
            "-----BEGIN EC PRIVATE KEY-----",
        ),
    ] {
        let cluster = start(profile).await;
        let pair = cluster.pki().signing_pair();
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-subject", "-in"])
            .arg(&pair.certificate)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), subject);
        assert!(std::fs::read_to_string(&pair.key).unwrap().starts_with(key));
        let signed = sign_a_request(&cluster).await;
        assert!(
            signed.contains("BEGIN CERTIFICATE"),
            "the controller manager cannot sign"
        );
    }
}

/// Asks kube-controller-manager, which reads the same pair, for a certificate.
async fn sign_a_request(cluster: &Cluster) -> String {
    use base64::Engine as _;
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "someone");
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let object = serde_json::json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": { "name": "someone" },
        "spec": {
            "request": base64::engine::general_purpose::STANDARD.encode(request),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    });
    let kubectl = cluster.kubectl();
    kubectl.apply(&object.to_string()).await.unwrap();
    kubectl
        .run(["certificate", "approve", "someone"])
        .await
        .unwrap();
    let limit = std::time::Duration::from_secs(30);
    let certificate = haulout_tests::cluster::wait_for("certificate", limit, &mut [], async || {
        let object: Value = kubectl.json(&["get", "csr", "someone"]).await?;
        let certificate = object
            .pointer("/status/certificate")
            .and_then(Value::as_str);
        certificate
            .map(str::to_owned)
            .ok_or_else(|| anyhow::anyhow!("not signed: {object}"))
    })
    .await
    .unwrap();
    let der = base64::engine::general_purpose::STANDARD
        .decode(certificate)
        .unwrap();
    String::from_utf8(der).unwrap()
}
