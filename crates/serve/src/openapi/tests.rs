use axum::body::{Body, to_bytes};
use haulout_api::group::ApiGroupSuffix;
use http::StatusCode;
use http::header::{ACCEPT, CACHE_CONTROL, ETAG, IF_NONE_MATCH, LOCATION};
use tower::ServiceExt;

use super::*;

const LOGIN: &str = "/openapi/v3/apis/login.concierge.pinniped.dev/v1alpha1";
const IDENTITY: &str = "/openapi/v3/apis/identity.concierge.pinniped.dev/v1alpha1";
const MODELS: &str = "dev.pinniped.apis.concierge";

fn kinds(suffix: &ApiGroupSuffix) -> [ServedKind; 2] {
    [
        ServedKind::token_credential_request(suffix),
        ServedKind::who_am_i_request(suffix),
    ]
}

async fn ask(path: &str, accept: &str) -> Response {
    let router = router(&kinds(&ApiGroupSuffix::default())).unwrap();
    let request = Request::get(path)
        .header(ACCEPT, accept)
        .body(Body::empty())
        .unwrap();
    router.oneshot(request).await.unwrap()
}

async fn document(path: &str) -> Value {
    let response = ask(path, "application/json").await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    serde_json::from_slice(&to_bytes(response.into_body(), 1_000_000).await.unwrap()).unwrap()
}

/// Follows every field below a model, calling `visit` with the path and schema of each.
fn walk(schemas: &Value, schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    let target = schema
        .pointer("/allOf/0/$ref")
        .or_else(|| schema.get("$ref"));
    if let Some(target) = target.and_then(Value::as_str) {
        let (_, name) = target.rsplit_once('/').unwrap();
        let model = schemas
            .get(name)
            .unwrap_or_else(|| panic!("{path}: no model {target}"));
        return walk_inside(schemas, model, path, visit);
    }
    walk_inside(schemas, schema, path, visit);
}

fn walk_inside(schemas: &Value, schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(schemas, field, &format!("{path}.{name}"), visit);
    }
    let items = &schema["items"];
    if items.is_object() && items.get("$ref").is_some() && !path.ends_with("items") {
        let (_, name) = items["$ref"].as_str().unwrap().rsplit_once('/').unwrap();
        walk_inside(schemas, &schemas[name], path, visit);
    }
}

#[tokio::test]
async fn every_field_is_described() {
    for (path, kind, fields) in [
        (LOGIN, "login.v1alpha1.TokenCredentialRequest", 43),
        (IDENTITY, "identity.v1alpha1.WhoAmIRequest", 41),
    ] {
        let document = document(path).await;
        let schemas = &document["components"]["schemas"];
        let mut seen = 0;
        walk(
            schemas,
            &schemas[format!("{MODELS}.{kind}")],
            kind,
            &mut |path, field| {
                let description = field["description"].as_str().unwrap_or_default();
                assert!(description.len() > 10, "{path}: {field}");
                seen += 1;
            },
        );
        assert!(seen >= fields, "{kind}: {seen} fields");
        for (name, model) in schemas.as_object().unwrap() {
            assert!(
                model["description"]
                    .as_str()
                    .is_some_and(|text| text.len() > 10),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn what_must_be_there_is_that_of_the_reference() {
    let required = |document: &Value, model: &str| {
        document["components"]["schemas"][format!("{MODELS}.{model}")]["required"].clone()
    };
    let login = document(LOGIN).await;
    let identity = document(IDENTITY).await;
    for (document, model, expected) in [
        (&login, "login.v1alpha1.TokenCredentialRequest", json!(null)),
        (
            &login,
            "login.v1alpha1.TokenCredentialRequestSpec",
            json!(["authenticator"]),
        ),
        (
            &login,
            "login.v1alpha1.TokenCredentialRequestStatus",
            json!(null),
        ),
        (
            &login,
            "login.v1alpha1.TokenCredentialRequestList",
            json!(["items"]),
        ),
        (
            &identity,
            "identity.v1alpha1.WhoAmIRequestList",
            json!(["items"]),
        ),
        (
            &identity,
            "identity.v1alpha1.WhoAmIRequestSpec",
            json!(null),
        ),
        (
            &identity,
            "identity.v1alpha1.WhoAmIRequestStatus",
            json!(["kubernetesUserInfo"]),
        ),
        (
            &identity,
            "identity.v1alpha1.KubernetesUserInfo",
            json!(["user"]),
        ),
        (&identity, "identity.v1alpha1.UserInfo", json!(["username"])),
    ] {
        assert_eq!(required(document, model), expected, "{model}");
    }
}

#[tokio::test]
async fn operations_say_which_kind_they_are_about() {
    let kind = |group: &str, kind: &str| json!({ "group": format!("{group}.concierge.pinniped.dev"), "version": "v1alpha1", "kind": kind });
    let v2 = document("/openapi/v2").await;
    assert_eq!(v2["swagger"], "2.0");
    for (path, group, name, plural) in [
        (
            LOGIN,
            "login",
            "TokenCredentialRequest",
            "tokencredentialrequests",
        ),
        (IDENTITY, "identity", "WhoAmIRequest", "whoamirequests"),
    ] {
        let v3 = document(path).await;
        assert_eq!(v3["openapi"], "3.0.0");
        let route = format!("/apis/{group}.concierge.pinniped.dev/v1alpha1/{plural}");
        for document in [&v2, &v3] {
            let route = &document["paths"][&route];
            assert_eq!(route["get"]["x-kubernetes-action"], "list");
            assert_eq!(route["post"]["x-kubernetes-action"], "post");
            for verb in ["get", "post"] {
                assert_eq!(
                    route[verb]["x-kubernetes-group-version-kind"],
                    kind(group, name)
                );
            }
        }
        for (models, document) in [("/definitions", &v2), ("/components/schemas", &v3)] {
            let model = format!("{models}/{MODELS}.{group}.v1alpha1.{name}");
            let model = document.pointer(&model).unwrap();
            assert_eq!(
                model["x-kubernetes-group-version-kind"],
                json!([kind(group, name)])
            );
        }
    }
    let login = document(LOGIN).await;
    let route =
        &login["paths"]["/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests"];
    assert_eq!(
        route["post"]["operationId"],
        "createLoginConciergePinnipedDevV1alpha1TokenCredentialRequest"
    );
    assert_eq!(
        route["get"]["tags"],
        json!(["loginConciergePinnipedDev_v1alpha1"])
    );
}

#[tokio::test]
async fn references_lead_somewhere_and_stand_alone_in_version_3() {
    fn references(value: &Value, alone: bool, found: &mut Vec<String>) {
        if let Some(target) = value.get("$ref").and_then(Value::as_str) {
            found.push(target.to_owned());
            assert!(
                !alone || value.as_object().is_some_and(|fields| fields.len() == 1),
                "{value}"
            );
        }
        let children: Vec<&Value> = match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => fields.values().collect(),
            _ => Vec::new(),
        };
        for child in children {
            references(child, alone, found);
        }
    }

    for (path, alone) in [(LOGIN, true), (IDENTITY, true), ("/openapi/v2", false)] {
        let document = document(path).await;
        let mut found = Vec::new();
        references(&document, alone, &mut found);
        assert!(found.len() > 10);
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{path}: {target}");
        }
    }
}

#[tokio::test]
async fn the_index_leads_to_documents_that_never_change() {
    let index = document("/openapi/v3").await;
    for group in ["login", "identity"] {
        let entry = &index["paths"][format!("apis/{group}.concierge.pinniped.dev/v1alpha1")];
        let location = entry["serverRelativeURL"].as_str().unwrap();
        let response = ask(location, "application/json").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()[CACHE_CONTROL],
            "public, immutable, max-age=31536000"
        );
        let tag = response.headers()[ETAG]
            .to_str()
            .unwrap()
            .trim_matches('"')
            .to_owned();
        assert!(location.ends_with(&format!("?hash={tag}")), "{location}");

        // The aggregator follows no redirect.
        let stale = ask(&location.replace("hash=", "hash=0"), "application/json").await;
        assert_eq!(stale.status(), StatusCode::OK);
        assert_eq!(stale.headers()[CACHE_CONTROL], "no-cache, private");
        assert!(!stale.headers().contains_key(LOCATION));
    }
}

#[tokio::test]
async fn documents_are_json_only() {
    for accept in [
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
        "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
        "application/yaml",
        "text/html",
    ] {
        for path in ["/openapi/v2", LOGIN] {
            let refused = ask(path, accept).await;
            assert_eq!(
                refused.status(),
                StatusCode::NOT_ACCEPTABLE,
                "{path} {accept}"
            );
        }
    }
    for accept in [
        "*/*",
        "application/json",
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf,application/json",
    ] {
        assert_eq!(
            ask("/openapi/v2", accept).await.status(),
            StatusCode::OK,
            "{accept}"
        );
    }
}

#[tokio::test]
async fn a_client_that_has_the_document_is_told_so() {
    let tag = ask("/openapi/v2", "application/json").await.headers()[ETAG].clone();
    let router = router(&kinds(&ApiGroupSuffix::default())).unwrap();
    let request = Request::get("/openapi/v2").header(IF_NONE_MATCH, tag);
    let response = router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
}

#[test]
fn groups_bear_the_suffix_and_models_do_not() {
    let suffix = ApiGroupSuffix::parse("walrus.example.com").unwrap();
    let document = version_2(&kinds(&suffix)).to_string();
    assert!(document.contains("/apis/login.concierge.walrus.example.com/v1alpha1/"));
    assert!(document.contains("\"dev.pinniped.apis.concierge.login.v1alpha1.ClusterCredential\""));
    assert!(
        document.contains("createLoginConciergeWalrusExampleComV1alpha1TokenCredentialRequest")
    );
}
