//! Keeps the certificate of door B good, and tells how door B stands.
//!
//! It comes from a Secret that an administrator, or what he has for it, keeps. Without one, each replica
//! issues its own by the CA of door A's certificate, in memory: nothing is written, and a change of
//! the endpoint's name waits for no leader.

mod certificate;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haulout_operate::audit::rfc3339;
use haulout_operate::controller::{self, Observed, Reconciler, Sight};
use haulout_operate::error::chain;
use haulout_serve::tls::{IdentityError, ServingStore};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::sync::{Notify, watch};

use self::certificate::{Certificate, CertificateError, given, issued};
use super::renewal::{ExpiryMetrics, data_of, part_left};
use super::{Environment, WatchFault};
use crate::config::AdvertisedAuthority;

const NAME: &str = "direct-certificate";
/// The wall clock is looked at this often, since it may jump.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// Where the certificate comes from and what it is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Secret.
    pub namespace: String,
    /// The Secret.
    pub origin: Origin,
    /// Host of the URL by which clients reach the endpoint.
    pub host: String,
    /// The CA that clients are told of.
    pub authority: AdvertisedAuthority,
}

/// Whose certificate is served.
#[derive(Clone, Debug)]
pub enum Origin {
    /// That in this Secret, which others keep.
    Given {
        /// Name of the Secret.
        secret: String,
    },
    /// One of our own CA.
    Own {
        /// Name of the Secret with the CA.
        secret: String,
        /// Further names of the endpoint, for those who call it by its Service.
        service_names: Vec<String>,
        /// Life of the certificate.
        lifetime: Duration,
    },
}

/// How door B stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its certificate is awaited: what is missing, and who is to make it.
    Pending(String),
    /// Its certificate cannot be used: why, and what to do.
    Unusable(String),
    /// It is served; clients need this CA, as base64 of PEM, if they do not know it anyway.
    Listening(Option<String>),
}

/// Where the outcome goes.
#[derive(Debug)]
pub struct Links {
    /// The certificate of the listener.
    pub store: Arc<ServingStore>,
    /// How door B stands.
    pub standing: watch::Sender<Standing>,
    /// When the certificate ends.
    pub expiry: ExpiryMetrics,
}

/// Why the certificate is not as it should be.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to watch the Secret of the direct endpoint's certificate")]
    Watch(#[source] WatchFault),
    #[error("failed to use Secret {secret} for the direct endpoint")]
    Unusable {
        secret: String,
        source: CertificateError,
    },
    #[error("failed to serve the certificate of the direct endpoint")]
    Serve(#[source] IdentityError),
}

/// How door B stands before anything is known.
pub fn unknown() -> Standing {
    Standing::Pending("the Secret of its certificate is not read yet".to_owned())
}

/// Runs until the end of `environment`.
pub async fn run(environment: Environment, settings: Settings, links: Links) {
    let Environment {
        client,
        metrics,
        end,
        ..
    } = environment.clone();
    let observed = Observed::unwatched();
    let wake = Arc::new(Notify::new());
    let follow = observed.clone().follow(
        Api::<Secret>::namespaced(client, &settings.namespace),
        settings.origin.secret().to_owned(),
        Arc::clone(&wake),
        end.clone(),
    );
    let keeper = Keeper {
        environment,
        settings,
        links,
        observed,
        served: None,
    };
    let keep = controller::run(NAME, keeper, wake, metrics, end);
    tokio::join!(Box::pin(follow), Box::pin(keep));
}

struct Keeper {
    environment: Environment,
    settings: Settings,
    links: Links,
    observed: Observed<Secret>,
    served: Option<Certificate>,
}

impl Reconciler for Keeper {
    type Error = Error;

    async fn reconcile(&mut self) -> Result<Duration, Error> {
        let now = self.environment.clock.now();
        let outcome = self.take_in(now);
        let standing = match &outcome {
            Ok(standing) => standing.clone(),
            Err(error) => Standing::Unusable(chain(error)),
        };
        self.links.standing.send_if_modified(|known| {
            let is_news = *known != standing;
            *known = standing;
            is_news
        });
        outcome?;
        match self.observed.fault() {
            Some(fault) => Err(Error::Watch(WatchFault(fault))),
            None => Ok(CHECK_EVERY),
        }
    }
}

impl Keeper {
    /// Serves what the Secret gives, if it can be used and is new. What was served before stays otherwise.
    fn take_in(&mut self, now: SystemTime) -> Result<Standing, Error> {
        let secret = match self.observed.sight() {
            Sight::Present(secret) => secret,
            Sight::Unknown => {
                let fault = self.observed.fault();
                return Ok(fault.map_or_else(unknown, Standing::Pending));
            }
            Sight::Absent => return Ok(Standing::Pending(self.settings.absent())),
        };
        let unusable = |source| Error::Unusable {
            secret: self.settings.secret(),
            source,
        };
        let data = data_of(Some(&secret));
        let host = &self.settings.host;
        let certificate = match &self.settings.origin {
            Origin::Given { .. } => given(&data, host, &self.settings.authority, now),
            Origin::Own {
                service_names,
                lifetime,
                ..
            } => {
                let usable = self.served.as_ref().filter(|served| {
                    let left = served.ends().duration_since(now).unwrap_or_default();
                    left > part_left(*lifetime)
                });
                issued(&data, host, service_names, *lifetime, usable, now)
            }
        };
        let certificate = certificate.map_err(unusable)?;
        self.serve(certificate)
    }

    fn serve(&mut self, certificate: Certificate) -> Result<Standing, Error> {
        let expiry = &self.links.expiry;
        if self
            .served
            .as_ref()
            .is_none_or(|served| !served.is_same(&certificate))
        {
            let identity = certificate.identity.clone();
            self.links.store.publish(identity).map_err(Error::Serve)?;
            let not_after = rfc3339(certificate.ends());
            tracing::info!(
                x509.not_after = not_after,
                "serving a new certificate at the direct endpoint"
            );
        }
        expiry.show("direct_leaf", Some(certificate.ends()));
        let told = match &self.settings.authority {
            AdvertisedAuthority::OfCertificate => certificate.authorities.as_ref(),
            AdvertisedAuthority::Public => None,
            AdvertisedAuthority::Given(roots) => Some(roots),
        };
        let told = told.map(|roots| BASE64_STANDARD.encode(roots.to_pem()));
        self.served = Some(certificate);
        Ok(Standing::Listening(told))
    }
}

impl Origin {
    fn secret(&self) -> &str {
        match self {
            Self::Given { secret } | Self::Own { secret, .. } => secret,
        }
    }
}

impl Settings {
    /// Namespace and name of the Secret.
    fn secret(&self) -> String {
        format!("{}/{}", self.namespace, self.origin.secret())
    }

    /// What to do about a Secret that is not there.
    fn absent(&self) -> String {
        let secret = self.secret();
        match &self.origin {
            Origin::Given { .. } => format!(
                "there is no Secret {secret}; make it, of type kubernetes.io/tls and for the host {}, or take \
                 directEndpoint.tlsSecretName out",
                self.host
            ),
            Origin::Own { .. } => {
                format!("the leader has not made the CA in Secret {secret} yet")
            }
        }
    }
}
