use axum::body::{Body, to_bytes};
use axum::routing::get;
use axum::{Router, middleware};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tower::ServiceExt;

use super::*;

const LOGIN: &str = "login.concierge.pinniped.dev";

fn json(error: &ApiError) -> String {
    String::from_utf8(Encoding::Json.encode(error).unwrap()).unwrap()
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), 10_000).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn assert_prints(error: &ApiError, expected: &str) {
    let head = r#""kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure""#;
    assert_eq!(json(error), format!("{{{head},{expected}}}\n"));
    assert_eq!(error.respond(Encoding::Json).status(), error.code());
}

/// The wire shapes of Pinniped's Concierge, byte for byte but for the fixed head and the newline.
#[test]
fn errors_print_as_in_kubernetes() {
    let cases = [
        (
            ApiError::bad_request("a <b> & \"c\""),
            r#""message":"a \u003cb\u003e \u0026 \"c\"","reason":"BadRequest","code":400"#,
        ),
        (
            ApiError::unauthorized(),
            r#""message":"Unauthorized","reason":"Unauthorized","code":401"#,
        ),
        (
            ApiError::forbidden("", "", "", "User \"x\" cannot get path \"/apis\""),
            r#""message":"forbidden: User \"x\" cannot get path \"/apis\"","reason":"Forbidden","details":{},"code":403"#,
        ),
        (
            ApiError::forbidden(LOGIN, "things", "", "why"),
            r#""message":"things.login.concierge.pinniped.dev is forbidden: why","reason":"Forbidden","details":{"group":"login.concierge.pinniped.dev","kind":"things"},"code":403"#,
        ),
        (
            ApiError::forbidden("", "things", "n", "why"),
            r#""message":"things \"n\" is forbidden: why","reason":"Forbidden","details":{"name":"n","kind":"things"},"code":403"#,
        ),
        (
            ApiError::not_found(),
            r#""message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404"#,
        ),
        (
            ApiError::method_not_allowed(),
            r#""message":"the server does not allow this method on the requested resource","reason":"MethodNotAllowed","details":{},"code":405"#,
        ),
        (
            ApiError::action_not_supported(LOGIN, "tokencredentialrequests", "watch"),
            r#""message":"watch is not supported on resources of kind \"tokencredentialrequests.login.concierge.pinniped.dev\"","reason":"MethodNotAllowed","details":{"group":"login.concierge.pinniped.dev","kind":"tokencredentialrequests"},"code":405"#,
        ),
        (
            ApiError::not_acceptable(),
            r#""message":"only the following media types are accepted: application/json, application/yaml","reason":"NotAcceptable","code":406"#,
        ),
        (
            ApiError::request_timeout(),
            r#""message":"Timeout: the body of the request did not arrive in time","reason":"Timeout","code":408"#,
        ),
        (
            ApiError::request_entity_too_large(3_145_728),
            r#""message":"Request entity too large: limit is 3145728","reason":"RequestEntityTooLarge","code":413"#,
        ),
        (
            ApiError::unsupported_media_type(),
            r#""message":"the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf","reason":"UnsupportedMediaType","code":415"#,
        ),
        (
            ApiError::too_many_requests(0),
            r#""message":"Too many requests, please try again later.","reason":"TooManyRequests","details":{"retryAfterSeconds":1},"code":429"#,
        ),
        (
            ApiError::internal("no user info on request"),
            r#""message":"Internal error occurred: no user info on request","reason":"InternalError","details":{"causes":[{"message":"no user info on request"}]},"code":500"#,
        ),
        (
            ApiError::timeout(),
            r#""message":"Timeout: request did not complete within the allotted timeout","reason":"Timeout","details":{},"code":504"#,
        ),
    ];
    for (error, expected) in cases {
        assert_prints(&error, expected);
    }
}

#[test]
fn refused_fields_print_as_in_kubernetes() {
    let token = FieldError::required("spec.token.value", "token must be supplied");
    let dry_run = FieldError::not_supported("dryRun", "[\"All\"]", &[]);
    let warn = FieldError::not_supported("fieldValidation", "\"warn\"", &["", "Warn"]);
    let manager = FieldError::invalid("fieldManager", "a\u{1}", "invalid character U+0001");
    let long = FieldError::too_long("fieldManager", 128);
    let cases = [
        (
            ApiError::invalid(LOGIN, "", "", std::slice::from_ref(&token)),
            r#""message":".login.concierge.pinniped.dev \"\" is invalid: spec.token.value: Required value: token must be supplied","reason":"Invalid","details":{"group":"login.concierge.pinniped.dev","causes":[{"reason":"FieldValueRequired","message":"Required value: token must be supplied","field":"spec.token.value"}]},"code":422"#,
        ),
        (
            ApiError::invalid(LOGIN, "", "foo", &[dry_run]),
            r#""message":".login.concierge.pinniped.dev \"foo\" is invalid: dryRun: Unsupported value: [\"All\"]","reason":"Invalid","details":{"name":"foo","group":"login.concierge.pinniped.dev","causes":[{"reason":"FieldValueNotSupported","message":"Unsupported value: [\"All\"]","field":"dryRun"}]},"code":422"#,
        ),
        (
            ApiError::invalid("meta.k8s.io", "CreateOptions", "", &[manager, warn]),
            r#""message":"CreateOptions.meta.k8s.io \"\" is invalid: [fieldManager: Invalid value: \"a\\x01\": invalid character U+0001, fieldValidation: Unsupported value: \"warn\": supported values: \"\", \"Warn\"]","reason":"Invalid","details":{"group":"meta.k8s.io","kind":"CreateOptions","causes":[{"reason":"FieldValueInvalid","message":"Invalid value: \"a\\x01\": invalid character U+0001","field":"fieldManager"},{"reason":"FieldValueNotSupported","message":"Unsupported value: \"warn\": supported values: \"\", \"Warn\"","field":"fieldValidation"}]},"code":422"#,
        ),
        (
            ApiError::invalid("", "K", "", &[long]),
            r#""message":"K \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes","reason":"Invalid","details":{"kind":"K","causes":[{"reason":"FieldValueTooLong","message":"Too long: may not be more than 128 bytes","field":"fieldManager"}]},"code":422"#,
        ),
    ];
    for (error, expected) in cases {
        assert_prints(&error, expected);
    }
}

#[tokio::test]
async fn answers_are_not_cached_and_say_when_to_come_back() {
    let response = ApiError::too_many_requests(7).into_response();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()[RETRY_AFTER], "7");
    assert_eq!(response.headers()[CACHE_CONTROL], "no-cache, private");
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");

    let response = ApiError::not_found().into_response();
    assert!(!response.headers().contains_key(RETRY_AFTER));
    assert!(!response.headers().contains_key(X_CONTENT_TYPE_OPTIONS));
    let response = ApiError::forbidden("", "", "", "").into_response();
    assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
}

#[tokio::test]
async fn errors_take_the_form_that_the_client_wants() {
    let router = || {
        with_fallbacks(Router::new().route("/", get(async || ApiError::bad_request("bad"))))
            .layer(middleware::from_fn(render_errors))
    };
    let ask = async |path: &str, header: &str, value: &str| {
        let request = Request::get(path)
            .header(header, value)
            .body(Body::empty())
            .unwrap();
        router().oneshot(request).await.unwrap()
    };

    let yaml = ask("/", "accept", "application/yaml").await;
    assert_eq!(yaml.status(), 400);
    assert_eq!(yaml.headers()[CONTENT_TYPE], "application/yaml");
    assert_eq!(
        text(yaml).await,
        "apiVersion: v1\ncode: 400\nkind: Status\nmessage: bad\nmetadata: {}\nreason: BadRequest\nstatus: Failure\n"
    );
    let missing = "the server could not find the requested resource";
    for (path, header, value) in [
        ("/none?pretty=true", "accept", "application/json"),
        ("/none", "user-agent", "curl/8.5.0"),
        ("/none", "accept", "text/plain"),
    ] {
        let pretty = text(ask(path, header, value).await).await;
        let expected = format!(
            "{{\n  \"kind\": \"Status\",\n  \"apiVersion\": \"v1\",\n  \"metadata\": {{}},\n  \"status\": \"Failure\",\n  \"message\": \"{missing}\",\n  \"reason\": \"NotFound\",\n  \"details\": {{}},\n  \"code\": 404\n}}"
        );
        assert_eq!(pretty, expected);
    }
    let compact = text(ask("/", "accept", "application/json").await).await;
    assert!(compact.starts_with("{\"kind\":\"Status\"") && compact.ends_with("}\n"));

    let request = Request::delete("/").body(Body::empty()).unwrap();
    assert_eq!(router().oneshot(request).await.unwrap().status(), 405);
}
