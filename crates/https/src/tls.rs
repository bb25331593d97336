//! The TLS configuration of a client: one for its calls and for the check of its connection, so that both judge a server
//! alike.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_platform_verifier::BuilderVerifierExt as _;

/// Which certificates a server's TLS certificate may chain to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustRoots {
    /// The roots of the operating system or image.
    System,
    /// Only these certificates, in DER.
    Only(Vec<Vec<u8>>),
}

/// TLS 1.2 or later and HTTP/1.1, trusting `roots` alone.
pub(crate) fn client_config(roots: &TrustRoots) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = match roots {
        TrustRoots::System => builder.with_platform_verifier()?,
        TrustRoots::Only(certificates) => {
            let mut store = RootCertStore::empty();
            for der in certificates {
                store.add(CertificateDer::from(der.as_slice()))?;
            }
            builder.with_root_certificates(store)
        }
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[ignore = "run by the next test, in an environment of its own"]
    fn roots_of_the_system_load() {
        client_config(&TrustRoots::System).unwrap();
    }

    #[test]
    fn a_file_can_stand_for_the_system_s_roots() {
        let made = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        for (pem, loads) in [(String::new(), false), (made.cert.pem(), true)] {
            std::fs::write(&file, pem).unwrap();
            let output = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--ignored",
                    "--exact",
                    "tls::tests::roots_of_the_system_load",
                ])
                .env("SSL_CERT_FILE", file.path())
                .env_remove("SSL_CERT_DIR")
                .output()
                .unwrap();
            assert_eq!(output.status.success(), loads, "{output:?}");
        }
    }
}
