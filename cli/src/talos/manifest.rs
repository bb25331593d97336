//! Checks of a manifest that is to become a part of a machine config, since Talos makes none.

use serde_json::Value;

/// Kinds of the installation whose objects are in no namespace.
const CLUSTER_KINDS: [&str; 11] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "CredentialIssuer",
    "CustomResourceDefinition",
    "FlowSchema",
    "JWTAuthenticator",
    "Namespace",
    "PriorityLevelConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];
/// Where the rendered manifests have images until somebody puts his registry there.
const NO_REGISTRY: &str = "registry.invalid";

/// Why a manifest does not belong into a machine config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("it is no YAML")]
    NotYaml,
    #[error("it has no objects")]
    Empty,
    #[error("object {0} lacks apiVersion, kind or metadata.name")]
    NoObject(usize),
    #[error("its images are of {NO_REGISTRY}; put your registry there")]
    NoRegistry,
    #[error("Secret {0} has data, and whoever reads the machine config would read them")]
    Secret(String),
    #[error("{0} is in no namespace, and yet has one; Talos stumbles over that since 1.13")]
    Namespaced(String),
    #[error("its first line is indented")]
    Indented,
    #[error("it has tabs or other control characters")]
    Control,
}

/// Takes a manifest of several objects.
pub(crate) fn check_manifest(text: &str) -> Result<(), ManifestError> {
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(ManifestError::Control);
    }
    // The machine config's reader takes the indentation of the whole from there.
    if text.trim_start_matches('\n').starts_with(' ') {
        return Err(ManifestError::Indented);
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_buffered_comment_events: 100_000 },
    };
    let objects: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|_| ManifestError::NotYaml)?;
    let objects = objects.iter().filter(|object| !object.is_null());
    let mut count = 0;
    for object in objects {
        count += 1;
        check_object(object, count)?;
    }
    if count == 0 {
        return Err(ManifestError::Empty);
    }
    if text.contains(NO_REGISTRY) {
        return Err(ManifestError::NoRegistry);
    }
    Ok(())
}

fn check_object(object: &Value, number: usize) -> Result<(), ManifestError> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    let (Some(_), Some(kind), Some(name)) =
        (text("/apiVersion"), text("/kind"), text("/metadata/name"))
    else {
        return Err(ManifestError::NoObject(number));
    };
    let is_filled = |key| {
        let map = object.get(key).and_then(Value::as_object);
        map.is_some_and(|map| !map.is_empty())
    };
    if kind == "Secret" && (is_filled("data") || is_filled("stringData")) {
        return Err(ManifestError::Secret(name.to_owned()));
    }
    if CLUSTER_KINDS.contains(&kind) && text("/metadata/namespace").is_some() {
        return Err(ManifestError::Namespaced(format!("{kind} {name}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rendered_manifest_is_fine_once_it_has_a_registry() {
        let text = include_str!("../../../manifests/install-talos.yaml");
        assert_eq!(check_manifest(text), Err(ManifestError::NoRegistry));
        let text = text.replace("registry.invalid", "registry.example.com");
        assert_eq!(check_manifest(&text), Ok(()));
    }

    #[test]
    fn faults_are_found() {
        let object = |kind: &str, more: &str| {
            format!("apiVersion: v1\nkind: {kind}\nmetadata:\n  name: a\n{more}")
        };
        let secret = Err(ManifestError::Secret("a".to_owned()));
        for (text, expected) in [
            (object("ConfigMap", ""), Ok(())),
            (object("Secret", "data: {}\n"), Ok(())),
            (object("Secret", "data: {x: eA==}\n"), secret.clone()),
            (object("Secret", "stringData: {x: y}\n"), secret),
            (
                object("ClusterRole", "  namespace: b\n"),
                Err(ManifestError::Namespaced("ClusterRole a".to_owned())),
            ),
            (object("Role", "  namespace: b\n"), Ok(())),
            (
                format!("{}---\nkind: x\n", object("Role", "")),
                Err(ManifestError::NoObject(2)),
            ),
            ("a: [".to_owned(), Err(ManifestError::NotYaml)),
            ("---\n".to_owned(), Err(ManifestError::Empty)),
            (String::new(), Err(ManifestError::Empty)),
            (" a: 1\n".to_owned(), Err(ManifestError::Indented)),
            ("a:\t1\n".to_owned(), Err(ManifestError::Control)),
        ] {
            assert_eq!(check_manifest(&text), expected, "{text}");
        }
    }
}
