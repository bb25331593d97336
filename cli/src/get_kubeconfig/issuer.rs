//! What the issuer says of how users log in there.

use super::error::GetKubeconfigError;
use super::stanza::Oidc;
use super::upstream::Upstream;
use crate::arguments::KubeconfigFlags;
use crate::ca::CaBundle;
use crate::console::Console;
use crate::oidc::provider::{self, Provider};
use crate::oidc::scopes::{DEFAULT_SCOPES, offered_scopes};
use crate::oidc::{IssuerClient, identity_providers};

/// The client of every Supervisor.
const DEFAULT_CLIENT: &str = "pinniped-cli";
/// Audiences with this are the Supervisor's own.
const RESERVED: &str = ".pinniped.dev";

/// What a JWTAuthenticator says of the issuer; empty where there is none.
#[derive(Debug, Default)]
pub(super) struct FoundIssuer {
    pub(super) url: String,
    pub(super) audience: String,
    /// `None` where its certificate is of a public CA.
    pub(super) ca: Option<CaBundle>,
}

/// How users log in at the issuer of the flags, or else of the JWTAuthenticator.
pub(super) async fn ask(
    flags: &KubeconfigFlags,
    ca: Option<CaBundle>,
    upstream: Upstream,
    found: FoundIssuer,
    console: &Console<'_>,
) -> Result<Oidc, GetKubeconfigError> {
    let fill = |what: &str, given: &str, found: String| match given.is_empty() {
        true if found.is_empty() => found,
        true => {
            console.say(format_args!("discovered OIDC {what} {found}"));
            found
        }
        false => given.to_owned(),
    };
    let issuer = fill("issuer", &flags.oidc.oidc_issuer, found.url);
    let audience = fill(
        "audience",
        &flags.oidc.oidc_request_audience,
        found.audience,
    );
    if issuer.is_empty() {
        return Err(GetKubeconfigError::NoIssuer);
    }
    if audience.contains(RESERVED) {
        return Err(GetKubeconfigError::ReservedAudience(audience));
    }
    if let (None, Some(ca)) = (&ca, &found.ca) {
        console.say(format_args!(
            "discovered OIDC CA bundle, roots: {}",
            ca.certificates().len()
        ));
    }
    let ca = ca.or(found.ca);
    let roots = CaBundle::trust_roots(ca.as_ref());
    let discovery = |error| GetKubeconfigError::Discovery(Box::new(error));
    let client = IssuerClient::new(&roots, console).map_err(discovery)?;
    let provider = provider::discover(&client, &issuer)
        .await
        .map_err(discovery)?;
    let is_supervisor = provider.is_supervisor();
    let upstream = complete(upstream, &client, &provider, console).await?;
    let client_id = client_id(
        flags.oidc.oidc_client_id.as_deref(),
        is_supervisor,
        &audience,
    );
    if !is_supervisor {
        tell_of_client(flags.oidc.oidc_client_id.as_deref(), &audience, console);
    }
    Ok(Oidc {
        request_audience: match audience == client_id {
            true => String::new(),
            false => audience,
        },
        client_id,
        client_secret_env: flags
            .oidc
            .oidc_client_secret_env
            .clone()
            .unwrap_or_default(),
        extra_parameters: flags.oidc.oidc_extra_parameter.clone(),
        flow: flags.oidc.oidc_flow,
        scopes: scopes(flags.oidc.oidc_scopes.as_deref(), &provider),
        skip_browser: flags.oidc.oidc_skip_browser,
        skip_listen: flags.oidc.oidc_skip_listen,
        listen_port: flags.oidc.oidc_listen_port,
        session_cache: flags.oidc.oidc_session_cache.clone(),
        debug_session_cache: flags.oidc.oidc_debug_session_cache,
        upstream_name: upstream.name,
        upstream_type: upstream.type_,
        upstream_flow: upstream.flow,
        issuer,
        ca,
    })
}

/// The Supervisor's identity provider that users log in with; its list is asked for where the flags do not say all.
async fn complete(
    given: Upstream,
    client: &IssuerClient<'_>,
    provider: &Provider,
    console: &Console<'_>,
) -> Result<Upstream, GetKubeconfigError> {
    if !provider.is_supervisor() || given.is_whole() {
        return Ok(given);
    }
    let list = identity_providers::list(client, provider).await;
    let list = list.map_err(|error| GetKubeconfigError::IdentityProviders(Box::new(error)))?;
    let is_open = given.flow.is_empty();
    let found = given.complete(&list.pinniped_identity_providers)?;
    if is_open && !found.flow.is_empty() {
        console.say(format_args!(
            "discovered identity provider {} and its flow {}",
            found.name, found.flow
        ));
    }
    Ok(found)
}

/// The client that users are at the issuer. The ID tokens of most are for the client and nobody else; a Supervisor has one client
/// for all clusters, and exchanges its tokens.
fn client_id(given: Option<&str>, is_supervisor: bool, audience: &str) -> String {
    let audience = Some(audience).filter(|audience| !audience.is_empty() && !is_supervisor);
    given.or(audience).unwrap_or(DEFAULT_CLIENT).to_owned()
}

/// Says of an issuer that is no Supervisor what client was taken, or what speaks against the given one.
fn tell_of_client(given: Option<&str>, audience: &str, console: &Console<'_>) {
    match given {
        None if !audience.is_empty() => console.say(format_args!(
            "took the audience for the client ID, since the issuer is no Pinniped Supervisor"
        )),
        Some(given) if !audience.is_empty() && given != audience => console.say(format_args!(
            "Warning: the issuer is no Pinniped Supervisor: unless it exchanges tokens (RFC 8693), --oidc-client-id has to be the audience, \
             {audience}"
        )),
        _ => {}
    }
}

/// What users ask this issuer for. A Supervisor that is too old for `username` and `groups` is asked for neither; another issuer
/// only for what it offers, unless the flag says otherwise.
fn scopes(given: Option<&[String]>, provider: &Provider) -> Vec<String> {
    let mut scopes =
        given.map_or_else(|| DEFAULT_SCOPES.map(str::to_owned).to_vec(), <[_]>::to_vec);
    if provider.is_supervisor() {
        let supported = provider.scopes_supported.as_deref().unwrap_or_default();
        let identity = ["username", "groups"];
        let is_listed = |name: &&str| supported.iter().any(|scope| scope == name);
        if !identity.iter().all(is_listed) {
            scopes.retain(|scope| !identity.contains(&scope.as_str()));
        }
        scopes
    } else if given.is_none() {
        offered_scopes(scopes, provider)
    } else {
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_audience_where_tokens_are_for_it_alone() {
        for (given, is_supervisor, audience, expected) in [
            (None, true, "cluster", "pinniped-cli"),
            (None, false, "cluster", "cluster"),
            (None, false, "", "pinniped-cli"),
            (Some("own"), false, "cluster", "own"),
            (Some("own"), true, "cluster", "own"),
        ] {
            assert_eq!(client_id(given, is_supervisor, audience), expected);
        }
    }
}
