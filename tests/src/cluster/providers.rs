//! OIDC providers that people run, as plain processes beside a cluster: oidc-provider and Keycloak.

mod browser;
mod form;
mod installation;
mod keycloak;
mod oidc_provider;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::keycloak::find_or_install as find_or_install_keycloak;
pub use self::oidc_provider::find_or_install as find_or_install_oidc_provider;
use super::process::{Launch, Process};
use super::{Cluster, PORT_TRIES, free_ports, ports, progress, wait_for};

/// A running provider; dropping it ends it. Drop it before its cluster.
#[derive(Debug)]
pub struct Provider {
    process: Process,
    kind: Kind,
    issuer: String,
    ca: PathBuf,
}

/// What makes one provider another.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    /// Scopes that bring a user's name and groups into the ID token.
    scope: &'static str,
    start_limit: Duration,
}

/// Where a provider is to be reached, and the files of its TLS endpoint.
struct Endpoint {
    port: u16,
    certificate: PathBuf,
    key: PathBuf,
}

impl Provider {
    /// Starts one on a free port, and waits until its discovery document is there.
    async fn start(
        cluster: &Cluster,
        kind: Kind,
        describe: impl Fn(&Endpoint) -> anyhow::Result<(String, Launch)>,
    ) -> anyhow::Result<Self> {
        crate::ensure_crypto();
        let mut tries = 1;
        loop {
            let (ca, pair) = cluster.pki().foreign_server(kind.name)?;
            let [port] = free_ports()?;
            let (issuer, launch) = describe(&Endpoint {
                port,
                certificate: pair.certificate,
                key: pair.key,
            })?;
            let mut provider = Self {
                process: Process::start(launch)?,
                kind,
                issuer,
                ca,
            };
            match provider.wait_until_ready().await {
                Err(error) if tries < PORT_TRIES && ports::is_clash(&error) => tries += 1,
                result => return result.map(|()| provider),
            }
        }
    }

    /// URL of the issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Path of the CA certificate of its HTTPS endpoint.
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// Path of its log.
    pub fn log(&self) -> PathBuf {
        self.process.log()
    }

    /// Goes through the authorization code flow with PKCE as the user of a browser, who types what `typed` has for the
    /// names of the login form's fields, and gives the ID token for this client.
    ///
    /// # Errors
    /// The provider did not answer as it should, or lets nobody in who types this.
    pub async fn log_in(&self, client: &str, typed: &[(&str, &str)]) -> anyhow::Result<String> {
        let http = browser::client(&self.ca)?;
        browser::fetch_id_token(&http, &self.issuer, client, self.kind.scope, typed).await
    }

    /// Kills the provider, starts it again at the same URL, and waits until it is ready.
    ///
    /// # Errors
    /// It did not become ready in time.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.restart()?;
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let http = browser::client(&self.ca)?;
        let Kind {
            name, start_limit, ..
        } = self.kind;
        let ready = format!("{name} ready");
        let parts = &mut [&mut self.process];
        let wait = wait_for(&ready, start_limit, parts, async || {
            browser::discover(&http, &self.issuer).await
        });
        progress::with_heartbeat(&format!("starting {name}"), wait)
            .await
            .map(drop)
    }
}

impl Endpoint {
    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}
