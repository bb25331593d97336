//! A create request: its options and its body, read in the order and with the texts of
//! Kubernetes (`k8s.io/apiserver` `endpoints/handlers/create.go`).

mod body;
mod decode;
mod duration;
mod fields;
mod options;
mod shares;
#[cfg(test)]
mod tests;
mod yaml;

use axum::response::Response;
use http::{HeaderName, HeaderValue};

pub use self::body::{BODY_LIMIT, BodyLimits, BodyReader, is_late};
pub use self::decode::{Created, decode_create};
pub use self::options::{CreateOptions, FieldValidation};

const WARNING: HeaderName = HeaderName::from_static("warning");

/// Adds one `Warning` header for each text (RFC 7234, 5.5; code 299), as kubectl prints them.
pub fn add_warnings(response: &mut Response, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        // A text that no header can hold is dropped: warnings never fail a request.
        if let Ok(header) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, header);
        }
    }
}
