//! A create request: its options and its body, read in the order and with the texts of
//! Kubernetes (`k8s.io/apiserver` `endpoints/handlers/create.go`).

mod decode;
mod duration;
mod fields;
mod options;
#[cfg(test)]
mod tests;
mod yaml;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body_util::{BodyExt, LengthLimitError, Limited};

pub use self::decode::{Created, decode_create};
pub use self::options::{CreateOptions, FieldValidation};
use crate::status::ApiError;

/// The most bytes that a body may have, as in Kubernetes.
pub const BODY_LIMIT: usize = 3 * 1024 * 1024;

const WARNING: HeaderName = HeaderName::from_static("warning");

/// Reads the body to its end.
///
/// # Errors
/// 413 beyond [`BODY_LIMIT`]; 400 when the client stops in the middle.
pub async fn read_body(body: Body) -> Result<Bytes, ApiError> {
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::request_entity_too_large(BODY_LIMIT))
        }
        Err(_) => Err(ApiError::bad_request(
            "the body of the request ended too early",
        )),
    }
}

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
