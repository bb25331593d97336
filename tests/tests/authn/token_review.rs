//! The authenticator that asks a TokenReview server, which misbehaves.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use haulout_api::authenticator::{TokenReviewVersion, WebhookAuthenticatorSpec};
use haulout_api::identity::UserInfo;
use haulout_https::{ProxyRules, TrustRoots};
use haulout_tests::ensure_crypto;
use haulout_tests::token_review_server::{Fault, TokenReviewServer};
use haulout_webhook::authenticators::token_review::{
    Endpoint, TokenReviewAuthenticator, TokenReviewClient,
};
use haulout_webhook::authenticators::{AuthenticationError, TokenAuthenticator as _};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

const TOKEN: &str = "s3cret-token-of-alice";

/// A server that knows Alice, and an authenticator that asks it.
struct Setup {
    server: TokenReviewServer,
    authenticator: Arc<TokenReviewAuthenticator>,
}

impl Setup {
    async fn new() -> Self {
        Self::with(WebhookAuthenticatorSpec::default()).await
    }

    async fn with(spec: WebhookAuthenticatorSpec) -> Self {
        let server = server().await;
        let authenticator = TokenReviewAuthenticator::new(client(&server, &server.url()), &spec);
        Self {
            server,
            authenticator: Arc::new(authenticator),
        }
    }

    async fn log_in(&self, token: &str) -> Result<Option<UserInfo>, AuthenticationError> {
        let token = token.to_owned().into();
        let verdict = self
            .authenticator
            .authenticate(&token, SystemTime::UNIX_EPOCH)
            .await;
        known(verdict)
    }

    /// Why Alice could not log in; her token is not in it.
    async fn error(&self) -> AuthenticationError {
        let error = self.log_in(TOKEN).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("s3cret"), "{text}");
        error
    }

    async fn error_under(&self, fault: Fault) -> AuthenticationError {
        self.server.set_fault(Some(fault));
        self.error().await
    }

    /// A task of its own, in which somebody logs in.
    fn log_in_as(
        &self,
        token: String,
    ) -> impl Future<Output = Result<Option<UserInfo>, AuthenticationError>> + use<> {
        let authenticator = Arc::clone(&self.authenticator);
        async move {
            let token = token.into();
            known(
                authenticator
                    .authenticate(&token, SystemTime::UNIX_EPOCH)
                    .await,
            )
        }
    }
}

/// `None` for a token that the server does not accept.
fn known(
    verdict: Result<UserInfo, AuthenticationError>,
) -> Result<Option<UserInfo>, AuthenticationError> {
    match verdict {
        Ok(user) => Ok(Some(user)),
        Err(error) if error.is_rejection() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn server() -> TokenReviewServer {
    ensure_crypto();
    let server = TokenReviewServer::start().await.unwrap();
    server.know(
        TOKEN,
        json!({"authenticated": true, "user": {"username": "alice", "groups": ["devs", "ops"]}}),
    );
    server
}

fn client(server: &TokenReviewServer, url: &str) -> TokenReviewClient {
    let roots = TrustRoots::Only(vec![server.ca_certificate_der().to_vec()]);
    let endpoint = Endpoint::parse(url, &ProxyRules::from_env()).unwrap();
    TokenReviewClient::new(endpoint, &roots).unwrap()
}

#[tokio::test]
async fn a_known_token_is_its_user() {
    let setup = Setup::new().await;
    let user = setup.log_in(TOKEN).await.unwrap().unwrap();
    assert_eq!(user.username, "alice");
    assert_eq!(user.groups, ["devs", "ops"]);
    let received = setup.server.received();
    assert_eq!(received[0].request_line, "POST /review");
    assert_eq!(
        received[0].review,
        json!({
            "kind": "TokenReview",
            "apiVersion": "authentication.k8s.io/v1beta1",
            "spec": {"token": TOKEN},
        })
    );
    assert_eq!(received[0].headers["content-type"], "application/json");
    assert_eq!(received[0].headers["accept"], "application/json");
    assert!(!received[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn the_stable_version_is_sent_where_asked_for() {
    let spec = WebhookAuthenticatorSpec {
        token_review_version: Some(TokenReviewVersion::V1),
        ..WebhookAuthenticatorSpec::default()
    };
    let setup = Setup::with(spec).await;
    assert!(setup.log_in(TOKEN).await.unwrap().is_some());
    assert_eq!(
        setup.server.received()[0].review["apiVersion"],
        "authentication.k8s.io/v1"
    );
}

#[tokio::test]
async fn the_endpoint_is_called_as_it_is_without_query_and_last_slash() {
    let server = server().await;
    let base = server.url().replace("/review", "");
    for (endpoint, line) in [
        ("", "POST /"),
        ("/", "POST /"),
        ("/a/b", "POST /a/b"),
        ("/a/b/?timeout=3s#top", "POST /a/b"),
        ("/a%2Fb?x", "POST /a%2Fb"),
    ] {
        let client = client(&server, &format!("{base}{endpoint}"));
        let authenticator =
            TokenReviewAuthenticator::new(client, &WebhookAuthenticatorSpec::default());
        let token = TOKEN.to_owned().into();
        let user = authenticator.authenticate(&token, SystemTime::UNIX_EPOCH);
        assert!(user.await.is_ok());
        assert_eq!(
            server.received().pop().unwrap().request_line,
            line,
            "{endpoint}"
        );
    }
}

#[tokio::test]
async fn prefixes_stand_before_every_name() {
    let spec = WebhookAuthenticatorSpec {
        username_prefix: "corp:".to_owned(),
        groups_prefix: "team:".to_owned(),
        ..WebhookAuthenticatorSpec::default()
    };
    let setup = Setup::with(spec).await;
    let user = setup.log_in(TOKEN).await.unwrap().unwrap();
    assert_eq!(user.username, "corp:alice");
    assert_eq!(user.groups, ["team:devs", "team:ops"]);
    setup.server.know(
        "nobody",
        json!({"authenticated": true, "user": {"groups": ["", "x"]}}),
    );
    let user = setup.log_in("nobody").await.unwrap().unwrap();
    assert_eq!(user.username, "", "so that it is refused for what it is");
    assert_eq!(user.groups, ["", "team:x"]);
}

/// A certificate cannot carry it, so that the login fails where all users are judged.
#[tokio::test]
async fn a_uid_is_passed_on() {
    let setup = Setup::new().await;
    let status = json!({"authenticated": true, "user": {"username": "bob", "uid": "4711"}});
    setup.server.know("bob", status);
    assert_eq!(setup.log_in("bob").await.unwrap().unwrap().uid, "4711");
}

#[tokio::test]
async fn every_login_is_asked_for() {
    let setup = Setup::new().await;
    assert!(setup.log_in(TOKEN).await.unwrap().is_some());
    setup.server.know(TOKEN, json!({"authenticated": false}));
    assert!(
        setup.log_in(TOKEN).await.unwrap().is_none(),
        "revoked, so refused at once"
    );
}

#[tokio::test]
async fn a_refusal_counts_for_five_seconds() {
    let setup = Setup::new().await;
    tokio::time::pause();
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    for _ in 0..20 {
        assert!(setup.log_in("unknown").await.unwrap().is_none());
    }
    assert_eq!(setup.server.received().len(), 1);
    assert!(setup.log_in("another").await.unwrap().is_none());
    assert_eq!(setup.server.received().len(), 2);
    setup.server.know(
        "unknown",
        json!({"authenticated": true, "user": {"username": "bob"}}),
    );
    assert!(
        setup.log_in("unknown").await.unwrap().is_none(),
        "too early"
    );
    tokio::time::sleep_until(start + 6 * second).await;
    assert!(setup.log_in("unknown").await.unwrap().is_some());
}

#[tokio::test]
async fn only_plain_refusals_are_remembered() {
    let setup = Setup::new().await;
    setup.server.fail_next([
        Fault::Status(403, vec![]),
        Fault::Body("<html>".to_owned()),
        Fault::Body(r#"{"status": {"error": "the directory is down"}}"#.to_owned()),
    ]);
    for _ in 0..3 {
        setup.error().await;
    }
    assert!(setup.log_in(TOKEN).await.unwrap().is_some());
}

#[tokio::test]
async fn the_servers_error_is_told() {
    let setup = Setup::new().await;
    let status = json!({"authenticated": false, "error": format!("{TOKEN} is expired\n")});
    setup.server.know(TOKEN, status);
    let error = setup.error().await;
    assert_eq!(
        error.to_string(),
        "the TokenReview server refused the token: <token> is expired\\n"
    );
    assert_eq!(error.reason(), "TokenReviewRefused");
}

#[tokio::test]
async fn faults_that_pass_cost_no_login() {
    for faults in [
        vec![Fault::Reset],
        vec![Fault::Close],
        vec![Fault::Status(500, vec![])],
        vec![Fault::Status(503, vec![("retry-after", "1")])],
        vec![
            Fault::Reset,
            Fault::Status(429, vec![]),
            Fault::Status(504, vec![]),
        ],
    ] {
        let setup = Setup::new().await;
        // A connection that is there already, as most are.
        assert!(setup.log_in(TOKEN).await.unwrap().is_some());
        let count = faults.len();
        setup.server.fail_next(faults.clone());
        tokio::time::pause();
        let user = setup.log_in(TOKEN).await.unwrap();
        assert_eq!(user.unwrap().username, "alice", "{faults:?}");
        assert_eq!(setup.server.received().len(), 1 + count + 1, "{faults:?}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn faults_that_stay_end_with_the_fifth_call() {
    for (fault, text) in [
        (
            Fault::Status(500, vec![]),
            "the TokenReview server answered 500 Internal Server Error no review",
        ),
        (
            Fault::Reset,
            "failed to call the TokenReview server: Post \"https://127.0.0.1:",
        ),
    ] {
        let setup = Setup::new().await;
        tokio::time::pause();
        let error = setup.error_under(fault).await;
        assert!(error.to_string().starts_with(text), "{error}");
        assert_eq!(error.reason(), "TokenReviewFailed");
        assert_eq!(setup.server.received().len(), 5);
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_server_that_asks_for_more_time_than_there_is_is_left_alone() {
    let setup = Setup::new().await;
    let error = setup
        .error_under(Fault::Status(429, vec![("retry-after", "60")]))
        .await;
    assert!(
        error.to_string().contains("429 Too Many Requests"),
        "{error}"
    );
    assert_eq!(setup.server.received().len(), 1);
}

#[tokio::test]
async fn what_is_no_review_is_told_at_once() {
    for (fault, text, reason) in [
        (
            Fault::Status(404, vec![]),
            "the TokenReview server answered 404 Not Found no review",
            "TokenReviewFailed",
        ),
        (
            Fault::Redirect,
            "the TokenReview server answered 307 Temporary Redirect",
            "TokenReviewFailed",
        ),
        (
            Fault::Huge,
            "answer is longer than 524288 bytes",
            "TokenReviewFailed",
        ),
        (
            Fault::Body("<html>".to_owned()),
            "failed to read the TokenReview server's answer: ",
            "InvalidTokenReviewAnswer",
        ),
        (
            Fault::Body(
                r#"{"kind": "Status", "apiVersion": "v1", "status": {"authenticated": true}}"#
                    .to_owned(),
            ),
            "the TokenReview server answered with kind \"Status\" of \"v1\"",
            "InvalidTokenReviewAnswer",
        ),
    ] {
        let setup = Setup::new().await;
        let error = setup.error_under(fault.clone()).await;
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.reason(), reason, "{error}");
        assert_eq!(setup.server.received().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let setup = Setup::new().await;
    tokio::time::pause();
    setup
        .server
        .set_fault(Some(Fault::Slow(Duration::from_secs(19))));
    assert!(setup.log_in(TOKEN).await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let setup = Setup::new().await;
    assert!(setup.log_in(TOKEN).await.unwrap().is_some());
    tokio::time::pause();
    let begun = Instant::now();
    let error = setup.error_under(Fault::Hang).await;
    assert_eq!(begun.elapsed().as_secs(), 20);
    assert_eq!(error.reason(), "TokenReviewTimedOut", "{error}");
    assert_eq!(setup.server.received().len(), 2, "it is not asked again");
}

#[tokio::test]
async fn calls_are_few_at_a_time_and_the_others_wait() {
    let setup = Setup::new().await;
    setup
        .server
        .set_fault(Some(Fault::Slow(Duration::from_millis(50))));
    let mut logins = JoinSet::new();
    for _ in 0..200 {
        logins.spawn(setup.log_in_as(TOKEN.to_owned()));
    }
    for login in logins.join_all().await {
        assert_eq!(login.unwrap().unwrap().username, "alice");
    }
    assert_eq!(setup.server.most_in_flight(), 64);
}

#[tokio::test]
async fn a_queue_that_is_full_refuses_at_once_and_one_that_does_not_move_in_the_end() {
    let setup = Setup::new().await;
    setup.server.set_fault(Some(Fault::Hang));
    let mut logins = JoinSet::new();
    for number in 0..64 {
        logins.spawn(setup.log_in_as(format!("caller-{number}")));
    }
    while setup.server.in_flight() < 64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::pause();
    for number in 0..256 {
        logins.spawn(setup.log_in_as(format!("queued-{number}")));
    }
    for _ in 0..256 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    let error = setup.error().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(
        error.to_string().starts_with("too many logins wait"),
        "{error}"
    );
    assert_eq!(error.reason(), "TokenReviewOverloaded");
    let mut reasons = Vec::new();
    while let Some(login) = logins.join_next().await {
        reasons.push(login.unwrap().unwrap_err().reason());
    }
    let count = |reason| reasons.iter().filter(|&&found| found == reason).count();
    assert_eq!(
        count("TokenReviewTimedOut") + count("TokenReviewOverloaded"),
        64 + 256
    );
    assert!(count("TokenReviewTimedOut") >= 64, "{reasons:?}");
    setup.server.set_fault(None);
    assert!(
        setup.log_in(TOKEN).await.unwrap().is_some(),
        "every place is free again"
    );
}

#[tokio::test]
async fn a_login_that_is_abandoned_gives_its_place_back() {
    let setup = Setup::new().await;
    setup.server.set_fault(Some(Fault::Hang));
    for _ in 0..2 {
        let mut logins = JoinSet::new();
        for _ in 0..64 {
            logins.spawn(setup.log_in_as(TOKEN.to_owned()));
        }
        while setup.server.in_flight() < 64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        logins.shutdown().await;
        while setup.server.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// How often the server was asked about `token`.
fn calls_for(server: &TokenReviewServer, token: &str) -> usize {
    let received = server.received();
    let calls = received
        .iter()
        .filter(|call| call.review["spec"]["token"] == token);
    calls.count()
}

/// What comes at once: a pause, where a test has one, is longer.
async fn soon<T>(outcome: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(Duration::from_secs(10), outcome);
    outcome.await.expect("soon")
}

#[tokio::test]
async fn logins_that_pause_keep_no_other_out_and_are_few() {
    let setup = Setup::new().await;
    let fault = Fault::Status(500, vec![("retry-after", "18")]);
    setup.server.fail_for("bad", fault);
    let mut logins = JoinSet::new();
    for wave in 1..=3 {
        for _ in 0..64 {
            logins.spawn(setup.log_in_as("bad".to_owned()));
        }
        while calls_for(&setup.server, "bad") < wave * 64 || setup.server.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(soon(setup.log_in(TOKEN)).await.unwrap().is_some());
    }
    for _ in 0..2 * 64 {
        let error = soon(logins.join_next()).await.unwrap().unwrap();
        assert_eq!(error.unwrap_err().reason(), "TokenReviewFailed");
    }
    assert!(logins.try_join_next().is_none(), "the others pause");
    assert_eq!(logins.len(), 64);
}

/// Takes all turns but `left` with calls that hang.
async fn occupy(setup: &Setup, left: usize) -> JoinSet<()> {
    setup.server.fail_for("hangs", Fault::Hang);
    let mut logins = JoinSet::new();
    for _ in left..64 {
        let login = setup.log_in_as("hangs".to_owned());
        logins.spawn(async { drop(login.await) });
    }
    while setup.server.in_flight() < 64 - left {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    logins
}

#[tokio::test]
async fn a_login_that_fails_makes_way_for_those_that_wait() {
    let setup = Setup::new().await;
    let _others = occupy(&setup, 1).await;
    let fault = Fault::Status(503, vec![("retry-after", "15")]);
    setup.server.fail_for("bad", fault);
    let (bad, good) = tokio::join!(soon(setup.log_in("bad")), soon(setup.log_in(TOKEN)));
    let error = bad.unwrap_err().to_string();
    assert!(error.contains("503 Service Unavailable"), "{error}");
    assert!(good.unwrap().is_some());
    assert_eq!(calls_for(&setup.server, "bad"), 1);
}

#[tokio::test]
async fn a_login_that_paused_waits_for_no_turn() {
    let setup = Setup::new().await;
    let _others = occupy(&setup, 1).await;
    let fault = Fault::Status(503, vec![("retry-after", "2")]);
    setup.server.fail_for("bad", fault);
    let meanwhile = async {
        while calls_for(&setup.server, "bad") == 0 || setup.server.in_flight() > 63 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let _last = occupy(&setup, 63).await;
        std::future::pending::<()>().await
    };
    let error = tokio::select! {
        outcome = soon(setup.log_in("bad")) => outcome.unwrap_err().to_string(),
        () = meanwhile => unreachable!(),
    };
    assert!(error.contains("503 Service Unavailable"), "{error}");
    assert_eq!(calls_for(&setup.server, "bad"), 1);
}

#[tokio::test]
async fn a_token_longer_than_any_is_not_sent() {
    let setup = Setup::new().await;
    assert!(
        setup
            .log_in(&"x".repeat(64 * 1024))
            .await
            .unwrap()
            .is_none()
    );
    let error = setup.log_in(&"x".repeat(64 * 1024 + 1)).await.unwrap_err();
    assert_eq!(error.reason(), "TooLarge");
    assert_eq!(setup.server.received().len(), 1);
}

#[tokio::test]
async fn a_password_in_the_endpoint_is_not_repeated() {
    let server = server().await;
    let url = server.url().replace("https://", "https://us:hunter2@");
    let client = client(&server, &url);
    let authenticator = TokenReviewAuthenticator::new(client, &WebhookAuthenticatorSpec::default());
    server.set_fault(Some(Fault::Huge));
    let token = TOKEN.to_owned().into();
    let error = authenticator
        .authenticate(&token, SystemTime::UNIX_EPOCH)
        .await
        .unwrap_err();
    let text = format!("{error} {error:?} {authenticator:?}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn dialing_makes_no_request() {
    let server = server().await;
    server.set_fault(Some(Fault::Status(404, vec![])));
    let message = client(&server, &server.url()).dial().await.unwrap();
    assert_eq!(message, "successfully dialed webhook server");
    // The client is through before the server is.
    while server.handshakes() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_server_behind_a_proxy_is_not_dialed() {
    let server = server().await;
    let proxies = ProxyRules::from_variables(|name| {
        (name == "HTTPS_PROXY").then(|| "http://127.0.0.1:1".to_owned())
    });
    let endpoint = Endpoint::parse(&server.url(), &proxies).unwrap();
    let client = TokenReviewClient::new(endpoint, &TrustRoots::Only(Vec::new())).unwrap();
    let message = client.dial().await.unwrap();
    assert_eq!(
        message,
        "skipped dialing webhook server: a proxy applies to its host"
    );
    assert_eq!(server.handshakes(), 0);
}

#[tokio::test]
async fn dialing_judges_certificates_as_calls_do() {
    let (one, other) = (server().await, server().await);
    let error = client(&other, &one.url()).dial().await.unwrap_err();
    let unknown =
        "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert_eq!(error.to_string(), format!("cannot dial server: {unknown}"));
    let url = one.url().replace("127.0.0.1", "localhost");
    let error = client(&one, &url).dial().await.unwrap_err().to_string();
    let name = "cannot dial server: tls: failed to verify certificate: x509: certificate not valid for name \"localhost\"";
    assert!(error.starts_with(name), "{error}");

    let client = client(&other, &one.url());
    let authenticator = TokenReviewAuthenticator::new(client, &WebhookAuthenticatorSpec::default());
    let token = TOKEN.to_owned().into();
    let error = authenticator.authenticate(&token, SystemTime::UNIX_EPOCH);
    let error = error.await.unwrap_err().to_string();
    assert!(error.ends_with(unknown), "{error}");
    assert!(one.received().is_empty());
}

#[tokio::test]
async fn servers_that_cannot_be_dialed_are_named() {
    let server = server().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let dial = async || {
        let client = client(&server, &format!("https://{address}/review"));
        client.dial().await.unwrap_err().to_string()
    };

    let plain = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        stream
    };
    let (error, _stream) = tokio::join!(dial(), plain);
    assert_eq!(
        error,
        "cannot dial server: tls: first record does not look like a TLS handshake"
    );

    tokio::time::pause();
    let begun = Instant::now();
    let error = dial().await;
    assert_eq!(
        error,
        format!("cannot dial server: dial tcp {address}: no connection within 10 s")
    );
    assert_eq!(begun.elapsed().as_secs(), 10);
    tokio::time::resume();

    drop(listener);
    let error = dial().await;
    let refused = format!("cannot dial server: dial tcp {address}: connect: Connection refused");
    assert!(error.starts_with(&refused), "{error}");
}
