//! The certificate that door B is to serve, from the data of a Secret. No I/O; the time is an argument.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use haulout_pki::authority::{AuthorityError, IssueError, SigningAuthority};
use haulout_pki::bundle::{BundleError, CertificateBundle};
use haulout_pki::profile::Validity;
use haulout_pki::secret_key::{KeyError, KeyPair};
use haulout_serve::tls::{IdentityError, ServingIdentity};

use crate::config::AdvertisedAuthority;
use crate::controllers::renewal::{
    AUTHORITIES, AUTHORITY_KEY, BACKDATED, Data, LEAF, LEAF_KEY, usable,
};

/// A certificate that clients accept, as far as can be told.
#[derive(Clone)]
pub(super) struct Certificate {
    pub(super) identity: ServingIdentity,
    /// The CAs that the Secret has beside it, where clients are told of these.
    pub(super) authorities: Option<CertificateBundle>,
    /// By what another one is told apart: the text of the chain, or that of the CA which has issued it.
    origin: Vec<u8>,
}

/// Why there is no such certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    #[error("tls.crt and tls.key are no certificate that can be served")]
    Identity(#[source] IdentityError),
    #[error(
        "tls.crt is no certificate for {host}, the host of directEndpoint.externalUrl, at this time"
    )]
    Leaf { host: String, source: IdentityError },
    #[error("ca.crt is no CA certificate; take it out if the CA is a public one")]
    Authorities(#[source] BundleError),
    #[error(
        "tls.crt does not chain to the CA that clients are told of, which is {of}; put the CA that issued tls.crt there, \
         and intermediate CAs behind the certificate in tls.crt"
    )]
    Chain {
        of: &'static str,
        source: IdentityError,
    },
    #[error("its CA cannot issue a certificate")]
    Authority(#[source] AuthorityError),
    #[error("failed to make a key")]
    Key(#[source] KeyError),
    #[error("failed to issue a certificate")]
    Issue(#[source] IssueError),
    #[error("the certificate just issued cannot be served")]
    Issued(#[source] IdentityError),
}

impl Certificate {
    /// The end of its validity.
    pub(super) fn ends(&self) -> SystemTime {
        self.identity.not_after()
    }

    /// Whether the other is served in the same way.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.origin == other.origin && self.ends() == other.ends()
    }
}

/// The certificate that a Secret of type `kubernetes.io/tls` holds. Its chain is judged where the CA
/// that clients are told of is known: the one that is configured, or else the Secret's `ca.crt`.
pub(super) fn given(
    data: &Data,
    host: &str,
    advertised: &AdvertisedAuthority,
    now: SystemTime,
) -> Result<Certificate, CertificateError> {
    let get = |key| data.get(key).map_or(&[][..], |value| &value.0);
    let identity =
        ServingIdentity::from_pem(get(LEAF), get(LEAF_KEY)).map_err(CertificateError::Identity)?;
    identity
        .verify_leaf(host, now)
        .map_err(|source| CertificateError::Leaf {
            host: host.to_owned(),
            source,
        })?;
    let own = match (advertised, get(AUTHORITIES)) {
        (AdvertisedAuthority::OfCertificate, pem @ [_, ..]) => {
            Some(CertificateBundle::parse_pem(pem).map_err(CertificateError::Authorities)?)
        }
        _ => None,
    };
    let known = match advertised {
        AdvertisedAuthority::Public => None,
        AdvertisedAuthority::Given(roots) => {
            Some((roots, "directEndpoint.certificateAuthorityData"))
        }
        AdvertisedAuthority::OfCertificate => own.as_ref().map(|roots| (roots, AUTHORITIES)),
    };
    if let Some((roots, of)) = known {
        identity
            .verify(roots, &[host.to_owned()], now)
            .map_err(|source| CertificateError::Chain { of, source })?;
    }
    Ok(Certificate {
        identity,
        authorities: own,
        origin: get(LEAF).to_vec(),
    })
}

/// `current`, or a new certificate of the CA in our own Secret, if that is another CA than the one
/// that issued `current` or there is none.
pub(super) fn issued(
    data: &Data,
    host: &str,
    service_names: &[String],
    lifetime: Duration,
    current: Option<&Certificate>,
    now: SystemTime,
) -> Result<Certificate, CertificateError> {
    let get = |key| data.get(key).map_or(&[][..], |value| &value.0);
    let authority = SigningAuthority::from_pem(get(AUTHORITIES), get(AUTHORITY_KEY), now)
        .map_err(CertificateError::Authority)?;
    let origin = authority.certificate_pem().as_bytes();
    let (authorities, _) = usable(data, now);
    if let Some(current) = current.filter(|current| current.origin == origin) {
        return Ok(Certificate {
            authorities,
            ..current.clone()
        });
    }
    let key = KeyPair::generate_p256().map_err(CertificateError::Key)?;
    let mut names = service_names.to_vec();
    let address: Option<IpAddr> = host.parse().ok();
    if address.is_none() {
        names.insert(0, host.to_owned());
    }
    let validity = Validity {
        not_before: now - BACKDATED,
        not_after: now + lifetime,
    };
    let leaf = authority
        .issue_serving_certificate(&names, address.as_slice(), &key.spki_der(), validity)
        .map_err(CertificateError::Issue)?;
    let identity = ServingIdentity::from_pem(leaf.pem.as_bytes(), key.pkcs8_pem().as_bytes())
        .map_err(CertificateError::Issued)?;
    Ok(Certificate {
        identity,
        authorities,
        origin: origin.to_vec(),
    })
}
