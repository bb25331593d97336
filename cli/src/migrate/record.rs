//! Where logins went before the switch, as the steps write it down.

use std::fmt;

use super::name::{Name, NameError};
use super::state::Concierge;

/// Annotation of the APIService of the logins. Only who may change that may say which Concierge was behind it; labels of a
/// Deployment say nothing, as anybody can set them in a namespace of their own.
pub(super) const ANNOTATION: &str = "haulout/concierge";

/// The Concierge that logins went to, written `namespace/service/deployment`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) namespace: Name,
    pub(super) service: Name,
    pub(super) deployment: Name,
}

/// Why the annotation tells nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(
        "annotation {ANNOTATION} of the APIService of the logins is not NAMESPACE/SERVICE/DEPLOYMENT"
    )]
    Parts,
    #[error("annotation {ANNOTATION} of the APIService of the logins holds a wrong name")]
    Name(#[from] NameError),
}

impl Record {
    /// Of an installation that logins go to.
    pub(super) fn of(concierge: &Concierge) -> Self {
        Self {
            namespace: concierge.namespace.clone(),
            service: concierge.service.clone(),
            deployment: concierge.deployment.clone(),
        }
    }

    /// Reads the annotation's value.
    pub(super) fn parse(text: &str) -> Result<Self, RecordError> {
        let mut parts = text.split('/');
        let (Some(namespace), Some(service), Some(deployment), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(RecordError::Parts);
        };
        Ok(Self {
            namespace: Name::parse("the namespace", namespace)?,
            service: Name::parse("the Service", service)?,
            deployment: Name::parse("the Deployment", deployment)?,
        })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.service, self.deployment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::example::concierge;

    #[test]
    fn what_is_written_is_read_again() {
        let record = Record::of(&concierge());
        let text = "pinniped-concierge/pinniped-concierge-api/pinniped-concierge";
        assert_eq!(record.to_string(), text);
        assert_eq!(Record::parse(text), Ok(record));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "a", "a/b", "a/b/c/d"] {
            assert_eq!(Record::parse(text), Err(RecordError::Parts), "{text}");
        }
        for text in ["a//c", "a/b/$(id)", "a'/b/c", "/b/c"] {
            let record = Record::parse(text);
            assert!(matches!(record, Err(RecordError::Name(_))), "{text}");
        }
    }
}
