//! Who is believed to call, and what he may.

use super::*;
use crate::api::state::Logins;

const FORGED: [(&str, &str); 5] = [
    ("x-remote-user", "admin"),
    ("x-remote-group", "system:masters"),
    ("x-remote-extra-scopes", "everything"),
    ("impersonate-user", "admin"),
    ("impersonate-group", "system:masters"),
];

impl Door {
    /// The user that a `WhoAmIRequest` shows.
    async fn who_am_i(&self, peer: &PeerCertificates, headers: &[(&str, &str)]) -> Value {
        let request = with_headers(post_json(WHO_AM_I, &json!({})), headers);
        let (status, body) = text(self.send_from(peer, request).await).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["status"]["kubernetesUserInfo"].clone()
    }
}

#[tokio::test]
async fn who_am_i_repeats_what_the_front_proxy_says() {
    let door = Door::new().await;
    let headers = [
        ("x-remote-user", "alice"),
        ("x-remote-uid", "42"),
        ("x-remote-group", "zebras"),
        ("x-remote-group", "ants"),
        ("x-remote-group", "system:authenticated"),
        (
            "x-remote-extra-authentication.kubernetes.io%2fcredential-id",
            "X509SHA256=ab",
        ),
    ];
    let request = with_headers(post_json(WHO_AM_I, &json!({})), &headers);
    let answer = text(door.send_from(&door.front_proxy_peer, request).await).await;
    assert_eq!(
        answer,
        (
            StatusCode::CREATED,
            r#"{"kind":"WhoAmIRequest","apiVersion":"identity.concierge.pinniped.dev/v1alpha1","metadata":{},"spec":{},"status":{"kubernetesUserInfo":{"user":{"username":"alice","uid":"42","groups":["zebras","ants","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=ab"]}}}}}"#.to_owned() + "\n"
        )
    );
}

#[tokio::test]
async fn headers_without_the_front_proxy_mean_nothing() {
    let door = Door::new().await;
    let nobody = PeerCertificates(Arc::default());
    let anonymous = json!({"user": {
        "username": "system:anonymous", "groups": ["system:unauthenticated"],
    }});
    assert_eq!(door.who_am_i(&nobody, &FORGED).await, anonymous);
    assert_eq!(door.who_am_i(&nobody, &[]).await, anonymous);
    // Even the extension that the listener sets may be absent.
    let request = with_headers(post_json(WHO_AM_I, &json!({})), &FORGED);
    let (_, body) = text(door.router.clone().oneshot(request).await.unwrap()).await;
    assert!(
        body.contains("system:anonymous") && !body.contains("masters"),
        "{body}"
    );
}

#[tokio::test]
async fn impersonation_headers_mean_nothing_even_behind_the_front_proxy() {
    let door = Door::new().await;
    let headers = [
        ("x-remote-user", "bob"),
        ("x-remote-group", "devs"),
        ("impersonate-user", "admin"),
        ("impersonate-group", "system:masters"),
        ("impersonate-uid", "1"),
    ];
    let user = door.who_am_i(&door.front_proxy_peer, &headers).await;
    assert_eq!(
        user,
        json!({"user": {"username": "bob", "groups": ["devs", "system:authenticated"]}})
    );
}

#[tokio::test]
async fn a_certificate_that_is_no_front_proxy_s_is_refused() {
    let door = Door::new().await;
    let (_, stranger, _) = front_proxy();
    let request = with_headers(post_json(TCR, &good_request()), &FORGED);
    let (status, body) = text(door.send_from(&stranger, request).await).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains(r#""reason":"Unauthorized""#), "{body}");
    assert_eq!(door.setup.memory.text(), "");
}

#[tokio::test]
async fn a_swapped_authority_counts_from_the_next_request() {
    let door = Door::new().await;
    assert_eq!(door.create(&good_request()).await.0, StatusCode::CREATED);
    door.front_proxy.replace(FrontProxyConfig::default());
    assert_eq!(
        door.create(&good_request()).await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn who_may_not_is_told_so_before_the_body_is_read() {
    let door = Door::with(Says::User(alice()), Reviewer::Denies, "pinniped.dev").await;
    let (status, body) = door.create(&json!({"kind": "Nope"})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let text_of_kubernetes = r#"tokencredentialrequests.login.concierge.pinniped.dev is forbidden: User \"system:anonymous\" cannot create resource \"tokencredentialrequests\" in API group \"login.concierge.pinniped.dev\" at the cluster scope"#;
    assert!(body.contains(text_of_kubernetes), "{body}");
    let discovery = request(Method::GET, "/apis/login.concierge.pinniped.dev");
    let (status, body) = text(door.send(discovery).await).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(
        body.contains(r#"forbidden: User \"system:anonymous\" cannot get path"#),
        "{body}"
    );
    assert_eq!(door.setup.memory.text(), "");
}

#[tokio::test]
async fn strangers_cannot_make_questions_up() {
    // Where the API server would be asked, this door answers 500.
    let door = Door::with(Says::User(alice()), Reviewer::Fails, "pinniped.dev").await;
    let nobody = PeerCertificates(Arc::default());
    let send = async |peer, request| door.send_from(peer, request).await.status();
    let named = format!("{TCR}/name");
    for path in ["/nope", "/apis/other.example.com/v1/things", &named] {
        let status = send(&nobody, request(Method::GET, path)).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        let asked = with_headers(request(Method::GET, path), &[("x-remote-user", "x")]);
        let status = send(&door.front_proxy_peer, asked).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    }
    let invented = Method::from_bytes(b"INVENTED").unwrap();
    let status = send(&nobody, request(invented, "/version")).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    for path in ["/version", TCR] {
        let status = send(&nobody, request(Method::GET, path)).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    }
}

#[tokio::test]
async fn probes_pass_without_a_decision() {
    let door = Door::with(Says::User(alice()), Reviewer::Fails, "pinniped.dev").await;
    for path in ["/healthz", "/livez", "/readyz"] {
        let answer = text(door.send(request(Method::GET, path)).await).await;
        assert_eq!(answer, (StatusCode::OK, "ok".to_owned()), "{path}");
    }
    for path in ["/version", "/metrics", TCR] {
        let (status, body) = text(door.send(request(Method::GET, path)).await).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert!(!body.contains("no API server"), "{body}");
    }
}

#[tokio::test]
async fn a_panic_ends_one_request_only() {
    let door = Door::with(Says::User(alice()), Reviewer::Panics, "pinniped.dev").await;
    let named = with_headers(request(Method::GET, TCR), &[("audit-id", "mine")]);
    let response = door.send(named).await;
    assert_eq!(response.headers()["audit-id"], "mine");
    let (status, body) = text(response).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.contains(r#""reason":"InternalError""#), "{body}");
    assert_eq!(
        door.send(request(Method::GET, "/healthz")).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn who_am_i_takes_no_dry_run() {
    let door = Door::new().await;
    let path = format!("{WHO_AM_I}?dryRun=All");
    let (status, body) = text(door.send(post_json(&path, &json!({}))).await).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        body.contains(
            r#".identity.concierge.pinniped.dev \"\" is invalid: dryRun: Unsupported value"#
        ),
        "{body}"
    );
    let wrong = post_json(WHO_AM_I, &json!({"kind": "TokenCredentialRequest"}));
    assert_eq!(door.send(wrong).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_a_caller_who_am_i_is_an_error() {
    let Logins { limits, clock, .. } = setup(Says::User(alice()), GOOD, "pinniped.dev")
        .await
        .logins
        .unwrap();
    let kind = ServedKind::who_am_i_request(&haulout_api::group::ApiGroupSuffix::default());
    let router = Router::new()
        .route("/", post(who_am_i::create))
        .with_state(Arc::new(who_am_i::Endpoint {
            kind,
            bodies: Arc::new(BodyReader::new(BodyLimits::default())),
            limits,
            clock,
        }));
    let (status, body) = text(router.oneshot(post_json("/", &json!({}))).await.unwrap()).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.contains("no user info on request"), "{body}");
}
