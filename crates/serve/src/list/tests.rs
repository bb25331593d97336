use axum::body::to_bytes;
use haulout_api::group::ApiGroupSuffix;
use http::HeaderValue;
use http::header::ACCEPT;

use super::*;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

fn list(accept: &'static str, query: Option<&str>) -> Result<Response, ApiError> {
    let kind = ServedKind::token_credential_request(&ApiGroupSuffix::default());
    let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
    respond(&kind, &headers, query)
}

async fn text(accept: &'static str, query: Option<&str>) -> String {
    let response = list(accept, query).unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = to_bytes(response.into_body(), 10_000).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_is_not_offered_is_refused() {
    for query in ["watch=true", "watch=1", "watch", "a=b&watch="] {
        let error = list("application/json", Some(query)).unwrap_err();
        assert_eq!(error.code(), 405, "{query}");
    }
    assert_eq!(list("text/html", None).unwrap_err().code(), 406);
    assert_eq!(
        list("application/vnd.kubernetes.protobuf", None)
            .unwrap_err()
            .code(),
        406
    );
    assert_eq!(
        list(TABLE, Some("includeObject=foo"))
            .unwrap_err()
            .to_string(),
        "Unable to convert to Table as requested: includeObject: Invalid value: \"foo\": must be 'Metadata', 'Object', 'None', or empty"
    );
    assert!(list("application/json", Some("includeObject=foo&watch=false")).is_ok());
}

#[tokio::test]
async fn the_list_is_empty_and_not_null() {
    assert_eq!(
        text("application/json", Some("limit=500")).await,
        "{\"kind\":\"TokenCredentialRequestList\",\"apiVersion\":\"login.concierge.pinniped.dev/v1alpha1\",\"metadata\":{\"resourceVersion\":\"0\"},\"items\":[]}\n"
    );
    assert_eq!(
        text("application/yaml", None).await,
        "apiVersion: login.concierge.pinniped.dev/v1alpha1\nitems: []\nkind: TokenCredentialRequestList\nmetadata:\n  resourceVersion: \"0\"\n"
    );
}

#[tokio::test]
async fn the_table_has_the_columns_of_kubernetes_and_no_rows() {
    let (kubectl, beta) = (
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
        "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
    );
    for (accept, version) in [(kubectl, "v1"), (beta, "v1beta1")] {
        for query in [None, Some("includeObject=Object"), Some("includeObject=")] {
            let expected = format!(
                r#"{{"kind":"Table","apiVersion":"meta.k8s.io/{version}","metadata":{{"resourceVersion":"0"}},"columnDefinitions":[{{"name":"Name","type":"string","format":"name","description":"Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names","priority":0}},{{"name":"Created At","type":"date","format":"","description":"CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata","priority":0}}],"rows":null}}"#
            );
            assert_eq!(text(accept, query).await, format!("{expected}\n"));
        }
    }
}

#[tokio::test]
async fn metadata_alone_is_null_as_in_kubernetes() {
    assert_eq!(
        text(
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            None
        )
        .await,
        "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{\"resourceVersion\":\"0\"},\"items\":null}\n"
    );
}
