//! `haulout get kubeconfig`: an administrator makes the kubeconfig by which users log in.
//!
//! What the cluster and the issuer say is read with the administrator's rights ([`discovery`]); what follows from it is decided
//! by pure functions ([`strategy`], [`authenticator`], [`upstream`], [`placement`], [`stanza`]). Nothing of the administrator's
//! own credentials is ever taken over.

mod authenticator;
mod discovery;
mod error;
mod issuer;
mod issuer_ca;
mod placement;
mod source;
mod stanza;
mod strategy;
mod upstream;
mod validation;

use std::io::Write;

use haulout_api::group::ApiGroupSuffix;
use secrecy::ExposeSecret as _;

use crate::arguments::{KubeconfigFlags, StaticFlags};
use crate::authenticator_kind::AuthenticatorKind;
use crate::ca::CaBundle;
use crate::cluster::Cluster;
use crate::console::Console;
use crate::kubeconfig_file::{
    Entry, INSTALL_HINT, Output, Plugin, own_path, plugin_command, to_yaml,
};
use crate::runtime::block_on;
use crate::{Environment, kubeconfig_source};

use authenticator::{JwtSpec, wanted_kind};
use discovery::Discovery;
pub(crate) use error::GetKubeconfigError;
use issuer::FoundIssuer;
use placement::Placement;
use source::Source;
use stanza::{Concierge, Login, Stanza};
use strategy::Door;
pub(crate) use strategy::Mode;
use upstream::Upstream;

/// Prints a kubeconfig, or writes it to a file.
pub(crate) fn run(
    flags: &KubeconfigFlags,
    environment: Environment<'_>,
    stdout: &mut dyn Write,
    console: &Console<'_>,
) -> Result<(), GetKubeconfigError> {
    let suffix = ApiGroupSuffix::parse(flags.concierge.concierge_api_group_suffix.as_str())
        .map_err(GetKubeconfigError::Suffix)?;
    let given = Given {
        suffix,
        statics: static_login(&flags.statics)?,
        authenticator: wanted_kind(&flags.concierge.concierge_authenticator_type)?,
        upstream: Upstream::given(flags)?,
        concierge_ca: CaBundle::from_files(
            "--concierge-ca-bundle",
            &flags.concierge.concierge_ca_bundle,
        )?,
        oidc_ca: CaBundle::from_files("--oidc-ca-bundle", &flags.oidc.oidc_ca_bundle)?,
        command: plugin_command(flags.pinniped_cli_path.as_deref(), own_path)
            .map_err(GetKubeconfigError::OwnPath)?,
    };
    if matches!(given.statics, Some(Login::Token(_))) {
        console.say(format_args!(
            "Warning: the token will stand in the kubeconfig, and in the process lists of its users' machines; prefer \
             --static-token-env"
        ));
    }
    let output = Output::open(flags.output.as_deref(), stdout)?;
    let kubeconfig = kubeconfig_source::read(flags.kubeconfig.as_deref(), environment)
        .map_err(GetKubeconfigError::ReadKubeconfig)?;
    let source = Source::of(&kubeconfig, flags.kubeconfig_context.as_deref())?;
    for field in &source.passwords_left_out {
        console.say(format_args!(
            "Warning: the user and password in {field} of the kubeconfig are left out"
        ));
    }
    let text = block_on(async {
        let found = match flags.concierge.no_concierge {
            true => Found::nothing(&source),
            false => {
                let config = source.config(kubeconfig).await?;
                let cluster = Cluster::connect(config)?.within(flags.timeout);
                // On the heap: it is large, and so would be all that wait for it.
                Box::pin(discover(&cluster, &source, flags, &given, console)).await?
            }
        };
        make(source, found, flags, given, console).await
    })??;
    Ok(output.write(&text)?)
}

/// The flags, as far as they had to be looked into.
struct Given {
    suffix: ApiGroupSuffix,
    /// A login with a token.
    statics: Option<Login>,
    authenticator: Option<AuthenticatorKind>,
    upstream: Upstream,
    concierge_ca: Option<CaBundle>,
    oidc_ca: Option<CaBundle>,
    command: String,
}

/// What the cluster says.
struct Found {
    placement: Placement,
    concierge: Option<Concierge>,
    issuer: FoundIssuer,
}

impl Found {
    /// Where nothing is looked up.
    fn nothing(source: &Source) -> Self {
        Self {
            placement: Placement::unchanged(source),
            concierge: None,
            issuer: FoundIssuer::default(),
        }
    }
}

/// Looks up in the cluster how its users log in.
async fn discover(
    cluster: &Cluster,
    source: &Source,
    flags: &KubeconfigFlags,
    given: &Given,
    console: &Console<'_>,
) -> Result<Found, GetKubeconfigError> {
    let discovery = Discovery {
        cluster,
        suffix: &given.suffix,
        flags: &flags.concierge,
    };
    let strategies = discovery.strategies(flags.timeout, console).await?;
    let wanted = flags.concierge.concierge_mode;
    let (mut mode, mut door) = strategy::choose(&strategies, wanted).inspect_err(|_| {
        for strategy in &strategies {
            console.say(format_args!("found strategy {strategy}"));
        }
    })?;
    let endpoint = flags.concierge.concierge_endpoint.as_str();
    if let (None, Door::ApiServer, Some(direct)) = (wanted, &door, strategy::direct(&strategies))
        && endpoint.is_empty()
        && discovery.api_server_refuses_logins().await
    {
        console.say(format_args!(
            "the API server lets nobody without credentials log in"
        ));
        (mode, door) = direct;
    }
    console.say(format_args!(
        "discovered Concierge operating in {mode} mode"
    ));
    if wanted.is_none() {
        for other in strategy::others(&strategies, mode) {
            console.say(format_args!("--concierge-mode={other} would work too"));
        }
    }
    let placement = Placement::of(door, source, endpoint, given.concierge_ca.clone())?;
    if endpoint.is_empty() {
        console.say(format_args!(
            "discovered Concierge endpoint {}",
            placement.endpoint
        ));
    }
    if let (None, Some(ca)) = (&given.concierge_ca, &placement.ca) {
        console.say(format_args!(
            "discovered Concierge certificate authority bundle, roots: {}",
            ca.certificates().len()
        ));
    }
    for hint in placement.hints() {
        console.say(format_args!("Warning: {hint}"));
    }
    let authenticator = discovery.authenticator(given.authenticator).await?;
    console.say(format_args!("discovered {authenticator}"));
    if let Some(fault) = &authenticator.fault {
        console.say(format_args!(
            "Warning: {authenticator} does not work: {fault}; logins by it will fail until that is mended; `haulout doctor` says more"
        ));
    }
    let mut found = Found {
        concierge: Some(Concierge {
            suffix: given.suffix.to_string(),
            authenticator_name: authenticator.name.clone(),
            authenticator_kind: authenticator.kind,
            endpoint: placement.endpoint.clone(),
            ca: placement.ca.clone(),
        }),
        placement,
        issuer: FoundIssuer::default(),
    };
    // Who brings a token of his own needs no issuer.
    if authenticator.kind == AuthenticatorKind::Jwt && given.statics.is_none() {
        let name = authenticator.name;
        let spec: JwtSpec = serde_json::from_value(authenticator.spec)
            .map_err(|error| GetKubeconfigError::JwtSpec(name.clone(), error))?;
        found.issuer.ca = match given.oidc_ca {
            Some(_) => None,
            None => discovery.issuer_ca(&name, spec.tls.as_ref()).await?,
        };
        found.issuer.url = spec.issuer;
        found.issuer.audience = spec.audience;
    }
    Ok(found)
}

/// The kubeconfig as text, once the cluster answers to it.
async fn make(
    source: Source,
    found: Found,
    flags: &KubeconfigFlags,
    given: Given,
    console: &Console<'_>,
) -> Result<String, GetKubeconfigError> {
    let login = match given.statics {
        Some(login) => login,
        None => {
            let oidc =
                issuer::ask(flags, given.oidc_ca, given.upstream, found.issuer, console).await?;
            Login::Oidc(Box::new(oidc))
        }
    };
    let stanza = Stanza {
        concierge: found.concierge,
        credential_cache: flags.credential_cache.clone(),
        login,
    };
    stanza.check().map_err(GetKubeconfigError::Parameters)?;
    let suffixed = |name: &str| format!("{name}{}", flags.generated_name_suffix);
    let hint = flags.install_hint.as_deref().unwrap_or(INSTALL_HINT);
    let entry = Entry {
        cluster_name: suffixed(&source.cluster_name),
        user_name: suffixed(&source.user_name),
        context_name: suffixed(&source.context_name),
        cluster: found.placement.cluster,
        namespace: source.namespace,
        plugin: Plugin {
            command: given.command,
            arguments: stanza.arguments(),
            install_hint: hint.to_owned(),
            may_ask: stanza.may_ask(),
        },
    };
    if !flags.skip_validation {
        validation::validate(&entry.cluster, flags.timeout, console).await?;
        console.say(format_args!("validated connection to the cluster"));
    }
    to_yaml(vec![entry]).map_err(GetKubeconfigError::Encode)
}

/// A login with a token, if the flags want one.
fn static_login(flags: &StaticFlags) -> Result<Option<Login>, GetKubeconfigError> {
    let token = flags.static_token.clone();
    let token = token.filter(|token| !token.expose_secret().is_empty());
    let variable = flags.static_token_env.clone();
    let variable = variable.filter(|variable| !variable.is_empty());
    match (token, variable) {
        (Some(_), Some(_)) => Err(GetKubeconfigError::BothStaticTokens),
        (Some(token), None) => Ok(Some(Login::Token(token))),
        (None, variable) => Ok(variable.map(Login::TokenEnv)),
    }
}

#[cfg(test)]
mod tests;
