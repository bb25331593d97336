//! What a catalogue says, checked: a user has no other way to find out that a line of it is wrong.

use std::collections::BTreeSet;

use clap::Parser as _;
use kube::config::Cluster;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use url::Url;

use crate::arguments::{Arguments, Command, ConciergeFlags, Login};
use crate::ca::{CaBundle, CaFault};
use crate::cache_file;
use crate::exchange::{ParameterError, Parameters};
use crate::kubeconfig_source::is_proxy;
use crate::oidc::{OidcError, provider};
use crate::printable;
use crate::session_cache;

/// A catalogue; `docs/cli.md` describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    clusters: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Listed {
    name: String,
    server: String,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
    namespace: Option<String>,
    arguments: Vec<String>,
}

/// A cluster of a catalogue that can be used.
#[derive(Clone, Debug)]
pub(super) struct ListedCluster {
    pub(super) name: String,
    pub(super) cluster: Cluster,
    pub(super) namespace: Option<String>,
    /// Of this program.
    pub(super) arguments: Vec<String>,
    /// Whether the login may ask the user something.
    pub(super) may_ask: bool,
    /// What leaves the user's computer, and where to.
    pub(super) told: String,
}

/// What is wrong with a catalogue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClustersError {
    #[error("{0}")]
    Yaml(String),
    #[error("it lists no clusters")]
    Empty,
    #[error("clusters[{index}].name \"{name}\" is that of another cluster too")]
    Twice { index: usize, name: String },
    #[error("clusters[{index}].{fault}")]
    Field { index: usize, fault: FieldFault },
}

/// What is wrong with a field of a cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FieldFault {
    #[error("name is empty, begins with -, or holds what does not show")]
    Name,
    #[error("namespace is no name of a namespace")]
    Namespace,
    #[error("tlsServerName is no name of a server")]
    TlsServerName,
    #[error("{0} is no https URL without user and password")]
    NotHttps(&'static str),
    #[error("proxyUrl is no URL without user and password")]
    Proxy,
    #[error("certificateAuthorityData cannot be used: {0}")]
    Ca(CaFault),
    #[error("arguments are none of `haulout`: {0}")]
    NotUnderstood(String),
    #[error("arguments must begin with login, oidc or login, static")]
    NoLogin,
    #[error("arguments have {0} twice")]
    Twice(String),
    #[error("arguments have --{0}, which has no place in a catalogue: {1}")]
    Flag(&'static str, &'static str),
    #[error("arguments: issuer: {0}")]
    Issuer(Box<OidcError>),
    #[error("arguments: {0}")]
    Parameters(ParameterError),
}

/// A name that was asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue has no cluster {wanted:?}; it has {}", listed.join(", "))]
pub(crate) struct ChoiceError {
    wanted: String,
    listed: Vec<String>,
}

/// The clusters of a catalogue, which is YAML.
pub(super) fn read(text: &str) -> Result<Vec<ListedCluster>, ClustersError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let catalogue: Catalogue = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| ClustersError::Yaml(error.to_string()))?;
    if catalogue.clusters.is_empty() {
        return Err(ClustersError::Empty);
    }
    let mut names = BTreeSet::new();
    let mut clusters = Vec::with_capacity(catalogue.clusters.len());
    for (index, listed) in catalogue.clusters.into_iter().enumerate() {
        let cluster = check(listed).map_err(|fault| ClustersError::Field { index, fault })?;
        if !names.insert(cluster.name.clone()) {
            let name = cluster.name;
            return Err(ClustersError::Twice { index, name });
        }
        clusters.push(cluster);
    }
    Ok(clusters)
}

/// Those that were asked for, in that order; all, if none was.
pub(super) fn choose(
    clusters: Vec<ListedCluster>,
    wanted: &[String],
) -> Result<Vec<ListedCluster>, ChoiceError> {
    if wanted.is_empty() {
        return Ok(clusters);
    }
    let find = |name: &String| {
        let found = clusters.iter().find(|cluster| cluster.name == *name);
        found.cloned().ok_or_else(|| ChoiceError {
            wanted: name.clone(),
            listed: clusters
                .iter()
                .map(|cluster| cluster.name.clone())
                .collect(),
        })
    };
    let mut seen = BTreeSet::new();
    let wanted = wanted.iter().filter(|name| seen.insert(*name));
    wanted.map(find).collect()
}

fn check(listed: Listed) -> Result<ListedCluster, FieldFault> {
    let name = listed.name.as_str();
    if name.is_empty() || name.starts_with('-') || printable(name) != name {
        return Err(FieldFault::Name);
    }
    if !listed.namespace.as_deref().is_none_or(is_label) {
        return Err(FieldFault::Namespace);
    }
    let is_server_name = |name: &str| ServerName::try_from(name).is_ok();
    if !listed.tls_server_name.as_deref().is_none_or(is_server_name) {
        return Err(FieldFault::TlsServerName);
    }
    let server = url_without_password(&listed.server).filter(|url| url.scheme() == "https");
    server.ok_or(FieldFault::NotHttps("server"))?;
    if let Some(proxy) = &listed.proxy_url {
        let is_good = is_proxy(proxy) && url_without_password(proxy).is_some();
        is_good.then_some(()).ok_or(FieldFault::Proxy)?;
    }
    let ca = listed.certificate_authority_data.as_deref();
    let ca = ca.map(CaBundle::from_base64).transpose();
    let ca = ca.map_err(FieldFault::Ca)?;
    let (may_ask, told) = check_arguments(&listed.arguments, &listed.server)?;
    Ok(ListedCluster {
        name: listed.name,
        cluster: Cluster {
            server: Some(listed.server),
            certificate_authority_data: ca.map(|ca| ca.to_base64()),
            tls_server_name: listed.tls_server_name,
            proxy_url: listed.proxy_url,
            ..Cluster::default()
        },
        namespace: listed.namespace,
        arguments: listed.arguments,
        may_ask,
        told,
    })
}

fn url_without_password(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// A label of DNS (RFC 1123), as names of namespaces are.
fn is_label(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let has_ends = !text.starts_with('-') && !text.ends_with('-');
    (1..=63).contains(&text.len()) && has_ends && text.chars().all(is_part)
}

/// Whether the login may ask the user something, and what it sends where; an error if it cannot work, holds a secret, or names files:
/// those would be files of whoever takes the catalogue.
fn check_arguments(arguments: &[String], server: &str) -> Result<(bool, String), FieldFault> {
    check_repetition(arguments)?;
    let all = ["haulout"].into_iter();
    let all = all.chain(arguments.iter().map(String::as_str));
    let parsed = Arguments::try_parse_from(all)
        .map_err(|error| FieldFault::NotUnderstood(complaint(&error.render().to_string())))?;
    let target = |concierge: &ConciergeFlags| {
        let door = concierge.concierge_endpoint.as_str();
        match concierge.enable_concierge && Url::parse(door) != Url::parse(server) {
            true => format!("{server}, by way of {door}"),
            false => server.to_owned(),
        }
    };
    Ok(match &parsed.command {
        Command::Login(Login::Oidc(login)) => {
            let issuer = provider::https("issuer", &login.issuer);
            issuer.map_err(|error| FieldFault::Issuer(Box::new(error)))?;
            let has_file = !login.ca.ca_bundle.is_empty();
            let instead = "give the certificates by --ca-bundle-data";
            refuse(has_file, "ca-bundle", instead)?;
            let sessions = login.session_cache.as_deref();
            let has_file = sessions.is_some_and(session_cache::is_file);
            refuse(has_file, "session-cache", FILE)?;
            refuse_credential_file(login.credential_cache.as_deref())?;
            check_concierge(&login.concierge)?;
            let secret = login.client_secret_env.as_ref();
            let secret = secret.map(|variable| format!("${variable}"));
            let has_ca = !login.ca.ca_bundle_data.is_empty();
            // Who holds one of them may pose as any issuer.
            let ca = has_ca.then(|| "the catalogue's own CA certificates".to_owned());
            let with: Vec<_> = [ca, secret].into_iter().flatten().collect();
            let with = match with.is_empty() {
                true => String::new(),
                false => format!(" with {}", with.join(" and ")),
            };
            let (issuer, target) = (&login.issuer, target(&login.concierge));
            (true, format!("logs in at {issuer}{with}, for {target}"))
        }
        Command::Login(Login::Static(login)) => {
            let has_token = !login.token.is_empty();
            let instead =
                "everybody who reads it has the token now; name a variable by --token-env";
            refuse(has_token, "token", instead)?;
            refuse_credential_file(login.credential_cache.as_deref())?;
            check_concierge(&login.concierge)?;
            let (variable, target) = (&login.token_env, target(&login.concierge));
            (false, format!("sends ${variable} to {target}"))
        }
        _ => return Err(FieldFault::NoLogin),
    })
}

/// The last one wins, so that one could hide behind another.
fn check_repetition(arguments: &[String]) -> Result<(), FieldFault> {
    const LISTS: [&str; 3] = ["--ca-bundle-data", "--extra-parameter", "--scopes"];
    let mut seen = BTreeSet::new();
    let flags = arguments
        .iter()
        .filter(|argument| argument.starts_with("--"));
    for flag in flags.map(|flag| flag.split_once('=').map_or(flag.as_str(), |(name, _)| name)) {
        if !LISTS.contains(&flag) && !seen.insert(flag) {
            return Err(FieldFault::Twice(flag.to_owned()));
        }
    }
    Ok(())
}

/// What is wrong of a text that goes on to say how it is done right.
fn complaint(text: &str) -> String {
    let lines = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:"))
        .map(str::trim);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}

const FILE: &str = "each user has files of his own";

fn refuse(has_it: bool, flag: &'static str, instead: &'static str) -> Result<(), FieldFault> {
    match has_it {
        true => Err(FieldFault::Flag(flag, instead)),
        false => Ok(()),
    }
}

fn refuse_credential_file(flag: Option<&str>) -> Result<(), FieldFault> {
    refuse(
        flag.is_some_and(cache_file::is_file),
        "credential-cache",
        FILE,
    )
}

fn check_concierge(flags: &ConciergeFlags) -> Result<(), FieldFault> {
    Parameters::of_login(flags)
        .map(drop)
        .map_err(FieldFault::Parameters)
}

#[cfg(test)]
mod tests;
