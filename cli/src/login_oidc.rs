//! `haulout login oidc`: a user logs in at an OIDC issuer, and the token becomes a credential for kubectl.
//!
//! In this order: the credential cache, which needs nothing else; the lock of the session, under which only one program goes
//! on; both caches again, for what another got meanwhile; the issuer; the exchange at the cluster.

mod error;
mod flow;
mod issuer;
mod lock;
mod paste;
mod session;
mod settings;
mod step;

use std::ffi::OsString;
use std::io::Write;

use crate::Environment;
use crate::arguments::{Flow, OidcLogin};
use crate::cache_file::CacheError;
use crate::clock::Clock;
use crate::credential_cache::{self, CredentialCache};
use crate::exec_credential::{CredentialStatus, ExecInfo};
use crate::session_cache::SessionCache;

pub(crate) use error::{CaError, OidcLoginError};
pub(crate) use lock::LoginLock;
use session::Session;
use settings::Settings;
pub(crate) use settings::{secret_of, trust_roots};

/// What the command takes from around it.
pub(crate) struct Surroundings<'a> {
    /// The whole command line without the program's name; part of the cache key.
    pub(crate) arguments: &'a [OsString],
    pub(crate) environment: Environment<'a>,
    pub(crate) clock: Clock,
}

/// Prints an `ExecCredential`.
pub(crate) fn run(
    login: &OidcLogin,
    surroundings: &Surroundings<'_>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<(), OidcLoginError> {
    let Surroundings {
        environment, clock, ..
    } = *surroundings;
    let settings = Settings::parse(login, environment)?;
    let info = environment("KUBERNETES_EXEC_INFO")
        .and_then(|text| text.into_string().ok())
        .map(|text| ExecInfo::parse(&text))
        .unwrap_or_default();
    let caches = Caches::open(login, &settings, surroundings, &info)?;
    let credential = match caches.credential(clock, stderr) {
        Some(credential) => credential,
        None => renew(&settings, &caches, surroundings, &info, stderr)?,
    };
    let line = credential
        .to_exec_credential(info.version)
        .map_err(OidcLoginError::Encode)?;
    stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(OidcLoginError::Print)
}

/// Gets a credential while all others of the session wait.
fn renew(
    settings: &Settings,
    caches: &Caches,
    surroundings: &Surroundings<'_>,
    info: &ExecInfo,
    stderr: &mut dyn Write,
) -> Result<CredentialStatus, OidcLoginError> {
    let clock = surroundings.clock;
    let key = settings.session_key();
    // Without a place for the lock there is none for the cache either, and nothing to share.
    let lock = (caches.sessions.as_ref())
        .map(|sessions| LoginLock::wait(sessions.path(), &key.digest(), stderr))
        .and_then(|lock| match lock {
            Ok(lock) => Some(lock),
            Err(error) => {
                caches.report(&error, stderr);
                None
            }
        });
    if lock.as_ref().is_some_and(|lock| lock.has_waited)
        && let Some(credential) = caches.credential(clock, stderr)
    {
        return Ok(credential);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(OidcLoginError::Runtime)?;
    let is_interactive = info.is_interactive && crate::terminal::is_interactive();
    let credential = runtime.block_on(async {
        let mut session = Session {
            settings,
            caches,
            key: &key,
            clock,
            environment: surroundings.environment,
            is_interactive,
            stderr,
            browser: None,
        };
        let token = session.id_token().await?;
        session.credential(token).await
    });
    // A question that nobody has answered is asked no more.
    runtime.shutdown_background();
    let credential = credential?;
    caches.keep_credential(&credential, clock, stderr);
    Ok(credential)
}

/// Where things are kept from one run to the next. What is wrong with them fails no login.
struct Caches {
    credentials: Option<CredentialCache>,
    credential_key: String,
    /// None of a program's own login: its token is no person's, and costs one call.
    sessions: Option<SessionCache>,
    reports: bool,
}

impl Caches {
    fn open(
        login: &OidcLogin,
        settings: &Settings,
        surroundings: &Surroundings<'_>,
        info: &ExecInfo,
    ) -> Result<Self, OidcLoginError> {
        let environment = surroundings.environment;
        let credential_key =
            credential_cache::login_key(surroundings.arguments, info.cluster.as_deref())
                .map_err(OidcLoginError::Encode)?;
        let debug = environment("PINNIPED_DEBUG").is_some_and(|value| value == "true");
        let sessions = login.session_cache.as_deref();
        Ok(Self {
            credentials: CredentialCache::chosen(login.credential_cache.as_deref(), environment),
            credential_key,
            sessions: (settings.flow != Some(Flow::ClientCredentials))
                .then(|| SessionCache::chosen(sessions, environment, &settings.roots))
                .flatten(),
            reports: debug || login.switches.debug_session_cache,
        })
    }

    fn credential(&self, clock: Clock, stderr: &mut dyn Write) -> Option<CredentialStatus> {
        let found = self.credentials.as_ref()?;
        let found = found.get(&self.credential_key, clock.now());
        self.or_report(found, stderr).flatten()
    }

    fn keep_credential(&self, credential: &CredentialStatus, clock: Clock, stderr: &mut dyn Write) {
        if let Some(cache) = &self.credentials {
            let kept = cache.put(&self.credential_key, credential, clock.now());
            self.or_report(kept, stderr);
        }
    }

    fn or_report<T>(&self, result: Result<T, CacheError>, stderr: &mut dyn Write) -> Option<T> {
        if let Err(error @ CacheError::NoCache { .. }) = &result {
            drop(writeln!(
                stderr,
                "Warning: {}",
                crate::printable(&error.to_string())
            ));
        }
        result.map_err(|error| self.report(&error, stderr)).ok()
    }

    fn report(&self, error: &dyn std::error::Error, stderr: &mut dyn Write) {
        if self.reports {
            // A line that cannot be printed is no reason to fail a login.
            drop(writeln!(
                stderr,
                "Debug: {}",
                crate::printable(&crate::chain(error))
            ));
        }
    }
}
