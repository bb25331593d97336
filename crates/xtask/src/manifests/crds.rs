//! `CustomResourceDefinition`s from the types, in the shape that Kubernetes' own Go generator gives.

use haulout_api::authenticator::{JWTAuthenticator, WebhookAuthenticator};
use haulout_api::issuer::CredentialIssuer;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

#[cfg(test)]
mod tests;

/// The three definitions, API group suffix `pinniped.dev`.
pub(super) fn all() -> anyhow::Result<Vec<Value>> {
    let mut issuer = definition::<CredentialIssuer>()?;
    // The kind accepts an object without `spec`; kube's derive cannot say so.
    if let Some(root) = root_schema(&mut issuer) {
        root.remove("required");
    }
    Ok(vec![
        definition::<JWTAuthenticator>()?,
        definition::<WebhookAuthenticator>()?,
        issuer,
    ])
}

fn definition<K: CustomResourceExt>() -> anyhow::Result<Value> {
    let mut crd = serde_json::to_value(K::crd())?;
    if let Some(names) = crd
        .pointer_mut("/spec/names")
        .and_then(Value::as_object_mut)
    {
        let list_kind = names
            .get("kind")
            .and_then(Value::as_str)
            .map(|kind| format!("{kind}List"));
        names.insert("listKind".to_owned(), json!(list_kind));
    }
    if let Some(root) = root_schema(&mut crd) {
        root.remove("title");
        restructure(root);
    }
    Ok(crd)
}

fn root_schema(crd: &mut Value) -> Option<&mut Map<String, Value>> {
    crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema")?
        .as_object_mut()
}

/// Takes out what schemars and Rust's types add: an optional field is one that may be absent, never one that may be null,
/// and a whole limit has no fraction.
///
/// The API server prunes nulls from fields that are not nullable before it validates, so clients that send them still work.
fn restructure(schema: &mut Map<String, Value>) {
    schema.remove("nullable");
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if schema.get("minimum") == Some(&json!(0.0)) {
        schema.insert("minimum".to_owned(), json!(0));
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties
            .values_mut()
            .filter_map(Value::as_object_mut)
            .for_each(restructure);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(Value::Object(schema)) = schema.get_mut(inner) {
            restructure(schema);
        }
    }
}
