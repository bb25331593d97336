//! Which of a CredentialIssuer's strategies users go by.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::error::GetKubeconfigError;

/// How users get to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Logins through the API server.
    TokenCredentialRequestApi,
    /// Everything through an impersonating proxy.
    ImpersonationProxy,
    /// Logins at Haulout's own endpoint, everything else through the API server.
    DirectEndpoint,
}

impl Mode {
    const ALL: [Self; 3] = [
        Self::TokenCredentialRequestApi,
        Self::ImpersonationProxy,
        Self::DirectEndpoint,
    ];

    /// Takes a name in capitals or not.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.eq_ignore_ascii_case("Direct") {
            return Ok(Self::DirectEndpoint);
        }
        let mut all = Self::ALL.into_iter();
        all.find(|mode| mode.name().eq_ignore_ascii_case(text))
            .ok_or("valid modes are TokenCredentialRequestAPI, ImpersonationProxy and Direct")
    }

    /// The type of its frontend.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TokenCredentialRequestApi => "TokenCredentialRequestAPI",
            Self::ImpersonationProxy => "ImpersonationProxy",
            Self::DirectEndpoint => "DirectEndpoint",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A strategy as the CredentialIssuer has it; types and reasons that only later versions know are no fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Strategy {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: String,
    message: String,
    frontend: Option<Frontend>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Frontend {
    #[serde(rename = "type")]
    type_: String,
    impersonation_proxy_info: Address,
    direct_endpoint_info: Address,
}

/// An endpoint, and its CA as base64 of PEM; none where that is a public one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Address {
    pub(super) endpoint: String,
    pub(super) certificate_authority_data: String,
}

/// Where users go by a strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// To the API server of the kubeconfig.
    ApiServer,
    /// To a proxy, for everything.
    Proxy(Address),
    /// To an endpoint for the login alone.
    Direct(Address),
}

impl Strategy {
    /// Those of a CredentialIssuer's `status`.
    pub(super) fn all(issuer: &Value) -> Vec<Self> {
        let strategies = issuer.pointer("/status/strategies");
        let strategies = strategies.and_then(Value::as_array).into_iter().flatten();
        let read = |entry: &Value| serde_json::from_value(entry.clone()).ok();
        strategies.filter_map(read).collect()
    }

    pub(super) fn is_pending(&self) -> bool {
        self.reason == "Pending"
    }

    /// The door that it opens, if it works and is of a kind that we know.
    fn door(&self) -> Option<(Mode, Door)> {
        let frontend = self
            .frontend
            .as_ref()
            .filter(|_| self.status == "Success")?;
        let mode = Mode::ALL
            .into_iter()
            .find(|mode| mode.name() == frontend.type_)?;
        let door = match mode {
            Mode::TokenCredentialRequestApi => Door::ApiServer,
            Mode::ImpersonationProxy => Door::Proxy(frontend.impersonation_proxy_info.clone()),
            Mode::DirectEndpoint => Door::Direct(frontend.direct_endpoint_info.clone()),
        };
        Some((mode, door))
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            type_,
            status,
            reason,
            message,
            ..
        } = self;
        write!(f, "{type_}: {status} ({reason}): {message}")
    }
}

/// The first that works, or the first that works in this mode.
pub(super) fn choose(
    strategies: &[Strategy],
    wanted: Option<Mode>,
) -> Result<(Mode, Door), GetKubeconfigError> {
    let mut doors = strategies.iter().filter_map(Strategy::door);
    doors
        .find(|(mode, _)| wanted.is_none_or(|wanted| wanted == *mode))
        .ok_or(match wanted {
            None => GetKubeconfigError::NoStrategy,
            Some(mode) => GetKubeconfigError::NoStrategyOfMode(mode),
        })
}

/// The endpoint for the login alone, if it works.
pub(super) fn direct(strategies: &[Strategy]) -> Option<(Mode, Door)> {
    choose(strategies, Some(Mode::DirectEndpoint)).ok()
}

/// The modes that work beside the chosen one.
pub(super) fn others(strategies: &[Strategy], chosen: Mode) -> Vec<Mode> {
    let doors = strategies.iter().filter_map(Strategy::door);
    let modes = doors.map(|(mode, _)| mode);
    modes.filter(|mode| *mode != chosen).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn strategies(entries: &[Value]) -> Vec<Strategy> {
        Strategy::all(&json!({"status": {"strategies": entries}}))
    }

    fn api(status: &str) -> Value {
        json!({"type": "KubeClusterSigningCertificate", "status": status, "reason": "FetchedKey",
               "message": "m", "frontend": {"type": "TokenCredentialRequestAPI"}})
    }

    fn proxy() -> Value {
        json!({"type": "ImpersonationProxy", "status": "Success", "reason": "Listening", "message": "m",
               "frontend": {"type": "ImpersonationProxy", "impersonationProxyInfo":
                   {"endpoint": "https://proxy", "certificateAuthorityData": "Zm9v"}}})
    }

    fn direct() -> Value {
        json!({"type": "DirectEndpoint", "status": "Success", "reason": "Listening", "message": "m",
               "frontend": {"type": "DirectEndpoint", "directEndpointInfo": {"endpoint": "https://direct"}}})
    }

    fn later() -> Value {
        json!({"type": "Later", "status": "Success", "reason": "New", "message": "m",
               "frontend": {"type": "Telepathy", "telepathyInfo": {}}})
    }

    fn address(endpoint: &str, ca: &str) -> Address {
        Address {
            endpoint: endpoint.to_owned(),
            certificate_authority_data: ca.to_owned(),
        }
    }

    #[test]
    fn modes_are_named_in_capitals_or_not() {
        for (text, mode) in [
            ("TokenCredentialRequestAPI", Mode::TokenCredentialRequestApi),
            ("tokencredentialrequestapi", Mode::TokenCredentialRequestApi),
            ("IMPERSONATIONPROXY", Mode::ImpersonationProxy),
            ("Direct", Mode::DirectEndpoint),
            ("directendpoint", Mode::DirectEndpoint),
        ] {
            assert_eq!(Mode::parse(text), Ok(mode));
        }
        for text in ["", "auto", "Direct "] {
            assert!(Mode::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_that_works_is_chosen_or_the_first_of_the_mode() {
        let proxy_door = Door::Proxy(address("https://proxy", "Zm9v"));
        let direct_door = Door::Direct(address("https://direct", ""));
        for (entries, wanted, expected) in [
            (vec![api("Success"), proxy()], None, Door::ApiServer),
            (vec![proxy(), api("Success")], None, proxy_door.clone()),
            (vec![api("Error"), proxy()], None, proxy_door.clone()),
            (vec![later(), direct()], None, direct_door.clone()),
            (
                vec![api("Success"), proxy(), direct()],
                Some(Mode::ImpersonationProxy),
                proxy_door,
            ),
            (
                vec![api("Success"), direct()],
                Some(Mode::DirectEndpoint),
                direct_door,
            ),
        ] {
            let (_, door) = choose(&strategies(&entries), wanted).unwrap();
            assert_eq!(door, expected, "{entries:?} {wanted:?}");
        }
    }

    #[test]
    fn where_none_works_it_is_said_of_which() {
        let none = [vec![], vec![api("Error")], vec![later()]];
        for entries in none {
            let error = choose(&strategies(&entries), None).unwrap_err().to_string();
            assert!(
                error.starts_with("could not autodiscover --concierge-mode"),
                "{error}"
            );
        }
        let wanted = Some(Mode::ImpersonationProxy);
        let error = choose(&strategies(&[api("Success")]), wanted)
            .unwrap_err()
            .to_string();
        let expected = "could not find successful Concierge strategy matching --concierge-mode=ImpersonationProxy";
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn what_else_works_is_known() {
        let all = strategies(&[api("Success"), later(), direct()]);
        assert_eq!(
            others(&all, Mode::TokenCredentialRequestApi),
            [Mode::DirectEndpoint]
        );
        assert_eq!(others(&all[..1], Mode::TokenCredentialRequestApi), []);
    }
}
