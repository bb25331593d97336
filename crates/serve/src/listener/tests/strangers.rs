//! What strangers get of a listener, and that they cannot keep others out.

use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::raw_connection::{RawConnection, SETTINGS};
use super::*;
use crate::tls::ClientIdentity;

/// Whether the server ends the connection although nothing was sent on it.
async fn is_hung_up_on(mut stream: TlsStream<TcpStream>) -> bool {
    let mut greeting = Vec::new();
    let read = stream.read_to_end(&mut greeting);
    tokio::time::timeout(GRACE / 2, read).await.is_ok()
}

/// Limits that soon end the time of strangers, those included who have not asked for anything.
fn brief() -> ListenerLimits {
    ListenerLimits {
        first_request_timeout: SOON,
        stranger_lifetime: SOON,
        ..patient()
    }
}

/// A client whose first request was in time, which it may not be on a busy machine.
async fn client_in_time(server: &TestServer, identity: Option<Arc<ClientIdentity>>) -> TestClient {
    loop {
        let begun = Instant::now();
        let client = server.client(identity.clone()).await;
        if client.get("/").await.is_ok() && begun.elapsed() < SOON {
            return client;
        }
    }
}

#[tokio::test]
async fn a_trusted_peer_that_has_made_a_request_may_idle() {
    let server = TestServer::start_with(hello(), brief(), GRACE).await;
    let client = client_in_time(&server, TestServer::trusted()).await;
    tokio::time::sleep(SOON * 5).await;
    assert_eq!(client.get_text("/").await.0, 200);
    assert!(!client.ended.is_finished(), "it is the same connection");
}

#[tokio::test]
async fn a_trusted_peer_may_connect_before_it_asks() {
    let server = TestServer::start_with(hello(), brief(), GRACE).await;
    let client = server.client(TestServer::trusted()).await;
    tokio::time::sleep(SOON * 5).await;
    assert_eq!(client.get_text("/").await.0, 200);
    assert!(!client.ended.is_finished(), "it is the same connection");
}

#[tokio::test]
async fn a_stranger_s_connection_has_an_end() {
    let server = TestServer::start_with(hello(), brief(), GRACE).await;
    let client = server.client(None).await;
    // However busy it is.
    while let Ok(response) = client.get("/").await {
        assert_eq!(response.status(), 200);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.ended.await.unwrap().unwrap();
    client_in_time(&server, None).await;
}

#[tokio::test]
async fn a_stranger_whose_request_never_ends_is_hung_up_on() {
    let router = hello().route("/hang", get(std::future::pending::<()>));
    let limits = ListenerLimits {
        farewell: SOON,
        ..brief()
    };
    let server = TestServer::start_with(router, limits, GRACE).await;
    let client = server.client(None).await;
    assert!(client.get("/hang").await.is_err());
}

#[tokio::test]
async fn who_is_no_longer_trusted_is_a_stranger() {
    let server = TestServer::start_with(hello(), brief(), GRACE).await;
    let client = client_in_time(&server, TestServer::trusted()).await;
    server.trusting.store(false, Ordering::Relaxed);
    client.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn strangers_cannot_take_all_places() {
    let limits = ListenerLimits {
        max_connections: 4,
        max_strangers: 2,
        first_request_timeout: GRACE,
        ..ListenerLimits::default()
    };
    let server = TestServer::start_with(hello(), limits, GRACE).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = server.client(None).await;
        assert_eq!(client.get_text("/").await.0, 200);
        clients.push(client);
    }
    assert!(is_hung_up_on(server.connect(None).await.unwrap()).await);
    for _ in 0..2 {
        let client = server.client(TestServer::trusted()).await;
        assert_eq!(client.get_text("/").await.0, 200);
        clients.push(client);
    }
    let one_too_many = server.connect(TestServer::trusted()).await.unwrap();
    assert!(is_hung_up_on(one_too_many).await);
}

#[tokio::test]
async fn peers_that_dawdle_in_their_handshakes_keep_nobody_out() {
    let limits = ListenerLimits {
        max_handshakes: 4,
        handshake_timeout: GRACE,
        ..ListenerLimits::default()
    };
    let server = TestServer::start_with(hello(), limits, GRACE).await;
    let mut dawdling = Vec::new();
    for _ in 0..20 {
        dawdling.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert_eq!(server.client(None).await.get_text("/").await.0, 200);
    // A read ends only when the server has closed its side.
    for mut stream in dawdling.into_iter().take(16) {
        let read = tokio::time::timeout(GRACE / 2, stream.read(&mut [0; 1])).await;
        assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
    }
}

#[tokio::test]
async fn a_stranger_has_fewer_streams() {
    let server = TestServer::start(hello()).await;
    for (mut connection, streams) in [
        (RawConnection::open(&server).await, 1000),
        (RawConnection::open_as_stranger(&server).await, 100),
    ] {
        let settings = connection.expect(SETTINGS).await;
        assert_eq!(settings.max_concurrent_streams(), Some(streams));
    }
}

#[tokio::test]
async fn no_more_headers_are_read_than_fit_in() {
    let server = TestServer::start(hello()).await;
    for (bytes, status) in [(250 * 1024, 200), (257 * 1024, 431)] {
        let client = server.client(None).await;
        let mut request = crate::test_peers::get_request("/");
        for _ in 0..bytes / 1024 {
            let value = "x".repeat(1024 - 32 - "name".len());
            request.headers_mut().append("name", value.parse().unwrap());
        }
        let response = client.requests.clone().send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{bytes} bytes");
    }

    let (address, _drain) = plain_server(hello(), ListenerLimits::default()).await;
    let request =
        |lines: String| format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n");
    for (count, status) in [(1022, "200 OK"), (1023, "431 ")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let answer = http1(&mut stream, &request("a: b\r\n".repeat(count))).await;
        assert!(answer.contains(status), "{count} and two: {answer}");
    }
    let long = request(format!("a: {}\r\n", "x".repeat(256 * 1024)));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = String::new();
    // The server may hang up before it has read everything.
    drop(stream.write_all(long.as_bytes()).await);
    drop(stream.read_to_string(&mut answer).await);
    assert!(!answer.contains("200 OK"), "{answer}");
}
