use proptest::prelude::*;

use super::*;

const LEGACY: &str = include_str!("../testdata/1.13.yaml");
const MULTI_DOC: &str = include_str!("../testdata/1.14-multi-doc.yaml");

fn parse(text: &str) -> MachineConfig {
    MachineConfig::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn legacy_of(text: &str) -> Legacy {
    match parse(text).api_server {
        ApiServer::Legacy(legacy) => legacy,
        ApiServer::MultiDoc(_) => panic!("multi-doc"),
    }
}

fn multi_doc_of(text: &str) -> MultiDoc {
    match parse(text).api_server {
        ApiServer::MultiDoc(multi_doc) => multi_doc,
        ApiServer::Legacy(_) => panic!("legacy"),
    }
}

/// The config with lines added below the one that is `below`.
fn with(text: &str, below: &str, more: &str) -> String {
    assert!(text.contains(below), "{below}");
    text.replacen(below, &format!("{below}{more}"), 1)
}

/// The config without what begins at `from`, up to `to`.
fn without(config: &str, from: &str, to: &str) -> String {
    let (before, rest) = config.split_once(from).unwrap();
    let (_, after) = rest.split_once(to).unwrap();
    format!("{before}{to}{after}")
}

#[test]
fn a_generated_legacy_config_is_understood() {
    let config = parse(LEGACY);
    assert!(config.is_control_plane);
    assert_eq!(config.installer, "1.13.0".parse().ok());
    let kubernetes = KubernetesVersion::Known("1.36.0".parse().unwrap());
    assert_eq!(config.kubernetes, kubernetes);
    assert_eq!(
        config.endpoint.as_deref(),
        Some("https://cp.example.test:6443")
    );
    assert_eq!(config.certificates.len(), 1);
    assert_eq!(config.inline_manifests, []);
    assert!(config.authentication_file.is_none());
    let legacy = legacy_of(LEGACY);
    assert_eq!(legacy.anonymous_auth, None);
    assert_eq!(legacy.exempt, Some(vec!["kube-system".to_owned()]));
}

#[test]
fn a_generated_multi_doc_config_is_understood() {
    let config = parse(MULTI_DOC);
    let kubernetes = KubernetesVersion::Known("1.36.2".parse().unwrap());
    assert_eq!(config.kubernetes, kubernetes);
    let multi_doc = multi_doc_of(MULTI_DOC);
    assert!(!multi_doc.has_legacy);
    assert_eq!(multi_doc.authorizers, ["Node", "RBAC"]);
    assert_eq!(multi_doc.exempt, Some(vec!["kube-system".to_owned()]));
    let authentication = multi_doc.authentication.unwrap();
    let paths = ["/livez", "/readyz", "/healthz"].map(str::to_owned);
    assert_eq!(authentication.anonymous, Anonymous::Paths(paths.to_vec()));
    assert!(authentication.jwt.is_empty() && authentication.unknown_keys.is_empty());
}

/// From 1.14.0-beta.0 on, endpoint and CA have documents of their own.
#[test]
fn documents_of_the_release_are_understood() {
    let ca = include_str!("../testdata/ca.crt").replace('\n', "\n    ");
    let multi_doc = without(MULTI_DOC, "    controlPlane:", "    aggregatorCA:");
    let released = format!(
        "{multi_doc}\n---\napiVersion: v1alpha1\nkind: KubeClusterConfig\nclusterName: lab\nendpoint: https://new.example.test:6443/\n\
         ---\napiVersion: v1alpha1\nkind: KubeAPIServerCAConfig\nissuingCA:\n  cert: |\n    {ca}\n  key: |\n    VERY-SECRET.key\n\
         acceptedCAs:\n- |\n    {ca}\n\
         ---\napiVersion: v1alpha1\nkind: KubeInlineManifestConfig\nname: info\nmanifest: |\n  # name: cluster-info kube-public\n"
    );
    let config = parse(&released);
    assert_eq!(
        config.endpoint.as_deref(),
        Some("https://new.example.test:6443/")
    );
    assert_eq!(config.certificates.len(), 2);
    let manifest = InlineManifest {
        name: "info".to_owned(),
        is_document: true,
        makes_cluster_info: true,
    };
    assert_eq!(config.inline_manifests, [manifest]);
}

#[test]
fn what_was_patched_before_is_seen() {
    let flags = "    apiServer:\n        extraArgs:\n            anonymous-auth: \"\"\n            \
                 authentication-config: /a.yaml\n            oidc-issuer-url: https://x\n            feature-gates: [A=true, B=false]\n        \
                 extraVolumes:\n            - {hostPath: /x, mountPath: /var/lib/haulout/}\n";
    let legacy = legacy_of(&LEGACY.replace("    apiServer:\n", flags));
    assert_eq!(legacy.anonymous_auth.as_deref(), Some(""));
    assert_eq!(legacy.authentication_config.as_deref(), Some("/a.yaml"));
    assert_eq!(legacy.feature_gates.as_deref(), Some("A=true,B=false"));
    assert_eq!(legacy.oidc_flags, ["oidc-issuer-url"]);
    assert!(legacy.mounts_folder);

    let unquoted = "    apiServer:\n        extraArgs:\n            anonymous-auth: true\n";
    let legacy = legacy_of(&LEGACY.replace("    apiServer:\n", unquoted));
    assert_eq!(legacy.anonymous_auth.as_deref(), Some("true"));

    // So Talos 1.13 keeps an empty value.
    let null = "    apiServer:\n        extraArgs:\n            anonymous-auth: null\n";
    let legacy = legacy_of(&LEGACY.replace("    apiServer:\n", null));
    assert_eq!(legacy.anonymous_auth.as_deref(), Some(""));

    let file = include_str!("../../../../talos-patches/1.13/least-privilege-file.yaml");
    let files = file.split_once("machine:\n").unwrap().1;
    let files: String = files.lines().map(|line| format!("  {line}\n")).collect();
    let config = parse(&with(LEGACY, "machine:\n", &files));
    let path = "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests";
    assert_eq!(config.authentication_file.unwrap().paths(), [path]);

    let manifests = "cluster:\n    inlineManifests:\n        - name: a\n          contents: x\n    extraManifests: [https://x]\n";
    let config = parse(&LEGACY.replace("cluster:\n", manifests));
    assert_eq!(config.inline_manifests[0].name, "a");
    assert!(!config.inline_manifests[0].is_document);
    assert_eq!(config.extra_manifests, ["https://x"]);
}

#[test]
fn the_file_that_the_api_server_reads_is_found() {
    let config = |flag: &str, volume: &str, content: &str| {
        let files = format!(
            "machine:\n    files:\n        - {{path: /var/a/b.yaml, content: 'jwt: [x]'}}\n        \
             - {{path: /var/a/b.yaml, content: \"{content}\"}}\n"
        );
        let api_server = format!(
            "    apiServer:\n        extraArgs: {{authentication-config: {flag}}}\n        \
             extraVolumes: [{volume}]\n"
        );
        let config = LEGACY.replacen("machine:\n", &files, 1);
        config.replacen("    apiServer:\n", &api_server, 1)
    };
    let content = "jwt: [{issuer: y}]";
    let folder = "{hostPath: /var/a, mountPath: /etc/a}";
    for (flag, volume, is_found) in [
        ("/etc/a/b.yaml", folder, true),
        (
            "/etc/a/b.yaml",
            "{hostPath: /var/a/, mountPath: /etc/a/}",
            true,
        ),
        (
            "/etc/b.yaml",
            "{hostPath: /var/a/b.yaml, mountPath: /etc/b.yaml}",
            true,
        ),
        ("/etc/ab.yaml", folder, false),
        ("/etc/a/c.yaml", folder, false),
        ("/var/a/b.yaml", folder, false),
    ] {
        let file = legacy_of(&config(flag, volume, content)).own_file;
        let jwt = file.map(|file| file.jwt);
        let expected = is_found.then(|| vec![serde_json::json!({"issuer": "y"})]);
        assert_eq!(jwt, expected, "{flag} {volume}");
    }
    for content in [
        "",
        "VERY-SECRET",
        "jwt: VERY-SECRET",
        "a: 1\\n---\\na: SECRET",
        "{",
    ] {
        let expected = ConfigError::Field {
            document: documents::MAIN.to_owned(),
            field: "machine.files[1].content".to_owned(),
            expected: "an AuthenticationConfiguration",
        };
        fails(&config("/etc/a/b.yaml", folder, content), &expected);
    }
}

#[test]
fn what_is_open_is_known() {
    let (before, rest) = MULTI_DOC.split_once("    anonymous:\n").unwrap();
    let (_, after) = rest.split_once("    jwt: []").unwrap();
    let closed = Anonymous::Nowhere;
    for (text, expected) in [
        ("", Anonymous::Everywhere),
        ("    anonymous:\n", Anonymous::Everywhere),
        ("    anonymous: {enabled: true}\n", Anonymous::Everywhere),
        (
            "    anonymous: {enabled: true, conditions: []}\n",
            Anonymous::Everywhere,
        ),
        ("    anonymous: {enabled: false}\n", closed.clone()),
        ("    anonymous: {}\n", closed),
        (
            "    anonymous: {enabled: true, conditions: [{path: /a}]}\n",
            Anonymous::Paths(vec!["/a".to_owned()]),
        ),
    ] {
        let config = format!("{before}{text}    jwt: []{after}");
        let authentication = multi_doc_of(&config).authentication.unwrap();
        assert_eq!(authentication.anonymous, expected, "{text}");
    }
}

/// `talosctl gen config` writes hundreds of lines of comments.
#[test]
fn long_comments_are_no_trouble() {
    let comment = "    # What could stand here, and an example of it.\n".repeat(500);
    for below in ["machine:\n", "cluster:\n"] {
        parse(&with(LEGACY, below, &comment));
    }
}

#[test]
fn large_configs_are_no_trouble() {
    let lines = format!("            {}\n", "x".repeat(70)).repeat(30_000);
    let manifest =
        format!("    inlineManifests:\n        - name: a\n          contents: |\n{lines}");
    let config = parse(&with(LEGACY, "cluster:\n", &manifest));
    assert_eq!(config.inline_manifests.len(), 1);
}

#[track_caller]
fn fails(text: &str, expected: &ConfigError) {
    let error = MachineConfig::parse(text).unwrap_err();
    assert_eq!(error, *expected);
    assert!(!error.to_string().contains("SECRET"), "{error}");
}

#[test]
fn what_is_no_machine_config_is_told_without_repeating_it() {
    let twice = |name: &str| ConfigError::Twice(name.to_owned());
    let missing = ConfigError::Missing {
        document: documents::MAIN.to_owned(),
        field: "machine.type",
    };
    let no_type = LEGACY.replace("    type: controlplane\n", "");
    for (text, expected) in [
        ("a: b: VERY-SECRET", ConfigError::Yaml(1)),
        ("a: 1\na: VERY-SECRET", ConfigError::Yaml(2)),
        ("", ConfigError::NoMachine),
        ("version: v1alpha1\n", ConfigError::NoMachine),
        ("VERY-SECRET", ConfigError::NoKind(1)),
        ("a: VERY-SECRET", ConfigError::NoKind(1)),
        ("node: a\nspec: VERY-SECRET\n", ConfigError::Envelope),
        (&format!("{LEGACY}\n---\na: SECRET"), ConfigError::NoKind(3)),
        (&format!("{LEGACY}\n---\n{LEGACY}"), twice(documents::MAIN)),
        (
            &format!("{MULTI_DOC}\n---\nkind: KubeAuthenticationConfig\n"),
            twice("KubeAuthenticationConfig"),
        ),
        (&no_type, missing),
    ] {
        fails(text, &expected);
    }
}

#[test]
fn a_field_of_the_wrong_shape_is_named_and_not_repeated() {
    let no_ca = "base64 of the PEM of a CA certificate";
    let api_server = "    apiServer:\n";
    let in_api_server = |line: &str| format!("{api_server}        {line}\n");
    let extra_args = in_api_server("extraArgs: VERY-SECRET");
    let anonymous_auth = in_api_server("extraArgs: {anonymous-auth: {VERY-SECRET: 1}}");
    let extra_volumes = in_api_server("extraVolumes: [VERY-SECRET]");
    let mut lines = LEGACY.lines();
    let crt = lines.find(|line| line.contains("crt: LS0t")).unwrap();
    for (from, to, field, expected) in [
        (
            "type: controlplane",
            "type: VERY-SECRET",
            "machine.type",
            "controlplane or worker",
        ),
        (crt, "        crt: VERY-SECRET", "cluster.ca.crt", no_ca),
        (
            crt,
            "        crt: VkVSWS1TRUNSRVQ=",
            "cluster.ca.crt",
            no_ca,
        ),
        (
            crt,
            "        crt: [VERY-SECRET]",
            "cluster.ca.crt",
            "a text",
        ),
        (
            api_server,
            &extra_args,
            "cluster.apiServer.extraArgs",
            "a map",
        ),
        (
            api_server,
            &anonymous_auth,
            "cluster.apiServer.extraArgs.anonymous-auth",
            "a text",
        ),
        (
            api_server,
            &extra_volumes,
            "cluster.apiServer.extraVolumes[0]",
            "a map",
        ),
    ] {
        assert!(LEGACY.contains(from), "{from}");
        let (document, field) = (documents::MAIN.to_owned(), field.to_owned());
        let expected = ConfigError::Field {
            document,
            field,
            expected,
        };
        fails(&LEGACY.replacen(from, to, 1), &expected);
    }
}

#[test]
fn so_is_one_of_a_document_of_its_own() {
    let authentication = "KubeAuthenticationConfig";
    for (document, from, to, field, expected) in [
        (
            authentication,
            "        enabled: true\n    jwt",
            "        enabled: VERY-SECRET\n    jwt",
            "configuration.anonymous.enabled",
            "true or false",
        ),
        (
            authentication,
            "            - path: /livez",
            "            - pfad: VERY-SECRET",
            "configuration.anonymous.conditions[0]",
            "a path",
        ),
        (
            authentication,
            "    jwt: []",
            "    jwt: VERY-SECRET",
            "configuration.jwt",
            "a list",
        ),
        (
            "KubeAdmissionControlConfig PodSecurity",
            "            - kube-system",
            "            - [VERY-SECRET]",
            "configuration.exemptions.namespaces[0]",
            "a text",
        ),
    ] {
        assert!(MULTI_DOC.contains(from), "{from}");
        let (document, field) = (document.to_owned(), field.to_owned());
        let expected = ConfigError::Field {
            document,
            field,
            expected,
        };
        fails(&MULTI_DOC.replacen(from, to, 1), &expected);
    }
}

/// What is kept of a config is what is named above, and no secret is among it.
#[test]
fn no_secret_is_kept() {
    for text in [LEGACY, MULTI_DOC] {
        assert!(text.matches("VERY-SECRET").count() > 10);
        let kept = format!("{:?}", parse(text));
        assert!(!kept.contains("VERY-SECRET"), "{kept}");
    }
}

proptest! {
    /// Whatever is wrong with a machine config: nothing panics, and no secret is kept or told.
    #[test]
    fn no_damage_brings_a_secret_out(
        is_legacy in any::<bool>(),
        line in any::<prop::sample::Index>(),
        count in 0..4_usize,
        text in ".{0,30}",
    ) {
        let config = if is_legacy { LEGACY } else { MULTI_DOC };
        let mut lines: Vec<_> = config.lines().collect();
        let start = line.index(lines.len());
        let end = lines.len().min(start + count);
        lines.splice(start..end, [text.as_str()]);
        let told = match MachineConfig::parse(&lines.join("\n")) {
            Ok(config) => format!("{config:?}"),
            Err(error) => error.to_string(),
        };
        prop_assert!(!told.contains("VERY-SECRET"), "{}", told);
    }
}
