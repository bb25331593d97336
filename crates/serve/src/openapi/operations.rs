//! The two operations on each kind: create and the empty list.

use haulout_api::group::VERSION;
use serde_json::{Map, Value, json};

use super::models::model_name;
use crate::kinds::ServedKind;

/// Name and description of what the query of a create may hold.
const CREATE_PARAMETERS: [(&str, &str); 4] = [
    (
        "dryRun",
        "Refused: nothing is stored, so that there is nothing to be done dryly.",
    ),
    ("fieldManager", "Not used: nothing is stored."),
    (
        "fieldValidation",
        "What happens to fields that are unknown or stand twice: Ignore, Warn (the default) or \
         Strict.",
    ),
    ("pretty", PRETTY),
];

const LIST_PARAMETERS: [(&str, &str); 1] = [("pretty", PRETTY)];

const PRETTY: &str = "If true, the answer is indented for humans.";

const PRODUCES: [&str; 2] = ["application/json", "application/yaml"];

/// `paths` of a document of version 2.
pub(super) fn version_2(kind: &ServedKind) -> Map<String, Value> {
    let query = |parameters: &[(&str, &str)]| -> Vec<Value> {
        let parameter = |(name, description): &(&str, &str)| {
            json!({
                "name": name, "in": "query", "description": description, "type": "string",
                "uniqueItems": true,
            })
        };
        parameters.iter().map(parameter).collect()
    };
    let schema = |model| json!({ "$ref": format!("#/definitions/{}", model_name(kind, model)) });

    let mut list = operation(kind, Action::List);
    list.insert("consumes".into(), json!(["*/*"]));
    list.insert("produces".into(), json!(PRODUCES));
    list.insert("schemes".into(), json!(["https"]));
    list.insert("parameters".into(), query(&LIST_PARAMETERS).into());
    list.insert(
        "responses".into(),
        json!({ "200": { "description": "OK", "schema": schema(kind.list_kind) } }),
    );

    let mut create = operation(kind, Action::Create);
    let mut parameters = query(&CREATE_PARAMETERS);
    parameters.push(
        json!({ "name": "body", "in": "body", "required": true, "schema": schema(kind.kind) }),
    );
    create.insert("consumes".into(), json!(["*/*"]));
    create.insert("produces".into(), json!(PRODUCES));
    create.insert("schemes".into(), json!(["https"]));
    create.insert("parameters".into(), parameters.into());
    create.insert(
        "responses".into(),
        json!({ "201": { "description": "Created", "schema": schema(kind.kind) } }),
    );
    Map::from_iter([(kind.path(), json!({ "get": list, "post": create }))])
}

/// `paths` of a document of version 3.
pub(super) fn version_3(kind: &ServedKind) -> Map<String, Value> {
    let query = |parameters: &[(&str, &str)]| -> Value {
        let parameter = |(name, description): &(&str, &str)| {
            json!({
                "name": name, "in": "query", "description": description,
                "schema": { "type": "string", "uniqueItems": true },
            })
        };
        parameters.iter().map(parameter).collect()
    };
    let content = |model, types: &[&str]| -> Value {
        let location = format!("#/components/schemas/{}", model_name(kind, model));
        let entry = |media_type: &&str| {
            (
                (*media_type).to_owned(),
                json!({ "schema": { "$ref": location } }),
            )
        };
        Value::Object(types.iter().map(entry).collect())
    };

    let mut list = operation(kind, Action::List);
    list.insert("parameters".into(), query(&LIST_PARAMETERS));
    list.insert(
        "responses".into(),
        json!({ "200": { "description": "OK", "content": content(kind.list_kind, &PRODUCES) } }),
    );

    let mut create = operation(kind, Action::Create);
    create.insert("parameters".into(), query(&CREATE_PARAMETERS));
    create.insert(
        "requestBody".into(),
        json!({ "required": true, "content": content(kind.kind, &["*/*"]) }),
    );
    create.insert(
        "responses".into(),
        json!({ "201": { "description": "Created", "content": content(kind.kind, &PRODUCES) } }),
    );
    Map::from_iter([(kind.path(), json!({ "get": list, "post": create }))])
}

#[derive(Clone, Copy)]
enum Action {
    List,
    Create,
}

/// What both versions say about an operation.
fn operation(kind: &ServedKind, action: Action) -> Map<String, Value> {
    let ServedKind { group, kind, .. } = kind;
    let (verb, action, description) = match action {
        Action::List => (
            "list",
            "list",
            format!("list objects of kind {kind}; there are none"),
        ),
        Action::Create => ("create", "post", format!("create a {kind}")),
    };
    // As Kubernetes names operations: Login, Concierge, Pinniped, Dev.
    let camel: String = group.split(['.', '-']).map(capitalized).collect();
    let tag = format!("{}_{VERSION}", uncapitalized(&camel));
    let id = format!("{verb}{camel}{}{kind}", capitalized(VERSION));
    Map::from_iter([
        ("description".to_owned(), json!(description)),
        ("operationId".to_owned(), json!(id)),
        ("tags".to_owned(), json!([tag])),
        ("x-kubernetes-action".to_owned(), json!(action)),
        (
            "x-kubernetes-group-version-kind".to_owned(),
            json!({ "group": group, "version": VERSION, "kind": kind }),
        ),
    ])
}

fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    characters
        .next()
        .map(|c| c.to_ascii_uppercase())
        .into_iter()
        .chain(characters)
        .collect()
}

fn uncapitalized(word: &str) -> String {
    let mut characters = word.chars();
    characters
        .next()
        .map(|c| c.to_ascii_lowercase())
        .into_iter()
        .chain(characters)
        .collect()
}
