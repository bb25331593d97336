//! Errors of the API, as Kubernetes' `metav1.Status`.

mod field_error;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use serde::{Serialize, Serializer, ser::SerializeStruct};

pub use self::field_error::FieldError;
use crate::encoding::Encoding;
use crate::go_quote::GoQuoted;
use crate::negotiate::error_encoding;

/// An error that a client gets as a `Status` document. The text is Kubernetes' own wherever
/// Kubernetes has one (`k8s.io/apimachinery` `pkg/api/errors`).
///
/// As an axum response it is compact JSON; [`render_errors`] gives it the form that the client
/// asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Option<Box<Details>>,
}

/// What `details` of a `Status` says, empty fields left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Cause>,
    #[serde(skip_serializing_if = "is_zero")]
    retry_after_seconds: u32,
}

/// One of the causes in `details`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Cause {
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'static str,
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
}

impl ApiError {
    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 401: credentials were shown and not accepted.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// Code 403. `group` and `resource` are empty for a path that is no resource; `message` begins with
    /// the user, as in `User "x" cannot ...`.
    pub fn forbidden(group: &str, resource: &str, name: &str, message: &str) -> Self {
        let subject = match (resource.is_empty() && group.is_empty(), name) {
            (true, _) => "forbidden".to_owned(),
            (false, "") => format!("{} is forbidden", qualified(resource, group)),
            (false, name) => {
                format!(
                    "{} {} is forbidden",
                    qualified(resource, group),
                    GoQuoted(name)
                )
            }
        };
        Self::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            format!("{subject}: {message}"),
        )
        .with_details(Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: resource.to_owned(),
            ..Details::default()
        })
    }

    /// 404 of a path that nothing is served at.
    pub fn not_found() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).with_details(Details::default())
    }

    /// 405 of a method that the path does not know.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
            .with_details(Details::default())
    }

    /// 405 of an action, such as `watch`, that the resource does not offer.
    pub fn action_not_supported(group: &str, resource: &str, action: &str) -> Self {
        let kind = qualified(resource, group);
        let message = format!(
            "{action} is not supported on resources of kind {}",
            GoQuoted(&kind)
        );
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).with_details(
            Details {
                group: group.to_owned(),
                kind: resource.to_owned(),
                ..Details::default()
            },
        )
    }

    /// 406: none of the media types that the client accepts is one that we have.
    pub fn not_acceptable() -> Self {
        let message =
            "only the following media types are accepted: application/json, application/yaml";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 408: the body does not arrive. The reason is that by which Kubernetes' clients know timeouts.
    pub fn request_timeout() -> Self {
        let message = "Timeout: the body of the request did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "Timeout", message)
    }

    /// 413: the body has more than `limit` bytes.
    pub fn request_entity_too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            message,
        )
    }

    /// Code 415. The text is that of Pinniped's Concierge, which names protobuf although the kinds have
    /// none there either.
    pub fn unsupported_media_type() -> Self {
        let message = "the body of the request was in an unknown format - accepted media types \
            include: application/json, application/yaml, application/vnd.kubernetes.protobuf";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            message,
        )
    }

    /// 422. `kind` may be empty, and then `<kind>.<group>` in the text begins with the dot.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let listed = match errors {
            [error] => error.to_string(),
            errors => {
                let all: Vec<_> = errors.iter().map(ToString::to_string).collect();
                format!("[{}]", all.join(", "))
            }
        };
        let message = format!(
            "{} {} is invalid: {listed}",
            qualified(kind, group),
            GoQuoted(name)
        );
        let cause = |error: &FieldError| Cause {
            reason: error.reason,
            message: error.body.clone(),
            field: error.field.clone(),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).with_details(Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            causes: errors.iter().map(cause).collect(),
            ..Details::default()
        })
    }

    /// 429 with `Retry-After` in whole seconds, at least one.
    pub fn too_many_requests(retry_after_seconds: u32) -> Self {
        let message = "Too many requests, please try again later.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).with_details(Details {
            retry_after_seconds: retry_after_seconds.max(1),
            ..Details::default()
        })
    }

    /// 500. The text goes to the client, so it names no secret and no peer.
    pub fn internal(text: &str) -> Self {
        let cause = Cause {
            reason: "",
            message: text.to_owned(),
            field: String::new(),
        };
        let message = format!("Internal error occurred: {text}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message).with_details(
            Details {
                causes: vec![cause],
                ..Details::default()
            },
        )
    }

    /// 504: the time that the client gave is over.
    pub fn timeout() -> Self {
        let message = "Timeout: request did not complete within the allotted timeout";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message).with_details(Details::default())
    }

    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
        }
    }

    fn with_details(self, details: Details) -> Self {
        Self {
            details: Some(Box::new(details)),
            ..self
        }
    }

    /// The HTTP status code.
    pub const fn code(&self) -> StatusCode {
        self.code
    }

    /// The reason in one word, such as `NotFound`.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// The error as an answer in the given form.
    pub fn respond(&self, encoding: Encoding) -> Response {
        let mut response = encoding.respond(self.code, self);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == StatusCode::FORBIDDEN {
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        response
    }

    fn retry_after_seconds(&self) -> Option<u32> {
        self.details
            .as_ref()
            .map(|details| details.retry_after_seconds)
            .filter(|&s| s > 0)
    }
}

impl Serialize for ApiError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// `metadata` of a `Status`, always empty.
        #[derive(Serialize)]
        struct Empty {}

        let mut status = serializer.serialize_struct("Status", 8)?;
        status.serialize_field("kind", "Status")?;
        status.serialize_field("apiVersion", "v1")?;
        status.serialize_field("metadata", &Empty {})?;
        status.serialize_field("status", "Failure")?;
        status.serialize_field("message", &self.message)?;
        status.serialize_field("reason", self.reason)?;
        if let Some(details) = &self.details {
            status.serialize_field("details", details)?;
        }
        status.serialize_field("code", &self.code.as_u16())?;
        status.end()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.respond(Encoding::Json);
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Middleware (`axum::middleware::from_fn`) that gives every [`ApiError`] of the routes below it
/// the form that the client asked for: YAML, or indented for humans. Headers that the routes
/// added stay.
pub async fn render_errors(request: Request, next: Next) -> Response {
    let encoding = error_encoding(request.headers(), request.uri().query());
    let mut response = next.run(request).await;
    if encoding == Encoding::Json {
        return response;
    }
    if let Some(error) = response.extensions().get::<Arc<ApiError>>().map(Arc::clone) {
        let (head, body) = error.respond(encoding).into_parts();
        *response.body_mut() = body;
        response.headers_mut().extend(head.headers);
    }
    response
}

/// The router with the answers of Kubernetes for paths and methods that none of its routes knows.
pub fn with_fallbacks(router: Router) -> Router {
    router
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
}

/// `<resource>.<group>` as `schema.GroupResource` prints itself.
fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
