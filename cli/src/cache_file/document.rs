//! What stands in a cache file.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const API_VERSION: &str = "config.supervisor.pinniped.dev/v1alpha1";
/// How each cache file begins, Pinniped's too.
pub(super) const BEGINNING: &[u8] = b"apiVersion: config.supervisor.pinniped.dev/";

/// What a cache file holds.
pub(crate) trait Contents: Default + Serialize + DeserializeOwned {
    /// Its `kind`.
    const KIND: &'static str;
    /// What it is called in messages.
    const NAME: &'static str;
    /// Its name in the folder of caches.
    const FILE: &'static str;
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<C> {
    api_version: String,
    kind: String,
    #[serde(flatten)]
    contents: C,
}

/// The text of a file with these contents.
pub(super) fn to_text<C: Contents>(contents: C) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&Document {
        api_version: API_VERSION.to_owned(),
        kind: C::KIND.to_owned(),
        contents,
    })
}

/// What a file holds; `None` where that is not ours.
pub(super) fn parse<C: Contents>(bytes: &[u8]) -> Option<C> {
    let document: Document<C> = parse_yaml(bytes)?;
    let is_ours = document.api_version == API_VERSION && document.kind == C::KIND;
    is_ours.then_some(document.contents)
}

/// Whether a file that holds nothing of ours is what is left of this cache: it begins as one does, and is no whole one of another
/// kind.
pub(super) fn is_damaged<C: Contents>(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let beginning = bytes.get(..BEGINNING.len()).unwrap_or(bytes);
    // A system that failed may have left a file without contents, or with zeros in their place.
    let is_blank = beginning.iter().all(|byte| *byte == 0);
    let kind = || parse_yaml::<Kind>(bytes).map(|document| document.kind);
    (is_blank || BEGINNING.starts_with(beginning)) && kind().is_none_or(|kind| kind == C::KIND)
}

fn parse_yaml<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_saphyr::from_str(std::str::from_utf8(bytes).ok()?).ok()
}
