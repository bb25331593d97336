//! Values: which are taken, which are refused and how, and that each does something.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use haulout_agent::policy::Policy;
use haulout_tests::cluster::{CHART, Products, workspace_root};
use serde_json::{Map, Value, json};

use super::{IMAGES, documents, helm, object, rendered};

/// Arguments of Helm that give good values.
pub(super) const GOOD: [&[&str]; 9] = [
    &[],
    &["--set=agent.preset=talos"],
    &[
        "--set=agent.preset=custom,agent.certFile=/srv/ca.crt,agent.keyFile=/srv/ca.key",
        "--set=agent.runAsUser=0,agent.runAsGroup=998",
    ],
    &["--set=apiGroupSuffix=walrus.example.com"],
    &["--values=tests/tests/cluster/chart/everything.yaml"],
    &[
        "--set=directEndpoint.externalUrl=https://192.0.2.1:30443,directEndpoint.service.type=NodePort",
    ],
    &[
        "--set=directEndpoint.externalUrl=https://login.example.com,directEndpoint.gateway.kind=TLSRoute",
        "--set=directEndpoint.gateway.parentRefs[0].name=public,rbac.anonymous=false",
    ],
    &[
        "--set=directEndpoint.externalUrl=https://login.example.com,directEndpoint.ingress.enabled=true",
        r"--set-string=directEndpoint.ingress.annotations.nginx\.ingress\.kubernetes\.io/ssl-passthrough=true",
    ],
    &[
        "--set=crds.install=false,apiServices.create=false,rbac.anonymous=false",
        "--set=networkPolicy.enabled=false,priority.enabled=false,webhook.podDisruptionBudget.enabled=false",
    ],
];

/// What is wrong, and what the error says of it.
const BAD: [(&str, &[&str]); 42] = [
    ("nonsense=1", &["'nonsense' not allowed"]),
    (
        "directEndpoint.listen=x",
        &["'/directEndpoint'", "'listen' not allowed"],
    ),
    (
        "directEndpoint.externalUrl=http://login.example.com",
        &["'/directEndpoint/externalUrl'"],
    ),
    (
        "directEndpoint.tlsSecretName=login-tls",
        &["directEndpoint.externalUrl: has to be set"],
    ),
    (
        "directEndpoint.ingress.enabled=true",
        &["directEndpoint.externalUrl: has to be set"],
    ),
    (
        "directEndpoint.trustedProxies[0]=proxy.example.com",
        &["'/directEndpoint/trustedProxies/0'"],
    ),
    (
        "directEndpoint.externalUrl=https://a.example.com,directEndpoint.ingress.enabled=true",
        &[
            "directEndpoint.certificateAuthorityData: has to be set",
            "the certificate of the Ingress",
        ],
    ),
    (
        "directEndpoint.externalUrl=https://a.example.com,directEndpoint.gateway.kind=HTTPRoute,\
         directEndpoint.gateway.parentRefs[0].name=public",
        &[
            "directEndpoint.certificateAuthorityData: has to be set",
            "the certificate of the Gateway",
        ],
    ),
    (
        "directEndpoint.externalUrl=https://a.example.com,directEndpoint.gateway.kind=TLSRoute",
        &["directEndpoint.gateway.parentRefs: has to name the Gateway"],
    ),
    (
        "directEndpoint.externalUrl=https://a.example.com,directEndpoint.gateway.kind=TLSRoute,\
         directEndpoint.gateway.parentRefs[0].name=public,directEndpoint.gateway.backendCAConfigMap=a",
        &["directEndpoint.gateway.backendCAConfigMap: is for kind HTTPRoute"],
    ),
    (
        "directEndpoint.externalUrl=https://a.example.com,directEndpoint.gateway.kind=TLSRoute,\
         directEndpoint.gateway.parentRefs[0].name=public,directEndpoint.trustedProxies[0]=192.0.2.1",
        &["directEndpoint.trustedProxies: has to be empty"],
    ),
    (
        "directEndpoint.externalUrl=https://192.0.2.1,directEndpoint.ingress.enabled=true,\
         directEndpoint.certificateAuthorityData=public",
        &[
            "directEndpoint.externalUrl: has to have a DNS name",
            "192.0.2.1",
        ],
    ),
    (
        "directEndpoint.externalUrl=https://a.example.com/login,directEndpoint.ingress.enabled=true,\
         directEndpoint.certificateAuthorityData=public",
        &["directEndpoint.externalUrl: has to be without the path /login"],
    ),
    (
        "directEndpoint.externalUrl=https://a.example.com,directEndpoint.service.nodePort=30443",
        &["directEndpoint.service.type: has to be NodePort or LoadBalancer"],
    ),
    (
        "directEndpoint.externalUrl=https://a.example.com,directEndpoint.service.loadBalancerClass=a",
        &["directEndpoint.service.type: has to be LoadBalancer"],
    ),
    ("apiGroupSuffix=dev", &["'/apiGroupSuffix'"]),
    ("labels.team=a b", &["'/labels/team'"]),
    (
        r"labels.app\.kubernetes\.io/name=x",
        &["'/labels/app.kubernetes.io~1name'"],
    ),
    (
        "image.registry=",
        &["image.registry: has to be set", "docs/images.md"],
    ),
    ("image.registry=null", &["image.registry: has to be set"]),
    ("image.registry=/haulout", &["'/image/registry'"]),
    ("image.digests.agent=sha256:12", &["'/image/digests/agent'"]),
    (
        "image.pullPolicy=Sometimes",
        &["'/image/pullPolicy'", "IfNotPresent"],
    ),
    ("webhook.replicas=0", &["'/webhook/replicas'", "want 1"]),
    (
        "webhook.replica=3",
        &["'/webhook'", "'replica' not allowed"],
    ),
    (
        "webhook.certificates.defaultLifetimeSeconds=86401",
        &["'/webhook/certificates/defaultLifetimeSeconds'"],
    ),
    (
        "webhook.extraCABundle=/etc/ca.crt",
        &["'/webhook/extraCABundle'"],
    ),
    (
        "webhook.resources.memory=1Gi",
        &["'/webhook/resources'", "'memory'"],
    ),
    (
        "webhook.tolerations[0].keys=a",
        &["'/webhook/tolerations/0'", "'keys'"],
    ),
    (
        "agent.preset=minikube",
        &["'/agent/preset'", "'kubeadm', 'talos', 'custom'"],
    ),
    ("agent.preset=custom", &["agent.certFile: has to be set"]),
    ("agent.certFile=ca.crt", &["'/agent/certFile'"]),
    ("agent.runAsUser=root", &["'/agent/runAsUser'", "integer"]),
    (
        "agent.policy.maxLifetime=60",
        &["'/agent/policy'", "'maxLifetime' not allowed"],
    ),
    (
        "agent.policy.maxLifetimeSeconds=0",
        &["'/agent/policy/maxLifetimeSeconds'"],
    ),
    (
        "agent.policy.allow.user[0]=a",
        &["'/agent/policy/allow'", "'user'"],
    ),
    (
        "credentialIssuer.spec.impersonationProxy.mode=on",
        &["'/credentialIssuer/spec/impersonationProxy/mode'"],
    ),
    (
        "credentialIssuer.spec.impersonationProxy.externalEndpoint=a",
        &["'/credentialIssuer/spec/impersonationProxy'", "'mode'"],
    ),
    (
        "advertise.server=http://api.example.com",
        &["'/advertise/server'"],
    ),
    (
        "advertise.certificateAuthorityData=Zm9v",
        &["advertise.server: has to be set"],
    ),
    ("limits.totalBurst=-1", &["'/limits/totalBurst'"]),
    ("log.level=all", &["'/log/level'", "'trace'"]),
];

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn good_values_pass_lint_and_make_files_that_the_programs_take() {
    let helm = helm().await;
    for values in GOOD {
        let lint = [&["lint", "--strict", CHART, IMAGES], values].concat();
        helm.run(&lint).await.unwrap();
        let objects = rendered(&helm, values).await;
        let config = object(&objects, "ConfigMap", "haulout-webhook");
        let config = config["data"]["webhook.yaml"].as_str().unwrap();
        assert_eq!(check_config(config), "", "{values:?}: {config}");
        let policy = object(&objects, "ConfigMap", "haulout-agent");
        let policy = policy["data"]["policy.yaml"].as_str().unwrap();
        Policy::from_yaml(policy.as_bytes()).unwrap();
    }
}

/// The page's examples, each as it stands.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn values_on_the_page_of_the_direct_endpoint_are_good() {
    let helm = helm().await;
    let page = include_str!("../../../../docs/direct-endpoint.md");
    let blocks = page.split("```yaml\n").skip(1);
    let examples = blocks.filter_map(|block| {
        let text = block.split("```").next().unwrap();
        text.starts_with("directEndpoint:").then_some(text)
    });
    let mut count = 0;
    for example in examples {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), example).unwrap();
        let argument = format!("--values={}", file.path().display());
        let objects = rendered(&helm, &[&argument]).await;
        let config = object(&objects, "ConfigMap", "haulout-webhook");
        let config = config["data"]["webhook.yaml"].as_str().unwrap();
        assert!(config.contains("externalUrl"), "{example}");
        assert_eq!(check_config(config), "", "{example}");
        count += 1;
    }
    assert_eq!(count, 3);
}

/// What the webhook has to say of its file.
fn check_config(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhook.yaml");
    std::fs::write(&path, text).unwrap();
    let program = Products::find().unwrap().program("haulout-webhook");
    let Output { status, stderr, .. } = Command::new(program)
        .args([Path::new("--check-config"), Path::new("--config"), &path])
        .output()
        .unwrap();
    let errors = String::from_utf8(stderr).unwrap();
    assert_eq!(status.success(), errors.is_empty(), "{errors}");
    errors
}

/// It passes TLS through, and the header is the client's own.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn an_ingress_that_cannot_add_the_header_is_no_trusted_proxy() {
    let arguments = [
        IMAGES,
        "--set=directEndpoint.externalUrl=https://a.example.com,directEndpoint.ingress.enabled=true",
        "--set=directEndpoint.trustedProxies[0]=192.0.2.1",
        r"--set-string=directEndpoint.ingress.annotations.nginx\.ingress\.kubernetes\.io/ssl-passthrough=true",
    ];
    let error = helm().await.template(&arguments).await.unwrap_err();
    let text = format!("{error:#}");
    let expected = "directEndpoint.trustedProxies: has to be empty where TLS is passed through";
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn bad_values_are_refused_by_the_name_of_their_field() {
    let helm = helm().await;
    for (values, expected) in BAD {
        let error = helm.template(&[IMAGES, "--set", values]).await.unwrap_err();
        let text = format!("{error:#}");
        for part in expected {
            assert!(text.contains(part), "{values}: {part} is not in: {text}");
        }
    }
}

/// Takes one value after the other out of a file that sets them all: the chart must make something else.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn each_value_does_something() {
    let helm = helm().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("values.json");
    let argument = format!("--values={}", path.display());
    let mut everything = read(&PathBuf::from("tests/tests/cluster/chart/everything.yaml"));
    for (mut pointers, values) in [
        (Vec::new(), Value::Null),
        // What the file leaves out, since it would hide others.
        (
            vec!["/image/digests/agent"],
            json!({"image": {"digests": {"agent": format!("sha256:{:064}", 0)}}}),
        ),
        (vec!["/agent/preset"], json!({"agent": {"preset": "talos"}})),
        (
            vec!["/networkPolicy/enabled"],
            json!({"networkPolicy": {"enabled": false}}),
        ),
        (
            vec!["/priority/enabled"],
            json!({"priority": {"enabled": false}}),
        ),
        (vec!["/crds/install"], json!({"crds": {"install": false}})),
        (
            vec!["/apiServices/create"],
            json!({"apiServices": {"create": false}}),
        ),
        (
            vec!["/rbac/anonymous"],
            json!({"rbac": {"anonymous": false}}),
        ),
        (
            vec!["/webhook/podDisruptionBudget/enabled"],
            json!({"webhook": {"podDisruptionBudget": {"enabled": false}}}),
        ),
    ] {
        let values = if values.is_null() {
            everything.take()
        } else {
            values
        };
        let leaves = leaves(&values);
        if pointers.is_empty() {
            pointers = leaves.iter().map(String::as_str).collect();
            // Its four companions are all set.
            pointers.retain(|pointer| {
                !["/agent/preset", "/webhook/podDisruptionBudget/enabled"].contains(pointer)
            });
        }
        let write = |values: &Value| std::fs::write(&path, values.to_string()).unwrap();
        write(&values);
        let whole = helm.template(&[IMAGES, &argument]).await.unwrap();
        for pointer in pointers {
            let mut rest = values.clone();
            remove(&mut rest, pointer);
            write(&rest);
            let rest = helm.template(&[IMAGES, &argument]).await;
            // Without it, another may be refused.
            if let Ok(rest) = rest {
                assert_ne!(rest, whole, "{pointer} does nothing");
            }
        }
    }
}

/// Those two tests together know every value that there is.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn no_value_is_left_out_of_the_test() {
    let everything = read(&PathBuf::from("tests/tests/cluster/chart/everything.yaml"));
    let tested_alone = [
        "/image/digests/agent",
        "/networkPolicy/enabled",
        "/priority/enabled",
        "/crds/install",
        "/apiServices/create",
        "/rbac/anonymous",
        // Counts only in a live cluster; the lifecycle's test has it.
        "/agent/checkNodes",
    ];
    for pointer in leaves(&read(&PathBuf::from(CHART).join("values.yaml"))) {
        let tested = tested_alone.contains(&&*pointer) || everything.pointer(&pointer).is_some();
        // A map whose keys are free counts by its own name.
        let parent = pointer.rsplit_once('/').unwrap().0;
        let free = ["resources", "nodeSelector", "requests", "limits"]
            .iter()
            .any(|name| parent.contains(name));
        assert!(tested || free, "{pointer}");
    }
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(workspace_root().join(path)).unwrap();
    documents(&text).remove(0)
}

/// JSON pointers of all that is no filled object.
fn leaves(value: &Value) -> Vec<String> {
    let filled: Option<&Map<String, Value>> = value.as_object().filter(|map| !map.is_empty());
    let Some(map) = filled else {
        return vec![String::new()];
    };
    let below = |(key, value): (&String, &Value)| {
        let key = key.replace('~', "~0").replace('/', "~1");
        leaves(value)
            .into_iter()
            .map(move |rest| format!("/{key}{rest}"))
            .collect::<Vec<_>>()
    };
    map.iter().flat_map(below).collect()
}

fn remove(value: &mut Value, pointer: &str) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).and_then(Value::as_object_mut);
    let removed = parent.unwrap().remove(&key.replace("~1", "/"));
    assert!(removed.is_some(), "{pointer}");
}
