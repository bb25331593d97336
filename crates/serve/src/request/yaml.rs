//! Bodies in YAML become JSON first, as in Kubernetes (`sigs.k8s.io/yaml`).
//!
//! Anybody may send them, and some 400 bytes of nested aliases can make a parser work for a second.
//! So that YAML costs little more than JSON, there are no anchors and aliases here, and few nodes.

use serde_saphyr::{DuplicateKeyPolicy, Error};

use super::fields::Faults;
use crate::go_quote::{GoQuoted, clip};

/// How many values and keys a body may have; a request has about 20.
const NODE_LIMIT: usize = 2000;

/// How deep they may be nested.
const DEPTH_LIMIT: usize = 32;

/// How many lines: a parser pays for each, also for those that hold nothing but a comment.
const LINE_LIMIT: usize = 4000;

/// The one document in `body` as JSON. A key that stands twice is noted, and its last value taken.
///
/// # Errors
/// Where the fault is. The parser's own text is not repeated, because it shows the lines around.
pub(super) fn to_json(body: &[u8], faults: &mut Faults) -> Result<String, String> {
    let is_break = |byte: &&u8| matches!(**byte, b'\n' | b'\r');
    if body.iter().filter(is_break).count() > LINE_LIMIT {
        return Err(format!("yaml: more than {LINE_LIMIT} lines"));
    }
    let tree = match parse(body, DuplicateKeyPolicy::Error) {
        Err(error) => {
            let Some(fault) = duplicate_key(&error) else {
                return Err(place_of(&error));
            };
            faults.note(fault);
            parse(body, DuplicateKeyPolicy::LastWins).map_err(|error| place_of(&error))?
        }
        Ok(tree) => tree,
    };
    Ok(tree.to_string())
}

fn parse(body: &[u8], duplicate_keys: DuplicateKeyPolicy) -> Result<serde_json::Value, Error> {
    let budget = serde_saphyr::budget! {
        max_anchors: 0,
        max_aliases: 0,
        max_nodes: NODE_LIMIT,
        max_depth: DEPTH_LIMIT,
        flow_nesting_limit: DEPTH_LIMIT,
    };
    let options = serde_saphyr::options! {
        duplicate_keys: duplicate_keys,
        with_snippet: false,
        budget: budget,
    };
    let tree: Option<serde_json::Value> = serde_saphyr::from_slice_with_options(body, options)?;
    Ok(tree.unwrap_or_default())
}

fn place_of(error: &Error) -> String {
    match error.location() {
        Some(at) => format!("yaml: line {}: not the YAML of one document", at.line()),
        None => "yaml: not the YAML of one document".to_owned(),
    }
}

/// In the words of Go's parser.
fn duplicate_key(error: &Error) -> Option<String> {
    let Error::DuplicateMappingKey { key, location } = error else {
        return None;
    };
    let key = clip(key.as_deref().unwrap_or_default(), 253);
    Some(format!(
        "line {}: key {} already set in map",
        location.line(),
        GoQuoted(key)
    ))
}
