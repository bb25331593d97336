use axum::body::{Body, to_bytes};
use haulout_api::group::ApiGroupSuffix;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderName, StatusCode};
use tower::ServiceExt;

use super::*;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn kinds() -> [ServedKind; 2] {
    let suffix = ApiGroupSuffix::default();
    [
        ServedKind::token_credential_request(&suffix),
        ServedKind::who_am_i_request(&suffix),
    ]
}

async fn ask(path: &str, headers: &[(HeaderName, &str)]) -> Response {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let router = router(&kinds()).unwrap();
    router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

async fn text(response: Response) -> String {
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = to_bytes(response.into_body(), 100_000).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn groups_and_resources_print_as_in_the_reference() {
    let group = r#"{"kind":"APIGroup","apiVersion":"v1","name":"login.concierge.pinniped.dev","versions":[{"groupVersion":"login.concierge.pinniped.dev/v1alpha1","version":"v1alpha1"}],"preferredVersion":{"groupVersion":"login.concierge.pinniped.dev/v1alpha1","version":"v1alpha1"}}"#;
    let resources = r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"login.concierge.pinniped.dev/v1alpha1","resources":[{"name":"tokencredentialrequests","singularName":"tokencredentialrequest","namespaced":false,"kind":"TokenCredentialRequest","verbs":["create","list"],"categories":["pinniped"]}]}"#;
    let groups = r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"identity.concierge.pinniped.dev","versions":[{"groupVersion":"identity.concierge.pinniped.dev/v1alpha1","version":"v1alpha1"}],"preferredVersion":{"groupVersion":"identity.concierge.pinniped.dev/v1alpha1","version":"v1alpha1"}},{"name":"login.concierge.pinniped.dev","versions":[{"groupVersion":"login.concierge.pinniped.dev/v1alpha1","version":"v1alpha1"}],"preferredVersion":{"groupVersion":"login.concierge.pinniped.dev/v1alpha1","version":"v1alpha1"}}]}"#;
    for (path, expected) in [
        ("/apis/login.concierge.pinniped.dev", group),
        ("/apis/login.concierge.pinniped.dev/v1alpha1", resources),
        ("/apis", groups),
    ] {
        for path in [path.to_owned(), format!("{path}/")] {
            let response = ask(&path, &[]).await;
            assert_eq!(response.headers()[CACHE_CONTROL], "no-cache, private");
            assert_eq!(text(response).await, format!("{expected}\n"), "{path}");
        }
    }
}

#[tokio::test]
async fn aggregated_discovery_prints_as_in_the_reference() {
    let item = |group: &str, plural: &str, kind: &str, singular: &str| {
        format!(
            r#"{{"metadata":{{"name":"{group}.concierge.pinniped.dev"}},"versions":[{{"version":"v1alpha1","resources":[{{"resource":"{plural}","responseKind":{{"group":"","version":"","kind":"{kind}"}},"scope":"Cluster","singularResource":"{singular}","verbs":["create","list"],"categories":["pinniped"]}}],"freshness":"Current"}}]}}"#
        )
    };
    let items = [
        item(
            "identity",
            "whoamirequests",
            "WhoAmIRequest",
            "whoamirequest",
        ),
        item(
            "login",
            "tokencredentialrequests",
            "TokenCredentialRequest",
            "tokencredentialrequest",
        ),
    ];
    for version in ["v2", "v2beta1"] {
        let accept = AGGREGATED.replace("v=v2", &format!("v={version}"));
        let response = ask("/apis", &[(ACCEPT, &accept)]).await;
        assert_eq!(response.headers()[CONTENT_TYPE], accept);
        assert_eq!(response.headers()[VARY], "Accept");
        assert_eq!(response.headers()[CACHE_CONTROL], "public");
        let expected = format!(
            r#"{{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/{version}","metadata":{{}},"items":[{}]}}"#,
            items.join(",")
        );
        assert_eq!(text(response).await, format!("{expected}\n"));
    }
    let both = format!("{AGGREGATED},application/json");
    let response = ask("/apis", &[(ACCEPT, &both)]).await;
    assert_eq!(response.headers()[CONTENT_TYPE], AGGREGATED);
}

#[tokio::test]
async fn a_client_that_has_the_document_is_told_so() {
    let etag = ask("/apis", &[(ACCEPT, AGGREGATED)]).await.headers()[ETAG].clone();
    let etag = etag.to_str().unwrap();
    assert!(
        etag.starts_with('"') && etag.ends_with('"') && etag.len() > 32,
        "{etag}"
    );

    let again = ask("/apis", &[(ACCEPT, AGGREGATED), (IF_NONE_MATCH, etag)]).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.headers()[ETAG], etag);
    assert!(to_bytes(again.into_body(), 10).await.unwrap().is_empty());

    let other = AGGREGATED.replace("v=v2", "v=v2beta1");
    let changed = ask("/apis", &[(ACCEPT, &other), (IF_NONE_MATCH, etag)]).await;
    assert_eq!(changed.status(), StatusCode::OK);
    let foreign = ask("/apis", &[(ACCEPT, AGGREGATED), (IF_NONE_MATCH, "\"x\"")]).await;
    assert_eq!(foreign.status(), StatusCode::OK);
}

#[tokio::test]
async fn forms_that_there_are_not_are_refused() {
    let future = AGGREGATED.replace("v=v2", "v=v3");
    for (path, accept) in [
        ("/apis", future.as_str()),
        ("/apis", "text/html"),
        ("/apis/login.concierge.pinniped.dev/v1alpha1", AGGREGATED),
        (
            "/apis/login.concierge.pinniped.dev",
            "application/vnd.kubernetes.protobuf",
        ),
    ] {
        let refused = ask(path, &[(ACCEPT, accept)]).await;
        assert_eq!(
            refused.status(),
            StatusCode::NOT_ACCEPTABLE,
            "{path} {accept}"
        );
    }
}

#[tokio::test]
async fn documents_come_as_yaml_too() {
    let yaml = ask(
        "/apis/identity.concierge.pinniped.dev/v1alpha1",
        &[(ACCEPT, "application/yaml")],
    )
    .await;
    assert_eq!(yaml.headers()[CONTENT_TYPE], "application/yaml");
    assert_eq!(
        text(yaml).await,
        "apiVersion: v1\ngroupVersion: identity.concierge.pinniped.dev/v1alpha1\nkind: APIResourceList\nresources:\n- categories:\n  - pinniped\n  kind: WhoAmIRequest\n  name: whoamirequests\n  namespaced: false\n  singularName: whoamirequest\n  verbs:\n  - create\n  - list\n"
    );
}

#[tokio::test]
async fn the_root_lists_all_paths() {
    let root: serde_json::Value = serde_json::from_str(&text(ask("/", &[]).await).await).unwrap();
    let paths: Vec<_> = root["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| path.as_str().unwrap())
        .collect();
    assert!(paths.is_sorted());
    for path in [
        "/apis",
        "/apis/login.concierge.pinniped.dev/v1alpha1",
        "/openapi/v3",
        "/readyz",
    ] {
        assert!(paths.contains(&path), "{path}");
    }
}

#[tokio::test]
async fn groups_bear_the_configured_suffix() {
    let suffix = ApiGroupSuffix::parse("walrus.example.com").unwrap();
    let router = router(&[ServedKind::token_credential_request(&suffix)]).unwrap();
    let request = Request::get("/apis/login.concierge.walrus.example.com/v1alpha1");
    let response = router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let text = text(response).await;
    assert!(
        text.contains("\"groupVersion\":\"login.concierge.walrus.example.com/v1alpha1\""),
        "{text}"
    );
    assert!(!text.contains("pinniped.dev"), "{text}");
}
