//! The identity providers of a Pinniped Supervisor, and the choice of one.

use haulout_https::foreign;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::authorization::UpstreamProvider;
use super::error::{Step, refused, unreadable};
use super::provider::Provider;
use super::{IssuerClient, OidcError};

/// What a Supervisor lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct IdentityProviders {
    #[serde(default)]
    pub(crate) pinniped_identity_providers: Vec<IdentityProvider>,
    #[serde(default)]
    pub(crate) pinniped_supported_identity_provider_types: Vec<SupportedType>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdentityProvider {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) type_: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) flows: Vec<String>,
}

/// What an identity provider's flows leave of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlowChoice<'a> {
    Flow(&'a str),
    /// It lists no flows at all.
    NoneListed,
    /// It lists others than this one, which is asked for.
    NotListed(&'a str),
    /// None is asked for, and it lists none that a login takes.
    NoneKnown,
}

impl IdentityProvider {
    /// The flow that is asked for, else the first that a login takes.
    pub(crate) fn choose_flow<'a>(&'a self, wanted: Option<&'a str>) -> FlowChoice<'a> {
        let mut flows = self.flows.iter().map(String::as_str);
        match wanted {
            _ if self.flows.is_empty() => FlowChoice::NoneListed,
            Some(wanted) if flows.any(|flow| flow == wanted) => FlowChoice::Flow(wanted),
            Some(wanted) => FlowChoice::NotListed(wanted),
            None => {
                let known = flows.find(|flow| ["browser_authcode", "cli_password"].contains(flow));
                known.map_or(FlowChoice::NoneKnown, FlowChoice::Flow)
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SupportedType {
    #[serde(rename = "type")]
    pub(crate) type_: String,
}

/// Why none can be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChoiceError {
    #[error(
        "the issuer lists no identity providers, so it is no Pinniped Supervisor; leave out --upstream-identity-provider-name"
    )]
    NoSupervisor,
    #[error(
        "the Supervisor does not support identity providers of the type \"{type_}\"; it supports {supported}"
    )]
    Type { type_: String, supported: String },
    #[error(
        "the Supervisor has no identity provider \"{name}\" of the type \"{type_}\"; it has {found}"
    )]
    NotFound {
        name: String,
        type_: String,
        found: String,
    },
    #[error(
        "the identity provider \"{name}\" does not offer the flow \"{flow}\"; it offers {offered}"
    )]
    Flow {
        name: String,
        flow: String,
        offered: String,
    },
    #[error("the identity provider \"{name}\" offers no flow to log in by")]
    NoFlows { name: String },
    #[error(
        "the identity provider \"{name}\" offers no flow that `haulout login oidc` knows, only {offered}; a newer haulout may, or \
         name another identity provider"
    )]
    NoKnownFlow { name: String, offered: String },
}

/// Asks a Supervisor for its list.
pub(crate) async fn list(
    client: &IssuerClient<'_>,
    provider: &Provider,
) -> Result<IdentityProviders, OidcError> {
    let step = Step::IdentityProviders;
    let url = provider.identity_providers_endpoint.clone();
    let url = url.ok_or(ChoiceError::NoSupervisor)?;
    let answer = client.get(step, &url).await?;
    if answer.status != StatusCode::OK {
        return Err(refused(step, &url, &answer, &[]));
    }
    serde_json::from_slice(&answer.body).map_err(|cause| unreadable(step, &url, cause))
}

/// The flow by which to log in with this provider: that which is asked for, or the first that it offers and a login takes.
pub(crate) fn choose_flow(
    list: &IdentityProviders,
    wanted: &UpstreamProvider,
    flow: Option<&str>,
) -> Result<String, ChoiceError> {
    let UpstreamProvider { name, type_ } = wanted;
    let supported = &list.pinniped_supported_identity_provider_types;
    if !supported.is_empty() && !supported.iter().any(|supported| supported.type_ == *type_) {
        return Err(ChoiceError::Type {
            type_: type_.clone(),
            supported: json(supported),
        });
    }
    let providers = &list.pinniped_identity_providers;
    let mut matching = providers.iter();
    let found = matching.find(|provider| provider.name == *name && provider.type_ == *type_);
    let found = found.ok_or_else(|| ChoiceError::NotFound {
        name: name.clone(),
        type_: type_.clone(),
        found: json(providers),
    })?;
    let name = name.clone();
    match found.choose_flow(flow) {
        FlowChoice::Flow(flow) => Ok(flow.to_owned()),
        FlowChoice::NoneListed => Err(ChoiceError::NoFlows { name }),
        FlowChoice::NotListed(flow) => Err(ChoiceError::Flow {
            name,
            flow: flow.to_owned(),
            offered: json(&found.flows),
        }),
        FlowChoice::NoneKnown => Err(ChoiceError::NoKnownFlow {
            name,
            offered: foreign(&found.flows.join(", ")),
        }),
    }
}

/// As the Supervisor wrote it, but visible and short.
pub(crate) fn json(value: &(impl Serialize + ?Sized)) -> String {
    foreign(&serde_json::to_string(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> IdentityProviders {
        serde_json::from_str(
            r#"{
                "pinniped_identity_providers": [
                    {"name": "my-ldap", "type": "ldap", "flows": ["cli_password", "browser_authcode"]},
                    {"name": "my-oidc 🦭", "type": "oidc", "flows": ["browser_authcode"]},
                    {"name": "newer", "type": "oidc", "flows": ["by_mail", "cli_password"]},
                    {"name": "newest", "type": "oidc", "flows": ["by_mail"]},
                    {"name": "old", "type": "oidc"}
                ],
                "pinniped_supported_identity_provider_types": [{"type": "ldap"}, {"type": "oidc"}]
            }"#,
        )
        .unwrap()
    }

    fn choose(name: &str, type_: &str, flow: Option<&str>) -> Result<String, String> {
        let wanted = UpstreamProvider {
            name: name.to_owned(),
            type_: type_.to_owned(),
        };
        choose_flow(&list(), &wanted, flow).map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_flow_counts_unless_another_is_asked_for() {
        for (name, type_, flow, expected) in [
            ("my-ldap", "ldap", None, "cli_password"),
            (
                "my-ldap",
                "ldap",
                Some("browser_authcode"),
                "browser_authcode",
            ),
            ("my-oidc 🦭", "oidc", None, "browser_authcode"),
            ("newer", "oidc", None, "cli_password"),
        ] {
            assert_eq!(choose(name, type_, flow).as_deref(), Ok(expected), "{name}");
        }
    }

    #[test]
    fn each_wrong_choice_has_its_own_text() {
        for (name, type_, flow, expected) in [
            (
                "x",
                "github",
                None,
                "does not support identity providers of the type \"github\"",
            ),
            (
                "my-ldap",
                "oidc",
                None,
                "no identity provider \"my-ldap\" of the type \"oidc\"; it has [{",
            ),
            ("x", "oidc", None, "no identity provider \"x\""),
            (
                "my-oidc 🦭",
                "oidc",
                Some("cli_password"),
                "does not offer the flow \"cli_password\"; it offers [\"browser_authcode\"]",
            ),
            ("old", "oidc", None, "offers no flow to log in by"),
            (
                "newest",
                "oidc",
                None,
                "offers no flow that `haulout login oidc` knows, only by_mail;",
            ),
        ] {
            let error = choose(name, type_, flow).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_supervisor_that_lists_no_types_supports_those_that_it_has() {
        let list = IdentityProviders {
            pinniped_supported_identity_provider_types: Vec::new(),
            ..list()
        };
        let wanted = UpstreamProvider {
            name: "my-ldap".to_owned(),
            type_: "ldap".to_owned(),
        };
        assert!(choose_flow(&list, &wanted, None).is_ok());
    }
}
