mod scan;

use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Router};
use haulout_pki::bundle::BundleError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::listener::{ListenerLimits, PeerCertificates};
use crate::test_peers::{
    GRACE, TestAuthority, TestCertificate, TestClient, TestServer, connect, day,
};

fn identity(
    chain_of: &TestCertificate,
    key_of: &TestCertificate,
) -> Result<ServingIdentity, IdentityError> {
    ServingIdentity::from_pem(chain_of.chain_pem.as_bytes(), key_of.key_pem.as_bytes())
}

#[test]
fn identities_that_a_peer_could_not_use_are_refused() {
    let authority = TestAuthority::new("ca");
    let (one, other) = (authority.server(), authority.server());
    assert!(matches!(
        identity(&one, &other),
        Err(IdentityError::KeyMismatch)
    ));
    assert!(matches!(
        ServingIdentity::from_pem(b"", one.key_pem.as_bytes()),
        Err(IdentityError::Chain(_))
    ));
    assert!(matches!(
        ServingIdentity::from_pem(one.chain_pem.as_bytes(), one.chain_pem.as_bytes()),
        Err(IdentityError::Key)
    ));
    assert!(identity(&one, &one).is_ok());
}

#[test]
fn the_store_tells_what_is_published() {
    let store = ServingStore::new();
    assert_eq!(store.not_after(), None);
    let leaf = TestAuthority::new("ca").client("dated", |_| ());
    store.publish(identity(&leaf, &leaf).unwrap()).unwrap();
    assert_eq!(store.not_after(), Some(day(2027, 1, 1)));
}

#[test]
fn a_chain_is_judged_as_its_clients_will() {
    let (authority, other) = (TestAuthority::new("ca"), TestAuthority::new("other"));
    let (server, client) = (authority.server(), authority.client("c", |_| ()));
    let roots = |authority: &TestAuthority| authority.bundle();
    let verify = |leaf: &TestCertificate, roots: &CertificateBundle, name: &str, now| {
        let names = ["localhost".to_owned(), name.to_owned()];
        identity(leaf, leaf).unwrap().verify(roots, &names, now)
    };
    let (good, now) = (roots(&authority), day(2026, 6, 1));
    assert!(verify(&server, &good, "localhost", now).is_ok());
    let untrusted = [
        verify(&server, &roots(&other), "localhost", now),
        verify(&server, &good, "another.name", now),
        verify(&server, &good, "localhost", day(1971, 1, 1)),
        verify(&client, &good, "localhost", now),
    ];
    for outcome in untrusted {
        assert!(
            matches!(outcome, Err(IdentityError::Untrusted(_))),
            "{outcome:?}"
        );
    }
    assert!(matches!(
        verify(&server, &good, "no name", now),
        Err(IdentityError::Name(_))
    ));
}

#[test]
fn a_leaf_is_judged_by_its_dates_and_names_where_nobody_knows_the_ca() {
    let authority = TestAuthority::new("ca");
    let named = |dns: &str| {
        let names = vec![
            rcgen::SanType::DnsName(dns.try_into().unwrap()),
            rcgen::SanType::IpAddress([192, 0, 2, 1].into()),
        ];
        let leaf = authority.client("server", |params| params.subject_alt_names = names);
        identity(&leaf, &leaf).unwrap()
    };
    let leaf = named("*.example.com");
    let now = day(2026, 6, 1);
    for name in ["login.example.com", "192.0.2.1"] {
        assert!(leaf.verify_leaf(name, now).is_ok(), "{name}");
    }
    for name in [
        "example.com",
        "a.login.example.com",
        "192.0.2.2",
        "2001:db8::1",
    ] {
        let error = leaf.verify_leaf(name, now).unwrap_err();
        assert!(matches!(error, IdentityError::WrongName(_)), "{error}");
    }
    let error = leaf.verify_leaf("login.example.com", day(2025, 12, 31));
    assert!(matches!(error, Err(IdentityError::NotYetValid)));
    let error = leaf.verify_leaf("login.example.com", day(2027, 1, 2));
    assert!(matches!(error, Err(IdentityError::Expired)));
}

/// As from a variable whose line breaks were escaped.
#[test]
fn errors_do_not_repeat_the_key() {
    let leaf = TestAuthority::new("ca").server();
    let escaped = leaf.key_pem.replace('\n', r"\n");
    for (chain, key) in [(&leaf.chain_pem, &escaped), (&escaped, &leaf.key_pem)] {
        let error = ServingIdentity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
        // The library repeats the line as a list of bytes.
        assert!(
            matches!(
                error,
                IdentityError::Key | IdentityError::Chain(BundleError::Pem)
            ),
            "{error}"
        );
    }
}

#[test]
fn debug_output_shows_no_key() {
    let leaf = TestAuthority::new("ca").server();
    let shown = format!(
        "{:?} {:?}",
        identity(&leaf, &leaf).unwrap(),
        leaf.identity()
    );
    assert!(!shown.contains("key"), "{shown}");
}

/// Answers with the number of certificates that the client showed.
fn certificate_counter() -> Router {
    Router::new().route(
        "/",
        get(|Extension(peer): Extension<PeerCertificates>| async move { peer.0.len().to_string() }),
    )
}

#[tokio::test]
async fn a_client_may_come_with_or_without_a_certificate() {
    let server = TestServer::start(certificate_counter()).await;
    assert_eq!(
        server.client(None).await.get_text("/").await,
        (200, "0".to_owned())
    );
    // Anybody's certificate: trust is not the handshake's business.
    let stranger = TestAuthority::new("stranger")
        .client("x", |_| ())
        .identity();
    assert_eq!(
        server.client(Some(stranger)).await.get_text("/").await,
        (200, "1".to_owned())
    );
}

#[tokio::test]
async fn a_certificate_without_its_key_ends_the_handshake() {
    let server = TestServer::start(certificate_counter()).await;
    let authority = TestAuthority::new("ca");
    let (victim, thief) = (
        authority.client("victim", |_| ()),
        authority.client("thief", |_| ()),
    );
    let stolen = stolen_identity(&victim, &thief);
    let mut config = (*client_config(&server.authority.bundle(), None).unwrap()).clone();
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(stolen));
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let connected = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    // In TLS 1.3 the client is done before the server has judged its signature.
    if let Ok(stream) = connected {
        let client = TestClient::over(stream).await;
        assert!(client.get("/").await.is_err());
    }
}

fn stolen_identity(
    chain_of: &TestCertificate,
    key_of: &TestCertificate,
) -> rustls::sign::CertifiedKey {
    use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
    let key = PrivateKeyDer::from_pem_slice(key_of.key_pem.as_bytes()).unwrap();
    let key = PROVIDER.key_provider.load_private_key(key).unwrap();
    rustls::sign::CertifiedKey::new(vec![chain_of.der.clone()], key)
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let server = TestServer::start(certificate_counter()).await;
    let mut roots = RootCertStore::empty();
    roots
        .add(server.authority.bundle().certificates()[0].clone())
        .unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    assert!(
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .is_err()
    );
}

/// A server that anybody may call.
async fn open_server() -> (std::net::SocketAddr, TestAuthority) {
    let (store, authority) = (ServingStore::for_anybody(), TestAuthority::new("open CA"));
    store.publish(authority.serving_identity()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _running = tokio_util::task::TaskTracker::new().spawn(crate::listener::serve_tls(
        listener,
        Arc::new(store),
        crate::listener::PeerTrust::nobody(),
        ListenerLimits::default(),
        certificate_counter(),
        tokio_util::sync::CancellationToken::new(),
        GRACE,
    ));
    (address, authority)
}

#[tokio::test]
async fn whom_anybody_may_call_asks_for_no_certificate_and_speaks_tls_1_2() {
    let (address, authority) = open_server().await;
    let identity = TestAuthority::new("ca").client("x", |_| ()).identity();
    let stream = connect(address, &authority, Some(identity)).await.unwrap();
    let client = TestClient::over(stream).await;
    assert_eq!(client.get_text("/").await, (200, "0".to_owned()));

    let mut roots = RootCertStore::empty();
    roots
        .add(authority.bundle().certificates()[0].clone())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap();
    let client = TestClient::over(stream).await;
    assert_eq!(client.get_text("/").await, (200, "0".to_owned()));
}

#[tokio::test]
async fn the_client_checks_the_servers_chain_and_name() {
    let server = TestServer::start(certificate_counter()).await;
    let other = TestAuthority::new("other CA");
    assert!(connect(server.address, &other, None).await.is_err());

    let config = client_config(&server.authority.bundle(), None).unwrap();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = "elsewhere".try_into().unwrap();
    assert!(
        TlsConnector::from(config)
            .connect(name, stream)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn no_handshake_succeeds_before_a_certificate_is_published() {
    let limits = ListenerLimits::default();
    let server = TestServer::start_unpublished(certificate_counter(), limits, GRACE).await;
    assert!(server.connect(None).await.is_err());
    server
        .store
        .publish(server.authority.serving_identity())
        .unwrap();
    assert!(server.connect(None).await.is_ok());
}

#[tokio::test]
async fn a_swapped_certificate_counts_for_new_connections_and_keeps_old_ones() {
    let server = TestServer::start(certificate_counter()).await;
    let kept = server.client(None).await;
    assert_eq!(kept.get_text("/").await.0, 200);

    let new_authority = TestAuthority::new("new");
    server
        .store
        .publish(new_authority.serving_identity())
        .unwrap();
    assert_eq!(kept.get_text("/").await.0, 200);
    assert!(server.connect(None).await.is_err());
    assert!(connect(server.address, &new_authority, None).await.is_ok());
}

#[tokio::test]
async fn a_client_identity_can_be_given_later() {
    let server = TestServer::start(certificate_counter()).await;
    let identity = Arc::new(ClientIdentity::new());
    let without = server.client(Some(Arc::clone(&identity))).await;
    assert_eq!(without.get_text("/").await.1, "0");

    let leaf = TestAuthority::new("ca").client("webhook", |_| ());
    let stranger = TestAuthority::new("ca").client("other", |_| ());
    assert!(
        identity
            .publish(leaf.chain_pem.as_bytes(), stranger.key_pem.as_bytes())
            .is_err()
    );
    identity
        .publish(leaf.chain_pem.as_bytes(), leaf.key_pem.as_bytes())
        .unwrap();
    assert_eq!(
        server.client(Some(identity)).await.get_text("/").await.1,
        "1"
    );
    assert_eq!(
        without.get_text("/").await.1,
        "0",
        "an open connection keeps what it showed"
    );
}

#[tokio::test]
async fn every_connection_makes_the_full_handshake() {
    let server = TestServer::start(certificate_counter()).await;
    let mut config = (*client_config(&server.authority.bundle(), None).unwrap()).clone();
    config.resumption = Resumption::in_memory_sessions(8);
    let connector = TlsConnector::from(Arc::new(config));
    for _ in 0..2 {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        assert_eq!(
            stream.get_ref().1.handshake_kind(),
            Some(rustls::HandshakeKind::Full)
        );
        let client = TestClient::over(stream).await;
        assert_eq!(client.get_text("/").await.0, 200);
    }
}

/// Even where a server would.
#[tokio::test]
async fn our_clients_resume_no_session() {
    let authority = TestAuthority::new("ca");
    let mut config = server_config(authority.serving_identity(), Clients::Peers).unwrap();
    config.send_tls13_tickets = 2;
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(8);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let connector = TlsConnector::from(client_config(&authority.bundle(), None).unwrap());
    for _ in 0..2 {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let connecting = connector.connect("localhost".try_into().unwrap(), ours);
        let (stream, server) = tokio::join!(connecting, acceptor.accept(theirs));
        let (mut stream, mut server) = (stream.unwrap(), server.unwrap());
        assert_eq!(
            stream.get_ref().1.handshake_kind(),
            Some(rustls::HandshakeKind::Full)
        );
        // The tickets arrive before the first byte.
        server.write_all(b"x").await.unwrap();
        stream.read_exact(&mut [0; 1]).await.unwrap();
    }
}
