//! Requests without credentials, and what each state of the API server makes of them.

use haulout_tests::logins;
use haulout_tests::talos::{Broken, State};
use reqwest::Method;

use crate::running::Running;

/// A request and the status that each state has for it.
struct Request {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    header: Option<(&'static str, &'static str)>,
    /// In this order: all let in; login and health paths; the login path; the health paths; none.
    expected: [u16; 5],
}

const LOGIN: &str = "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests";
const WHO_AM_I: &str = "/apis/identity.concierge.pinniped.dev/v1alpha1/whoamirequests";

const fn post(name: &'static str, path: &'static str, expected: [u16; 5]) -> Request {
    Request {
        name,
        method: "POST",
        path,
        header: None,
        expected,
    }
}

const fn get(path: &'static str, expected: [u16; 5]) -> Request {
    Request {
        method: "GET",
        ..post(path, path, expected)
    }
}

const fn with(
    name: &'static str,
    header: (&'static str, &'static str),
    expected: [u16; 5],
) -> Request {
    Request {
        header: Some(header),
        ..post(name, LOGIN, expected)
    }
}

const REQUESTS: [Request; 26] = [
    post("login", LOGIN, [201, 201, 201, 401, 401]),
    post(
        "login with a query",
        "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests?timeout=30s",
        [201, 201, 201, 401, 401],
    ),
    post(
        "trailing slash",
        "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests/",
        [404, 401, 401, 401, 401],
    ),
    post(
        "double slash",
        "/apis//login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests",
        [403, 401, 401, 401, 401],
    ),
    post(
        "other case",
        "/apis/login.concierge.pinniped.dev/v1alpha1/TokenCredentialRequests",
        [403, 401, 401, 401, 401],
    ),
    post(
        "a name behind it",
        "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests/a",
        [404, 401, 401, 401, 401],
    ),
    post(
        "percent-encoded letter",
        "/apis/login.concierge.pinniped.dev/v1alpha1/%74okencredentialrequests",
        [201, 201, 201, 401, 401],
    ),
    with(
        "a bad bearer token",
        ("authorization", "Bearer x"),
        [401; 5],
    ),
    with(
        "forged X-Remote-User",
        ("x-remote-user", "kubernetes-admin"),
        [201, 201, 201, 401, 401],
    ),
    with(
        "Impersonate-User",
        ("impersonate-user", "kubernetes-admin"),
        [403, 403, 403, 401, 401],
    ),
    get(LOGIN, [403, 403, 403, 401, 401]),
    Request {
        method: "DELETE",
        ..post("DELETE", LOGIN, [403, 403, 403, 401, 401])
    },
    get(
        "/apis/login.concierge.pinniped.dev/v1alpha1",
        [403, 401, 401, 401, 401],
    ),
    get("/apis", [403, 401, 401, 401, 401]),
    get("/api", [403, 401, 401, 401, 401]),
    get("/openapi/v2", [403, 401, 401, 401, 401]),
    get("/version", [200, 401, 401, 401, 401]),
    get("/healthz", [200, 200, 401, 200, 401]),
    get("/livez", [200, 200, 401, 200, 401]),
    get("/readyz", [200, 200, 401, 200, 401]),
    get("/livez/etcd", [403, 401, 401, 401, 401]),
    get("/metrics", [403, 401, 401, 401, 401]),
    get(
        "/api/v1/namespaces/kube-public/configmaps/cluster-info",
        [403, 401, 401, 401, 401],
    ),
    get(
        "/.well-known/openid-configuration",
        [403, 401, 401, 401, 401],
    ),
    get("/openid/v1/jwks", [403, 401, 401, 401, 401]),
    // The chart lets everybody ask who he is whom the API server lets in.
    post("who am I", WHO_AM_I, [201, 401, 401, 401, 401]),
];

/// What all requests got.
pub(crate) struct Answers(Vec<u16>);

impl Answers {
    /// Makes the requests; each status must be that of the state.
    pub(crate) async fn of(running: &Running, state: &State) -> Self {
        let column = column(state);
        let token = running.stack.token("alice", &["devs"]).await.unwrap();
        let mut answers = Vec::new();
        for request in &REQUESTS {
            let status = request.send(running, &token).await;
            answers.push(status);
        }
        let expected: Vec<u16> = REQUESTS
            .iter()
            .map(|request| request.expected[column])
            .collect();
        let differences: Vec<String> = REQUESTS
            .iter()
            .zip(answers.iter().zip(expected))
            .filter(|(_, (found, expected))| *found != expected)
            .map(|(request, (found, expected))| {
                format!("{}: {found} instead of {expected}", request.name)
            })
            .collect();
        assert!(differences.is_empty(), "{state}: {differences:#?}");
        Self(answers)
    }

    fn status(&self, name: &str) -> u16 {
        let mut pairs = REQUESTS.iter().zip(&self.0);
        *pairs.find(|(request, _)| request.name == name).unwrap().1
    }

    pub(crate) fn login(&self) -> String {
        self.status("login").to_string()
    }

    /// In few words.
    pub(crate) fn others(&self) -> String {
        let [health, version, api] = ["/livez", "/version", "/api"].map(|name| self.status(name));
        match (health, version) {
            (200, 200) => format!("health, `/version` 200, else {api}"),
            (200, _) => format!("health 200, else {api}"),
            _ => api.to_string(),
        }
    }
}

fn column(state: &State) -> usize {
    match state {
        State::FlagTrue | State::Broken(Broken::OpensEverything(_)) => 0,
        State::Paths(paths) => {
            let has = |path: &str| paths.iter().any(|open| open == path);
            match (has(LOGIN), has("/livez")) {
                (true, true) => 1,
                (true, false) => 2,
                (false, _) => 3,
            }
        }
        State::FlagFalse => 4,
        State::Broken(broken) => panic!("no API server for {broken:?}"),
    }
}

impl Request {
    async fn send(&self, running: &Running, token: &str) -> u16 {
        let request = running.client(None).request(
            Method::from_bytes(self.method.as_bytes()).unwrap(),
            running.url(self.path),
        );
        let request = match self.header {
            Some((name, value)) => request.header(name, value),
            None => request,
        };
        let body = match self.path {
            WHO_AM_I => serde_json::json!({
                "apiVersion": "identity.concierge.pinniped.dev/v1alpha1", "kind": "WhoAmIRequest",
            }),
            _ => logins::body(token),
        };
        let request = match self.method {
            "POST" => request.json(&body),
            _ => request,
        };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        match (self.path, status) {
            (WHO_AM_I, 201) => assert!(text.contains("system:anonymous"), "{text}"),
            (_, 201) => assert!(text.contains("clientCertificateData"), "{text}"),
            _ => {}
        }
        status
    }
}
