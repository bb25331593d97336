//! How a server ends: what is in flight is answered, nothing is left behind.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::Request;
use hyper::client::conn::http2::SendRequest;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;
use crate::test_peers::{connect, get_request, text};

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
    served.await.unwrap().unwrap();
    client.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_the_end() {
    let server = TestServer::start(hello()).await;
    let client = server.client(None).await;
    assert_eq!(client.get_text("/").await.0, 200);
    server.begin_drain().await.unwrap().unwrap();
    client.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handshake_in_progress_may_still_make_its_request() {
    let server = TestServer::start(hello()).await;
    let (address, authority) = (server.address, TestAuthority::new("unused"));
    drop(authority);
    let stream = TcpStream::connect(address).await.unwrap();
    let config = crate::tls::client_config(&server.authority.bundle(), None).unwrap();
    let served = server.begin_drain();
    let name = "localhost".try_into().unwrap();
    let stream = tokio_rustls::TlsConnector::from(config)
        .connect(name, stream)
        .await
        .unwrap();
    let client = TestClient::over(stream).await;
    assert_eq!(client.get_text("/").await, (200, "hello".to_owned()));
    served.await.unwrap().unwrap();
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
    server.begin_drain().await.unwrap().unwrap();
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

/// Clients ask without a pause while servers come and go; a request may be repeated only if it
/// was never sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_lose_no_request() {
    let answered = Arc::new(AtomicUsize::new(0));
    let slowly = Router::new().route(
        "/",
        get(|| async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            "x".repeat(4096)
        }),
    );
    let first = TestServer::start(slowly.clone()).await;
    let authority = Arc::new(TestAuthority::new("CA of all"));
    first.store.publish(authority.serving_identity()).unwrap();
    let (current, address) = tokio::sync::watch::channel(first.address);
    let stop = CancellationToken::new();

    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (address, stop, authority) = (address.clone(), stop.clone(), Arc::clone(&authority));
        let answered = Arc::clone(&answered);
        clients.spawn(async move {
            let mut connection: Option<SendRequest<Body>> = None;
            let mut unsent: Option<Request<Body>> = None;
            while !stop.is_cancelled() {
                let requests = match connection.as_mut().filter(|open| !open.is_closed()) {
                    Some(open) => open,
                    None => {
                        let to = *address.borrow();
                        let Ok(stream) = connect(to, &authority, None).await else {
                            continue;
                        };
                        connection.insert(TestClient::over(stream).await.requests)
                    }
                };
                let request = unsent.take().unwrap_or_else(|| get_request("/"));
                match requests.try_send_request(request).await {
                    Ok(response) => {
                        let (status, body) = text(response).await;
                        assert_eq!((status, body.len()), (200, 4096));
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(mut error) => {
                        unsent = error.take_message();
                        assert!(unsent.is_some(), "lost a request: {:?}", error.into_error());
                        connection = None;
                    }
                }
            }
        });
    }

    let mut running = first;
    for _ in 0..20 {
        let seen = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < seen + 100 {
            assert!(clients.try_join_next().is_none(), "a client has failed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let next = TestServer::start(slowly.clone()).await;
        next.store.publish(authority.serving_identity()).unwrap();
        current.send_replace(next.address);
        std::mem::replace(&mut running, next)
            .begin_drain()
            .await
            .unwrap()
            .unwrap();
    }
    stop.cancel();
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}
