//! The arguments of the exec plugin, in the order and spelling of Pinniped's CLI (`cmd/pinniped/cmd/kubeconfig.go`).

use secrecy::{ExposeSecret as _, SecretString};

use crate::arguments::{ConciergeFlags, Flow};
use crate::authenticator_kind::AuthenticatorKind;
use crate::ca::CaBundle;
use crate::exchange::{ParameterError, Parameters};

/// How a user logs in.
#[derive(Clone, Debug)]
pub(super) struct Stanza {
    /// Where tokens are exchanged; `None` where the token itself is the credential.
    pub(super) concierge: Option<Concierge>,
    /// `--credential-cache`, if it was given.
    pub(super) credential_cache: Option<String>,
    pub(super) login: Login,
}

/// Where tokens are exchanged, and by which authenticator.
#[derive(Clone, Debug)]
pub(super) struct Concierge {
    pub(super) suffix: String,
    pub(super) authenticator_name: String,
    pub(super) authenticator_kind: AuthenticatorKind,
    pub(super) endpoint: String,
    /// `None` for the roots of the user's system.
    pub(super) ca: Option<CaBundle>,
}

/// Where tokens come from.
#[derive(Clone, Debug)]
pub(super) enum Login {
    Token(SecretString),
    /// From this environment variable.
    TokenEnv(String),
    Oidc(Box<Oidc>),
}

/// A login at an issuer.
#[derive(Clone, Debug, Default)]
pub(super) struct Oidc {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) scopes: Vec<String>,
    pub(super) skip_browser: bool,
    pub(super) skip_listen: bool,
    pub(super) listen_port: u16,
    pub(super) ca: Option<CaBundle>,
    pub(super) session_cache: String,
    pub(super) debug_session_cache: bool,
    pub(super) request_audience: String,
    pub(super) upstream_name: String,
    pub(super) upstream_type: String,
    pub(super) upstream_flow: String,
    // What Pinniped's CLI does not have, behind what it has.
    pub(super) client_secret_env: String,
    pub(super) extra_parameters: Vec<(String, String)>,
    pub(super) flow: Option<Flow>,
}

impl Stanza {
    /// Checks that the login takes these arguments.
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let Some(concierge) = &self.concierge else {
            return Ok(());
        };
        let flags = ConciergeFlags {
            enable_concierge: true,
            concierge_authenticator_type: concierge.authenticator_kind.type_().to_owned(),
            concierge_authenticator_name: concierge.authenticator_name.clone(),
            concierge_endpoint: concierge.endpoint.clone(),
            concierge_ca_bundle_data: concierge
                .ca
                .as_ref()
                .map(CaBundle::to_base64)
                .unwrap_or_default(),
            concierge_api_group_suffix: concierge.suffix.clone(),
            concierge_namespace: None,
        };
        Parameters::parse(&flags).map(drop)
    }

    /// Whether it may ask the user something.
    pub(super) fn may_ask(&self) -> bool {
        matches!(self.login, Login::Oidc(_))
    }

    /// The arguments.
    pub(super) fn arguments(&self) -> Vec<String> {
        let kind = match &self.login {
            Login::Token(_) | Login::TokenEnv(_) => "static",
            Login::Oidc(_) => "oidc",
        };
        let mut arguments = vec!["login".to_owned(), kind.to_owned()];
        if let Some(concierge) = &self.concierge {
            arguments.extend(concierge.arguments());
        }
        if let Some(cache) = &self.credential_cache {
            arguments.push(format!("--credential-cache={cache}"));
        }
        match &self.login {
            Login::Token(token) => arguments.push(format!("--token={}", token.expose_secret())),
            Login::TokenEnv(variable) => arguments.push(format!("--token-env={variable}")),
            Login::Oidc(oidc) => arguments.extend(oidc.arguments()),
        }
        arguments
    }
}

impl Concierge {
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "--enable-concierge".to_owned(),
            format!("--concierge-api-group-suffix={}", self.suffix),
            format!("--concierge-authenticator-name={}", self.authenticator_name),
            format!(
                "--concierge-authenticator-type={}",
                self.authenticator_kind.type_()
            ),
            format!("--concierge-endpoint={}", self.endpoint),
        ];
        let ca = self.ca.as_ref();
        arguments.extend(ca.map(|ca| format!("--concierge-ca-bundle-data={}", ca.to_base64())));
        arguments
    }
}

impl Oidc {
    fn arguments(&self) -> Vec<String> {
        let flag = |is_on: bool, name: &str| is_on.then(|| name.to_owned());
        let value =
            |name: &str, value: &str| (!value.is_empty()).then(|| format!("{name}={value}"));
        let port = (self.listen_port != 0).then(|| format!("--listen-port={}", self.listen_port));
        let ca = self.ca.as_ref();
        let ca = ca.map(|ca| format!("--ca-bundle-data={}", ca.to_base64()));
        [
            Some(format!("--issuer={}", self.issuer)),
            Some(format!("--client-id={}", self.client_id)),
            Some(format!("--scopes={}", self.scopes.join(","))),
            flag(self.skip_browser, "--skip-browser"),
            flag(self.skip_listen, "--skip-listen"),
            port,
            ca,
            value("--session-cache", &self.session_cache),
            flag(self.debug_session_cache, "--debug-session-cache"),
            value("--request-audience", &self.request_audience),
            value("--upstream-identity-provider-name", &self.upstream_name),
            value("--upstream-identity-provider-type", &self.upstream_type),
            value("--upstream-identity-provider-flow", &self.upstream_flow),
            value("--client-secret-env", &self.client_secret_env),
            self.flow.map(|flow| format!("--flow={flow}")),
        ]
        .into_iter()
        .flatten()
        .chain(
            (self.extra_parameters.iter())
                .map(|(name, value)| format!("--extra-parameter={name}={value}")),
        )
        .collect()
    }
}

#[cfg(test)]
mod tests;
