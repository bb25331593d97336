//! What of the Helm chart is generated: the templates that repeat what code says, and the table of its values.

mod values;

use anyhow::{Context as _, ensure};
use haulout_api::group::DEFAULT_SUFFIX;
use serde_json::{Value, json};

use super::webhook::NAMESPACE;
use super::{HEADER, crds, rbac, yaml};

/// Folder of the chart below `manifests/`.
const CHART: &str = "helm/haulout";
/// Folder of the templates that are generated, below `manifests/`.
pub(super) const TEMPLATES: &str = "helm/haulout/templates/generated";
/// Stands for the labels until the text is made.
const LABELS: &str = "@labels@";

/// Path below `manifests/` and text of each generated file.
///
/// # Errors
/// An object cannot be a template, or `values.yaml` lacks a comment.
pub(super) fn files() -> anyhow::Result<Vec<(String, String)>> {
    let (anonymous, rights): (Vec<_>, Vec<_>) = rbac::files()
        .into_iter()
        .partition(|(file, _)| *file == rbac::ANONYMOUS);
    let objects = |files: Vec<(&'static str, Vec<Value>)>| -> Vec<Value> {
        files.into_iter().flat_map(|(_, objects)| objects).collect()
    };
    let mut definitions = crds::all()?;
    for definition in &mut definitions {
        keep(definition).context("a CRD has no metadata")?;
    }
    let templates = [
        ("crds", Some(".Values.crds.install"), definitions),
        ("rbac", None, objects(rights)),
        (
            "rbac-anonymous",
            Some(".Values.rbac.anonymous"),
            objects(anonymous),
        ),
    ];
    let mut files = vec![(format!("{CHART}/README.md"), readme()?)];
    for (name, condition, objects) in templates {
        files.push((
            format!("{TEMPLATES}/{name}.yaml"),
            template(condition, objects)?,
        ));
    }
    Ok(files)
}

/// Keeps a CRD, and with it all objects of its kind, when the chart is uninstalled.
fn keep(definition: &mut Value) -> Option<()> {
    let metadata = definition.get_mut("metadata")?.as_object_mut()?;
    metadata.insert(
        "annotations".to_owned(),
        json!({"helm.sh/resource-policy": "keep"}),
    );
    Some(())
}

/// Text of a template that makes these objects where `condition` holds.
fn template(condition: Option<&str>, mut objects: Vec<Value>) -> anyhow::Result<String> {
    for object in &mut objects {
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        let metadata = metadata.context("an object has no metadata")?;
        metadata.insert("labels".to_owned(), json!(LABELS));
    }
    let text = yaml(&objects)?;
    ensure!(
        !text.contains("{{"),
        "an object has text that Helm takes for its own"
    );
    let text = text.strip_prefix(HEADER).unwrap_or(&text);
    let text = text
        .replace(
            &format!("labels: \"{LABELS}\""),
            "labels:\n    {{- include \"haulout.labels\" (dict \"root\" $ \"component\" \"webhook\") | nindent 4 }}",
        )
        .replace(
            &format!("namespace: {NAMESPACE}\n"),
            "namespace: {{ .Release.Namespace | quote }}\n",
        )
        .replace(DEFAULT_SUFFIX, "{{ .Values.apiGroupSuffix }}");
    Ok(match condition {
        Some(condition) => format!("{HEADER}{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"),
        None => format!("{HEADER}{text}"),
    })
}

fn readme() -> anyhow::Result<String> {
    let values = values::rows(include_str!(
        "../../../../manifests/helm/haulout/values.yaml"
    ))?;
    Ok(format!(
        include_str!("../../../../manifests/helm/haulout/README.template.md"),
        values = values.join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    const VALUES: &str = include_str!("../../../../manifests/helm/haulout/values.yaml");
    const SCHEMA: &str = include_str!("../../../../manifests/helm/haulout/values.schema.json");
    const CHART_FILE: &str = include_str!("../../../../manifests/helm/haulout/Chart.yaml");

    #[test]
    fn the_chart_has_the_version_of_the_programs() {
        let chart: Value = serde_saphyr::from_str(CHART_FILE).unwrap();
        for field in ["version", "appVersion"] {
            assert_eq!(chart[field], env!("CARGO_PKG_VERSION"), "{field}");
        }
    }

    /// What `schema` says of the value at `path`, or nothing if it says nothing.
    fn walk(schema: &Value, root: &Value, path: &str, values: Option<&Value>) {
        let name = schema["$ref"]
            .as_str()
            .and_then(|name| name.strip_prefix('#'));
        let schema = name.map_or(schema, |pointer| root.pointer(pointer).unwrap());
        if schema["type"] == "object" && path != "/global" && !path.contains("ffinity") {
            let others = schema.get("additionalProperties");
            assert!(others.is_some(), "{path} takes what it does not know");
        }
        if let Some(item) = schema.get("items") {
            walk(item, root, &format!("{path}/0"), None);
        }
        let Some(properties) = schema["properties"].as_object() else {
            return;
        };
        assert_eq!(schema["additionalProperties"], false, "{path}");
        for key in values
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::keys)
        {
            assert!(
                properties.contains_key(key),
                "{path}/{key} is not in the schema"
            );
        }
        for (key, schema) in properties {
            let value = values.and_then(|values| values.get(key));
            walk(schema, root, &format!("{path}/{key}"), value);
        }
    }

    #[test]
    fn the_schema_knows_every_value_and_no_other() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let values: Value = serde_saphyr::from_str(VALUES).unwrap();
        walk(&schema, &schema, "", Some(&values));
        let known = schema["properties"].as_object().unwrap().keys();
        let missing: Vec<_> = known.filter(|key| values.get(key).is_none()).collect();
        assert_eq!(missing, ["global"], "only Helm sets it");
    }

    #[test]
    fn text_for_helm_in_an_object_is_a_fault() {
        let object = json!({"metadata": {"name": "{{ .Values.x }}"}});
        let error = template(None, vec![object]).unwrap_err();
        assert!(error.to_string().contains("Helm"), "{error}");
    }
}
