mod least_privilege;
mod manifests;

use clap::ValueEnum;
use haulout_api::group::ApiGroupSuffix;

use super::*;
use crate::talos::machine_config::AUTHENTICATION_FILE;
use crate::talos::wishes::Step;

const LEGACY: &str = include_str!("../testdata/1.13.yaml");
const LEGACY_14: &str = include_str!("../testdata/1.14-legacy.yaml");
const MULTI_DOC: &str = include_str!("../testdata/1.14-multi-doc.yaml");
const LOGIN: &str = "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests";

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn wish(patch: Patch) -> Wishes {
    Wishes {
        patch,
        step: None,
        talos: None,
        generation: None,
        kubernetes: None,
        suffix: ApiGroupSuffix::default(),
        server: None,
        certificates: None,
        url: Some("https://a.example/b.yaml".to_owned()),
        manifest: Some("{apiVersion: v1, kind: Namespace, metadata: {name: a}}".to_owned()),
    }
}

fn talos(text: &str) -> Wishes {
    Wishes {
        talos: Some(version(text)),
        ..wish(Patch::LeastPrivilege)
    }
}

fn step(step: Step) -> Wishes {
    Wishes {
        step: Some(step),
        ..wish(Patch::LeastPrivilege)
    }
}

/// The config with `from` changed to `to`.
fn changed(config: &str, from: &str, to: &str) -> String {
    assert!(config.contains(from), "{from}");
    config.replacen(from, to, 1)
}

/// The config without what begins at `from`, up to `to`.
fn without(config: &str, from: &str, to: &str) -> String {
    let (before, rest) = config.split_once(from).unwrap();
    let (_, after) = rest.split_once(to).unwrap();
    format!("{before}{to}{after}")
}

fn with_arguments(config: &str, lines: &[&str]) -> String {
    let lines: String = lines
        .iter()
        .map(|line| format!("            {line}\n"))
        .collect();
    let api_server = "    apiServer:\n";
    changed(
        config,
        api_server,
        &format!("{api_server}        extraArgs:\n{lines}"),
    )
}

/// The config after step 1, with a file that opens `path`.
fn with_file(config: &str, path: &str) -> String {
    let file = format!(
        "machine:\n    files:\n        - path: {AUTHENTICATION_FILE}\n          content: |\n            \
         anonymous: {{enabled: true, conditions: [{{path: {path}}}]}}\n"
    );
    changed(config, "machine:\n", &file)
}

fn file() -> Variant {
    Variant::File {
        more_paths: Vec::new(),
        jwt: Vec::new(),
    }
}

fn plan(wishes: &Wishes, config: &str) -> Plan {
    let config = MachineConfig::parse(config).unwrap();
    decide(wishes, Some(&config)).unwrap_or_else(|no_plan| panic!("{no_plan:?}"))
}

#[track_caller]
fn refused(wishes: &Wishes, config: &str, expected: &[Refusal]) {
    let config = MachineConfig::parse(config).unwrap();
    let no_plan = NoPlan::Refused(expected.to_vec());
    assert_eq!(decide(wishes, Some(&config)), Err(no_plan));
}

#[track_caller]
fn refused_without_config(wishes: &Wishes, expected: Refusal) {
    assert_eq!(decide(wishes, None), Err(NoPlan::Refused(vec![expected])));
}

#[track_caller]
fn missing(wishes: &Wishes, config: Option<&str>, expected: Missing) {
    let config = config.map(|config| MachineConfig::parse(config).unwrap());
    assert_eq!(
        decide(wishes, config.as_ref()),
        Err(NoPlan::Missing(expected))
    );
}

#[test]
fn version_and_generation_are_enough() {
    let multi_doc = Some(Generation::MultiDoc);
    let legacy = Some(Generation::Legacy);
    let document = Variant::Document {
        more_paths: Vec::new(),
        jwt: Vec::new(),
    };
    for (version, generation, step, expected) in [
        ("1.14", multi_doc, None, document.clone()),
        ("1.14.0-alpha.2", multi_doc, None, document),
        ("1.13", None, Some(Step::File), file()),
        ("1.14.0-rc.1", legacy, Some(Step::File), file()),
        (
            "1.13.6",
            None,
            Some(Step::Flags),
            Variant::Flags {
                feature_gates: None,
            },
        ),
    ] {
        let wishes = Wishes {
            generation,
            step,
            ..talos(version)
        };
        let plan = decide(&wishes, None).unwrap();
        assert_eq!(
            (plan.variant, plan.notes),
            (expected, Vec::new()),
            "{version}"
        );
    }
    for version in ["1.7", "1.12.6", "1.13"] {
        let patch = Patch::AnonymousAuth;
        let wishes = Wishes {
            patch,
            ..talos(version)
        };
        assert_eq!(
            decide(&wishes, None).unwrap().variant,
            Variant::AnonymousAuth
        );
    }
}

#[test]
fn what_is_not_known_is_asked_for() {
    let no_installer = without(
        LEGACY,
        "        image: registry.example/siderolabs/installer",
        "        wipe:",
    );
    let latest = changed(MULTI_DOC, "kube-apiserver:v1.36.2", "kube-apiserver:latest");
    let no_endpoint = without(LEGACY, "    controlPlane:", "    clusterName:");
    let no_ca = without(LEGACY, "    ca:\n        crt: LS0t", "    aggregatorCA:");
    let wishes = wish(Patch::LeastPrivilege);
    let cluster_info = wish(Patch::ClusterInfo);
    missing(&wishes, None, Missing::ConfigOrVersion);
    missing(&talos("1.14"), None, Missing::Generation);
    missing(&talos("1.13"), None, Missing::Step);
    missing(&wishes, Some(&no_installer), Missing::TalosVersion);
    missing(&wishes, Some(&with_file(LEGACY_14, LOGIN)), Missing::Reboot);
    missing(&wishes, Some(&latest), Missing::KubernetesVersion);
    missing(&cluster_info, Some(&no_endpoint), Missing::Server);
    missing(&cluster_info, Some(&no_ca), Missing::CertificateAuthority);
    let url = None;
    let wishes = Wishes {
        url,
        ..wish(Patch::InstallExternal)
    };
    missing(&wishes, Some(LEGACY), Missing::Url);
    let manifest = None;
    let wishes = Wishes {
        manifest,
        ..wish(Patch::InstallInline)
    };
    missing(&wishes, Some(LEGACY), Missing::Manifest);
}

#[test]
fn workers_have_no_api_server() {
    for config in [LEGACY, MULTI_DOC] {
        let worker = changed(config, "type: controlplane", "type: worker");
        for patch in Patch::value_variants() {
            refused(&wish(*patch), &worker, &[Refusal::Worker]);
        }
    }
}

#[test]
fn a_patch_of_the_other_generation_is_refused() {
    let patches = [Patch::LeastPrivilege, Patch::PsaExemption];
    for patch in patches {
        let generation = Some(Generation::MultiDoc);
        let wishes = Wishes {
            generation,
            ..wish(patch)
        };
        refused(&wishes, LEGACY, &[Refusal::IsLegacy]);
        let generation = Some(Generation::Legacy);
        let wishes = Wishes {
            generation,
            ..wish(patch)
        };
        refused(&wishes, MULTI_DOC, &[Refusal::IsMultiDoc]);
    }
    refused(
        &wish(Patch::AnonymousAuth),
        MULTI_DOC,
        &[Refusal::FlagOnMultiDoc],
    );
    let old = talos("1.13.6");
    refused(&old, MULTI_DOC, &[Refusal::NoMultiDoc(version("1.13.6"))]);
    let generation = Some(Generation::MultiDoc);
    let old = Wishes { generation, ..old };
    refused_without_config(&old, Refusal::NoMultiDoc(version("1.13.6")));
    let both = changed(MULTI_DOC, "cluster:\n", "cluster:\n    apiServer: {}\n");
    refused(
        &wish(Patch::LeastPrivilege),
        &both,
        &[Refusal::BothGenerations],
    );
}

#[test]
fn a_version_that_only_the_installer_says_is_to_be_checked() {
    let note = Note::InstallerVersion(version("1.13.0"));
    assert_eq!(plan(&wish(Patch::LeastPrivilege), LEGACY).notes, [note]);
    assert_eq!(plan(&talos("1.13.0"), LEGACY).notes, []);
}

#[test]
fn without_a_controller_manager_nothing_signs() {
    let off = "machine:\n    controlPlane: {controllerManager: {disabled: true}}\n";
    let legacy = changed(LEGACY, "machine:\n", off);
    let kind = "kind: KubeControllerManagerConfig\n";
    let multi_doc = changed(MULTI_DOC, kind, &format!("{kind}enabled: false\n"));
    let multi_doc_on = changed(MULTI_DOC, kind, &format!("{kind}enabled: true\n"));
    for (config, expected) in [
        (&*legacy, &[Note::NoControllerManager][..]),
        (&multi_doc, &[Note::NoControllerManager]),
        (&multi_doc_on, &[]),
        (MULTI_DOC, &[]),
    ] {
        assert_eq!(plan(&wish(Patch::ClusterInfo), config).notes, expected);
    }
}

/// Upgrades leave the installer's image as it is.
#[test]
fn an_old_installer_does_not_make_a_multi_doc_config_old() {
    let old = changed(MULTI_DOC, "installer:v1.14.0", "installer:v1.9.0");
    assert_eq!(plan(&wish(Patch::LeastPrivilege), &old).notes, []);
    let plan = plan(&wish(Patch::ClusterInfo), &old);
    let is_document = matches!(
        plan.variant,
        Variant::ClusterInfo {
            is_document: true,
            ..
        }
    );
    assert!(is_document, "{plan:?}");
}

#[test]
fn the_flag_is_refused_beside_a_file() {
    let own = with_arguments(LEGACY, &["authentication-config: /a.yaml"]);
    let refusal = Refusal::FlagBesideFile("/a.yaml".to_owned());
    refused(&wish(Patch::AnonymousAuth), &own, &[refusal]);
    let underscored = with_arguments(LEGACY, &["anonymous_auth: \"true\""]);
    let flags = vec!["anonymous_auth".to_owned()];
    let refusal = Refusal::Underscores { flags };
    refused(&wish(Patch::AnonymousAuth), &underscored, &[refusal]);
    let plan = plan(&wish(Patch::AnonymousAuth), LEGACY);
    assert_eq!(plan.variant, Variant::AnonymousAuth);
    assert_eq!(plan.notes, [Note::LeastPrivilegeIsPossible]);
}

#[test]
fn what_is_wrong_today_is_said() {
    let open = without(MULTI_DOC, "    anonymous:\n", "    jwt: []");
    let closed = changed(
        MULTI_DOC,
        "        enabled: true\n    jwt",
        "        enabled: false\n    jwt",
    );
    let none = without(
        MULTI_DOC,
        "apiVersion: v1alpha1\nkind: KubeAuthenticationConfig",
        "apiVersion: v1alpha1\nkind: KubeAuthorizerConfig",
    );
    for (config, expected) in [
        (&open, Note::WasOpen),
        (&closed, Note::WasClosed),
        (&none, Note::WasMissing),
    ] {
        assert_eq!(plan(&wish(Patch::LeastPrivilege), config).notes, [expected]);
    }
    // With nothing but the other patches, its API server does not start.
    for patch in Patch::value_variants() {
        if *patch != Patch::LeastPrivilege {
            let config = MachineConfig::parse(&none).unwrap();
            let Err(NoPlan::Refused(refusals)) = decide(&wish(*patch), Some(&config)) else {
                panic!("{patch:?} was not refused");
            };
            assert!(refusals.contains(&Refusal::NoAuthentication), "{patch:?}");
        }
    }
    let ignored = format!("{LEGACY}\n---\napiVersion: v1alpha1\nkind: KubeAuthenticationConfig\n");
    assert_eq!(
        plan(&talos("1.14"), &ignored).notes,
        [Note::IgnoredDocument]
    );
    let done = with_file(LEGACY, LOGIN);
    let replaces = |value: &str| Note::ReplacesFlag(value.to_owned());
    for (value, first, second) in [
        ("\"\"", vec![Note::WasOpen], vec![Note::WasOpen]),
        (
            "\"true\"",
            vec![Note::WasOpen],
            vec![Note::WasOpen, replaces("true")],
        ),
        ("false", vec![], vec![replaces("false")]),
    ] {
        for (config, expected) in [(LEGACY, first), (&done, second)] {
            let config = with_arguments(config, &[&format!("anonymous-auth: {value}")]);
            assert_eq!(plan(&talos("1.13"), &config).notes, expected, "{value}");
        }
    }
}

#[test]
fn the_exemption_is_given_once() {
    let patch = Patch::PsaExemption;
    for (config, is_document) in [(LEGACY, false), (LEGACY_14, false), (MULTI_DOC, true)] {
        assert_eq!(
            plan(&wish(patch), config).variant,
            Variant::PsaExemption { is_document }
        );
        let entry = "- kube-system\n";
        let (before, _) = config.split_once(entry).unwrap();
        let indentation = before.lines().last().unwrap();
        let more = format!("{entry}{indentation}- haulout-agent\n");
        refused(
            &wish(patch),
            &changed(config, entry, &more),
            &[Refusal::AlreadyExempt],
        );
        let no_plugin = changed(config, "name: PodSecurity", "name: Other");
        refused(&wish(patch), &no_plugin, &[Refusal::NoPodSecurity]);
    }
}
