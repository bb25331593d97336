//! What a Secret with a CA and a leaf holds, and what is written into it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use haulout_operate::error::chain;
use haulout_pki::authority::{AuthorityError, IssueError, SigningAuthority, generate_authority};
use haulout_pki::bundle::{self, BundleError, CertificateBundle};
use haulout_pki::profile::Validity;
use haulout_pki::secret_key::{KeyError, KeyPair};
use haulout_serve::tls::{IdentityError, ServingIdentity};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::Profile;
use super::plan::{Facts, LeafFacts, Plan};

/// CAs that clients are to trust, PEM; the signing one is that which the key belongs to.
pub(crate) const AUTHORITIES: &str = "ca.crt";
pub(crate) const AUTHORITY_KEY: &str = "ca.key";
pub(crate) const LEAF: &str = "tls.crt";
pub(crate) const LEAF_KEY: &str = "tls.key";

/// How far certificates begin in the past, for peers whose clocks are late.
pub(crate) const BACKDATED: Duration = Duration::from_secs(300);

/// The data of a Secret.
pub(crate) type Data = BTreeMap<String, ByteString>;

/// The data of a Secret that may be absent or empty.
pub(crate) fn data_of(secret: Option<&Secret>) -> Data {
    secret
        .and_then(|secret| secret.data.clone())
        .unwrap_or_default()
}

/// The CAs of `data` that are not beyond their end, and all of them.
pub(crate) fn usable(
    data: &Data,
    now: SystemTime,
) -> (Option<CertificateBundle>, Option<CertificateBundle>) {
    let all = CertificateBundle::parse_pem(get(data, AUTHORITIES)).ok();
    let usable = all.as_ref().and_then(|all| {
        all.filtered(|one| bundle::validity(one).is_ok_and(|dates| now <= dates.not_after))
    });
    (usable, all)
}

fn get<'a>(data: &'a Data, key: &str) -> &'a [u8] {
    data.get(key).map_or(&[], |value| value.0.as_slice())
}

/// What can be used of the Secret's data at a certain time.
pub(crate) struct Contents {
    /// CAs within their dates.
    pub(crate) authorities: Option<CertificateBundle>,
    has_expired_authorities: bool,
    authority: Result<SigningAuthority, AuthorityError>,
    /// A leaf that clients accept which trust `authorities`.
    pub(crate) leaf: Result<Leaf, IdentityError>,
}

/// A usable leaf and its key.
pub(crate) struct Leaf {
    pub(crate) identity: ServingIdentity,
    is_of_authority: bool,
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewError {
    #[error("failed to make a CA")]
    Authority(#[source] IssueError),
    #[error("failed to use the CA just made")]
    Load(#[source] AuthorityError),
    #[error("failed to make a key")]
    Key(#[source] KeyError),
    #[error("failed to issue a certificate")]
    Leaf(#[source] IssueError),
    #[error("failed to read the CA certificate just made")]
    Bundle(#[source] BundleError),
}

impl Contents {
    /// Judges the data; what is missing, broken or out of its dates is as good as absent.
    pub(crate) fn read(data: &Data, names: &[String], now: SystemTime) -> Self {
        let get = |key| get(data, key);
        let (authorities, all) = usable(data, now);
        let authority = SigningAuthority::from_pem(get(AUTHORITIES), get(AUTHORITY_KEY), now);
        let leaf = ServingIdentity::from_pem(get(LEAF), get(LEAF_KEY)).and_then(|identity| {
            let roots = authorities.as_ref().ok_or(IdentityError::NoRoot)?;
            identity.verify(roots, names, now)?;
            let is_of_authority = authority.as_ref().is_ok_and(|authority| {
                CertificateBundle::parse_pem(authority.certificate_pem().as_bytes())
                    .is_ok_and(|root| identity.verify(&root, names, now).is_ok())
            });
            Ok(Leaf {
                identity,
                is_of_authority,
            })
        });
        Self {
            has_expired_authorities: all != authorities,
            authorities,
            authority,
            leaf,
        }
    }

    pub(crate) fn facts(&self) -> Facts {
        Facts {
            authority_ends: self
                .authority
                .as_ref()
                .ok()
                .map(SigningAuthority::not_after),
            leaf: self.leaf.as_ref().ok().map(|leaf| LeafFacts {
                ends: leaf.identity.not_after(),
                is_of_authority: leaf.is_of_authority,
            }),
            has_expired_authorities: self.has_expired_authorities,
        }
    }

    /// Why the leaf cannot be served; for the log.
    pub(crate) fn fault(&self) -> Option<String> {
        self.leaf.as_ref().err().map(|error| chain(error))
    }

    /// The data that `plan` changes.
    pub(crate) fn renewed(
        &self,
        plan: Plan,
        profile: &Profile,
        now: SystemTime,
    ) -> Result<Data, RenewError> {
        let lasting = |lifetime| Validity {
            not_before: now - BACKDATED,
            not_after: now + lifetime,
        };
        let mut data = Data::new();
        let mut put = |key: &str, value: &str| {
            data.insert(key.to_owned(), ByteString(value.as_bytes().to_vec()));
        };

        let mut authorities = self.authorities.clone();
        let made;
        let authority = if plan.new_authority {
            let ca = generate_authority(profile.authority_name, lasting(profile.ca_lifetime))
                .map_err(RenewError::Authority)?;
            let pem = ca.certificate_pem.as_bytes();
            let new = CertificateBundle::parse_pem(pem).map_err(RenewError::Bundle)?;
            authorities = Some(match authorities {
                Some(known) => known.union(&new),
                None => new,
            });
            put(AUTHORITY_KEY, &ca.key_pem);
            made = SigningAuthority::from_pem(pem, ca.key_pem.as_bytes(), now)
                .map_err(RenewError::Load)?;
            Some(&made)
        } else {
            self.authority.as_ref().ok()
        };
        if let Some(authorities) = authorities {
            put(AUTHORITIES, &authorities.to_pem());
        }
        if let Some(authority) = authority.filter(|_| plan.new_leaf) {
            let key = KeyPair::generate_p256().map_err(RenewError::Key)?;
            let (names, dates) = (&profile.dns_names, lasting(profile.leaf_lifetime));
            let leaf = authority
                .issue_serving_certificate(names, &[], &key.spki_der(), dates)
                .map_err(RenewError::Leaf)?;
            put(LEAF, &leaf.pem);
            put(LEAF_KEY, &key.pkcs8_pem());
        }
        Ok(data)
    }
}
