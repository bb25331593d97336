//! Claims that a token leaves to another place, by `_claim_names` and `_claim_sources` (OpenID Connect Core, 5.6.2).
//!
//! Nothing is fetched from there. What is malformed is refused as it is in Kubernetes, whose verifier (go-oidc `Verify`)
//! reads both claims of every token, and whose authenticator (`claimResolver.expand`) reads them again for the groups.

use serde_json::{Map, Value};

use super::ClaimError;
use crate::foreign;
use crate::verify::Claims;

const NAMES: &str = "_claim_names";
const SOURCES: &str = "_claim_sources";

/// Refuses claims of which each that is held elsewhere does not have a source.
pub(super) fn check(claims: &Claims) -> Result<(), ClaimError> {
    let none = Map::new();
    let object = |name, refusal| match claims.get(name) {
        None | Some(Value::Null) => Ok(&none),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(malformed(refusal)),
    };
    let names = object(NAMES, "_claim_names is not an object")?;
    let sources = object(SOURCES, "_claim_sources is not an object")?;
    if !sources.values().all(is_source) {
        return Err(malformed(
            "a source in _claim_sources is not an object of strings",
        ));
    }
    for source in names.values() {
        let source = match source {
            Value::String(source) => source.as_str(),
            Value::Null => "",
            _ => return Err(malformed("a name in _claim_names is not a string")),
        };
        if source.is_empty() {
            return Err(malformed("failed to obtain source from claim name"));
        }
        if !sources.contains_key(source) {
            return Err(malformed("source does not exist"));
        }
    }
    Ok(())
}

/// Refuses a `claim` that is absent here because it is held elsewhere: logging in without it would be a lesser login
/// without a word.
pub(super) fn check_absent(claims: &Claims, claim: &str) -> Result<(), ClaimError> {
    match (claims.get(NAMES), claims.get(SOURCES)) {
        (Some(_), None) => Err(malformed("no claim sources")),
        (Some(names), Some(_)) if names.get(claim).is_some() => {
            Err(ClaimError::DistributedGroups(foreign(claim)))
        }
        _ => Ok(()),
    }
}

fn malformed(fault: &'static str) -> ClaimError {
    ClaimError::MalformedSources(fault)
}

fn is_source(source: &Value) -> bool {
    let is_text = |name| {
        source
            .get(name)
            .is_none_or(|value| value.is_string() || value.is_null())
    };
    let fields = ["endpoint", "access_token"];
    (source.is_object() || source.is_null()) && fields.into_iter().all(is_text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(names: Value, sources: Value) -> Claims {
        let claims = [(NAMES, names), (SOURCES, sources)];
        Claims::from(Map::from_iter(
            claims.map(|(name, value)| (name.to_owned(), value)),
        ))
    }

    #[test]
    fn each_name_has_a_source() {
        let good = json!({"src": {"endpoint": "https://a", "access_token": null, "more": 1}});
        let names = json!({"address": "src"});
        for (names, sources, refusal) in [
            (names.clone(), good.clone(), None),
            (json!(null), json!(null), None),
            (json!({}), json!({}), None),
            (names.clone(), json!({"src": null}), None),
            (names.clone(), json!({}), Some("source does not exist")),
            (names.clone(), json!(null), Some("source does not exist")),
            (
                json!("src"),
                good.clone(),
                Some("_claim_names is not an object"),
            ),
            (
                json!({"address": 1}),
                good.clone(),
                Some("a name in _claim_names is not a string"),
            ),
            (
                json!({"address": ""}),
                json!({"": {}}),
                Some("failed to obtain source from claim name"),
            ),
            (
                json!({"address": null}),
                good,
                Some("failed to obtain source from claim name"),
            ),
            (
                names.clone(),
                json!([]),
                Some("_claim_sources is not an object"),
            ),
            (
                names.clone(),
                json!({"src": "https://a"}),
                Some("a source in _claim_sources is not an object of strings"),
            ),
            (
                names,
                json!({"src": {"access_token": 1}}),
                Some("a source in _claim_sources is not an object of strings"),
            ),
        ] {
            let checked = check(&claims(names.clone(), sources.clone()));
            let expected = refusal.map_or(Ok(()), |text| Err(ClaimError::MalformedSources(text)));
            assert_eq!(checked, expected, "{names} {sources}");
        }
    }

    #[test]
    fn names_without_sources_leave_absent_groups_open() {
        let token = |claims: Value| match claims {
            Value::Object(claims) => Claims::from(claims),
            _ => unreachable!("it is an object"),
        };
        for (claims, refusal) in [
            (json!({}), None),
            (json!({SOURCES: {}}), None),
            (json!({NAMES: {}, SOURCES: {}}), None),
            (
                json!({NAMES: null}),
                Some(ClaimError::MalformedSources("no claim sources")),
            ),
            (
                json!({NAMES: {"groups": "src"}, SOURCES: {"src": {}}}),
                Some(ClaimError::DistributedGroups("groups".to_owned())),
            ),
        ] {
            let checked = check_absent(&token(claims.clone()), "groups");
            assert_eq!(checked, refusal.map_or(Ok(()), Err), "{claims}");
        }
    }
}
