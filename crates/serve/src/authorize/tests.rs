use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use haulout_api::identity::UserInfo;
use http::{Method, Uri};
use proptest::prelude::*;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::Dispatch;

use super::questions::COUNT_LIMIT;
use super::*;

const LOGIN: &str = "/apis/login.concierge.pinniped.dev/v1alpha1";
const START: SystemTime = SystemTime::UNIX_EPOCH;

fn user(name: &str, groups: &[&str]) -> Arc<UserInfo> {
    Arc::new(UserInfo {
        username: name.to_owned(),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        ..UserInfo::default()
    })
}

fn attributes(method: &str, path: &str) -> Attributes {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    Attributes::of_request(&method, &path.parse::<Uri>().unwrap())
}

fn create() -> Attributes {
    attributes("POST", &format!("{LOGIN}/tokencredentialrequests"))
}

/// Answers as told, once it is let, and counts.
struct Reviewer {
    answer: Mutex<Result<Decision, ReviewError>>,
    asked: AtomicUsize,
    gate: Option<Notify>,
}

impl Reviewer {
    fn saying(answer: Result<Decision, ReviewError>) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer),
            asked: AtomicUsize::new(0),
            gate: None,
        })
    }

    fn waiting(answer: Result<Decision, ReviewError>) -> Arc<Self> {
        let gate = Some(Notify::new());
        Arc::new(Self {
            answer: Mutex::new(answer),
            asked: AtomicUsize::new(0),
            gate,
        })
    }

    fn say(&self, answer: Result<Decision, ReviewError>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn until_asked(&self, times: usize) {
        while self.asked() < times {
            tokio::task::yield_now().await;
        }
    }
}

impl AccessReviewer for Arc<Reviewer> {
    fn review<'a>(
        &'a self,
        _: &'a UserInfo,
        _: &'a Attributes,
    ) -> BoxFuture<'a, Result<Decision, ReviewError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if let Some(gate) = &self.gate {
                gate.notified().await;
            }
            self.answer.lock().unwrap().clone()
        })
    }
}

fn yes() -> Result<Decision, ReviewError> {
    Ok(Decision {
        allowed: true,
        reason: String::new(),
    })
}

fn no(reason: &str) -> Result<Decision, ReviewError> {
    Ok(Decision {
        allowed: false,
        reason: reason.to_owned(),
    })
}

fn unreachable() -> Result<Decision, ReviewError> {
    Err(ReviewError::new("connection refused by 10.0.0.1"))
}

#[tokio::test]
async fn who_may_not_is_told_in_the_words_of_kubernetes() {
    let names = format!("{LOGIN}/tokencredentialrequests/foo/bar");
    let namespaced = format!("{LOGIN}/namespaces/ns/x/y");
    let cases = [
        (
            create(),
            "",
            "tokencredentialrequests.login.concierge.pinniped.dev is forbidden: User \"x\" cannot create resource \"tokencredentialrequests\" in API group \"login.concierge.pinniped.dev\" at the cluster scope",
        ),
        (
            attributes("GET", &names),
            "some reason",
            "tokencredentialrequests.login.concierge.pinniped.dev \"foo\" is forbidden: User \"x\" cannot get resource \"tokencredentialrequests/bar\" in API group \"login.concierge.pinniped.dev\" at the cluster scope: some reason",
        ),
        (
            attributes("GET", &namespaced),
            "",
            "x.login.concierge.pinniped.dev \"y\" is forbidden: User \"x\" cannot get resource \"x\" in API group \"login.concierge.pinniped.dev\" in the namespace \"ns\"",
        ),
        (
            attributes("GET", "/nope/%3Cb%3E"),
            "",
            "forbidden: User \"x\" cannot get path \"/nope/&lt;b&gt;\"",
        ),
    ];
    for (attributes, reason, expected) in cases {
        let authorizer = Authorizer::new(Reviewer::saying(no(reason)));
        let error = authorizer
            .authorize(&user("x", &[]), attributes, START)
            .await
            .unwrap_err();
        assert_eq!(
            (error.code().as_u16(), error.to_string().as_str()),
            (403, expected)
        );
    }
}

#[tokio::test]
async fn without_an_answer_nobody_passes_and_nothing_is_kept() {
    let reviewer = Reviewer::saying(unreachable());
    let authorizer = Authorizer::new(Arc::clone(&reviewer));
    let error = authorizer
        .authorize(&user("x", &[]), create(), START)
        .await
        .unwrap_err();
    assert_eq!(
        (error.code().as_u16(), error.reason()),
        (500, "InternalError")
    );
    assert!(!error.to_string().contains("10.0.0.1"), "{error}");

    reviewer.say(yes());
    authorizer
        .authorize(&user("x", &[]), create(), START)
        .await
        .unwrap();
}

/// What this thread logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_now_and_then_that_nobody_can_decide() {
    let log = Log::default();
    let subscriber = || {
        let log = log.clone();
        Dispatch::new(
            tracing_subscriber::fmt()
                .with_writer(move || log.clone())
                .finish(),
        )
    };
    // Of a single subscriber only the threads that have it are asked whether a line is wanted, and
    // other tests run on other threads.
    let _second = subscriber();
    let _guard = tracing::dispatcher::set_default(&subscriber());
    let authorizer = Authorizer::new(Reviewer::saying(unreachable()));
    for expected in [1, 1, 2] {
        for _ in 0..10 {
            let error = authorizer.authorize(&user("x", &[]), create(), START).await;
            assert_eq!(error.unwrap_err().code(), 500);
        }
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("failed to authorize").count(), expected);
        assert_eq!(
            text.matches("connection refused").count(),
            expected,
            "{text}"
        );
        tokio::time::advance(FAILURE_INTERVAL / 2).await;
    }
}

#[tokio::test]
async fn decisions_hold_for_ten_seconds() {
    let reviewer = Reviewer::saying(yes());
    let authorizer = Authorizer::new(Arc::clone(&reviewer));
    let ask = async |milliseconds: u64| {
        let now = START + Duration::from_millis(milliseconds);
        authorizer
            .authorize(&user("x", &["g"]), create(), now)
            .await
            .is_ok()
    };
    assert!(ask(100_000).await);
    reviewer.say(no(""));
    assert!(ask(109_999).await);
    assert_eq!(reviewer.asked(), 1);
    assert!(!ask(110_000).await);
    reviewer.say(yes());
    assert!(!ask(119_999).await, "a denial holds as long");
    assert!(ask(120_000).await);
    reviewer.say(no(""));
    assert!(!ask(110_000).await, "a clock set back ends a decision");
}

#[tokio::test]
async fn decisions_are_kept_apart() {
    let mut with_extra = UserInfo {
        username: "x".to_owned(),
        ..UserInfo::default()
    };
    with_extra
        .extra
        .insert("k".to_owned(), vec!["v".to_owned()]);
    let with_uid = UserInfo {
        username: "x".to_owned(),
        uid: "1".to_owned(),
        ..UserInfo::default()
    };
    let list = || attributes("GET", &format!("{LOGIN}/tokencredentialrequests"));
    let questions = [
        (user("x", &[]), create()),
        (user("y", &[]), create()),
        (user("x", &["g"]), create()),
        (user("x", &["g", "h"]), create()),
        (user("x", &["h", "g"]), create()),
        (user("x", &["gh"]), create()),
        (Arc::new(with_extra), create()),
        (Arc::new(with_uid), create()),
        (user("x", &[]), list()),
        (user("x", &[]), attributes("GET", LOGIN)),
        (user("x", &[]), attributes("POST", LOGIN)),
    ];
    let reviewer = Reviewer::saying(yes());
    let authorizer = Authorizer::new(Arc::clone(&reviewer));
    for _ in 0..2 {
        for (user, attributes) in &questions {
            authorizer
                .authorize(user, attributes.clone(), START)
                .await
                .unwrap();
        }
    }
    assert_eq!(reviewer.asked(), questions.len());
}

#[tokio::test]
async fn health_checks_and_superusers_are_not_asked_about() {
    let reviewer = Reviewer::saying(no(""));
    let authorizer = Authorizer::new(Arc::clone(&reviewer));
    for path in [
        "/healthz",
        "/livez",
        "/readyz",
        "/healthz/ping",
        "/readyz/",
        "/livez?verbose",
    ] {
        let asked = authorizer
            .authorize(&user("x", &[]), attributes("GET", path), START)
            .await;
        assert_eq!(asked, Ok(()), "{path}");
    }
    let root = user("system:kube-aggregator", &["system:masters"]);
    assert_eq!(authorizer.authorize(&root, create(), START).await, Ok(()));
    assert_eq!(reviewer.asked(), 0);

    let similar = [
        "/healthzx",
        "/",
        "/apis/readyz",
        "/metrics",
        "/openapi/v2",
        "/version",
    ];
    for path in similar {
        let asked = authorizer
            .authorize(&user("x", &[]), attributes("GET", path), START)
            .await;
        assert!(asked.is_err(), "{path}");
    }
    let pretender = user("system:masters", &["system:masters2"]);
    assert!(
        authorizer
            .authorize(&pretender, create(), START)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn identical_questions_are_asked_once() {
    for (answer, passes) in [(yes(), true), (no(""), false), (unreachable(), false)] {
        let reviewer = Reviewer::waiting(answer);
        let authorizer = Arc::new(Authorizer::new(Arc::clone(&reviewer)));
        let mut requests = JoinSet::new();
        for _ in 0..50 {
            let authorizer = Arc::clone(&authorizer);
            requests.spawn(async move {
                authorizer
                    .authorize(&user("x", &[]), create(), START)
                    .await
                    .is_ok()
            });
        }
        reviewer.until_asked(1).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        reviewer.gate.as_ref().unwrap().notify_waiters();
        while let Some(passed) = requests.join_next().await {
            assert_eq!(passed.unwrap(), passes);
        }
        assert_eq!(reviewer.asked(), 1);
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_takes_no_other_with_it() {
    let reviewer = Reviewer::waiting(yes());
    let authorizer = Arc::new(Authorizer::new(Arc::clone(&reviewer)));
    let mut requests = JoinSet::new();
    let ask = || {
        let authorizer = Arc::clone(&authorizer);
        async move { authorizer.authorize(&user("x", &[]), create(), START).await }
    };
    let first = requests.spawn(ask());
    reviewer.until_asked(1).await;
    requests.spawn(ask());
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    first.abort();
    reviewer.until_asked(2).await;
    reviewer.gate.as_ref().unwrap().notify_waiters();
    assert!(
        requests
            .join_next()
            .await
            .unwrap()
            .unwrap_err()
            .is_cancelled()
    );
    assert_eq!(requests.join_next().await.unwrap().unwrap(), Ok(()));
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let reviewer = Reviewer::saying(yes());
    let authorizer = Authorizer::new(Arc::clone(&reviewer));
    let ask = async |path: &str| {
        let path = attributes("GET", path);
        let asked = authorizer.authorize(&user("x", &[]), path, START).await;
        asked.unwrap();
        reviewer.asked()
    };
    for number in 0..=COUNT_LIMIT {
        ask(&format!("/{number}")).await;
    }
    let asked = reviewer.asked();
    assert_eq!(ask("/1").await, asked, "only the oldest makes room");
    assert_eq!(ask("/0").await, asked + 1);

    // With the room that the question itself takes it is too long.
    let long = format!("/{}", "x".repeat(SIZE_LIMIT - 100));
    assert_eq!(ask(&long).await, asked + 2);
    assert_eq!(ask(&long).await, asked + 3);
}

#[tokio::test]
async fn groups_and_extras_count_as_kept() {
    let reviewer = Reviewer::saying(yes());
    let authorizer = Authorizer::new(Arc::clone(&reviewer));
    let ask = async |user: UserInfo| {
        let asked = authorizer.authorize(&Arc::new(user), create(), START).await;
        asked.unwrap();
        reviewer.asked()
    };
    let with_groups = |size: usize| UserInfo {
        groups: vec!["g".repeat(size / 2); 2],
        ..UserInfo::default()
    };
    let with_extra = |size: usize| UserInfo {
        extra: [("k".to_owned(), vec!["v".repeat(size / 2); 2])].into(),
        ..UserInfo::default()
    };
    for (small, large) in [
        (with_groups(SIZE_LIMIT / 2), with_groups(SIZE_LIMIT)),
        (with_extra(SIZE_LIMIT / 2), with_extra(SIZE_LIMIT)),
    ] {
        let asked = ask(small.clone()).await;
        assert_eq!(ask(small).await, asked);
        assert_eq!(ask(large.clone()).await, asked + 1);
        assert_eq!(ask(large).await, asked + 2);
    }

    let first = reviewer.asked();
    for number in 0..1024 {
        let mut user = with_groups(SIZE_LIMIT / 2);
        user.uid = number.to_string();
        ask(user).await;
    }
    assert_eq!(reviewer.asked(), first + 1024);
    assert_eq!(
        ask(with_groups(SIZE_LIMIT / 2)).await,
        first + 1025,
        "32 MiB are not kept"
    );
}

#[tokio::test]
async fn few_questions_are_asked_at_a_time() {
    let reviewer = Reviewer::waiting(yes());
    let authorizer = Arc::new(Authorizer::new(Arc::clone(&reviewer)));
    let mut requests = JoinSet::new();
    for number in 0..REVIEWS_AT_A_TIME + 10 {
        let authorizer = Arc::clone(&authorizer);
        let user = user(&number.to_string(), &[]);
        requests.spawn(async move { authorizer.authorize(&user, create(), START).await });
    }
    reviewer.until_asked(REVIEWS_AT_A_TIME).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(reviewer.asked(), REVIEWS_AT_A_TIME);
    reviewer.gate.as_ref().unwrap().notify_waiters();
    reviewer.until_asked(REVIEWS_AT_A_TIME + 10).await;
    reviewer.gate.as_ref().unwrap().notify_waiters();
    while let Some(passed) = requests.join_next().await {
        assert_eq!(passed.unwrap(), Ok(()));
    }
}

/// `verb namespace/resource/name/subresource`, or `verb path`.
fn described(attributes: &Attributes) -> String {
    match attributes {
        Attributes::Path { verb, path } => format!("{verb} {path}"),
        Attributes::Resource {
            verb,
            group,
            version,
            resource,
            subresource,
            name,
            namespace,
        } => {
            assert_eq!((group.as_str(), version.as_str()), ("g", "v1"));
            format!("{verb} {namespace}/{resource}/{name}/{subresource}")
        }
    }
}

#[test]
fn requests_are_described_as_kubernetes_does() {
    // Checked against k8s.io/apiserver 0.36.
    let cases = [
        ("POST", "/apis/g/v1/things", "create /things//"),
        ("GET", "/apis/g/v1/things", "list /things//"),
        ("GET", "/apis/g/v1/things/", "list /things//"),
        ("HEAD", "/apis/g/v1/things", "list /things//"),
        ("GET", "/apis/g/v1/things?watch=true", "watch /things//"),
        ("GET", "/apis/g/v1/things?watch", "watch /things//"),
        ("GET", "/apis/g/v1/things?watch=0", "list /things//"),
        ("GET", "/apis/g/v1/things?watch=False", "list /things//"),
        ("GET", "/apis/g/v1/things/n", "get /things/n/"),
        ("GET", "/apis/g/v1/things/n?watch=1", "get /things/n/"),
        ("GET", "/apis/g/v1/things/n/sub", "get /things/n/sub"),
        ("GET", "/apis/g/v1/things/n/sub/deep", "get /things/n/sub"),
        ("GET", "/apis/g/v1/things/a%2Fb", "get /things/a/b"),
        ("PUT", "/apis/g/v1/things/n", "update /things/n/"),
        ("PATCH", "/apis/g/v1/things/n", "patch /things/n/"),
        ("DELETE", "/apis/g/v1/things/n", "delete /things/n/"),
        ("DELETE", "/apis/g/v1/things", "deletecollection /things//"),
        ("OPTIONS", "/apis/g/v1/things", " /things//"),
        ("GET", "/apis/g/v1/namespaces", "list /namespaces//"),
        ("GET", "/apis/g/v1/namespaces/ns", "get ns/namespaces/ns/"),
        (
            "GET",
            "/apis/g/v1/namespaces/ns/status",
            "get ns/namespaces/ns/status",
        ),
        (
            "POST",
            "/apis/g/v1/namespaces/ns/things",
            "create ns/things//",
        ),
        (
            "GET",
            "/apis/g/v1/namespaces/ns/things/n",
            "get ns/things/n/",
        ),
        ("GET", "/", "get /"),
        ("GET", "/apis", "get /apis"),
        ("GET", "/apis/g/v1", "get /apis/g/v1"),
        ("GET", "/apis/g/v1/", "get /apis/g/v1/"),
        ("POST", "/openapi/v2", "post /openapi/v2"),
        ("GET", "/api/v1/pods", "get /api/v1/pods"),
        ("GET", "/nope/%3Cb%3E", "get /nope/<b>"),
    ];
    for (method, uri, expected) in cases {
        assert_eq!(
            described(&attributes(method, uri)),
            expected,
            "{method} {uri}"
        );
    }
}

proptest! {
    #[test]
    fn no_path_panics(path in "[/a-z%0-9.]{0,40}", method in "[A-Z]{1,9}") {
        if let Ok(uri) = format!("/{path}").parse::<Uri>() {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let described = Attributes::of_request(&method, &uri);
            drop(described.forbidden("x", ""));
        }
    }
}
