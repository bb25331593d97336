//! Issuers behind a proxy.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haulout_jwt::client::{IssuerClient, TrustRoots};
use haulout_jwt::discovery::discover;
use haulout_tests::ensure_crypto;
use haulout_tests::issuer::{IssuerOptions, TestIssuer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

/// An HTTP proxy that connects to whatever it is asked for, and remembers the requests.
struct Proxy {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let remembered = Arc::clone(&requests);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(tunnel(stream, Arc::clone(&remembered)));
            }
        });
        Self {
            address,
            requests,
            _server: server,
        }
    }

    fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

async fn tunnel(mut client: TcpStream, requests: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(client.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let target = request.split(' ').nth(1).unwrap().to_owned();
    requests.lock().unwrap().push(request);
    let mut server = TcpStream::connect(target).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    // However the connection ends.
    let _ended = copy_bidirectional(&mut client, &mut server).await;
}

const ISSUER: &str = "HAULOUT_TEST_PROXIED_ISSUER";
const CA: &str = "HAULOUT_TEST_PROXIED_ISSUER_CA";

/// The environment is that of a whole process, so a child makes the call: this program, run again for this one test.
#[tokio::test]
async fn issuers_are_called_through_the_proxy_of_the_environment() {
    ensure_crypto();
    if let Ok(issuer) = std::env::var(ISSUER) {
        return call(&issuer).await;
    }
    let issuer = TestIssuer::start(IssuerOptions::default()).await.unwrap();
    let proxy = Proxy::start().await;
    let url = &format!("http://{}", proxy.address);
    let with_password = &format!("http://me:secret@{}", proxy.address);
    let bare = &proxy.address.to_string();
    let rows: [(&[(&str, &str)], bool); 10] = [
        (&[], false),
        (&[("HTTPS_PROXY", url)], true),
        (&[("https_proxy", url)], true),
        (&[("HTTPS_PROXY", bare)], true),
        (&[("HTTPS_PROXY", with_password)], true),
        (&[("ALL_PROXY", url)], true),
        (&[("HTTP_PROXY", url)], false),
        (&[("HTTPS_PROXY", url), ("NO_PROXY", "127.0.0.1")], false),
        (
            &[("HTTPS_PROXY", url), ("no_proxy", "a.example, 127.0.0.0/8")],
            false,
        ),
        (&[("HTTPS_PROXY", url), ("NO_PROXY", "a.example")], true),
    ];
    for (variables, through_proxy) in rows {
        run_child(&issuer, variables).await;
        let requests = proxy.take_requests();
        assert_eq!(requests.len(), usize::from(through_proxy), "{variables:?}");
        let target = issuer.url().trim_start_matches("https://");
        for request in requests {
            assert!(
                request.starts_with(&format!("CONNECT {target} ")),
                "{request}"
            );
            assert_eq!(
                request
                    .to_lowercase()
                    .contains("proxy-authorization: basic "),
                variables.iter().any(|(_, value)| value == with_password),
                "{request}"
            );
        }
    }
    let calls = u32::try_from(rows.len()).unwrap();
    assert_eq!(issuer.discovery_calls(), calls);
}

async fn call(issuer: &str) {
    let ca = BASE64_STANDARD.decode(std::env::var(CA).unwrap()).unwrap();
    let client = IssuerClient::new(&TrustRoots::Only(vec![ca])).unwrap();
    discover(&client, issuer).await.unwrap();
}

async fn run_child(issuer: &TestIssuer, variables: &[(&str, &str)]) {
    let name = "proxy::issuers_are_called_through_the_proxy_of_the_environment";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name]).kill_on_drop(true);
    for variable in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command
            .env_remove(variable)
            .env_remove(variable.to_lowercase());
    }
    let child = command
        .env(ISSUER, issuer.url())
        .env(CA, BASE64_STANDARD.encode(issuer.ca_certificate_der()))
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && output.contains("1 passed"),
        "{variables:?}: {output}"
    );
}
