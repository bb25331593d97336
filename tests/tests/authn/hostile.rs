//! Answers that no honest server gives. A call ends in bounded time and memory, whatever the issuer sends.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use haulout_https::{CallFault, TrustRoots};
use haulout_jwt::client::{CALL_TIMEOUT, CallError, IssuerClient};
use haulout_jwt::keys::{FetchError, KeyCache, KeySetError};
use haulout_tests::ensure_crypto;
use rcgen::generate_simple_self_signed;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use url::Url;

/// What the server sends once it has read the request: a beginning, then the same piece again and again, if there is one.
#[derive(Clone, Copy)]
struct Answer {
    beginning: &'static [u8],
    piece: &'static [u8],
    pause: Duration,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    /// Says that nothing more comes.
    Close,
    /// The connection breaks.
    Break,
    /// Nothing comes, but the connection stays.
    Hang,
}

impl Answer {
    const fn ending(beginning: &'static [u8], end: End) -> Self {
        Self {
            beginning,
            piece: b"",
            pause: Duration::ZERO,
            end,
        }
    }

    /// As fast as it is read.
    const fn endless(beginning: &'static [u8], piece: &'static [u8]) -> Self {
        Self {
            piece,
            ..Self::ending(beginning, End::Close)
        }
    }

    /// One piece a second, so that something always comes.
    const fn dripping(beginning: &'static [u8], piece: &'static [u8]) -> Self {
        Self {
            pause: Duration::from_secs(1),
            ..Self::endless(beginning, piece)
        }
    }

    async fn send(self, to: &mut (impl AsyncWriteExt + Unpin)) -> std::io::Result<()> {
        to.write_all(self.beginning).await?;
        to.flush().await?;
        while !self.piece.is_empty() {
            to.write_all(self.piece).await?;
            to.flush().await?;
            // Even the shortest sleep lasts a millisecond.
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
        }
        match self.end {
            End::Close => to.shutdown().await,
            End::Break => Ok(()),
            End::Hang => std::future::pending().await,
        }
    }
}

/// A server that gives one answer to every request.
struct HostileServer {
    url: Url,
    client: IssuerClient,
    requests: mpsc::UnboundedReceiver<String>,
    _server: JoinSet<()>,
}

impl HostileServer {
    async fn start(answer: Answer) -> Self {
        ensure_crypto();
        let identity = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = identity.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], PrivateKeyDer::from(key))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/keys", listener.local_addr().unwrap());
        let roots = TrustRoots::Only(vec![certificate.to_vec()]);
        let (heard, requests) = mpsc::unbounded_channel();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, heard) = (acceptor.clone(), heard.clone());
                connections.spawn(async move {
                    // An error says that the client has hung up.
                    let _ended = serve(stream, &acceptor, &heard, answer).await;
                });
            }
        });
        Self {
            url: url.parse().unwrap(),
            client: IssuerClient::new(&roots).unwrap(),
            requests,
            _server: server,
        }
    }

    async fn fetch(&self) -> Result<KeyCache, FetchError> {
        let now = SystemTime::UNIX_EPOCH;
        KeyCache::fetch(self.client.clone(), self.url.clone(), now).await
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    heard: &mpsc::UnboundedSender<String>,
    answer: Answer,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let _nobody_listens = heard.send(String::from_utf8_lossy(&request).into_owned());
    answer.send(&mut stream).await
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
const HEAD_OF_A_LONG_BODY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
const STATUS_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";
const HEADER: &[u8] = b"x-more: and more\r\n";

#[tokio::test]
async fn an_honest_answer_is_taken() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"keys\":[]}";
    let mut server = HostileServer::start(Answer::ending(answer, End::Close)).await;
    server.fetch().await.unwrap();
    let request = server.requests.recv().await.unwrap().to_lowercase();
    assert!(request.starts_with("get /keys http/1.1\r\n"), "{request}");
    assert!(!request.contains("accept-encoding"), "{request}");
    let unsized_answer = b"HTTP/1.1 200 OK\r\n\r\n{\"keys\":[]}";
    let server = HostileServer::start(Answer::ending(unsized_answer, End::Close)).await;
    server.fetch().await.unwrap();
}

/// How a fetch ends whose server hangs. Once the server was `reached`, time passes a second at a stroke.
async fn hang(
    client: IssuerClient,
    url: Url,
    reached: impl Future<Output: Send>,
) -> Option<FetchError> {
    let mut call = JoinSet::new();
    call.spawn(async move {
        KeyCache::fetch(client, url, SystemTime::UNIX_EPOCH)
            .await
            .map(drop)
    });
    let _connection = reached.await;
    tokio::time::pause();
    let mut ended = None;
    for _ in 0..=CALL_TIMEOUT.as_secs() {
        // Time stands still while this lasts, so that what was sent arrives within its second.
        let pause = || std::thread::sleep(Duration::from_millis(10));
        tokio::task::spawn_blocking(pause).await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        ended = ended.or_else(|| call.try_join_next());
    }
    tokio::time::resume();
    ended.map(|outcome| outcome.unwrap().unwrap_err())
}

/// What went wrong in a call that gave no whole answer.
pub(crate) fn call_fault(error: &FetchError) -> Option<&CallFault> {
    match error {
        FetchError::Call(CallError::Call(call)) => Some(&call.fault),
        FetchError::Call(CallError::Status { .. }) | FetchError::Set(_) => None,
    }
}

#[tokio::test]
async fn whoever_takes_too_long_is_given_up() {
    for (name, answer) in [
        ("no answer", Answer::ending(b"", End::Hang)),
        ("headers that stop", Answer::ending(STATUS_LINE, End::Hang)),
        (
            "a body that stops",
            Answer::ending(HEAD_OF_A_LONG_BODY, End::Hang),
        ),
        (
            "dripping headers",
            Answer::dripping(STATUS_LINE, b"x: y\r\n"),
        ),
        (
            "a dripping body",
            Answer::dripping(HEAD_OF_A_LONG_BODY, b" "),
        ),
        ("a dripping body without end", Answer::dripping(HEAD, b" ")),
    ] {
        let mut server = HostileServer::start(answer).await;
        let (client, url) = (server.client.clone(), server.url.clone());
        let error = hang(client, url, server.requests.recv()).await;
        let error = error.expect(name);
        let text = error.source().unwrap().to_string();
        assert!(text.ends_with("no answer within 10 s"), "{name}: {text}");
    }
}

#[tokio::test]
async fn whoever_accepts_and_says_nothing_is_given_up() {
    let other = HostileServer::start(Answer::ending(b"", End::Hang)).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/keys", silent.local_addr().unwrap());
    let client = other.client.clone();
    let error = hang(client, url.parse().unwrap(), silent.accept()).await;
    assert!(
        matches!(
            error.as_ref().and_then(call_fault),
            Some(CallFault::TimedOut(_))
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn whoever_never_stops_is_cut_off() {
    const PIECE: &[u8] = &[b' '; 16 * 1024];
    let server = HostileServer::start(Answer::endless(HEAD, PIECE)).await;
    let error = server.fetch().await.unwrap_err();
    assert!(
        matches!(call_fault(&error), Some(CallFault::TooLong(_))),
        "{error:?}"
    );
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let piece = b"10\r\n                \r\n";
    let server = HostileServer::start(Answer::endless(chunked, piece)).await;
    let error = server.fetch().await.unwrap_err();
    assert!(
        matches!(call_fault(&error), Some(CallFault::TooLong(_))),
        "{error:?}"
    );
    let server = HostileServer::start(Answer::endless(STATUS_LINE, HEADER)).await;
    let begun = Instant::now();
    let error = server.fetch().await.unwrap_err();
    assert!(begun.elapsed() < CALL_TIMEOUT, "{error}");
    assert!(
        matches!(call_fault(&error), Some(CallFault::Transport(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn half_an_answer_is_none() {
    // Mostly whole JSON, so that only the missing rest tells.
    for (answer, end) in [
        (
            &b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"keys\":[]}"[..],
            End::Close,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\n{\"keys\":[]}\r\n",
            End::Close,
        ),
        (b"HTTP/1.1 200 OK\r\n\r\n{\"keys\":[]}", End::Break),
        (b"HTTP/1.1 200 OK\r\ncontent-le", End::Close),
        (b"", End::Close),
    ] {
        let server = HostileServer::start(Answer::ending(answer, end)).await;
        let error = server.fetch().await.unwrap_err();
        assert!(
            matches!(call_fault(&error), Some(CallFault::Transport(_))),
            "{error:?}"
        );
    }
}

/// What is compressed can be a thousand times as large as it looks, and nobody asked for it.
#[tokio::test]
async fn compressed_answers_are_not_unpacked() {
    // `{"keys":[]}`, by gzip.
    let answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 31\r\n\r\n\
        \x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\x4e\xad\x2c\
        \x56\xb2\x8a\x8e\xad\x05\x00\xef\x67\x88\x2a\x0b\x00\x00\x00";
    let server = HostileServer::start(Answer::ending(answer, End::Close)).await;
    let error = server.fetch().await.unwrap_err();
    assert!(
        matches!(error, FetchError::Set(KeySetError::Malformed(_))),
        "{error:?}"
    );
}
