//! What a scanner of the port finds: which versions, cipher suites and key exchanges work.

use rustls::crypto::aws_lc_rs::{ALL_CIPHER_SUITES, ALL_KX_GROUPS};
use rustls::{CipherSuite, NamedGroup, ProtocolVersion, SupportedCipherSuite};

use super::*;

/// What was agreed upon with a client that offers only this, or nothing.
async fn handshake(
    server: &TestServer,
    offer: CryptoProvider,
    version: &'static rustls::SupportedProtocolVersion,
) -> Option<(ProtocolVersion, CipherSuite, NamedGroup)> {
    let mut roots = RootCertStore::empty();
    let authority = server.authority.bundle();
    roots.add(authority.certificates()[0].clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(offer))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let connected = TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .ok()?;
    let (_, session) = connected.get_ref();
    Some((
        session.protocol_version()?,
        session.negotiated_cipher_suite()?.suite(),
        session.negotiated_key_exchange_group()?.name(),
    ))
}

fn version(suite: &SupportedCipherSuite) -> &'static rustls::SupportedProtocolVersion {
    if suite.tls13().is_some() {
        &rustls::version::TLS13
    } else {
        &rustls::version::TLS12
    }
}

#[tokio::test]
async fn tls_1_3_with_its_three_cipher_suites_is_all_there_is() {
    let server = TestServer::start(certificate_counter()).await;
    let mut accepted = Vec::new();
    assert!(ALL_CIPHER_SUITES.len() > 3, "nothing else is tried");
    for suite in ALL_CIPHER_SUITES {
        let offer = CryptoProvider {
            cipher_suites: vec![*suite],
            ..CryptoProvider::clone(&PROVIDER)
        };
        if let Some((version, agreed, _)) = handshake(&server, offer, version(suite)).await {
            assert_eq!(version, ProtocolVersion::TLSv1_3);
            assert_eq!(agreed, suite.suite());
            accepted.push(agreed);
        }
    }
    assert_eq!(
        accepted,
        [
            CipherSuite::TLS13_AES_256_GCM_SHA384,
            CipherSuite::TLS13_AES_128_GCM_SHA256,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        ]
    );
}

/// Those of Go, of which the first also withstands a quantum computer.
#[tokio::test]
async fn key_exchanges_are_those_that_the_aggregator_offers() {
    let server = TestServer::start(certificate_counter()).await;
    let mut accepted = Vec::new();
    for group in ALL_KX_GROUPS {
        let offer = CryptoProvider {
            kx_groups: vec![*group],
            ..CryptoProvider::clone(&PROVIDER)
        };
        let agreed = handshake(&server, offer, &rustls::version::TLS13).await;
        accepted.extend(agreed.map(|(_, _, group)| group));
    }
    for needed in [
        NamedGroup::X25519MLKEM768,
        NamedGroup::X25519,
        NamedGroup::secp256r1,
        NamedGroup::secp384r1,
    ] {
        assert!(accepted.contains(&needed), "{needed:?}: {accepted:?}");
    }
}
