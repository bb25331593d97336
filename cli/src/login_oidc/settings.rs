//! The flags of `login oidc`, checked before anything is asked.

use clap::ValueEnum as _;
use haulout_https::TrustRoots;

use super::error::OidcLoginError;
use crate::Environment;
use crate::arguments::{Flow, OidcLogin};
use crate::ca::CaBundle;
use crate::exchange::Parameters;
use crate::oidc::authorization::{Client, UpstreamProvider};
use crate::oidc::provider::{self, Provider};
use crate::oidc::scopes::{DEFAULT_SCOPES, offered_scopes};
use crate::secret_variable::secret_of;
use crate::session_cache::SessionKey;

/// Everything that decides how a login goes.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) issuer: String,
    pub(crate) roots: TrustRoots,
    client: Client,
    has_own_scopes: bool,
    pub(crate) audience: Option<String>,
    pub(crate) upstream: Option<UpstreamProvider>,
    /// `None` lets the Supervisor's list decide, where there is one.
    pub(crate) flow: Option<Flow>,
    pub(crate) listen_port: u16,
    pub(crate) skip_browser: bool,
    pub(crate) skip_listen: bool,
    pub(crate) concierge: Option<Parameters>,
    pub(crate) session_key: SessionKey,
}

impl Settings {
    pub(crate) fn parse(
        login: &OidcLogin,
        environment: Environment<'_>,
    ) -> Result<Self, OidcLoginError> {
        provider::https("issuer", &login.issuer)
            .map_err(|error| OidcLoginError::Issuer(Box::new(error)))?;
        let concierge =
            Parameters::of_login(&login.concierge).map_err(OidcLoginError::Parameters)?;
        let named = |name: &String| (!name.is_empty()).then(|| name.clone());
        let upstream = named(&login.upstream_identity_provider_name).map(|name| UpstreamProvider {
            name,
            type_: login.upstream_identity_provider_type.clone(),
        });
        let secret = login.client_secret_env.as_deref();
        let secret = secret.map(|name| secret_of("--client-secret-env", name, environment));
        Ok(Self {
            issuer: login.issuer.clone(),
            roots: CaBundle::trust_roots(CaBundle::from_flags(&login.ca)?.as_ref()),
            client: Client {
                id: login.client_id.clone(),
                secret: secret.transpose()?,
                scopes: scopes(login.scopes.as_deref()),
                extra_parameters: login.extra_parameter.clone(),
            },
            has_own_scopes: login.scopes.is_some(),
            audience: named(&login.request_audience),
            upstream,
            flow: flow(login, environment)?,
            listen_port: login.listen_port,
            skip_browser: login.switches.skip_browser,
            skip_listen: login.switches.skip_listen,
            concierge,
            session_key: session_key(login),
        })
    }

    /// The client as this issuer can take it: nobody has asked for scopes that it does not have.
    pub(crate) fn client_for(&self, provider: &Provider) -> Client {
        let mut client = self.client.clone();
        if !self.has_own_scopes {
            client.scopes = offered_scopes(client.scopes, provider);
            client.scopes.sort_unstable();
        }
        client
    }
}

/// The session of a login with these flags, as Pinniped's CLI names it, so that its sessions are found.
pub(crate) fn session_key(login: &OidcLogin) -> SessionKey {
    let key = SessionKey {
        client_id: login.client_id.clone(),
        issuer: login.issuer.clone(),
        redirect_uri: format!("http://localhost:{}/callback", login.listen_port),
        scopes: scopes(login.scopes.as_deref()),
        upstream_provider_name: login.upstream_identity_provider_name.clone(),
    };
    key.with_parameters(&login.extra_parameter)
}

fn scopes(given: Option<&[String]>) -> Vec<String> {
    let mut scopes = match given {
        None => DEFAULT_SCOPES.map(str::to_owned).to_vec(),
        Some(given) => given
            .iter()
            .filter(|scope| !scope.is_empty())
            .cloned()
            .collect(),
    };
    scopes.sort_unstable();
    scopes
}

/// The variable, else our flag, else Pinniped's. The flags are the kubeconfig's, and the variable is of whoever sits there now,
/// over SSH perhaps; but whether anybody logs in at all, or a program, is not for it to say. One that is set and empty undoes
/// Pinniped's flag.
fn flow(login: &OidcLogin, environment: Environment<'_>) -> Result<Option<Flow>, OidcLoginError> {
    const VARIABLE: &str = "PINNIPED_UPSTREAM_IDENTITY_PROVIDER_FLOW";
    let variable = environment(VARIABLE);
    let is_empty = variable.as_ref().is_none_or(|value| value.is_empty());
    match login.flow {
        Some(Flow::ClientCredentials) => return Ok(login.flow),
        Some(_) if is_empty => return Ok(login.flow),
        _ => {}
    }
    let (source, value) = match variable {
        Some(value) => (VARIABLE, value.to_string_lossy().into_owned()),
        None => (
            "--upstream-identity-provider-flow",
            login.upstream_identity_provider_flow.clone(),
        ),
    };
    if value.is_empty() {
        return Ok(None);
    }
    match Flow::from_str(&value, false) {
        Ok(flow) if source != VARIABLE || flow != Flow::ClientCredentials => Ok(Some(flow)),
        _ => Err(OidcLoginError::Flow {
            variable: source,
            value,
        }),
    }
}
