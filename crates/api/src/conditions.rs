//! How observed conditions are merged into a status, and what a CRD says of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{Schema, SchemaGenerator, json_schema};

/// Most characters of a condition's message that the API server stores; a longer one makes the whole status write fail.
pub const MESSAGE_MAX_CHARS: usize = 32_768;

/// A condition as just observed, before it meets the stored one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Type of the condition.
    pub type_: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: ConditionStatus,
    /// CamelCase reason.
    pub reason: &'static str,
    /// Text for people.
    pub message: String,
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It could not be judged.
    Unknown,
}

impl ConditionStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Merges observations into the stored conditions, sorted by type.
///
/// `lastTransitionTime` stays where the status did not change; conditions of types that were not observed stay as they
/// are; `observedGeneration` becomes `generation` on every observed one (Pinniped `internal/controller/conditionsutil`).
pub fn merge(
    stored: &[Condition],
    observed: Vec<Observation>,
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    let mut merged: Vec<Condition> = stored
        .iter()
        .filter(|condition| observed.iter().all(|o| o.type_ != condition.type_))
        .cloned()
        .collect();
    merged.extend(observed.into_iter().map(|observation| {
        let status = observation.status.as_str();
        let last_transition_time = stored
            .iter()
            .find(|c| c.type_ == observation.type_ && c.status == status)
            .map_or_else(|| now.clone(), |c| c.last_transition_time.clone());
        Condition {
            type_: observation.type_.to_owned(),
            status: status.to_owned(),
            reason: observation.reason.to_owned(),
            message: observation.message,
            observed_generation: generation,
            last_transition_time,
        }
    }));
    merged.sort_by(|a, b| a.type_.cmp(&b.type_));
    merged
}

/// Schema of a list of conditions, one per type, with the limits of Kubernetes' own `metav1.Condition`.
///
/// The Go type carries the limits as markers, which the derived schema of `k8s-openapi` leaves out.
pub(crate) fn list_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "description": "One observation of the object's state.",
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {
                    "description": "When the status last changed.",
                    "type": "string",
                    "format": "date-time",
                },
                "message": {
                    "description": "What was observed, for people. May be empty.",
                    "type": "string",
                    "maxLength": MESSAGE_MAX_CHARS,
                },
                "observedGeneration": {
                    "description": "Generation of the object that was judged; older than `metadata.generation` means out of date.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "reason": {
                    "description": "Why the condition has this status, as one CamelCase word for programs.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "status": {
                    "description": "Whether the condition holds; Unknown when a prerequisite failed.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "type": {
                    "description": "What is judged.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn at(seconds: i64) -> Time {
        Time(Timestamp::from_second(seconds).unwrap())
    }

    fn observation(type_: &'static str, status: ConditionStatus, message: &str) -> Observation {
        Observation {
            type_,
            status,
            reason: "Success",
            message: message.to_owned(),
        }
    }

    #[test]
    fn transition_time_stays_until_the_status_changes() {
        let first = merge(
            &[],
            vec![
                observation("Ready", ConditionStatus::True, "a"),
                observation("AuthenticatorValid", ConditionStatus::True, "b"),
            ],
            Some(1),
            &at(10),
        );
        let types: Vec<_> = first.iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(types, ["AuthenticatorValid", "Ready"]);

        let second = merge(
            &first,
            vec![
                observation("Ready", ConditionStatus::False, "c"),
                observation("AuthenticatorValid", ConditionStatus::True, "other text"),
            ],
            Some(2),
            &at(20),
        );
        assert_eq!(second[0].last_transition_time, at(10));
        assert_eq!(second[0].message, "other text");
        assert_eq!(second[0].observed_generation, Some(2));
        assert_eq!(second[1].last_transition_time, at(20));
        assert_eq!(second[1].status, "False");
    }

    #[test]
    fn conditions_of_other_writers_stay() {
        let foreign = merge(
            &[],
            vec![observation("Foreign", ConditionStatus::True, "x")],
            Some(1),
            &at(1),
        );
        let merged = merge(
            &foreign,
            vec![observation("Ready", ConditionStatus::True, "y")],
            Some(7),
            &at(2),
        );
        assert_eq!(merged[0], foreign[0]);
        assert_eq!(merged.len(), 2);
    }
}
