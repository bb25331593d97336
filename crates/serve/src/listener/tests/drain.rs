//! How a server ends: what is in flight is answered, nothing is left behind.

use std::collections::HashSet;
use std::mem;
use std::sync::Mutex;

use axum::body::Bytes;
use axum::http::{Request, Uri};
use axum::routing::post;
use h2::RecvStream;
use h2::client::SendRequest;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::raw_connection::{GOAWAY, PING, RawConnection};
use super::*;
use crate::test_peers::{connect, get_request, text};

/// The stream id of a GOAWAY that draws no line yet.
const NO_LAST_STREAM: u32 = (1 << 31) - 1;

/// `/held` answers once `release` is notified; `started` tells that it was asked.
#[derive(Clone, Default)]
struct Held {
    started: Arc<Notify>,
    release: Arc<Notify>,
}

impl Held {
    fn router(&self) -> Router {
        let Self { started, release } = self.clone();
        let held = move || async move {
            started.notify_one();
            release.notified().await;
            "held"
        };
        hello().route("/held", get(held))
    }
}

#[tokio::test]
async fn what_is_in_flight_is_answered() {
    let held = Held::default();
    let server = TestServer::start(held.router()).await;
    let address = server.address;
    let client = server.client(None).await;
    let mut asked = JoinSet::new();
    let requests = client.requests.clone();
    asked.spawn(async move {
        text(
            requests
                .clone()
                .send_request(get_request("/held"))
                .await
                .unwrap(),
        )
        .await
    });
    held.started.notified().await;

    let served = server.begin_drain();
    // The client learns of the end by GOAWAY, and nobody new gets in.
    while !client.requests.is_closed() && client.get("/").await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!served.is_finished(), "it waits for the request in flight");

    held.release.notify_one();
    assert_eq!(
        asked.join_next().await.unwrap().unwrap(),
        (200, "held".to_owned())
    );
    served.await.unwrap();
    client.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_the_end() {
    let server = TestServer::start(hello()).await;
    let client = server.client(None).await;
    assert_eq!(client.get_text("/").await.0, 200);
    server.begin_drain().await.unwrap();
    client.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handshake_in_progress_may_still_make_its_request() {
    let server = TestServer::start(hello()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let config = crate::tls::client_config(&server.authority.bundle(), None).unwrap();
    let served = server.begin_drain();
    let name = "localhost".try_into().unwrap();
    let stream = tokio_rustls::TlsConnector::from(config)
        .connect(name, stream)
        .await
        .unwrap();
    let client = TestClient::over(stream).await;
    assert_eq!(client.get_text("/").await, (200, "hello".to_owned()));
    served.await.unwrap();
}

#[tokio::test]
async fn after_the_grace_the_rest_is_dropped() {
    let held = Held::default();
    let grace = Duration::from_millis(50);
    let server = TestServer::start_with(held.router(), ListenerLimits::default(), grace).await;
    let client = server.client(None).await;
    let mut asked = JoinSet::new();
    let requests = client.requests.clone();
    asked.spawn(async move {
        requests
            .clone()
            .send_request(get_request("/held"))
            .await
            .is_err()
    });
    held.started.notified().await;
    server.begin_drain().await.unwrap();
    assert!(asked.join_next().await.unwrap().unwrap());
    assert_eq!(Arc::strong_count(&held.release), 1, "no handler is left");
}

#[tokio::test]
async fn a_dropped_server_takes_its_connections_along() {
    let held = Held::default();
    let server = TestServer::start(held.router()).await;
    let client = server.client(None).await;
    let mut asked = JoinSet::new();
    let requests = client.requests.clone();
    asked.spawn(async move {
        requests
            .clone()
            .send_request(get_request("/held"))
            .await
            .is_err()
    });
    held.started.notified().await;
    server.served.abort();
    assert!(asked.join_next().await.unwrap().unwrap());
    drop(client.ended.await.unwrap());
}

/// Clients ask without a pause while servers come and go. A request may be repeated only if no
/// server has begun it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_lose_no_request() {
    let begun = Arc::new(Mutex::new(HashSet::new()));
    let router = slowly_answering(&begun);
    let authority = Arc::new(TestAuthority::new("CA of all"));
    let mut running = TestServer::start(router.clone()).await;
    running.store.publish(authority.serving_identity()).unwrap();
    let (current, address) = watch::channel(running.address);
    let stop = CancellationToken::new();
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let client = Client {
            number,
            sequence: 0,
            address: address.clone(),
            authority: Arc::clone(&authority),
            begun: Arc::clone(&begun),
            connections: TaskTracker::new(),
        };
        clients.spawn(client.ask_until(stop.clone()));
    }
    for _ in 0..20 {
        let before = begun.lock().unwrap().len();
        while begun.lock().unwrap().len() < before + 100 {
            assert!(clients.try_join_next().is_none(), "a client has failed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let next = TestServer::start(router.clone()).await;
        next.store.publish(authority.serving_identity()).unwrap();
        current.send_replace(next.address);
        mem::replace(&mut running, next)
            .begin_drain()
            .await
            .unwrap();
    }
    stop.cancel();
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

fn slowly_answering(begun: &Arc<Mutex<HashSet<String>>>) -> Router {
    let begun = Arc::clone(begun);
    Router::new().fallback(move |uri: Uri| async move {
        begun.lock().unwrap().insert(uri.path().to_owned());
        tokio::time::sleep(Duration::from_millis(2)).await;
        "x".repeat(4096)
    })
}

/// One request at a time, on the h2 crate directly: hyper's client fails a request that it has
/// just sent when a GOAWAY arrives in the same moment, even one that spares the request.
struct Client {
    number: usize,
    sequence: usize,
    address: watch::Receiver<SocketAddr>,
    authority: Arc<TestAuthority>,
    begun: Arc<Mutex<HashSet<String>>>,
    connections: TaskTracker,
}

impl Client {
    async fn ask_until(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let to = *self.address.borrow();
            let Ok(stream) = connect(to, &self.authority, None).await else {
                continue;
            };
            let Ok((requests, connection)) = h2::client::handshake(stream).await else {
                continue;
            };
            drop(self.connections.spawn(connection));
            self.ask_on(requests, &stop).await;
        }
    }

    /// Asks on one connection until it takes no more requests.
    async fn ask_on(&mut self, requests: SendRequest<Bytes>, stop: &CancellationToken) {
        let mut requests = requests;
        while !stop.is_cancelled() {
            let Ok(ready) = requests.ready().await else {
                return;
            };
            requests = ready;
            let path = format!("/{}-{}", self.number, self.sequence);
            let request = Request::get(format!("https://localhost{path}"))
                .body(())
                .unwrap();
            let Ok((response, _)) = requests.send_request(request, true) else {
                return;
            };
            match response.await {
                Ok(response) => {
                    assert_eq!(response.status(), 200);
                    assert_eq!(length(response.into_body()).await, 4096);
                    self.sequence += 1;
                }
                Err(error) => {
                    let lost = self.begun.lock().unwrap().contains(&path);
                    assert!(!lost, "a request was begun and not answered: {error:?}");
                    return;
                }
            }
        }
    }
}

async fn length(mut body: RecvStream) -> usize {
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        length += data.len();
    }
    length
}

/// What a client sends before it has seen the first GOAWAY is served like any other request: the
/// server waits for the answer to its ping before it draws the line.
#[tokio::test]
async fn what_crosses_with_the_goaway_is_answered() {
    let router = Router::new().route("/", post(|| async { "answered" }));
    let server = TestServer::start(router).await;
    let mut connection = RawConnection::open(&server).await;
    let first = connection.post("/");
    connection.send().await;
    connection.expect_answers(&[first]).await;

    let served = server.begin_drain();
    let (last, error) = connection.expect(GOAWAY).await.last_stream_and_error();
    assert_eq!((last, error), (NO_LAST_STREAM, 0));
    let ping = connection.expect(PING).await;
    let crossing: Vec<u32> = (0..100).map(|_| connection.post("/")).collect();
    connection.send().await;
    connection.expect_answers(&crossing).await;

    let late = connection.post("/");
    connection.answer_ping(&ping);
    connection.send().await;
    let (last, error) = connection.expect(GOAWAY).await.last_stream_and_error();
    assert_eq!((last, error), (late, 0));
    connection.expect_answers(&[late]).await;
    served.await.unwrap();
}
