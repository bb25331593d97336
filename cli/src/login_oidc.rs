//! `haulout login oidc`: a user logs in at an OIDC issuer, and the token becomes a credential for kubectl.
//!
//! In this order: the credential cache, which needs nothing else; the lock of the session, under which only one program goes
//! on; both caches again, for what another got meanwhile; the issuer; the exchange at the cluster.

mod browser;
mod error;
mod flow;
mod issuer;
mod paste;
mod session;
mod settings;
mod step;
mod whither;

use std::ffi::OsString;
use std::io::Write;
use std::time::{Duration, SystemTime};

use secrecy::SecretString;

use crate::Environment;
use crate::arguments::{Flow, OidcLogin};
use crate::cache_file::CacheError;
use crate::clock::Clock;
use crate::console::Console;
use crate::credential_cache::{self, CredentialCache};
use crate::exec_credential::{CredentialStatus, ExecInfo};
use crate::login_lock::{LockError, LoginLock};
use crate::runtime::block_on;
use crate::session_cache::{self, SessionCache, SessionKey, Tokens};
use crate::standard_output::print;
use crate::terminal;

pub(crate) use error::OidcLoginError;
use session::Session;
use settings::Settings;
pub(crate) use settings::session_key;
use step::Step;

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
    console: &Console<'_>,
) -> Result<(), OidcLoginError> {
    let Surroundings {
        environment, clock, ..
    } = *surroundings;
    let settings = Settings::parse(login, environment)?;
    let info = ExecInfo::of(environment);
    let caches = Caches::open(login, &settings, surroundings, &info)?;
    let credential = match caches.credential(clock, console) {
        Some(credential) => credential,
        None => renew(&settings, &caches, surroundings, &info, console)?,
    };
    let line = credential
        .to_exec_credential(info.version)
        .map_err(OidcLoginError::Encode)?;
    Ok(print(stdout, &line)?)
}

/// The token that a login with these flags sends to the cluster now, if the session has it.
pub(crate) fn token_of_session(
    login: &OidcLogin,
    environment: Environment<'_>,
    now: SystemTime,
) -> Option<SecretString> {
    let settings = Settings::parse(login, environment).ok()?;
    let cache = sessions(login, &settings, environment)?;
    let tokens = cache.peek(&settings.session_key, now).ok()??;
    match Step::of_fresh(tokens, settings.audience.as_deref()) {
        Step::Use(id) => Some(id.token.into()),
        Step::Exchange(_) | Step::Refresh(_) | Step::LogIn => None,
    }
}

/// Gets a credential while all others of the session wait.
fn renew(
    settings: &Settings,
    caches: &Caches,
    surroundings: &Surroundings<'_>,
    info: &ExecInfo,
    console: &Console<'_>,
) -> Result<CredentialStatus, OidcLoginError> {
    let clock = surroundings.clock;
    let key = &settings.session_key;
    let is_interactive = info.is_interactive && terminal::is_interactive();
    let _lock = caches.lock(key, flow::limit(is_interactive), console)?;
    if let Some(credential) = caches.credential_of_another(clock) {
        console.debug(|| "another haulout has just logged in to the same session".to_owned());
        return Ok(credential);
    }
    let credential = block_on(async {
        let mut session = Session {
            settings,
            caches,
            key,
            clock,
            environment: surroundings.environment,
            is_interactive,
            console,
            browser: None,
        };
        let login = async {
            let token = session.id_token().await?;
            session.credential(token).await
        };
        tokio::select! {
            biased;
            () = terminal::interrupted(), if is_interactive => Err(OidcLoginError::Interrupted),
            credential = login => credential,
        }
    })?;
    if matches!(credential, Err(OidcLoginError::Interrupted)) {
        // The cursor stands behind a question.
        console.tell("");
    }
    let credential = credential?;
    caches.keep_credential(&credential, clock, console);
    Ok(credential)
}

/// Where sessions are kept. None of a program's own login is: its token is no person's, and costs one call.
fn sessions(
    login: &OidcLogin,
    settings: &Settings,
    environment: Environment<'_>,
) -> Option<SessionCache> {
    if settings.flow == Some(Flow::ClientCredentials) {
        return None;
    }
    let roots = session_cache::name_of(&settings.roots, environment);
    SessionCache::chosen(login.session_cache.as_deref(), environment, roots)
}

/// Where things are kept from one run to the next. What is wrong with them fails no login.
struct Caches {
    credentials: Option<CredentialCache>,
    credential_key: String,
    sessions: Option<SessionCache>,
    debug_sessions: bool,
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
        Ok(Self {
            credentials: CredentialCache::chosen(login.credential_cache.as_deref(), environment),
            credential_key,
            sessions: sessions(login, settings, environment),
            debug_sessions: login.switches.debug_session_cache,
        })
    }

    fn credential(&self, clock: Clock, console: &Console<'_>) -> Option<CredentialStatus> {
        let Some(cache) = &self.credentials else {
            console.debug(credential_cache::told_off);
            return None;
        };
        cache.look_up(&self.credential_key, clock.now(), console)
    }

    /// The lock of the session. Where there can be none, the login goes on without it; but not beside another that has it, which
    /// may be about to spend the refresh token, or has a browser open already.
    fn lock(
        &self,
        key: &SessionKey,
        limit: Duration,
        console: &Console<'_>,
    ) -> Result<Option<LoginLock>, OidcLoginError> {
        let sessions = self.sessions.as_ref();
        // Without a place for the lock there is none for the cache either, and nothing to share.
        let Some(sessions) = sessions.filter(|sessions| sessions.check_place().is_ok()) else {
            return Ok(None);
        };
        match LoginLock::wait(sessions.path(), &key.digest(), limit, console) {
            Ok(lock) => Ok(Some(lock)),
            Err(LockError::ReaderGone) => Err(OidcLoginError::Abandoned),
            Err(error @ LockError::TimedOut { .. }) => Err(OidcLoginError::OfAnother(error)),
            Err(error @ LockError::Io(_)) => {
                console.report(&error, self.debug_sessions);
                Ok(None)
            }
        }
    }

    /// What another program has got while this one waited. What is wrong with the cache has been told.
    fn credential_of_another(&self, clock: Clock) -> Option<CredentialStatus> {
        let cache = self.credentials.as_ref()?;
        cache.get(&self.credential_key, clock.now()).ok()?
    }

    fn keep_credential(&self, credential: &CredentialStatus, clock: Clock, console: &Console<'_>) {
        if let Some(cache) = &self.credentials {
            cache.keep(&self.credential_key, credential, clock.now(), console);
        }
    }

    /// The tokens of a session, as far as they are good.
    fn session(&self, key: &SessionKey, clock: Clock, console: &Console<'_>) -> Tokens {
        let tokens = self.session_unsaid(key, clock, console);
        console.debug(|| match &self.sessions {
            Some(cache) => {
                let path = cache.path().display();
                format!("session cache {path}: {}", tokens.told())
            }
            None => "session cache: off".to_owned(),
        });
        tokens
    }

    fn session_unsaid(&self, key: &SessionKey, clock: Clock, console: &Console<'_>) -> Tokens {
        let Some(cache) = &self.sessions else {
            return Tokens::default();
        };
        let found = self.or_report(cache.get(key, clock.now()), console);
        found.flatten().map_or_else(Tokens::default, |found| {
            self.or_report(found.noted, console);
            found.tokens
        })
    }

    fn keep_session(&self, key: &SessionKey, tokens: &Tokens, clock: Clock, console: &Console<'_>) {
        if let Some(cache) = &self.sessions
            && let Some(()) = self.or_report(cache.put(key, tokens, clock.now()), console)
        {
            console.debug(|| format!("session cache {}: written", cache.path().display()));
        }
    }

    fn or_report<T>(&self, result: Result<T, CacheError>, console: &Console<'_>) -> Option<T> {
        let asked = self.debug_sessions;
        let told = result.map_err(|error| error.report(asked, console));
        told.ok()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::arguments::{Arguments, Command, Login};
    use crate::session_cache::{IdToken, timestamp};

    const SILENT: crate::console::Print<'_> = &|_| Ok(());

    fn key() -> SessionKey {
        SessionKey {
            client_id: "pinniped-cli".to_owned(),
            issuer: "https://login.example.com".to_owned(),
            redirect_uri: "http://localhost:0/callback".to_owned(),
            scopes: vec!["openid".to_owned()],
            upstream_provider_name: String::new(),
        }
    }

    fn caches(folder: &std::path::Path) -> Caches {
        let cache = folder.join("sessions.yaml");
        let sessions = SessionCache::chosen(cache.to_str(), &|_| None, "system".to_owned());
        Caches {
            credentials: None,
            credential_key: String::new(),
            sessions,
            debug_sessions: false,
        }
    }

    #[test]
    fn nobody_logs_in_beside_another_however_long_that_takes() {
        let folder = tempfile::tempdir().unwrap();
        let console = Console::new(SILENT, false, &|_| None);
        let caches = caches(folder.path());
        let limit = Duration::from_millis(60);
        let _other = caches.lock(&key(), limit, &console).unwrap().unwrap();
        let error = caches.lock(&key(), limit, &console).unwrap_err();
        let expected = format!(
            "could not complete Pinniped login: another haulout (process {}) is still logging in to the same session; \
             finish or end that login",
            std::process::id()
        );
        assert_eq!(crate::chain(&error), expected);
    }

    #[test]
    fn a_login_goes_on_where_there_can_be_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let console = Console::new(SILENT, false, &|_| None);
        let in_the_way = format!("sessions.yaml.{}.lock", key().digest());
        std::fs::create_dir(folder.path().join(in_the_way)).unwrap();
        let lock = caches(folder.path()).lock(&key(), Duration::ZERO, &console);
        assert!(lock.unwrap().is_none());
    }

    /// However short its life is: kubectl is not to use it.
    #[test]
    fn a_token_of_the_session_is_shown_to_whoever_looks_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("sessions.yaml");
        let cache = format!("--session-cache={}", cache.display());
        let issuer = "--issuer=https://login.example.com";
        let arguments = ["haulout", "login", "oidc", issuer, &cache];
        let parsed = Arguments::try_parse_from(arguments).unwrap().command;
        let Command::Login(Login::Oidc(login)) = parsed else {
            panic!("parsed as {parsed:?}");
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let settings = Settings::parse(&login, &|_| None).unwrap();
        let tokens = Tokens {
            id: Some(IdToken {
                token: "id".to_owned(),
                expiry_timestamp: Some(timestamp(now + Duration::from_secs(30)).unwrap()),
                claims: serde_json::Map::new(),
            }),
            ..Tokens::default()
        };
        let cache = sessions(&login, &settings, &|_| None).unwrap();
        cache.put(&settings.session_key, &tokens, now).unwrap();
        let seen = |seconds| {
            let now = now + Duration::from_secs(seconds);
            let token = token_of_session(&login, &|_| None, now)?;
            Some(token.expose_secret().to_owned())
        };
        assert_eq!(seen(29).as_deref(), Some("id"));
        assert_eq!(seen(30), None);
    }
}
