//! Which identity provider of a Supervisor users log in with.

use clap::ValueEnum as _;
use haulout_https::foreign;

use super::error::GetKubeconfigError;
use crate::arguments::{Flow, KubeconfigFlags};
use crate::oidc::identity_providers::{FlowChoice, IdentityProvider, json};

/// An identity provider and a flow of it; empty where the kubeconfig is to name none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) type_: String,
    pub(super) flow: String,
}

impl Upstream {
    /// That which the flags name.
    pub(super) fn given(flags: &KubeconfigFlags) -> Result<Self, GetKubeconfigError> {
        Self {
            name: flags.upstream_identity_provider_name.clone(),
            type_: flags.upstream_identity_provider_type.clone(),
            flow: flags.upstream_identity_provider_flow.clone(),
        }
        .checked()
    }

    /// Refuses a flow that `login oidc` would refuse in the kubeconfig.
    fn checked(self) -> Result<Self, GetKubeconfigError> {
        match self.flow.is_empty() || Flow::from_str(&self.flow, false).is_ok() {
            true => Ok(self),
            false => Err(GetKubeconfigError::UnknownFlow(self.flow)),
        }
    }

    /// Whether nothing is left to be found out.
    pub(super) fn is_whole(&self) -> bool {
        ![&self.name, &self.type_, &self.flow]
            .into_iter()
            .any(String::is_empty)
    }

    /// Fills in what is not given from the Supervisor's list, where that leaves one choice. Of several flows it is the first
    /// that `login oidc` knows.
    pub(super) fn complete(self, list: &[IdentityProvider]) -> Result<Self, GetKubeconfigError> {
        if list.is_empty() {
            return Ok(self);
        }
        let fits = |given: &str, found: &str| given.is_empty() || given == found;
        let mut fitting = list
            .iter()
            .filter(|one| fits(&self.name, &one.name) && fits(&self.type_, &one.type_));
        let found = match (fitting.next(), fitting.next()) {
            (Some(only), None) => only,
            (None, _) => {
                return Err(GetKubeconfigError::NoIdentityProvider {
                    name: self.name,
                    type_: self.type_,
                    found: json(list),
                });
            }
            (Some(_), Some(_)) => {
                return Err(GetKubeconfigError::SeveralIdentityProviders(json(list)));
            }
        };
        let wanted = Some(self.flow.as_str()).filter(|flow| !flow.is_empty());
        let name = || foreign(&found.name);
        let offered = || found.flows.join(", ");
        let flow = match found.choose_flow(wanted) {
            FlowChoice::Flow(flow) => flow.to_owned(),
            FlowChoice::NoneListed => self.flow,
            FlowChoice::NotListed(flow) => {
                return Err(GetKubeconfigError::NoSuchFlow {
                    name: name(),
                    flow: flow.to_owned(),
                    offered: offered(),
                });
            }
            FlowChoice::NoneKnown => {
                return Err(GetKubeconfigError::NoKnownFlow {
                    name: name(),
                    offered: offered(),
                });
            }
        };
        Ok(Self {
            name: found.name.clone(),
            type_: found.type_.clone(),
            flow,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(name: &str, type_: &str, flows: &[&str]) -> IdentityProvider {
        IdentityProvider {
            name: name.to_owned(),
            type_: type_.to_owned(),
            flows: flows.iter().map(|flow| (*flow).to_owned()).collect(),
        }
    }

    fn complete(list: &[IdentityProvider], given: [&str; 3]) -> Result<[String; 3], String> {
        let [name, type_, flow] = given.map(str::to_owned);
        let completed = Upstream { name, type_, flow }.complete(list);
        completed
            .map(|Upstream { name, type_, flow }| [name, type_, flow])
            .map_err(|error| error.to_string())
    }

    #[test]
    fn c110_where_one_choice_is_left_it_is_made() {
        let none: &[IdentityProvider] = &[];
        let one = &[provider(
            "ldap",
            "ldap",
            &["cli_password", "browser_authcode"],
        )][..];
        let old = &[provider("old", "oidc", &[])][..];
        let newer = &[provider("newer", "oidc", &["by_mail", "cli_password"])][..];
        let several = &[
            provider("corp", "ldap", &["cli_password"]),
            provider("corp", "oidc", &["browser_authcode"]),
            provider("other", "oidc", &["browser_authcode", "cli_password"]),
        ][..];
        for (list, given, expected) in [
            // None: what is given stays, for what may yet come.
            (none, ["", "", ""], ["", "", ""]),
            (none, ["n", "t", ""], ["n", "t", ""]),
            // One.
            (one, ["", "", ""], ["ldap", "ldap", "cli_password"]),
            (one, ["ldap", "", ""], ["ldap", "ldap", "cli_password"]),
            (one, ["", "ldap", ""], ["ldap", "ldap", "cli_password"]),
            (
                one,
                ["ldap", "ldap", "browser_authcode"],
                ["ldap", "ldap", "browser_authcode"],
            ),
            (
                one,
                ["", "", "browser_authcode"],
                ["ldap", "ldap", "browser_authcode"],
            ),
            // One whose first flow nobody knows yet.
            (newer, ["", "", ""], ["newer", "oidc", "cli_password"]),
            // No flows are listed.
            (old, ["", "", ""], ["old", "oidc", ""]),
            (
                old,
                ["", "", "cli_password"],
                ["old", "oidc", "cli_password"],
            ),
            // Several.
            (
                several,
                ["corp", "ldap", ""],
                ["corp", "ldap", "cli_password"],
            ),
            (several, ["", "ldap", ""], ["corp", "ldap", "cli_password"]),
            (
                several,
                ["other", "", ""],
                ["other", "oidc", "browser_authcode"],
            ),
        ] {
            let expected = Ok(expected.map(str::to_owned));
            assert_eq!(complete(list, given), expected, "{list:?} {given:?}");
        }
    }

    #[test]
    fn c110_where_none_or_several_are_left_it_is_an_error() {
        let one = &[provider("ldap", "ldap", &["cli_password"])][..];
        let several = &[
            provider("corp", "ldap", &["cli_password"]),
            provider("corp", "oidc", &["browser_authcode"]),
        ][..];
        let newer = &[provider("newer", "oidc", &["by_mail"])][..];
        let multiple = "multiple Supervisor upstream identity providers were found";
        for (list, given, expected) in [
            (several, ["", "", ""], multiple),
            (several, ["corp", "", ""], multiple),
            (
                several,
                ["", "github", ""],
                "no Supervisor upstream identity provider",
            ),
            (
                several,
                ["x", "", ""],
                "no Supervisor upstream identity provider",
            ),
            (
                several,
                ["corp", "github", ""],
                "no Supervisor upstream identity provider",
            ),
            (
                one,
                ["", "", "browser_authcode"],
                "the identity provider \"ldap\" does not offer",
            ),
            (
                newer,
                ["", "", ""],
                "the identity provider \"newer\" offers no flow that `haulout login oidc` knows, only by_mail;",
            ),
        ] {
            let error = complete(list, given).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            if list.len() > 1 {
                assert!(
                    error.contains(r#"[{"name":"corp","type":"ldap","flows":["cli_password"]}"#),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn flows_that_no_login_takes_are_refused() {
        for (flow, expected) in [
            ("", true),
            ("browser_authcode", true),
            ("cli_password", true),
            ("CLI_PASSWORD", false),
            ("by_mail", false),
        ] {
            let given = Upstream {
                flow: flow.to_owned(),
                ..Upstream::default()
            };
            assert_eq!(given.checked().is_ok(), expected, "{flow}");
        }
    }
}
