//! The agent's own TLS material: files too, since in a cluster they are a mounted Secret that is
//! empty at first.

use std::path::Path;
use std::sync::Arc;

use haulout_pki::bundle::CertificateBundle;
use haulout_serve::client_trust::ClientTrust;
use haulout_serve::tls::{ServingIdentity, ServingStore};

use crate::watched::{AtFault, Watched};

/// Publishes the serving certificate whenever its files change.
pub(crate) fn serving_certificate(
    certificate: &Path,
    key: &Path,
    store: Arc<ServingStore>,
) -> Watched<(), 2> {
    let name = "serving certificate";
    Watched::new(
        name,
        [certificate, key],
        AtFault::Keep,
        move |[certificate, key], _now| {
            Ok(store.publish(ServingIdentity::from_pem(certificate, key)?)?)
        },
    )
}

/// Trusts the CAs of a file, which sign the webhook's certificates.
pub(crate) fn client_authorities(bundle: &Path, trust: Arc<ClientTrust>) -> Watched<(), 1> {
    Watched::new(
        "client CA",
        [bundle],
        AtFault::Keep,
        move |[bundle], _now| {
            trust.replace(&CertificateBundle::parse_pem(bundle)?);
            Ok(())
        },
    )
}
