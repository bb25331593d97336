//! The id under which one request is found in every log.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// `Audit-ID`, in requests and answers.
pub const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// The most characters that a client's own id may have.
const LENGTH_LIMIT: usize = 64;

/// An id that is safe to write into a log line: at most 64 letters, digits, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditId(Box<str>);

impl AuditId {
    /// The id that the client sent, or a new one where there is none or it could do harm. It is
    /// foreign text all the same, and no metric label.
    ///
    /// Kubernetes takes any text as it is (`endpoints/filters/audit_init.go`).
    pub fn of_request(headers: &HeaderMap) -> Self {
        let given = headers.get(AUDIT_ID).and_then(|value| value.to_str().ok());
        match given {
            Some(id) if is_harmless(id) => Self(id.into()),
            Some(_) | None => Self::random(),
        }
    }

    /// A new id: a UUID of version 4. Its randomness is the TLS library's, which needs no system call.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        let id = match aws_lc_rs::rand::fill(&mut bytes) {
            Ok(()) => uuid::Builder::from_random_bytes(bytes).into_uuid(),
            Err(_unspecified) => Uuid::new_v4(),
        };
        Self(id.to_string().into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Middleware (`axum::middleware::from_fn`) that gives each request an [`AuditId`] as an extension
/// and its answer the header: the client's own id if it is harmless. For clients that come
/// through the API server.
pub async fn assign(request: Request, next: Next) -> Response {
    let id = AuditId::of_request(request.headers());
    run_under(id, request, next).await
}

/// As [`assign`], but the id is always our own. For clients that come to us directly.
pub async fn assign_own(request: Request, next: Next) -> Response {
    run_under(AuditId::random(), request, next).await
}

async fn run_under(id: AuditId, mut request: Request, next: Next) -> Response {
    let header = HeaderValue::from_str(id.as_str());
    request.extensions_mut().insert(id);
    let mut response = next.run(request).await;
    if let Ok(header) = header {
        response.headers_mut().insert(AUDIT_ID, header);
    }
    response
}

fn is_harmless(id: &str) -> bool {
    (1..=LENGTH_LIMIT).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use axum::{Extension, Router, middleware};
    use tower::ServiceExt;

    use super::*;

    fn of_header(value: &[u8]) -> AuditId {
        let mut headers = HeaderMap::new();
        headers.insert(AUDIT_ID, HeaderValue::from_bytes(value).unwrap());
        AuditId::of_request(&headers)
    }

    #[test]
    fn harmful_ids_are_replaced() {
        let too_long = "a".repeat(65);
        let harmful: [&[u8]; 10] = [
            b"",
            b" ",
            b"a b",
            b"a\tb",
            b"\"}",
            b"a/b",
            b"a\\b",
            b"a\xc3\xa9",
            b"<b>",
            too_long.as_bytes(),
        ];
        for given in harmful {
            let id = of_header(given);
            assert_ne!(id.as_str().as_bytes(), given);
            assert_eq!(Uuid::parse_str(id.as_str()).unwrap().get_version_num(), 4);
        }
    }

    #[test]
    fn harmless_ids_are_kept() {
        let longest = "x".repeat(64);
        for given in [
            "a",
            "0f9e62a1-46f4-4f87-a1b6-d94ea08f1a6d",
            "A.b_c-9",
            &longest,
        ] {
            assert_eq!(of_header(given.as_bytes()).as_str(), given);
        }
    }

    #[test]
    fn absent_ids_are_made_and_differ() {
        let headers = HeaderMap::new();
        let (one, other) = (AuditId::of_request(&headers), AuditId::of_request(&headers));
        assert_ne!(one, other);
    }

    #[tokio::test]
    async fn answers_carry_the_id_that_handlers_see() {
        async fn handler(Extension(id): Extension<AuditId>) -> String {
            id.as_str().to_owned()
        }
        let door_a = Router::new()
            .route("/", get(handler))
            .layer(middleware::from_fn(assign));
        let door_b = Router::new()
            .route("/", get(handler))
            .layer(middleware::from_fn(assign_own));
        for (door, kept) in [(door_a, true), (door_b, false)] {
            let request = Request::get("/")
                .header(AUDIT_ID, "mine")
                .body(Body::empty())
                .unwrap();
            let response = door.oneshot(request).await.unwrap();
            let echoed = response.headers()[AUDIT_ID].to_str().unwrap().to_owned();
            assert_eq!(echoed == "mine", kept);
            let seen = axum::body::to_bytes(response.into_body(), 100)
                .await
                .unwrap();
            assert_eq!(seen, echoed);
        }
    }
}
