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
    let mut upstream = Upstream {
        name: flags.upstream_identity_provider_name.clone(),
        type_: flags.upstream_identity_provider_type.clone(),
        flow: flags.upstream_identity_provider_flow.clone(),
    };
    if is_supervisor && !upstream.is_whole() {
        let list = identity_providers::list(&client, &provider).await;
        let list = list.map_err(|error| GetKubeconfigError::IdentityProviders(Box::new(error)))?;
        let asked = upstream.flow.is_empty();
        upstream = upstream.complete(&list.pinniped_identity_providers)?;
        if asked && !upstream.flow.is_empty() {
            console.say(format_args!(
                "discovered identity provider {} and its flow {}",
                upstream.name, upstream.flow
            ));
        }
    }
    if !is_supervisor && !audience.is_empty() && audience != flags.oidc.oidc_client_id {
        console.say(format_args!(
            "Warning: {issuer} is no Pinniped Supervisor: unless it exchanges tokens (RFC 8693), --oidc-client-id has to be the \
             audience, {audience}"
        ));
    }
    Ok(Oidc {
        client_id: flags.oidc.oidc_client_id.clone(),
        scopes: scopes(flags.oidc.oidc_scopes.as_deref(), &provider),
        skip_browser: flags.oidc.oidc_skip_browser,
        skip_listen: flags.oidc.oidc_skip_listen,
        listen_port: flags.oidc.oidc_listen_port,
        session_cache: flags.oidc.oidc_session_cache.clone(),
        debug_session_cache: flags.oidc.oidc_debug_session_cache,
        request_audience: audience,
        upstream_name: upstream.name,
        upstream_type: upstream.type_,
        upstream_flow: upstream.flow,
        issuer,
        ca,
    })
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
