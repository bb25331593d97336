//! Documents that never change: written once, and known to caches by their ETag.

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use haulout_pki::hex;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use crate::encoding::{EncodeError, Encoding};

/// A document in each of its forms.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    json: Bytes,
    pretty_json: Bytes,
    yaml: Bytes,
    /// SHA-256 over the JSON, in upper case hexadecimal.
    hash: String,
}

impl Document {
    pub(crate) fn new(document: &impl Serialize) -> Result<Self, EncodeError> {
        let json = Encoding::Json.encode(document)?;
        let hash = hex(digest(&SHA256, &json).as_ref()).to_ascii_uppercase();
        Ok(Self {
            json: json.into(),
            pretty_json: Encoding::PrettyJson.encode(document)?.into(),
            yaml: Encoding::Yaml.encode(document)?.into(),
            hash,
        })
    }

    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// The document, not to be kept by caches.
    pub(crate) fn respond(&self, encoding: Encoding) -> Response {
        self.respond_as(encoding, encoding.media_type(), "no-cache, private")
    }

    /// The document with its ETag, or 304 for a client that has it already.
    pub(crate) fn respond_cacheable(
        &self,
        encoding: Encoding,
        content_type: &str,
        cache_control: &'static str,
        headers: &HeaderMap,
    ) -> Response {
        let tag = format!("\"{}\"", self.hash);
        let mut response = if is_known(headers, &tag) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            let cache_control = HeaderValue::from_static(cache_control);
            response.headers_mut().insert(CACHE_CONTROL, cache_control);
            response
        } else {
            self.respond_as(encoding, content_type, cache_control)
        };
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        response
    }

    fn respond_as(
        &self,
        encoding: Encoding,
        content_type: &str,
        cache_control: &'static str,
    ) -> Response {
        let body = match encoding {
            Encoding::Json => &self.json,
            Encoding::PrettyJson => &self.pretty_json,
            Encoding::Yaml => &self.yaml,
        };
        let mut response = Response::new(Body::from(body.clone()));
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
        if let Ok(content_type) = HeaderValue::from_str(content_type) {
            headers.insert(CONTENT_TYPE, content_type);
        }
        response
    }
}

/// Whether `If-None-Match` names the tag (RFC 9110, 13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documents_own_tag_is_known() {
        let cases = [
            (None, false),
            (Some(""), false),
            (Some("A"), false),
            (Some("\"B\""), false),
            (Some("\"A"), false),
            (Some("\"A\""), true),
            (Some("W/\"A\""), true),
            (Some("\"B\", \"A\""), true),
            (Some("*"), true),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.extend(value.map(|value| (IF_NONE_MATCH, HeaderValue::from_static(value))));
            assert_eq!(is_known(&headers, "\"A\""), expected, "{value:?}");
        }
    }
}
