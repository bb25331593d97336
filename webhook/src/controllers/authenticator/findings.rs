//! What was found out about an authenticator object, and the conditions that say so.

use haulout_api::authenticator::AuthenticatorPhase;
use haulout_api::conditions::{ConditionStatus, MESSAGE_MAX_CHARS, Observation};
use haulout_https::{ClientError, TrustRoots};

use crate::authenticators::trust::{self, TrustError};

/// Outcome of one check: the message of a condition that holds, or why it does not.
pub(in crate::controllers) type Finding = Result<String, Fault>;

/// Why a condition does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controllers) struct Fault {
    reason: &'static str,
    message: String,
}

impl Fault {
    pub(in crate::controllers) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// Outcomes in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controllers) struct Findings {
    kind: &'static str,
    /// The type of each condition; no outcome where an earlier check stood in the way.
    checks: Vec<(&'static str, Option<Finding>)>,
}

impl Findings {
    pub(in crate::controllers) fn new(
        kind: &'static str,
        checks: impl Into<Vec<(&'static str, Option<Finding>)>>,
    ) -> Self {
        Self {
            kind,
            checks: checks.into(),
        }
    }

    /// `Ready` when everything holds, else `Error`.
    pub(in crate::controllers) fn phase(&self) -> AuthenticatorPhase {
        let is_good = |(_, finding): &_| matches!(finding, Some(Ok(_)));
        match self.checks.iter().all(is_good) {
            true => AuthenticatorPhase::Ready,
            false => AuthenticatorPhase::Error,
        }
    }

    /// A condition for each check, and `Ready`.
    pub(in crate::controllers) fn observations(&self) -> Vec<Observation> {
        let kind = self.kind;
        let ready = match self.phase() {
            AuthenticatorPhase::Ready => Ok(format!("the {kind} is ready")),
            AuthenticatorPhase::Pending | AuthenticatorPhase::Error => Err(Fault::new(
                "NotReady",
                format!("the {kind} is not ready: see other conditions for details"),
            )),
        };
        let checks = self.checks.iter();
        checks
            .map(|(type_, finding)| observation(type_, finding.as_ref()))
            .chain([observation("Ready", Some(&ready))])
            .collect()
    }

    /// Reason and message of the first check that failed.
    pub(in crate::controllers) fn first_fault(&self) -> Option<(&'static str, &str)> {
        self.checks.iter().find_map(|(_, finding)| match finding {
            Some(Err(fault)) => Some((fault.reason, fault.message.as_str())),
            _ => None,
        })
    }
}

fn observation(type_: &'static str, finding: Option<&Finding>) -> Observation {
    let (status, reason, message) = match finding {
        Some(Ok(message)) => (ConditionStatus::True, "Success", message.as_str()),
        Some(Err(fault)) => (ConditionStatus::False, fault.reason, fault.message.as_str()),
        None => (
            ConditionStatus::Unknown,
            "UnableToValidate",
            "unable to validate; see other conditions for details",
        ),
    };
    // The API server refuses a whole status for one message that is too long.
    let message = message.chars().take(MESSAGE_MAX_CHARS).collect();
    Observation {
        type_,
        status,
        reason,
        message,
    }
}

/// `TLSConfigurationValid`, which all kinds have.
pub(in crate::controllers) fn tls(roots: &Result<TrustRoots, TrustError>) -> Finding {
    match roots {
        Ok(TrustRoots::System) => Ok(trust::SYSTEM_ROOTS.to_owned()),
        Ok(TrustRoots::Only(_)) => Ok(trust::CONFIGURED_ROOTS.to_owned()),
        Err(error) => Err(Fault::new("InvalidTLSConfig", error.to_string())),
    }
}

/// The certificates are well formed but TLS cannot work with them.
pub(in crate::controllers) fn unusable_roots(error: &ClientError) -> Finding {
    Err(Fault::new(
        "InvalidTLSConfig",
        format!("spec.tls is invalid: {error}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds() -> Option<Finding> {
        Some(Ok("fine".to_owned()))
    }

    fn fails(message: &str) -> Option<Finding> {
        Some(Err(Fault::new("Bad", message)))
    }

    #[test]
    fn the_phase_is_ready_when_every_condition_holds() {
        let findings = |one, other| Findings::new("Kind", [("One", one), ("Other", other)]);
        let ready = findings(holds(), holds());
        assert_eq!(ready.phase(), AuthenticatorPhase::Ready);
        assert_eq!(ready.first_fault(), None);
        for (one, other, fault) in [
            (fails("a"), holds(), Some(("Bad", "a"))),
            (holds(), fails("b"), Some(("Bad", "b"))),
            (fails("a"), fails("b"), Some(("Bad", "a"))),
            (holds(), None, None),
        ] {
            let findings = findings(one, other);
            assert_eq!(findings.phase(), AuthenticatorPhase::Error);
            assert_eq!(findings.first_fault(), fault);
        }
    }

    #[test]
    fn no_message_is_longer_than_the_api_server_takes() {
        let long = fails(&"é".repeat(2 * MESSAGE_MAX_CHARS));
        for observation in Findings::new("Kind", [("One", long)]).observations() {
            let length = observation.message.chars().count();
            assert!(length <= MESSAGE_MAX_CHARS, "{}", observation.type_);
        }
    }

    #[test]
    fn trust_is_told_in_the_words_of_the_reference() {
        let fault = |message| Err(Fault::new("InvalidTLSConfig", message));
        for (roots, finding) in [
            (
                Ok(TrustRoots::System),
                Ok("spec.tls is valid: no TLS configuration provided: using default root CA bundle from container image".to_owned()),
            ),
            (
                Ok(TrustRoots::Only(Vec::new())),
                Ok("spec.tls is valid: using configured CA bundle".to_owned()),
            ),
            (
                Err(TrustError::Base64(7)),
                fault("spec.tls.certificateAuthorityData is invalid: illegal base64 data at input byte 7"),
            ),
        ] {
            assert_eq!(tls(&roots), finding);
        }
    }
}
