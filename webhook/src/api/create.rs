//! What every create does before it looks at its object, in the order of
//! `k8s.io/apiserver` `endpoints/handlers/create.go`.

use axum::extract::Request;
use axum::response::Response;
use haulout_serve::encoding::Encoding;
use haulout_serve::kinds::ServedKind;
use haulout_serve::negotiate::{BodyFormat, Endpoint, negotiate};
use haulout_serve::request::{BodyReader, CreateOptions, Created, add_warnings, decode_create};
use haulout_serve::source::Source;
use haulout_serve::status::{ApiError, FieldError};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A create that is well formed as far as Kubernetes can tell.
pub(super) struct Create<S> {
    pub(super) object: Created<S>,
    pub(super) options: CreateOptions,
    encoding: Encoding,
}

/// `{}`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Empty {}

impl<S: DeserializeOwned + Default> Create<S> {
    /// Reads a request for `kind`: form of the answer (406), form of the body (415), arrival (408,
    /// 429), size (413), options (400, 422), contents (400).
    pub(super) async fn read(
        request: Request,
        kind: &ServedKind,
        bodies: &BodyReader,
    ) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        let query = head.uri.query();
        let encoding = negotiate(&head.headers, query, Endpoint::Object)?.encoding;
        let format = BodyFormat::negotiate(&head.headers)?;
        let options = CreateOptions::from_query(query);
        let source = Source::of(&head.extensions);
        // Nobody else counts what heads hold, and the body may take its time.
        drop(head);
        let body = bodies.read(body, source).await?;
        let options = options?;
        let object = decode_create(&body, format, kind, options.field_validation)?;
        Ok(Self {
            object,
            options,
            encoding,
        })
    }
}

impl<S> Create<S> {
    /// Refuses a dry run (422), which these kinds cannot do: they are all effect. `group` is the
    /// one with the default suffix; that and the missing kind are as in Pinniped's Concierge.
    pub(super) fn refuse_dry_run(&self, group: &str) -> Result<(), ApiError> {
        if !self.options.dry_run {
            return Ok(());
        }
        let error = FieldError::not_supported("dryRun", r#"["All"]"#, &[]);
        Err(ApiError::invalid(group, "", &self.object.name, &[error]))
    }

    /// 201 with `answer` in the form that the client asked for.
    pub(super) fn respond(&self, answer: &impl Serialize) -> Response {
        let mut response = self.encoding.respond(StatusCode::CREATED, answer);
        add_warnings(&mut response, &self.object.warnings);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use axum::body::Body;
    use haulout_api::group::ApiGroupSuffix;
    use haulout_serve::request::BodyLimits;

    use super::*;

    #[tokio::test]
    async fn no_head_is_held_while_the_body_arrives() {
        let of_the_head = Arc::new(());
        let left = Arc::downgrade(&of_the_head);
        let body = futures_util::stream::once(async move {
            assert_eq!(left.strong_count(), 0);
            io::Result::Ok("{}")
        });
        let mut request = Request::new(Body::from_stream(body));
        request.extensions_mut().insert(of_the_head);
        let kind = ServedKind::who_am_i_request(&ApiGroupSuffix::default());
        let read =
            Create::<Empty>::read(request, &kind, &BodyReader::new(BodyLimits::default())).await;
        assert!(read.is_ok());
    }
}
