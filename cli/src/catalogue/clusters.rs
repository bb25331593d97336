//! What a catalogue says, checked: a user has no other way to find out that a line of it is wrong.

use std::collections::BTreeSet;

use clap::Parser as _;
use kube::config::Cluster;
use serde::Deserialize;
use url::Url;

use crate::arguments::{Arguments, CaFlags, Command, ConciergeFlags, Login};
use crate::ca::{CaBundle, CaFault};
use crate::exchange::{ParameterError, Parameters};
use crate::oidc::{OidcError, provider};

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
    #[error("name is empty, or holds a control character")]
    Name,
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
    wanted.iter().map(find).collect()
}

fn check(listed: Listed) -> Result<ListedCluster, FieldFault> {
    if listed.name.is_empty() || listed.name.chars().any(char::is_control) {
        return Err(FieldFault::Name);
    }
    let server = url_without_password(&listed.server).filter(|url| url.scheme() == "https");
    server.ok_or(FieldFault::NotHttps("server"))?;
    if let Some(proxy) = &listed.proxy_url {
        url_without_password(proxy).ok_or(FieldFault::Proxy)?;
    }
    let ca = listed.certificate_authority_data.as_deref();
    let ca = ca.map(CaBundle::from_base64).transpose();
    let ca = ca.map_err(FieldFault::Ca)?;
    let may_ask = check_arguments(&listed.arguments)?;
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
    })
}

fn url_without_password(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// Whether the login may ask the user something; an error if it cannot work, holds a secret, or names files: those would be files
/// of whoever takes the catalogue.
fn check_arguments(arguments: &[String]) -> Result<bool, FieldFault> {
    let all = ["haulout"].into_iter();
    let all = all.chain(arguments.iter().map(String::as_str));
    let parsed = Arguments::try_parse_from(all).map_err(|error| {
        let text = error.render().to_string();
        let line = text.lines().next().unwrap_or_default();
        FieldFault::NotUnderstood(line.trim_start_matches("error: ").to_owned())
    })?;
    let may_ask = match &parsed.command {
        Command::Login(Login::Oidc(login)) => {
            let issuer = provider::https("issuer", &login.issuer);
            issuer.map_err(|error| FieldFault::Issuer(Box::new(error)))?;
            let CaFlags { ca_bundle, .. } = &login.ca;
            let has_file = !ca_bundle.is_empty();
            refuse(
                has_file,
                "ca-bundle",
                "give the certificates by --ca-bundle-data",
            )?;
            refuse(
                names_file(login.session_cache.as_deref()),
                "session-cache",
                FILE,
            )?;
            refuse(
                names_file(login.credential_cache.as_deref()),
                "credential-cache",
                FILE,
            )?;
            check_concierge(&login.concierge)?;
            true
        }
        Command::Login(Login::Static(login)) => {
            let has_token = !login.token.is_empty();
            refuse(
                has_token,
                "token",
                "everybody who reads it has the token now; name a variable by --token-env",
            )?;
            refuse(
                names_file(login.credential_cache.as_deref()),
                "credential-cache",
                FILE,
            )?;
            check_concierge(&login.concierge)?;
            false
        }
        _ => return Err(FieldFault::NoLogin),
    };
    Ok(may_ask)
}

const FILE: &str = "each user has files of his own";

fn refuse(has_it: bool, flag: &'static str, instead: &'static str) -> Result<(), FieldFault> {
    match has_it {
        true => Err(FieldFault::Flag(flag, instead)),
        false => Ok(()),
    }
}

/// Empty ones name no file, but that there is to be none.
fn names_file(path: Option<&str>) -> bool {
    path.is_some_and(|path| !path.is_empty())
}

fn check_concierge(flags: &ConciergeFlags) -> Result<(), FieldFault> {
    if flags.enable_concierge {
        Parameters::parse(flags).map_err(FieldFault::Parameters)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
