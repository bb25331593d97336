mod drain;
mod early_answers;
mod hang_up;
mod raw_connection;
mod strangers;

use std::process::Command;

use axum::Extension;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::test_peers::{GRACE, TestAuthority, TestClient, TestServer};

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

/// Long enough to be noticed, short enough for a test to wait for it.
const SOON: Duration = Duration::from_millis(200);

/// Limits that no test reaches, however slow the machine.
fn patient() -> ListenerLimits {
    let hour = Duration::from_secs(3600);
    ListenerLimits {
        handshake_timeout: hour,
        first_request_timeout: hour,
        stranger_lifetime: hour,
        farewell: hour,
        header_read_timeout: hour,
        ..ListenerLimits::default()
    }
}

async fn plain_server(router: Router, limits: ListenerLimits) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let drain = CancellationToken::new();
    let _running =
        TaskTracker::new().spawn(serve_plain(listener, limits, router, drain.clone(), GRACE));
    (address, drain)
}

#[tokio::test]
async fn requests_carry_the_peers_address_and_certificates() {
    let router = Router::new().route(
        "/",
        get(
            |Extension(address): Extension<PeerAddress>,
             Extension(certificates): Extension<PeerCertificates>| async move {
                format!("{} {}", address.0, certificates.0.len())
            },
        ),
    );
    let server = TestServer::start(router.clone()).await;
    let identity = TestAuthority::new("ca").client("x", |_| ()).identity();
    let stream = server.connect(Some(identity)).await.unwrap();
    let ours = stream.get_ref().0.local_addr().unwrap();
    let client = TestClient::over(stream).await;
    assert_eq!(client.get_text("/").await, (200, format!("{ours} 1")));

    let (address, _drain) = plain_server(router, ListenerLimits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let ours = stream.local_addr().unwrap();
    let answer = http1(
        &mut stream,
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.ends_with(&format!("{ours} 0")), "{answer}");
}

async fn http1(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn http1_over_tls_is_served_too() {
    let server = TestServer::start(hello()).await;
    let mut config =
        (*crate::tls::client_config(&server.authority.bundle(), None).unwrap()).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    let answer = http1(
        &mut stream,
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_panic_is_one_requests_own() {
    let router = hello().route(
        "/panic",
        get(|| async {
            if true {
                panic!("secret reason")
            }
        }),
    );
    let server = TestServer::start(router).await;
    let client = server.client(None).await;
    let (status, body) = client.get_text("/panic").await;
    assert_eq!(status, 500);
    assert!(!body.contains("secret"), "{body}");
    assert_eq!(client.get_text("/").await, (200, "hello".to_owned()));
}

#[tokio::test]
async fn silent_peers_are_in_nobodys_way() {
    let server = TestServer::start_with(hello(), patient(), GRACE).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut connected = Vec::new();
    for _ in 0..20 {
        connected.push(server.connect(None).await.unwrap());
    }
    assert_eq!(server.client(None).await.get_text("/").await.0, 200);
}

#[tokio::test]
async fn who_never_shakes_hands_is_hung_up_on() {
    let limits = ListenerLimits {
        handshake_timeout: SOON,
        ..patient()
    };
    let server = TestServer::start_with(hello(), limits, GRACE).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The read ends only when the server has closed its side.
    assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn who_never_asks_is_hung_up_on() {
    let limits = ListenerLimits {
        first_request_timeout: SOON,
        farewell: SOON,
        ..patient()
    };
    let server = TestServer::start_with(hello(), limits, GRACE).await;
    let mut stream = server.connect(None).await.unwrap();
    let mut all = Vec::new();
    drop(stream.read_to_end(&mut all).await);
}

#[tokio::test]
async fn a_dribbled_http1_request_is_given_up() {
    let limits = ListenerLimits {
        header_read_timeout: SOON,
        ..patient()
    };
    let (address, _drain) = plain_server(hello(), limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let answer = http1(&mut stream, "GET / HTTP/1.1\r\nHost:").await;
    assert!(!answer.contains("200"), "{answer}");
}

#[tokio::test]
async fn a_user_in_many_groups_fits_in() {
    let count = |headers: http::HeaderMap| async move {
        headers.get_all("x-remote-group").iter().count().to_string()
    };
    let server = TestServer::start(Router::new().route("/", get(count))).await;
    let client = server.client(None).await;
    let mut request = crate::test_peers::get_request("/");
    for number in 0..500 {
        let group = format!("organisation/department-{number:04}/{:0>64}", "team");
        request
            .headers_mut()
            .append("x-remote-group", group.parse().unwrap());
    }
    let response = client.requests.clone().send_request(request).await.unwrap();
    assert_eq!(
        crate::test_peers::text(response).await,
        (200, "500".to_owned())
    );
}

#[tokio::test]
async fn connections_have_a_bound() {
    const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let limits = ListenerLimits {
        max_connections: 2,
        ..ListenerLimits::default()
    };
    let (address, _drain) = plain_server(hello(), limits).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    let mut third = TcpStream::connect(address).await.unwrap();
    assert!(matches!(third.read(&mut [0; 1]).await, Ok(0) | Err(_)));

    assert!(http1(&mut first, GET).await.ends_with("hello"));
    // The place is free a moment after the client has seen the end.
    loop {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut answer = String::new();
        let written = stream.write_all(GET.as_bytes()).await;
        if written.is_ok()
            && stream
                .read_to_string(&mut answer)
                .await
                .is_ok_and(|read| read > 0)
        {
            assert!(answer.ends_with("hello"), "{answer}");
            break;
        }
    }
}

#[test]
fn errors_of_one_connection_do_not_pause_the_loop() {
    assert!(is_of_one_connection(
        &io::ErrorKind::ConnectionAborted.into()
    ));
    let too_many_open_files = io::Error::from_raw_os_error(24);
    assert!(!is_of_one_connection(&too_many_open_files));
}

/// The limit on open files is the process' own, so this test runs itself in another one.
#[test]
fn running_out_of_file_descriptors_does_not_end_the_loop() {
    const MARK: &str = "HAULOUT_TEST_FEW_FILES";
    if std::env::var_os(MARK).is_some() {
        return run_out_of_file_descriptors();
    }
    let name = "listener::tests::running_out_of_file_descriptors_does_not_end_the_loop";
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1"])
        .env(MARK, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::main(flavor = "current_thread")]
async fn run_out_of_file_descriptors() {
    let (address, _drain) = plain_server(hello(), ListenerLimits::default()).await;
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit {
            current: Some(64),
            maximum: Some(64),
        },
    )
    .unwrap();
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(address).await {
        clients.push(client);
    }
    // The last descriptors went to clients, so the loop has connections that it cannot accept.
    tokio::time::sleep(ACCEPT_PAUSE * 2).await;
    drop(clients);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let answer = http1(
        &mut stream,
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.ends_with("hello"), "{answer}");
}
