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

fn whole_number(value: &Value) -> Option<u32> {
    let number = value.as_f64()?;
    let whole = number as u32;
    (f64::from(whole) == number).then_some(whole)
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
    for limit in ["minimum", "maximum"] {
        if let Some(whole) = schema.get(limit).and_then(whole_number) {
            schema.insert(limit.to_owned(), json!(whole));
        }
    }
    // OpenAPI has no unsigned formats; the limits say the same.
    if schema.get("format") == Some(&json!("uint32")) {
        schema.insert("format".to_owned(), json!("int32"));
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
