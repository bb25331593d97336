//! The API server as tests of controllers see it: each call is expected, compared and answered.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use haulout_operate::clock::{Clock, ManualClock};
use haulout_operate::controller::ControllerMetrics;
use haulout_operate::leader::Leadership;
use haulout_operate::owner::Owner;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower_test::mock::{self, Handle, SendResponse};

use super::Environment;

pub(super) struct Server(Handle<Request<Body>, Response<Body>>);

impl Server {
    async fn next(&mut self) -> (Request<Body>, SendResponse<Response<Body>>) {
        let next = tokio::time::timeout(Duration::from_secs(5), self.0.next_request());
        next.await
            .expect("no call came")
            .expect("the client is gone")
    }

    /// Waits for the next call, compares it, answers it, and gives its body.
    pub(super) async fn answer(
        &mut self,
        method: Method,
        path: impl AsRef<str>,
        code: u16,
        body: &Value,
    ) -> Value {
        let (request, send) = self.next().await;
        assert_eq!(
            (request.method(), request.uri().path()),
            (&method, path.as_ref())
        );
        let query = request.uri().query().unwrap_or_default();
        let is_ours = query.contains("fieldManager=haulout");
        assert_eq!(is_ours, method != Method::GET, "{query}");
        let sent = request.into_body().collect_bytes().await.unwrap();
        let response = Response::builder()
            .status(code)
            .body(Body::from(body.to_string().into_bytes()));
        send.send_response(response.unwrap());
        serde_json::from_slice(&sent).unwrap_or_default()
    }

    /// Answers a list, and gives the media types that were asked for.
    pub(super) async fn answer_list(&mut self, path: &str, body: &Value) -> String {
        let (request, send) = self.next().await;
        assert_eq!(
            (request.method(), request.uri().path()),
            (&Method::GET, path)
        );
        let accept = request.headers()[http::header::ACCEPT].to_str().unwrap();
        let accept = accept.to_owned();
        send.send_response(Response::new(Body::from(body.to_string().into_bytes())));
        accept
    }

    /// Fails if a call was made that nobody has answered.
    pub(super) fn expect_silence(&mut self) {
        let next = self.0.next_request();
        assert!(next.now_or_never().is_none(), "a call was made");
    }

    pub(super) async fn fails(
        &mut self,
        method: Method,
        path: impl AsRef<str>,
        code: u16,
    ) -> Value {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "reason": "Test", "message": format!("test says {code}"), "code": code});
        self.answer(method, path, code, &body).await
    }
}

/// An environment whose API server is the second half, and whose clock is the third.
pub(super) fn environment(is_leader: bool) -> (Environment, Server, ManualClock) {
    let (service, handle) = mock::pair();
    let (clock, hand) = Clock::manual(start());
    let client = Client::new(service, "haulout-system");
    let environment = Environment {
        owner: Arc::new(Owner::new(
            client.clone(),
            "haulout-system",
            "haulout-webhook",
        )),
        client,
        leadership: Leadership::fixed(is_leader),
        clock,
        metrics: ControllerMetrics::default(),
        end: CancellationToken::new(),
    };
    (environment, Server(handle), hand)
}

/// A whole second, as certificates know it.
pub(super) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}
