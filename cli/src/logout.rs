//! `haulout logout`: forgets what logins have left behind, here and at their issuers.

mod error;
mod fate;
mod issuers;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::Environment;
use crate::arguments::{CaFlags, LogoutFlags, OidcLogin};
use crate::ca::CaBundle;
use crate::cache_file::CacheError;
use crate::console::Console;
use crate::credential_cache::CredentialCache;
use crate::exec_stanza::ExecStanza;
use crate::login_lock::LoginLock;
use crate::login_oidc;
use crate::oidc::provider;
use crate::runtime::block_on;
use crate::secret_variable::secret_of;
use crate::session_cache::{self, KeptSession, SessionCache, SessionKey, Which};
use crate::standard_output::print;

pub(crate) use error::LogoutError;
use fate::Fate;
use issuers::Issuers;

/// Longest time that a login is waited for, whose session is to end anyway.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// What is forgotten, and how its issuers are spoken to.
struct Wanted<'a> {
    issuer: Option<&'a str>,
    /// The session of a kubeconfig's login.
    session: Option<SessionKey>,
    ca: &'a CaFlags,
    client_secret_env: Option<&'a str>,
    session_cache: Option<&'a str>,
    credential_cache: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// What the flags say, and what the login of a kubeconfig says where they say nothing.
    fn of(flags: &'a LogoutFlags, login: Option<&'a OidcLogin>) -> Result<Self, LogoutError> {
        if let Some(issuer) = &flags.issuer {
            provider::https("issuer", issuer)
                .map_err(|error| LogoutError::Issuer(Box::new(error)))?;
        }
        let has_ca = !flags.ca.ca_bundle.is_empty() || !flags.ca.ca_bundle_data.is_empty();
        if let (Some(issuer), Some(login)) = (&flags.issuer, login)
            && *issuer != login.issuer
        {
            return Err(LogoutError::OtherIssuer(login.issuer.clone()));
        }
        let either = |flag: &'a Option<String>, of: fn(&OidcLogin) -> &Option<String>| {
            let of_login = login.and_then(|login| of(login).as_deref());
            flag.as_deref().or(of_login)
        };
        Ok(Self {
            issuer: match &flags.issuer {
                Some(issuer) => Some(issuer),
                None => login.map(|login| login.issuer.as_str()),
            },
            // The kubeconfig of somebody else may name a CA that would pose as the issuer of another session.
            session: login.filter(|_| !has_ca).map(login_oidc::session_key),
            ca: login.map_or(&flags.ca, |login| match has_ca {
                true => &flags.ca,
                false => &login.ca,
            }),
            client_secret_env: either(&flags.client_secret_env, |login| &login.client_secret_env),
            session_cache: either(&flags.session_cache, |login| &login.session_cache),
            credential_cache: either(&flags.credential_cache, |login| &login.credential_cache),
        })
    }

    fn which(&self) -> Which<'_> {
        match (&self.session, self.issuer) {
            (Some(key), _) => Which::OfLogin(key),
            (None, Some(issuer)) => Which::OfIssuer(issuer),
            (None, None) => Which::All,
        }
    }
}

/// Forgets all credentials, and the sessions of the named issuer, or kubeconfig, or of all; has each issuer revoke their tokens
/// before.
///
/// An issuer that cannot be reached keeps nobody logged in here: it is told and the rest is done. A session that another call
/// of this command can have revoked stays for it.
pub(crate) fn run(
    flags: &LogoutFlags,
    environment: Environment<'_>,
    now: SystemTime,
    stdout: &mut dyn Write,
    console: &Console<'_>,
) -> Result<(), LogoutError> {
    let stanza = flags.context();
    let stanza = stanza.map(|context| ExecStanza::of(&context, environment));
    let stanza = stanza.transpose()?;
    let of_login = |name: &str| match &stanza {
        Some(stanza) => stanza.variable(name, environment),
        None => environment(name),
    };
    let wanted = Wanted::of(flags, stanza.as_ref().map(|stanza| &*stanza.login))?;
    // What is wrong with the command line is told before anything is forgotten.
    let ca = CaBundle::from_flags(wanted.ca)?;
    let secret = wanted
        .client_secret_env
        .map(|variable| secret_of("--client-secret-env", variable, &of_login));
    let secret = secret.transpose()?;
    let credentials = CredentialCache::chosen(wanted.credential_cache, &of_login);
    let cleared = credentials.map_or(Ok(false), |cache| {
        if flags.credential_cache.is_some() {
            warn_if_missing("credential", cache.path(), console);
        }
        cache.clear().map(|()| true)
    });
    let roots = CaBundle::trust_roots(ca.as_ref());
    let issuers = Issuers {
        may_name_more: stanza.is_none() && !flags.forget,
        keeps_others: !flags.forget,
        // Those that this process trusts, whatever the kubeconfig sets for its login.
        name_of_roots: session_cache::name_of(&roots, environment),
        roots,
        secret,
        console,
    };
    let roots = session_cache::name_of(&issuers.roots, &of_login);
    let sessions = SessionCache::chosen(wanted.session_cache, &of_login, roots);
    let ended = match sessions {
        Some(cache) => {
            let named = flags.session_cache.as_deref();
            if named.is_some_and(session_cache::is_file) {
                warn_if_missing("session", cache.path(), console);
            }
            end_sessions(&cache, wanted.which(), &issuers, now)
        }
        None if wanted.session_cache.is_none_or(str::is_empty) => Err(LogoutError::NoPlace),
        None => Ok(Ended::nothing("No session".to_owned())),
    };
    let is_cleared = matches!(cleared, Ok(true));
    let done = ended.and_then(|ended| ended.tell(is_cleared, stdout));
    match (done, cleared) {
        (Ok(()), cleared) => Ok(cleared.map(drop)?),
        (Err(error), Ok(_)) => Err(error),
        (Err(error), Err(fault)) => {
            console.warn_of(&fault);
            Err(error)
        }
    }
}

/// What became of the sessions that were meant.
struct Ended {
    /// The issuer of each, and its fate.
    fates: Vec<(String, Fate)>,
    /// What is told where there were none.
    nothing: String,
    /// The cache, if it could not be read.
    damaged: Option<String>,
}

impl Ended {
    fn nothing(nothing: String) -> Self {
        Self {
            fates: Vec::new(),
            nothing,
            damaged: None,
        }
    }

    fn tell(&self, is_cleared: bool, stdout: &mut dyn Write) -> Result<(), LogoutError> {
        if let Some(place) = &self.damaged {
            return Err(LogoutError::Damaged(place.clone()));
        }
        if self.fates.is_empty() {
            let end = match is_cleared {
                true => "; all credentials are forgotten.",
                false => ".",
            };
            print(stdout, crate::printable(&self.nothing) + end + "\n")?;
        }
        for (issuer, fate) in &self.fates {
            print(stdout, crate::printable(&fate.line(issuer)) + "\n")?;
        }
        let count = |is_so: fn(&Fate) -> bool| {
            let fates = self.fates.iter();
            fates.filter(|(_, fate)| is_so(fate)).count()
        };
        let kept = count(Fate::is_kept);
        let unrevoked = count(|fate| matches!(fate, Fate::Unrevoked(_) | Fate::Forgotten));
        match kept + unrevoked {
            0 => Ok(()),
            _ => Err(LogoutError::Left { kept, unrevoked }),
        }
    }
}

fn end_sessions(
    cache: &SessionCache,
    which: Which<'_>,
    issuers: &Issuers<'_>,
    now: SystemTime,
) -> Result<Ended, LogoutError> {
    let console = issuers.console;
    let found = cache.list(which, now);
    let is_damaged = matches!(found, Err(CacheError::Damaged(_)));
    let found = readable(found)?;
    // Nobody gets new tokens for one of them meanwhile.
    let _locks: Vec<_> = found
        .iter()
        .map(|session| session.key.digest())
        .collect::<BTreeSet<_>>()
        .iter()
        .map(|session| LoginLock::wait(cache.path(), session, LONGEST_WAIT, console))
        .map(|lock| lock.inspect_err(|error| console.warn_of(error)))
        .collect();
    let sessions = readable(cache.list(which, now))?;
    let fates = block_on(async {
        let mut fates = Vec::with_capacity(sessions.len());
        for session in &sessions {
            let fate = match session.is_of_others(&issuers.name_of_roots) {
                true if issuers.keeps_others => Fate::OfOtherRoots,
                true => Fate::Forgotten,
                false => issuers.end(session).await,
            };
            let issuer = session.key.issuer.clone();
            if let Some(warning) = fate.warning(&issuer) {
                console.say(format_args!("Warning: {warning}"));
            }
            fates.push((issuer, fate));
        }
        fates
    })?;
    let kept: Vec<_> = sessions
        .iter()
        .zip(&fates)
        .filter(|(_, (_, fate))| fate.is_kept())
        .map(|(session, _)| session)
        .collect();
    cache.remove(which, &kept)?;
    let others = match fates.is_empty() {
        true => readable(cache.list(Which::All, now))?,
        false => Vec::new(),
    };
    let others: BTreeSet<_> = others
        .iter()
        .map(|session| session.key.issuer.as_str())
        .collect();
    let others: Vec<_> = others.into_iter().collect();
    let nothing = fate::no_session(which, &cache.place(), &others);
    Ok(Ended {
        fates,
        nothing,
        damaged: is_damaged.then(|| cache.place()),
    })
}

/// Tells of a file that was named and is not there: another one may be meant.
fn warn_if_missing(name: &str, path: &Path, console: &Console<'_>) {
    if matches!(path.try_exists(), Ok(false)) {
        console.say(format_args!(
            "Warning: there is no {name} cache {}",
            path.display()
        ));
    }
}

/// What a damaged file has kept is lost in any case.
fn readable(listed: Result<Vec<KeptSession>, CacheError>) -> Result<Vec<KeptSession>, CacheError> {
    match listed {
        Err(CacheError::Damaged(_)) => Ok(Vec::new()),
        listed => listed,
    }
}
