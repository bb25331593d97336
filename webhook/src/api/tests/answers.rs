//! The exact answers, as `docs/differences.md` does not list them.

use super::*;
use crate::api::login::tests::Says;

/// The answer to `good_request`, up to the status.
const HEAD: &str = r#"{"kind":"TokenCredentialRequest","apiVersion":"login.concierge.pinniped.dev/v1alpha1","metadata":{},"spec":{"authenticator":{"apiGroup":null,"kind":"","name":""}},"status":"#;

#[tokio::test]
async fn success_is_the_reference_s_answer_byte_for_byte() {
    let door = Door::new().await;
    let response = door.send(post_json(TCR, &good_request())).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-cache, private");
    assert!(!response.headers().contains_key("warning"));
    let (status, body) = text(response).await;
    assert_eq!(status, StatusCode::CREATED);

    let answer: Value = serde_json::from_str(&body).unwrap();
    let credential = &answer["status"]["credential"];
    let field = |name: &str| credential[name].as_str().unwrap().replace('\n', "\\n");
    let (expiration, certificate, key) = (
        field("expirationTimestamp"),
        field("clientCertificateData"),
        field("clientKeyData"),
    );
    assert_eq!(
        (expiration.len(), expiration.ends_with('Z')),
        ("2026-11-23T19:34:43Z".len(), true)
    );
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----\\n"));
    assert!(certificate.ends_with("-----END CERTIFICATE-----\\n"));
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\\n"));
    assert!(key.ends_with("-----END PRIVATE KEY-----\\n"));
    assert_eq!(
        body,
        format!(
            "{HEAD}{{\"credential\":{{\"expirationTimestamp\":\"{expiration}\",\"clientCertificateData\":\"{certificate}\",\"clientKeyData\":\"{key}\"}}}}}}\n"
        )
    );
}

#[tokio::test]
async fn every_failed_login_is_the_same_answer() {
    let expected = (
        StatusCode::CREATED,
        format!("{HEAD}{{\"message\":\"authentication failed\"}}}}\n"),
    );
    let mut unknown = good_request();
    unknown["spec"]["authenticator"]["name"] = json!("other");
    let mut without_group = good_request();
    without_group["spec"]["authenticator"] = json!({});
    let door = Door::new().await;
    assert_eq!(door.create(&unknown).await, expected);
    assert_eq!(door.create(&without_group).await, expected);

    for says in [
        Says::Rejection("of another issuer"),
        Says::Error("expired"),
        Says::User(UserInfo::default()),
    ] {
        let door = Door::with(says, Reviewer::Allows, "pinniped.dev").await;
        assert_eq!(door.create(&good_request()).await, expected);
    }
}

#[tokio::test]
async fn kind_and_metadata_are_not_needed() {
    let door = Door::new().await;
    let body = json!({"spec": good_request()["spec"]});
    assert_eq!(door.create(&body).await.0, StatusCode::CREATED);
    let yaml = "spec:\n  token: t\n  authenticator:\n    apiGroup: authentication.concierge.pinniped.dev\n    kind: JWTAuthenticator\n    name: main\n";
    let (status, body) = text(door.send(post_text(TCR, "application/yaml", yaml)).await).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(body.contains("clientKeyData"));
}

#[tokio::test]
async fn an_empty_token_is_invalid() {
    let door = Door::new().await;
    let named = json!({"metadata": {"name": "foo"}, "spec": {"token": ""}});
    assert_eq!(
        door.create(&json!({"spec": {}})).await,
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":".login.concierge.pinniped.dev \"\" is invalid: spec.token.value: Required value: token must be supplied","reason":"Invalid","details":{"group":"login.concierge.pinniped.dev","causes":[{"reason":"FieldValueRequired","message":"Required value: token must be supplied","field":"spec.token.value"}]},"code":422}"#.to_owned() + "\n"
        )
    );
    assert_eq!(
        door.create(&named).await.1,
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":".login.concierge.pinniped.dev \"foo\" is invalid: spec.token.value: Required value: token must be supplied","reason":"Invalid","details":{"name":"foo","group":"login.concierge.pinniped.dev","causes":[{"reason":"FieldValueRequired","message":"Required value: token must be supplied","field":"spec.token.value"}]},"code":422}"#.to_owned() + "\n"
    );
    assert_eq!(door.setup.memory.text(), "", "no token, no event");
}

#[tokio::test]
async fn a_dry_run_is_refused_after_an_empty_token() {
    let door = Door::new().await;
    let dry_run = format!("{TCR}?dryRun=All");
    let (status, body) = text(door.send(post_json(&dry_run, &good_request())).await).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let error: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        error["message"],
        r#".login.concierge.pinniped.dev "ignored" is invalid: dryRun: Unsupported value: ["All"]"#
    );
    assert_eq!(
        error["details"]["causes"],
        json!([{
            "reason": "FieldValueNotSupported", "message": r#"Unsupported value: ["All"]"#, "field": "dryRun",
        }])
    );
    let (_, body) = text(door.send(post_json(&dry_run, &json!({"spec": {}}))).await).await;
    assert!(body.contains("token must be supplied"), "{body}");
    assert!(door.setup.calls().is_empty());
    assert_eq!(door.setup.memory.text(), "", "a dry run leaves no event");
}

#[tokio::test]
async fn malformed_requests_are_refused_before_anything_is_logged() {
    let door = Door::new().await;
    let too_large = format!(
        r#"{{"spec":{{"token":"{}"}}}}"#,
        "a".repeat(3 * 1024 * 1024)
    );
    let cases = [
        (post_json(TCR, &json!({"kind": "Nope"})), 400, "BadRequest"),
        (
            post_json(TCR, &json!({"kind": "TokenCredentialRequestList"})),
            400,
            "BadRequest",
        ),
        (post_text(TCR, "application/json", ""), 400, "BadRequest"),
        (post_text(TCR, "application/json", "{"), 400, "BadRequest"),
        (
            post_text(TCR, "text/plain", "{}"),
            415,
            "UnsupportedMediaType",
        ),
        (
            post_text(TCR, "application/vnd.kubernetes.protobuf", "k8s\0"),
            415,
            "UnsupportedMediaType",
        ),
        (
            post_text(TCR, "application/json", too_large),
            413,
            "RequestEntityTooLarge",
        ),
        (
            with_headers(
                post_text(TCR, "text/plain", "{}"),
                &[("accept", "application/vnd.kubernetes.protobuf")],
            ),
            406,
            "NotAcceptable",
        ),
        (
            post_json(&format!("{TCR}?fieldValidation=Never"), &good_request()),
            422,
            "Invalid",
        ),
        (
            post_json(&format!("{TCR}?timeout=soon"), &good_request()),
            400,
            "BadRequest",
        ),
        (
            post_json(
                &format!("{TCR}?fieldValidation=Strict"),
                &json!({"spec": {"zzz": 1}}),
            ),
            400,
            "BadRequest",
        ),
        (
            post_json(TCR, &json!({"spec": {"token": ["the-secret-token"]}})),
            400,
            "BadRequest",
        ),
    ];
    for (request, code, reason) in cases {
        let about = format!("{request:?}");
        let (status, body) = text(door.send(request).await).await;
        assert_eq!(status.as_u16(), code, "{about}: {body}");
        let error: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&error["kind"], &error["reason"]),
            (&json!("Status"), &json!(reason)),
            "{about}"
        );
        assert!(!body.contains("secret"), "{body}");
    }
    assert_eq!(door.setup.memory.text(), "");
    let metrics = door.setup.metrics.encode().unwrap();
    let counted =
        r#"haulout_token_credential_requests_total{result="invalid",reason="BadRequest"} 7"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn unknown_fields_are_warned_about() {
    let door = Door::new().await;
    let mut body = good_request();
    body["spec"]["zzz"] = json!(1);
    let response = door.send(post_json(TCR, &body)).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(
        response.headers()["warning"],
        r#"299 - "unknown field \"spec.zzz\"""#
    );
}

#[tokio::test]
async fn humans_get_indented_json_and_who_wants_it_yaml() {
    let door = Door::new().await;
    let curl = with_headers(
        post_json(TCR, &good_request()),
        &[("user-agent", "curl/8.5.0")],
    );
    let (_, body) = text(door.send(curl).await).await;
    assert!(
        body.starts_with("{\n  \"kind\": \"TokenCredentialRequest\",\n"),
        "{body}"
    );
    let curl = with_headers(
        request(Method::GET, "/nope"),
        &[("user-agent", "curl/8.5.0")],
    );
    let (_, body) = text(door.send(curl).await).await;
    assert!(body.starts_with("{\n  \"kind\": \"Status\",\n"), "{body}");
    let yaml = with_headers(
        post_json(TCR, &good_request()),
        &[("accept", "application/yaml")],
    );
    let (_, body) = text(door.send(yaml).await).await;
    assert!(
        body.starts_with("apiVersion: login.concierge.pinniped.dev/v1alpha1\n"),
        "{body}"
    );
}

#[tokio::test]
async fn lists_are_empty() {
    let door = Door::new().await;
    for (path, kind, group) in [
        (
            TCR,
            "TokenCredentialRequest",
            "login.concierge.pinniped.dev",
        ),
        (WHO_AM_I, "WhoAmIRequest", "identity.concierge.pinniped.dev"),
    ] {
        let (status, body) = text(door.send(request(Method::GET, path)).await).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            body,
            format!(
                "{{\"kind\":\"{kind}List\",\"apiVersion\":\"{group}/v1alpha1\",\"metadata\":{{\"resourceVersion\":\"0\"}},\"items\":[]}}\n"
            )
        );
        let table = [(
            "accept",
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        )];
        let (_, body) = text(
            door.send(with_headers(request(Method::GET, path), &table))
                .await,
        )
        .await;
        let table: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&table["kind"], &table["rows"]),
            (&json!("Table"), &Value::Null)
        );

        let watch = request(Method::GET, &format!("{path}?watch=true"));
        let (status, body) = text(door.send(watch).await).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert!(
            body.contains("watch is not supported on resources of kind"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn other_methods_and_paths_do_not_exist() {
    let not_allowed = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server does not allow this method on the requested resource","reason":"MethodNotAllowed","details":{},"code":405}"#.to_owned() + "\n";
    let not_found = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404}"#.to_owned() + "\n";
    let door = Door::new().await;
    for path in [TCR, WHO_AM_I] {
        for method in [Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = text(door.send(request(method.clone(), path)).await).await;
            assert_eq!(
                answer,
                (StatusCode::METHOD_NOT_ALLOWED, not_allowed.clone()),
                "{method} {path}"
            );
        }
        for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
            let path = format!("{path}/name");
            let answer = text(door.send(request(method.clone(), &path)).await).await;
            assert_eq!(
                answer,
                (StatusCode::NOT_FOUND, not_found.clone()),
                "{method} {path}"
            );
        }
    }
    let [logins, identities] =
        [TCR, WHO_AM_I].map(|path| path.replace("/v1alpha1/", "/v1alpha1/namespaces/default/"));
    for path in [&logins, &identities, "/apis/other.example.com/v1", "/nope"] {
        for method in [Method::GET, Method::POST] {
            let mut sent = post_json(path, &good_request());
            *sent.method_mut() = method.clone();
            let answer = text(door.send(sent).await).await;
            let expected = (StatusCode::NOT_FOUND, not_found.clone());
            assert_eq!(answer, expected, "{method} {path}");
        }
    }
}

/// As in Pinniped's Concierge: a namespace in the URL leads nowhere, one in the body is passed over.
#[tokio::test]
async fn a_namespace_in_the_body_changes_nothing() {
    let door = Door::new().await;
    let mut body = good_request();
    body["metadata"]["namespace"] = json!("default");
    let (status, answer) = door.create(&body).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["metadata"], json!({}));
    assert!(answer["status"]["credential"].is_object(), "{answer}");

    let body = json!({"metadata": {"namespace": "default"}});
    let (status, answer) = text(door.send(post_json(WHO_AM_I, &body)).await).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert!(answer.contains(r#""metadata":{}"#), "{answer}");
}

#[tokio::test]
async fn another_suffix_serves_other_groups() {
    let door = Door::with(Says::User(alice()), Reviewer::Allows, "walrus.example.com").await;
    assert_eq!(door.create(&good_request()).await.0, StatusCode::NOT_FOUND);

    let renamed = |text: &str| text.replace("pinniped.dev", "walrus.example.com");
    let body: Value = serde_json::from_str(&renamed(&good_request().to_string())).unwrap();
    let (status, answer) = text(door.send(post_json(&renamed(TCR), &body)).await).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(answer.contains("\"apiVersion\":\"login.concierge.walrus.example.com/v1alpha1\""));
    assert!(answer.contains("clientKeyData"));
    // The group in the text of errors stays, as in Pinniped's Concierge.
    let empty = post_json(&renamed(TCR), &json!({"spec": {}}));
    let (_, answer) = text(door.send(empty).await).await;
    assert!(
        answer.contains(".login.concierge.pinniped.dev "),
        "{answer}"
    );
}

#[tokio::test]
async fn the_clients_timeout_is_honoured() {
    let door = Door::with(Says::Nothing, Reviewer::Allows, "pinniped.dev").await;
    let path = format!("{TCR}?timeout=50ms");
    let (status, body) = text(door.send(post_json(&path, &good_request())).await).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert!(body.contains(r#""reason":"Timeout""#), "{body}");
    assert_eq!(door.setup.memory.events().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_create_takes_longer_than_34_seconds() {
    let door = Door::with(Says::Nothing, Reviewer::Allows, "pinniped.dev").await;
    let begun = tokio::time::Instant::now();
    let path = format!("{TCR}?timeout=60s");
    let (status, _) = text(door.send(post_json(&path, &good_request())).await).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    // The clock of the test: it moves only when nothing else can.
    assert_eq!(begun.elapsed().as_secs(), 34);
    assert_eq!(door.setup.memory.events().len(), 2);
}

#[tokio::test]
async fn the_api_describes_itself() {
    let door = Door::new().await;
    for path in [
        "/",
        "/apis",
        "/apis/login.concierge.pinniped.dev",
        "/apis/identity.concierge.pinniped.dev/v1alpha1",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/apis/login.concierge.pinniped.dev/v1alpha1",
        "/version",
        "/metrics",
    ] {
        assert_eq!(
            door.send(request(Method::GET, path)).await.status(),
            StatusCode::OK,
            "{path}"
        );
    }
}
