//! What Talos' own code makes of the patches, without a cluster.

use std::collections::BTreeSet;

use haulout_tests::talos::{
    Broken, Case, Cause, Generation, Machine, State, Talos, Version, documents,
};
use serde_json::Value;

use super::matrix;
use super::patches::{Again, Leads, MANIFESTS, Meant, PATCHES, read};
use super::rows::{Outcome, Row, Section};

/// What the default run looks at.
pub(crate) const DEFAULT: [(Version, Generation); 3] = [
    (Version::V1_13, Generation::Legacy),
    (Version::V1_14, Generation::Legacy),
    (Version::V1_14, Generation::Documents),
];

pub(crate) async fn default_sections() -> Vec<Section> {
    sections(&DEFAULT).await
}

pub(crate) async fn sections(which: &[(Version, Generation)]) -> Vec<Section> {
    let mut sections = Vec::new();
    for &(version, generation) in which {
        let talos = Talos::find_or_build(version).await.unwrap();
        sections.push(Section::of(&talos, generation).await);
    }
    sections
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn talos_patches_lead_where_they_should_and_the_matrix_says_so() {
    let sections = default_sections().await;
    for section in &sections {
        judge(section);
    }
    matrix::compare(&sections, None);
}

/// Each patch has to do what it is for, where it is for that.
pub(crate) fn judge(section: &Section) {
    let Section {
        version,
        generation,
        stock,
        rows,
    } = section;
    let unpatched = Leads::Nowhere.state(*generation);
    assert_eq!(
        stock.state(),
        Some(&unpatched),
        "{version:?} {generation:?}"
    );
    for row in rows {
        let name = format!("{version:?} {generation:?} {}", row.patch.name());
        match row.patch.meant(*version, *generation) {
            Meant::For(leads) => {
                assert_eq!(row.once.state(), Some(&leads.state(*generation)), "{name}");
                judge_again(row, &name);
            }
            Meant::NotChecked => match &row.once {
                Outcome::Refused(why) => assert!(why.contains("not registered"), "{name}: {why}"),
                Outcome::Taken { .. } => panic!("{name}: the module knows it: look at it"),
            },
            Meant::From(_) | Meant::NotFor => {
                // Never what it is for by luck: then it were for it.
                let login = Leads::Login.state(*generation);
                assert_ne!(row.once.state(), Some(&login), "{name}");
            }
        }
    }
}

/// A second application changes nothing, or the header warns of it.
fn judge_again(row: &Row, name: &str) {
    match (row.patch.again(), &row.once, &row.again) {
        (
            Again::AsOftenAsYouLike,
            Outcome::Taken { rendered: once, .. },
            Outcome::Taken {
                rendered: again, ..
            },
        ) => assert_eq!(once, again, "{name}"),
        (Again::AsOftenAsYouLike, _, Outcome::Refused(why)) => panic!("{name}: {why}"),
        (Again::AsOftenAsYouLike, Outcome::Refused(why), _) => panic!("{name}: {why}"),
        (Again::OnceOnly, ..) => {}
    }
    let file = row.patch.files.last().unwrap();
    if file.ends_with("psa-exemption.yaml") {
        let broken = State::Broken(Broken::DoesNotStart(Cause::ExemptTwice));
        assert_eq!(row.again.state(), Some(&broken), "{name}");
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn talos_gives_a_worker_no_api_server_whatever_the_patch() {
    for (version, generation) in DEFAULT {
        let talos = Talos::find_or_build(version).await.unwrap();
        let worker = talos.generate(Machine::Worker, generation).await.unwrap();
        assert!(worker.api_server.is_none());
        let cases: Vec<Case> = PATCHES
            .iter()
            .map(|patch| Case::patched(&worker, &patch.texts()))
            .collect();
        let verdicts = talos.judge(&cases).await.unwrap();
        for (patch, verdict) in PATCHES.iter().zip(verdicts) {
            if let Ok(config) = verdict.accepted() {
                assert!(config.api_server.is_none(), "{}", patch.name());
            }
        }
    }
}

/// What Talos hands on to the API server without a look at it.
#[test]
fn manifests_in_patches_are_objects_of_kubernetes() {
    let mut seen = 0;
    for patch in &PATCHES {
        for text in patch.texts() {
            for manifest in documents(&text).unwrap().iter().flat_map(manifests) {
                seen += 1;
                for object in documents(&manifest).unwrap() {
                    is_an_object(&object, patch.files[0]);
                }
            }
        }
    }
    assert_eq!(seen, 3);
    for file in MANIFESTS {
        for object in documents(&read(file)).unwrap() {
            is_an_object(&object, file);
        }
    }
}

/// What no module knows, only we look at.
#[test]
fn documents_that_are_not_checked_have_the_fields_that_they_should() {
    let (version, generation) = (Version::V1_14, Generation::Documents);
    let unchecked = PATCHES
        .iter()
        .filter(|patch| patch.meant(version, generation) == Meant::NotChecked);
    let mut kinds = BTreeSet::new();
    for document in unchecked.flat_map(|patch| documents(&patch.texts()[0]).unwrap()) {
        let kind = document["kind"].as_str().unwrap().to_owned();
        let content = match kind.as_str() {
            "KubeInlineManifestConfig" => "manifest",
            "KubeExternalManifestConfig" => "url",
            other => panic!("{other}"),
        };
        let fields: BTreeSet<&str> = document
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            fields,
            BTreeSet::from(["apiVersion", "kind", "name", content])
        );
        assert_eq!(document["apiVersion"], "v1alpha1");
        kinds.insert(kind);
    }
    assert_eq!(kinds.len(), 2);
}

/// Of one document of a patch.
fn manifests(document: &Value) -> Vec<String> {
    let inline = document.pointer("/cluster/inlineManifests");
    let inline = inline.and_then(Value::as_array).into_iter().flatten();
    let contents = inline.map(|manifest| &manifest["contents"]);
    let manifests = contents.chain([&document["manifest"]]);
    manifests
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// Kinds without a namespace.
const CLUSTER_SCOPED: [&str; 10] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "CredentialIssuer",
    "CustomResourceDefinition",
    "FlowSchema",
    "Namespace",
    "PriorityLevelConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

fn is_an_object(object: &Value, file: &str) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or_default();
    assert!(
        text("/apiVersion").is_some() && text("/metadata/name").is_some() && !kind.is_empty(),
        "{file}: {object}"
    );
    // Talos 1.13 and later stumble over a namespace where there is none.
    let is_cluster_scoped = CLUSTER_SCOPED.contains(&kind);
    assert_eq!(
        text("/metadata/namespace").is_none(),
        is_cluster_scoped,
        "{file}: {kind}"
    );
    // A machine config is no place for one.
    let data = ["/data", "/stringData"].map(|pointer| object.pointer(pointer));
    let filled = data
        .into_iter()
        .flatten()
        .any(|data| data != &serde_json::json!({}));
    assert!(kind != "Secret" || !filled, "{file}: a Secret with data");
}
