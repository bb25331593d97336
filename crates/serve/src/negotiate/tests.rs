use http::HeaderName;
use proptest::prelude::*;

use super::*;
use Encoding::{Json, PrettyJson, Yaml};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// What kubectl sends for `get`.
const KUBECTL: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
/// What the aggregator sends for discovery.
const AGGREGATOR: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
/// What metadata clients send.
const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

fn headers(name: HeaderName, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
}

fn accepting(accept: &str, endpoint: Endpoint) -> Option<(Encoding, Shape)> {
    let format = negotiate(&headers(ACCEPT, accept), None, endpoint).ok()?;
    Some((format.encoding, format.shape))
}

#[test]
fn what_we_do_not_have_is_not_acceptable() {
    let cases = [
        ("text/html", Endpoint::List),
        ("application/cbor", Endpoint::List),
        ("application/vnd.kubernetes.protobuf", Endpoint::List),
        ("application/vnd.kubernetes.protobuf", Endpoint::Object),
        ("json", Endpoint::Object),
        (",;,", Endpoint::Object),
        (TABLE, Endpoint::Object),
        (TABLE, Endpoint::Groups),
        ("application/json;as=Table", Endpoint::List),
        (
            "application/json;as=Table;v=v2;g=meta.k8s.io",
            Endpoint::List,
        ),
        (
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            Endpoint::List,
        ),
        (
            "application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList",
            Endpoint::Groups,
        ),
        (AGGREGATOR, Endpoint::List),
    ];
    for (accept, endpoint) in cases {
        assert_eq!(accepting(accept, endpoint), None, "{accept} {endpoint:?}");
    }
    let error = negotiate(&headers(ACCEPT, "text/html"), None, Endpoint::List).unwrap_err();
    assert_eq!(error, ApiError::not_acceptable());
    assert_eq!(
        error_encoding(&headers(ACCEPT, "text/html"), None),
        PrettyJson
    );
}

#[test]
fn the_first_acceptable_clause_wins() {
    use Endpoint::{Groups, List, Object};
    let cases = [
        ("", Object, Json, Shape::Plain),
        ("*", Object, Json, Shape::Plain),
        ("*/*", Object, Json, Shape::Plain),
        ("application/*", Object, Json, Shape::Plain),
        ("application/json", List, Json, Shape::Plain),
        ("application/json, */*", List, Json, Shape::Plain),
        ("application/yaml", List, Yaml, Shape::Plain),
        (
            "application/json;q=0.1,application/yaml;q=0.9",
            List,
            Yaml,
            Shape::Plain,
        ),
        (
            "application/json;q=0.1 , application/yaml; q=nonsense",
            List,
            Json,
            Shape::Plain,
        ),
        ("application/json;q=0", Object, Json, Shape::Plain),
        ("*/*,application/yaml", Object, Yaml, Shape::Plain),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            List,
            Json,
            Shape::Plain,
        ),
        (
            "application/vnd.kubernetes.protobuf,application/json",
            Object,
            Json,
            Shape::Plain,
        ),
        (
            "application/vnd.kubernetes.protobuf, */*",
            Object,
            Json,
            Shape::Plain,
        ),
        ("application/json;foo=bar", Object, Json, Shape::Plain),
        (
            "application/json;pretty=1",
            Object,
            PrettyJson,
            Shape::Plain,
        ),
        (KUBECTL, Object, Json, Shape::Plain),
        (KUBECTL, List, Json, Shape::Table(MetaVersion::V1)),
        (
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
            List,
            Json,
            Shape::Table(MetaVersion::V1Beta1),
        ),
        (
            "application/yaml;as=Table;v=v1;g=meta.k8s.io",
            List,
            Yaml,
            Shape::Table(MetaVersion::V1),
        ),
        (
            METADATA,
            List,
            Json,
            Shape::PartialObjectMetadataList(MetaVersion::V1),
        ),
        (
            AGGREGATOR,
            Groups,
            Json,
            Shape::Discovery(DiscoveryVersion::V2),
        ),
        (
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            Groups,
            Json,
            Shape::Discovery(DiscoveryVersion::V2Beta1),
        ),
        (
            "application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList,*/*",
            Groups,
            Json,
            Shape::Plain,
        ),
    ];
    for (accept, endpoint, encoding, shape) in cases {
        assert_eq!(
            accepting(accept, endpoint),
            Some((encoding, shape)),
            "{accept} {endpoint:?}"
        );
    }
    assert_eq!(
        negotiate(&HeaderMap::new(), None, List).unwrap(),
        ResponseFormat::default()
    );
}

#[test]
fn several_accept_headers_are_one_list() {
    let mut headers = headers(ACCEPT, "application/vnd.kubernetes.protobuf");
    headers.append(ACCEPT, HeaderValue::from_static("application/yaml"));
    assert_eq!(
        negotiate(&headers, None, Endpoint::Object)
            .unwrap()
            .encoding,
        Yaml
    );
}

/// Else a header of 256 KiB would be sorted, and searched for each parameter, for anybody.
#[test]
fn only_the_beginning_of_accept_is_read() {
    let after = |count| "text/html,".repeat(count) + "application/yaml";
    let long = |bytes| format!("application/yaml;{:>bytes$}", "");
    let yaml = Some((Yaml, Shape::Plain));
    let cases = [
        (after(31), yaml),
        (after(32), None),
        (",".repeat(31) + "application/yaml", yaml),
        (",".repeat(32) + "application/yaml", None),
        (long(256 - 17), yaml),
        (long(257 - 17), None),
    ];
    for (accept, expected) in cases {
        assert_eq!(accepting(&accept, Endpoint::Object), expected, "{accept}");
    }
}

#[test]
fn humans_get_indented_json() {
    let cases = [
        ("kubectl/v1.36.3", None, Json),
        ("Go-http-client/2.0", Some("x=1"), Json),
        ("notcurl/8", None, Json),
        ("curl/8.5.0", None, PrettyJson),
        ("Wget/1.21", None, PrettyJson),
        ("Mozilla/5.0 (X11)", None, PrettyJson),
        ("curl/8.5.0", Some("pretty=false"), Json),
        ("curl/8.5.0", Some("pretty=nonsense"), Json),
        ("curl/8.5.0", Some("pretty="), PrettyJson),
        ("kubectl/v1.36.3", Some("a=b&pretty=true"), PrettyJson),
        ("kubectl/v1.36.3", Some("pretty=1"), PrettyJson),
        ("kubectl/v1.36.3", Some("prettyx=1"), Json),
    ];
    for (agent, query, expected) in cases {
        let format = negotiate(&headers(USER_AGENT, agent), query, Endpoint::Object).unwrap();
        assert_eq!(format.encoding, expected, "{agent} {query:?}");
    }
}

#[test]
fn yaml_is_never_indented_json() {
    let mut headers = headers(ACCEPT, "application/yaml");
    headers.insert(USER_AGENT, HeaderValue::from_static("curl/8.5.0"));
    assert_eq!(
        negotiate(&headers, Some("pretty=true"), Endpoint::Object)
            .unwrap()
            .encoding,
        Yaml
    );
}

#[test]
fn bodies_are_json_or_yaml() {
    for (content_type, expected) in [
        ("application/json", BodyFormat::Json),
        ("application/json; charset=utf-8", BodyFormat::Json),
        ("Application/JSON", BodyFormat::Json),
        ("", BodyFormat::Json),
        ("application/yaml", BodyFormat::Yaml),
    ] {
        let format = BodyFormat::negotiate(&headers(CONTENT_TYPE, content_type));
        assert_eq!(format, Ok(expected), "{content_type}");
    }
    assert_eq!(
        BodyFormat::negotiate(&HeaderMap::new()),
        Ok(BodyFormat::Json)
    );
    for content_type in [
        "text/plain",
        "application/vnd.kubernetes.protobuf",
        "application/cbor",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "; application/json",
        "\u{e9}",
    ] {
        let refused = BodyFormat::negotiate(&headers(CONTENT_TYPE, content_type));
        assert_eq!(
            refused,
            Err(ApiError::unsupported_media_type()),
            "{content_type}"
        );
    }
}

proptest! {
    #[test]
    fn no_header_panics(accept in "[ -~]{0,60}", query in "[ -~]{0,30}") {
        for endpoint in [Endpoint::Object, Endpoint::List, Endpoint::Groups] {
            drop(negotiate(&headers(ACCEPT, &accept), Some(&query), endpoint));
            drop(BodyFormat::negotiate(&headers(CONTENT_TYPE, &accept)));
        }
    }
}
