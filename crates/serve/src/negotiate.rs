//! Which form of an answer a client wants: `Accept`, `?pretty=` and the user agents of humans.
//!
//! As `k8s.io/apiserver` `endpoints/handlers/negotiation`, but for protobuf and CBOR, which we do
//! not write: a clause that asks for them is passed over, and 406 follows when no other is left.

mod accept;
#[cfg(test)]
mod tests;

use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue};

use self::accept::Clause;
use crate::encoding::Encoding;
use crate::status::ApiError;

/// What shape and encoding an answer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseFormat {
    /// How the document is written.
    pub encoding: Encoding,
    /// Which document it is.
    pub shape: Shape,
}

/// Which document stands for an object or a list of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// The object or list itself.
    #[default]
    Plain,
    /// `Table`, as kubectl asks for.
    Table(MetaVersion),
    /// `PartialObjectMetadataList`.
    PartialObjectMetadataList(MetaVersion),
    /// `APIGroupDiscoveryList`.
    Discovery(DiscoveryVersion),
}

/// The versions of `meta.k8s.io` that have tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVersion {
    /// `v1`.
    V1,
    /// `v1beta1`.
    V1Beta1,
}

/// The versions of `apidiscovery.k8s.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoveryVersion {
    /// `v2`, since Kubernetes 1.30.
    V2,
    /// `v2beta1`, before.
    V2Beta1,
}

/// Which shapes a route offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// One document: errors, created objects, legacy discovery.
    Object,
    /// A list of objects: also tables and metadata alone.
    List,
    /// `/apis`: also aggregated discovery.
    Groups,
}

impl MetaVersion {
    /// `meta.k8s.io/<version>`.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

impl DiscoveryVersion {
    /// The version alone.
    pub const fn version(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V2Beta1 => "v2beta1",
        }
    }
}

/// The first form in the client's order of preference that `endpoint` offers. No `Accept` is JSON.
///
/// # Errors
/// 406 when there is none.
pub fn negotiate(
    headers: &HeaderMap,
    query: Option<&str>,
    endpoint: Endpoint,
) -> Result<ResponseFormat, ApiError> {
    let mut format = match headers.get(ACCEPT).map(HeaderValue::as_bytes) {
        // What our clients send, without a look at each clause.
        None | Some(b"" | b"*/*" | b"application/json" | b"application/json, */*") => {
            ResponseFormat::default()
        }
        // RFC 9110: several headers are one list. Kubernetes reads only the first.
        Some(_) => accept::clauses(headers.get_all(ACCEPT))
            .iter()
            .find_map(|clause| acceptable(clause, endpoint))
            .ok_or_else(ApiError::not_acceptable)?,
    };
    if format.encoding == Encoding::Json && is_pretty(headers, query) {
        format.encoding = Encoding::PrettyJson;
    }
    Ok(format)
}

/// How errors are written for this client. Who accepts nothing that we have gets indented JSON.
pub fn error_encoding(headers: &HeaderMap, query: Option<&str>) -> Encoding {
    negotiate(headers, query, Endpoint::Object)
        .map_or(Encoding::PrettyJson, |format| format.encoding)
}

/// In which form a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/json`, or no type given.
    Json,
    /// `application/yaml`.
    Yaml,
}

impl BodyFormat {
    /// From `Content-Type`; parameters do not matter.
    ///
    /// # Errors
    /// 415 for every other type.
    pub fn negotiate(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(content_type) = headers.get(CONTENT_TYPE) else {
            return Ok(Self::Json);
        };
        let content_type = content_type.to_str().unwrap_or("?");
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if content_type.is_empty() || essence.eq_ignore_ascii_case("application/json") {
            Ok(Self::Json)
        } else if essence.eq_ignore_ascii_case("application/yaml") {
            Ok(Self::Yaml)
        } else {
            Err(ApiError::unsupported_media_type())
        }
    }
}

fn acceptable(clause: &Clause<'_>, endpoint: Endpoint) -> Option<ResponseFormat> {
    let shape = match (clause.conversion(), endpoint) {
        (None, _) => Shape::Plain,
        (Some(("meta.k8s.io", version, kind)), Endpoint::List) => {
            let version = match version {
                "v1" => MetaVersion::V1,
                "v1beta1" => MetaVersion::V1Beta1,
                _ => return None,
            };
            match kind {
                "Table" => Shape::Table(version),
                "PartialObjectMetadataList" => Shape::PartialObjectMetadataList(version),
                _ => return None,
            }
        }
        (Some(("apidiscovery.k8s.io", version, "APIGroupDiscoveryList")), Endpoint::Groups) => {
            match version {
                "v2" => Shape::Discovery(DiscoveryVersion::V2),
                "v2beta1" => Shape::Discovery(DiscoveryVersion::V2Beta1),
                _ => return None,
            }
        }
        (Some(_), _) => return None,
    };
    let encoding = match (clause.kind, clause.subkind) {
        ("application", "json") if clause.parameter("pretty") == "1" => Encoding::PrettyJson,
        ("application", "json" | "*") | ("*", "*") => Encoding::Json,
        ("application", "yaml") => Encoding::Yaml,
        _ => return None,
    };
    Some(ResponseFormat { encoding, shape })
}

/// As `isPrettyPrint` there: the query decides, else the user agent.
fn is_pretty(headers: &HeaderMap, query: Option<&str>) -> bool {
    if let Some(pretty) = query.and_then(pretty_parameter) {
        return matches!(pretty, "1" | "t" | "T" | "true" | "TRUE" | "True");
    }
    let Some(agent) = headers.get(USER_AGENT).map(HeaderValue::as_bytes) else {
        return false;
    };
    [&b"curl"[..], b"Wget", b"Mozilla/5.0"]
        .iter()
        .any(|human| agent.starts_with(human))
}

/// The value of the first `pretty`, unless it is empty.
fn pretty_parameter(query: &str) -> Option<&str> {
    let (_, value) = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == "pretty")?;
    (!value.is_empty()).then_some(value)
}
