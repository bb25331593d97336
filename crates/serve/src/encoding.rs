//! How documents are written: JSON as Go's encoder writes it, or YAML.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// What `k8s.io/apiserver` (`filters.WithCacheControl`) lets caches do with an answer.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");

/// How a document is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// JSON on one line, ended by a newline.
    #[default]
    Json,
    /// JSON indented by two spaces, for humans; no newline at the end.
    PrettyJson,
    /// YAML with sorted keys.
    Yaml,
}

/// A document that cannot be written, such as one with keys that are no strings.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Not writable as JSON.
    #[error("failed to write a document as JSON")]
    Json(#[source] serde_json::Error),
    /// Not writable as YAML.
    #[error("failed to write a document as YAML")]
    Yaml(#[source] serde_saphyr::ser_error::Error),
}

impl Encoding {
    /// The media type, without parameters.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json | Self::PrettyJson => "application/json",
            Self::Yaml => "application/yaml",
        }
    }

    /// The document in bytes. As in Go, JSON holds none of `<`, `>`, `&`, U+2028 and U+2029, so
    /// that no browser can take foreign text in it for HTML.
    ///
    /// # Errors
    /// [`EncodeError`] when the document has no such form.
    pub fn encode<T: Serialize + ?Sized>(self, document: &T) -> Result<Vec<u8>, EncodeError> {
        match self {
            Self::Json => {
                let mut json = escape_for_html(serde_json::to_vec(document)?);
                json.push(b'\n');
                Ok(json)
            }
            Self::PrettyJson => Ok(escape_for_html(serde_json::to_vec_pretty(document)?)),
            Self::Yaml => {
                // By way of a tree, whose keys are sorted.
                let tree = serde_json::to_value(document)?;
                Ok(serde_saphyr::to_string(&tree)?.into_bytes())
            }
        }
    }

    /// The document as an answer that no cache keeps.
    ///
    /// A document that cannot be written becomes an empty 500 and an error in the log.
    pub fn respond<T: Serialize + ?Sized>(self, code: StatusCode, document: &T) -> Response {
        let (code, body) = match self.encode(document) {
            Ok(body) => (code, body),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "failed to answer");
                (StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
            }
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type()));
        headers.insert(CACHE_CONTROL, NO_CACHE);
        response
    }
}

impl From<serde_json::Error> for EncodeError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<serde_saphyr::ser_error::Error> for EncodeError {
    fn from(error: serde_saphyr::ser_error::Error) -> Self {
        Self::Yaml(error)
    }
}

/// Writes the characters of HTML in finished JSON as escapes. They can only stand in strings.
fn escape_for_html(json: Vec<u8>) -> Vec<u8> {
    // 0xe2 begins U+2028 and U+2029, among others.
    let suspect = |byte: u8| matches!(byte, b'<' | b'>' | b'&' | 0xe2);
    if !json
        .iter()
        .fold(false, |found, &byte| found | suspect(byte))
    {
        return json;
    }
    let mut escaped = Vec::with_capacity(json.len() + 64);
    let mut rest = json.as_slice();
    while let Some((&byte, tail)) = rest.split_first() {
        let escape: &[u8] = match byte {
            b'<' => br"\u003c",
            b'>' => br"\u003e",
            b'&' => br"\u0026",
            0xe2 if tail.starts_with(&[0x80, 0xa8]) => br"\u2028",
            0xe2 if tail.starts_with(&[0x80, 0xa9]) => br"\u2029",
            _ => {
                escaped.push(byte);
                rest = tail;
                continue;
            }
        };
        escaped.extend_from_slice(escape);
        rest = if byte == 0xe2 {
            tail.get(2..).unwrap_or_default()
        } else {
            tail
        };
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encode(encoding: Encoding, document: &serde_json::Value) -> String {
        String::from_utf8(encoding.encode(document).unwrap()).unwrap()
    }

    #[test]
    fn json_ends_with_a_newline_unless_it_is_pretty() {
        let document = json!({"items": [], "metadata": {"resourceVersion": "0"}, "spec": {}});
        assert_eq!(
            encode(Encoding::Json, &document),
            "{\"items\":[],\"metadata\":{\"resourceVersion\":\"0\"},\"spec\":{}}\n"
        );
        assert_eq!(
            encode(Encoding::PrettyJson, &document),
            "{\n  \"items\": [],\n  \"metadata\": {\n    \"resourceVersion\": \"0\"\n  },\n  \"spec\": {}\n}"
        );
    }

    #[test]
    fn html_is_escaped_as_go_does() {
        let document = json!("<a href='x'>&\u{2028}\u{2029}\u{2027}é</a>");
        assert_eq!(
            encode(Encoding::Json, &document),
            "\"\\u003ca href='x'\\u003e\\u0026\\u2028\\u2029\u{2027}é\\u003c/a\\u003e\"\n"
        );
        let read: serde_json::Value =
            serde_json::from_str(&encode(Encoding::PrettyJson, &document)).unwrap();
        assert_eq!(read, document);
    }

    #[test]
    fn yaml_has_sorted_keys_and_quotes_what_would_be_another_type() {
        let document = json!({
            "metadata": {"resourceVersion": "0"}, "items": [], "kind": "List", "rows": null,
            "apiVersion": "v1", "empty": "", "spec": {}, "verbs": ["create", "list"], "no": false,
        });
        let yaml = encode(Encoding::Yaml, &document);
        assert_eq!(
            yaml,
            "apiVersion: v1\nempty: \"\"\nitems: []\nkind: List\nmetadata:\n  resourceVersion: \"0\"\n\
             \"no\": false\nrows: null\nspec: {}\nverbs:\n- create\n- list\n"
        );
    }
}
