//! `haulout talos patch`: what the program prints, where, and with which exit code.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::{Machine, Outcome};

const LEGACY: &str = include_str!("../../../cli/src/talos/testdata/1.13.yaml");
const MULTI_DOC: &str = include_str!("../../../cli/src/talos/testdata/1.14-multi-doc.yaml");
const CA: &str = include_str!("../../../cli/src/talos/testdata/ca.crt");
/// Stands in each secret field of the configs.
const SECRET: &str = "VERY-SECRET";

fn patch(flags: &[&str], stdin: &str) -> Outcome {
    let outcome = Machine::new().run_with_input(&[&["talos", "patch"], flags].concat(), stdin);
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(!text.contains(SECRET), "{text}");
    }
    outcome
}

fn printed(flags: &[&str], stdin: &str) -> String {
    let outcome = patch(flags, stdin);
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "");
    outcome.stdout
}

/// Path and text of each YAML file in `talos-patches`.
fn patches() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../talos-patches");
    let (mut folders, mut files) = (vec![root.clone()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                files.insert(name.to_owned(), std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

fn parsed(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn the_files_of_talos_patches_are_what_is_printed() {
    let files = patches();
    for (flags, path) in [
        (
            "--talos-version=1.14 --generation=multi-doc",
            "1.14/least-privilege.yaml",
        ),
        (
            "--talos-version=1.13 --step=file",
            "1.13/least-privilege-file.yaml",
        ),
        (
            "--talos-version=1.13 --step=flags",
            "1.13/least-privilege-flags.yaml",
        ),
        (
            "--talos-version=1.14 --generation=legacy --step=file",
            "1.13/least-privilege-file.yaml",
        ),
        (
            "--talos-version=1.9 --patch=anonymous-auth",
            "legacy/anonymous-auth.yaml",
        ),
        (
            "--talos-version=1.9 --patch=psa-exemption",
            "optional/psa-exemption.yaml",
        ),
        (
            "--talos-version=1.14 --generation=multi-doc --patch=psa-exemption",
            "1.14/optional/psa-exemption.yaml",
        ),
    ] {
        let flags: Vec<_> = flags.split(' ').collect();
        assert_eq!(printed(&flags, ""), files[path], "{path}");
    }
}

#[test]
fn each_file_says_what_to_know_of_it_and_is_in_the_readme() {
    let readme = include_str!("../../../talos-patches/README.md");
    let files = patches();
    assert_eq!(files.len(), 13);
    for (name, text) in files {
        assert!(readme.contains(&format!("`{name}`")), "{name}");
        let header = text.lines().take_while(|line| line.starts_with('#'));
        let header: Vec<_> = header.collect();
        for subject in ["Talos", "Kubernetes", "Opens", "Needs", "Again", "Undo"] {
            let begin = format!("# {subject:<12}");
            let count = header
                .iter()
                .filter(|line| line.starts_with(&begin))
                .count();
            assert_eq!(count, 1, "{name}: {subject}");
        }
    }
}

/// Helm takes the namespace of the agent over only with its own marks on it.
#[test]
fn namespaces_are_those_of_the_manifests() {
    let levels = |text: &str| {
        let namespaces: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        let level = |namespace: &Value| {
            let metadata = &namespace["metadata"];
            let level = &metadata["labels"]["pod-security.kubernetes.io/enforce"];
            (metadata["name"].to_string(), level.to_string())
        };
        namespaces.iter().map(level).collect::<BTreeMap<_, _>>()
    };
    let text = &patches()["namespace.yaml"];
    let manifest = include_str!("../../../manifests/webhook/namespace.yaml");
    assert_eq!(levels(text), levels(manifest));
    let namespaces: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    assert_eq!(
        namespaces[1]["metadata"]["annotations"],
        json!({"meta.helm.sh/release-name": "haulout", "meta.helm.sh/release-namespace": "haulout-system"})
    );
    let managed_by = "/metadata/labels/app.kubernetes.io~1managed-by";
    assert_eq!(namespaces[1].pointer(managed_by).unwrap(), "Helm");
}

#[test]
fn a_config_is_read_from_a_file_or_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("controlplane.yaml");
    std::fs::write(&path, MULTI_DOC).unwrap();
    let from_file = printed(&[path.to_str().unwrap()], "");
    assert_eq!(printed(&["-"], MULTI_DOC), from_file);
    let path = "/configuration/anonymous/conditions/3/path";
    assert_eq!(
        parsed(&from_file).pointer(path).unwrap(),
        "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests"
    );
    let printed = printed(&["-", "--api-group-suffix=sso.example.com"], MULTI_DOC);
    assert_eq!(
        parsed(&printed).pointer(path).unwrap(),
        "/apis/login.concierge.sso.example.com/v1alpha1/tokencredentialrequests"
    );
}

#[test]
fn cluster_info_comes_from_the_config_or_from_flags() {
    let cluster = |text: &str| {
        let contents = parsed(text)
            .pointer("/cluster/inlineManifests/0/contents")
            .cloned();
        let config_map = parsed(contents.unwrap().as_str().unwrap());
        let kubeconfig = parsed(
            config_map
                .pointer("/data/kubeconfig")
                .unwrap()
                .as_str()
                .unwrap(),
        );
        kubeconfig.pointer("/clusters/0/cluster").unwrap().clone()
    };
    let of_config = cluster(&printed(&["-", "--patch=cluster-info"], LEGACY));
    assert_eq!(of_config["server"], "https://cp.example.test:6443");

    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, CA).unwrap();
    let ca = format!("--certificate-authority={}", ca.display());
    let flags = [
        "--patch=cluster-info",
        "--talos-version=1.9",
        "--server=https://k:6443",
        &ca,
    ];
    let of_flags = cluster(&printed(&flags, ""));
    let data = &of_config["certificate-authority-data"];
    let expected = json!({"server": "https://k:6443", "certificate-authority-data": data});
    assert_eq!(of_flags, expected);
}

/// The config with a secret wherever else a machine config may have one.
fn with_more_secrets(config: &str) -> String {
    let machine = format!(
        "machine:
    env: {{PROXY: 'https://user:{SECRET}@proxy.example'}}
    files:
        - {{path: /var/lib/a, permissions: 0o600, op: create, content: {SECRET}}}
    registries:
        config:
            registry.example:
                auth: {{username: a, password: {SECRET}, auth: {SECRET}, identityToken: {SECRET}}}
                tls: {{clientIdentity: {{crt: {SECRET}, key: {SECRET}}}}}
    acceptedCAs:
        - {{crt: {SECRET}}}
    network:
        interfaces:
            - wireguard: {{privateKey: {SECRET}, peers: [{{presharedKey: {SECRET}}}]}}
              vip: {{equinixMetal: {{apiToken: {SECRET}}}, hcloud: {{apiToken: {SECRET}}}}}
    systemDiskEncryption:
        state: {{keys: [{{slot: 0, static: {{passphrase: {SECRET}}}}}]}}
"
    );
    let cluster = format!(
        "cluster:
    aescbcEncryptionSecret: {SECRET}
    extraManifestHeaders: {{Authorization: {SECRET}}}
    inlineManifests:
        - name: other
          contents: |
            apiVersion: v1
            kind: Secret
            stringData: {{a: {SECRET}}}
"
    );
    let documents = [
        format!("kind: KubeServiceAccountConfig\nkey: {SECRET}"),
        format!("kind: KubeInlineManifestConfig\nname: secret\nmanifest: {SECRET}"),
        format!("kind: KubeExternalManifestConfig\nname: a\nheaders: {{Authorization: {SECRET}}}"),
        format!("kind: SideroLinkConfig\napiUrl: grpc://a.example?jointoken={SECRET}"),
        format!("kind: RegistryAuthConfig\nname: a\npassword: {SECRET}"),
        format!("kind: WireguardConfig\nname: wg0\nprivateKey: {SECRET}"),
    ];
    let config = config.replacen("machine:\n", &machine, 1);
    let config = config.replacen("cluster:\n", &cluster, 1);
    let documents = documents.map(|document| format!("\n---\napiVersion: v1alpha1\n{document}"));
    config + &documents.concat()
}

/// Every secret of a config is left out, whatever the patch, whether it is printed or refused.
#[test]
fn no_secret_of_a_config_is_printed() {
    let manifest = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        &manifest,
        "{apiVersion: v1, kind: Namespace, metadata: {name: a}}",
    )
    .unwrap();
    let manifest = format!("--manifest={}", manifest.path().display());
    for config in [LEGACY, MULTI_DOC].map(with_more_secrets) {
        assert!(config.matches(SECRET).count() > 30);
        printed(&["-"], &config);
        printed(&["-", "--patch=cluster-info"], &config);
        for flags in [
            &["--patch=least-privilege"][..],
            &["--patch=least-privilege", "--step=flags"],
            &["--patch=anonymous-auth"],
            &["--patch=cluster-info"],
            &["--patch=psa-exemption"],
            &["--patch=install-external", "--url=https://a.example/b.yaml"],
            &["--patch=install-inline", &manifest],
            &["--generation=legacy"],
            &["--generation=multi-doc"],
        ] {
            let worker = config.replace("type: controlplane", "type: worker");
            let broken = config.replace("cluster:\n", "cluster: [\n");
            let flags = [&["-"], flags].concat();
            let outcome = patch(&flags, &config);
            assert_ne!(outcome.stdout.is_empty(), outcome.stderr.is_empty());
            patch(&flags, &worker).error(1);
            patch(&flags, &broken).error(1);
        }
    }
}

#[test]
fn each_refusal_is_a_line_and_the_exit_code_is_1() {
    let oidc = "    apiServer:\n        extraArgs:\n            oidc-issuer-url: https://x\n            \
                authentication-config: /a.yaml\n";
    let config = LEGACY.replace("    apiServer:\n", oidc);
    let outcome = patch(&["-"], &config);
    let lines: Vec<_> = outcome.error(1).lines().collect();
    let [oidc, own, end] = lines[..] else {
        panic!("{lines:?}");
    };
    assert!(
        oidc.starts_with("Refused: the API server does not start with oidc-issuer-url "),
        "{oidc}"
    );
    assert!(
        own.starts_with("Refused: the API server reads /a.yaml by authentication-config"),
        "{own}"
    );
    assert_eq!(end, "Error: no patch was printed, for the reasons above");
}

#[test]
fn wrong_flags_exit_with_2() {
    for (flags, expected) in [
        (
            &[][..],
            "Error: give a machine config (a file, or - for stdin), or --talos-version",
        ),
        (
            &["--talos-version=latest"],
            "Error: invalid --talos-version: write it as 1.13",
        ),
        (
            &["--talos-version=1.14", "--kubernetes-version=x"],
            "Error: invalid --kubernetes-version: write it as 1.13",
        ),
        (
            &["--talos-version=1.14"],
            "Error: from 1.14 on there are two kinds of machine configs",
        ),
        (
            &["--talos-version=1.13"],
            "Error: without a machine config this patch is made in two steps",
        ),
        (
            &["--talos-version=1.13", "--patch=cluster-info"],
            "Error: no control plane endpoint is known: give --server",
        ),
        (
            &["--patch=cluster-info", "--server=https://127.0.0.1:7445"],
            "Error: invalid --server: it is an address of the node itself",
        ),
        (
            &["--patch=install-external", "--url=http://a"],
            "Error: invalid --url: write it as https://HOST/PATH",
        ),
        (
            &["--patch=psa-exemption", "--step=file"],
            "Error: --step is for another --patch; leave it out",
        ),
        (
            &["--api-group-suffix=x"],
            "Error: invalid --api-group-suffix: \"x\" has no dot",
        ),
        (
            &["--patch=nope"],
            "error: invalid value 'nope' for '--patch <PATCH>'",
        ),
        (&["a", "b"], "Error: unexpected argument without a flag"),
    ] {
        let outcome = patch(flags, "");
        let error = outcome.error(2);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn what_cannot_be_read_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = folder.path().join("bytes");
    std::fs::write(&bytes, [0xff, 0xfe]).unwrap();
    let bytes = bytes.to_str().unwrap();
    let ca = format!("--certificate-authority={bytes}");
    let key = folder.path().join("key");
    std::fs::write(
        &key,
        format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n"),
    )
    .unwrap();
    let key = format!("--certificate-authority={}", key.display());
    for (flags, expected) in [
        (
            &["/nowhere"][..],
            "Error: failed to read /nowhere: No such file",
        ),
        (&[bytes], "bytes is no text in UTF-8"),
        (
            &["-", "--patch=cluster-info", &ca],
            "bytes is no text in UTF-8",
        ),
        (
            &["-", "--patch=cluster-info", &key],
            "it is no PEM of one or more CA certificates",
        ),
    ] {
        let outcome = patch(flags, LEGACY);
        let error = outcome.error(1);
        assert!(error.contains(expected), "{error}");
    }
    let outcome = patch(&["-"], &LEGACY.replace("    type: controlplane\n", ""));
    assert_eq!(
        outcome.error(1),
        "Error: failed to understand the machine config of stdin: v1alpha1 document: machine.type is missing\n"
    );
}
