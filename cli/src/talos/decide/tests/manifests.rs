use super::*;
use crate::talos::cluster_info::{ServerError, certificate_authority_data, parse_certificates};
use crate::talos::decide::manifests::{CLUSTER_INFO, INSTALL};
use crate::talos::manifest::ManifestError;

#[test]
fn cluster_info_is_made_of_endpoint_and_kubernetes_ca() {
    let ca = include_str!("../../testdata/ca.crt");
    let certificates = parse_certificates(ca.as_bytes()).unwrap();
    let data = certificate_authority_data(&certificates);
    for (wishes, config, is_document) in [
        (wish(Patch::ClusterInfo), LEGACY, false),
        (wish(Patch::ClusterInfo), LEGACY_14, true),
        (wish(Patch::ClusterInfo), MULTI_DOC, true),
        (
            Wishes {
                patch: Patch::ClusterInfo,
                ..talos("1.14.0-alpha.2")
            },
            MULTI_DOC,
            false,
        ),
    ] {
        let expected = Variant::ClusterInfo {
            is_document,
            server: "https://cp.example.test:6443".to_owned(),
            certificate_authority_data: data.clone(),
        };
        assert_eq!(plan(&wishes, config).variant, expected);
    }
    let wishes = Wishes {
        patch: Patch::ClusterInfo,
        server: Some("https://told.example".to_owned()),
        certificates: Some(certificates),
        ..talos("1.14")
    };
    let server = "https://told.example".to_owned();
    let expected = Variant::ClusterInfo {
        is_document: true,
        server,
        certificate_authority_data: data,
    };
    assert_eq!(decide(&wishes, None).unwrap().variant, expected);
    assert_eq!(plan(&wishes, LEGACY).variant, expected);
}

#[test]
fn an_address_of_the_node_is_no_endpoint() {
    for (endpoint, error) in [
        ("https://127.0.0.1:7445", ServerError::Loopback),
        ("http://cp.example.test", ServerError::NotHttps),
    ] {
        let config = changed(LEGACY, "https://cp.example.test:6443", endpoint);
        refused(
            &wish(Patch::ClusterInfo),
            &config,
            &[Refusal::Endpoint(error)],
        );
    }
}

#[test]
fn a_name_is_not_given_twice() {
    let entry = |name: &str, contents: &str| {
        format!(
            "cluster:\n    inlineManifests:\n        - name: {name}\n          contents: \"{contents}\"\n"
        )
    };
    let document = |name: &str| {
        format!(
            "{MULTI_DOC}\n---\napiVersion: v1alpha1\nkind: KubeInlineManifestConfig\nname: {name}\nmanifest: x\n"
        )
    };
    let is_there = |name: &str| Refusal::ManifestIsThere(name.to_owned());
    let cluster_info = wish(Patch::ClusterInfo);
    let install = wish(Patch::InstallInline);
    for config in [LEGACY, LEGACY_14, MULTI_DOC] {
        let config = changed(config, "cluster:\n", &entry(CLUSTER_INFO, "x"));
        refused(&cluster_info, &config, &[is_there(CLUSTER_INFO)]);
    }
    // A document of the same name is replaced.
    plan(&cluster_info, &document(CLUSTER_INFO));
    refused(&install, &document(INSTALL), &[is_there(INSTALL)]);
    let other = entry("other", "name: cluster-info, namespace: kube-public");
    let config = changed(LEGACY, "cluster:\n", &other);
    let refusal = Refusal::ClusterInfoIsThere("other".to_owned());
    refused(&cluster_info, &config, &[refusal]);
    plan(&install, &config);
}

#[test]
fn manifests_come_from_where_they_can() {
    let external = wish(Patch::InstallExternal);
    let url = "https://a.example/b.yaml".to_owned();
    for (config, is_document) in [(LEGACY, false), (LEGACY_14, true), (MULTI_DOC, true)] {
        let url = url.clone();
        let expected = Variant::InstallExternal { is_document, url };
        assert_eq!(plan(&external, config).variant, expected);
    }
    let there = format!("cluster:\n    extraManifests: [\"{url}\"]\n");
    refused(
        &external,
        &changed(LEGACY, "cluster:\n", &there),
        &[Refusal::UrlIsThere],
    );

    let manifest = Some("kind: x".to_owned());
    let wishes = Wishes {
        manifest,
        ..wish(Patch::InstallInline)
    };
    let refusal = Refusal::Manifest(ManifestError::NoObject(1));
    refused(&wishes, LEGACY, &[refusal]);
}
