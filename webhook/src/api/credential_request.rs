//! `TokenCredentialRequest`: create and the empty list.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use haulout_api::credential::{
    AuthenticatorReference, TokenCredentialRequestSpec, TokenCredentialRequestStatus,
};
use haulout_serve::audit_id::AuditId;
use haulout_serve::kinds::ServedKind;
use haulout_serve::list;
use haulout_serve::request::{BodyReader, is_late};
use haulout_serve::source::Source;
use haulout_serve::status::{ApiError, FieldError};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::time::Instant;

use super::create::{Create, Empty};
use super::login::log_in;
use super::state::Logins;
use crate::audit::RequestIds;
use crate::limits::RETRY_AFTER_SECONDS;
use crate::metrics::LoginResult;

/// What the texts of errors name, whichever suffix is configured.
const GROUP_IN_ERRORS: &str = "login.concierge.pinniped.dev";

/// How long a create may take in all, as in `k8s.io/apiserver`.
const DEADLINE: Duration = Duration::from_secs(34);

/// The kind as it is served, and all that a login takes.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) kind: ServedKind,
    pub(super) bodies: Arc<BodyReader>,
    pub(super) logins: Logins,
}

/// What is answered: the token never, nor anything else of the request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    kind: &'a str,
    api_version: &'a str,
    metadata: Empty,
    spec: AnswerSpec,
    status: TokenCredentialRequestStatus,
}

/// A Go `TokenCredentialRequestSpec` without values.
#[derive(Default, Serialize)]
struct AnswerSpec {
    authenticator: AuthenticatorReference,
}

/// `GET` of the collection.
pub(super) async fn list(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request,
) -> Result<Response, ApiError> {
    list::respond(&endpoint.kind, request.headers(), request.uri().query())
}

/// `POST`: exchanges the token for a certificate.
pub(super) async fn create(
    State(endpoint): State<Arc<Endpoint>>,
    Extension(audit_id): Extension<AuditId>,
    request: Request,
) -> Response {
    let begun = Instant::now();
    let create = endpoint.create(audit_id, request, begun);
    match tokio::time::timeout_at(begun + DEADLINE, create).await {
        Ok(response) => response,
        Err(_elapsed) => ApiError::timeout().into_response(),
    }
}

impl Endpoint {
    async fn create(&self, audit_id: AuditId, request: Request, begun: Instant) -> Response {
        let logins = &self.logins;
        let source = Source::of(request.extensions());
        let client = request.extensions().get().copied();
        if let Err(exceeded) = logins.limits.admit(source, logins.clock.now()) {
            let result = LoginResult::Limited(exceeded);
            logins.metrics.observe(result, begun.elapsed());
            return ApiError::too_many_requests(RETRY_AFTER_SECONDS).into_response();
        }
        let read = Create::read(request, &self.kind, &self.bodies).await;
        let mut create = match read.and_then(|create| judge(&create).map(|()| create)) {
            Ok(create) => create,
            Err(error) => {
                let result = if is_late(&error) {
                    LoginResult::LateBody
                } else {
                    LoginResult::Invalid(error.reason())
                };
                logins.metrics.observe(result, begun.elapsed());
                return error.into_response();
            }
        };

        let spec: TokenCredentialRequestSpec = std::mem::take(&mut create.object.spec);
        let ids = RequestIds {
            audit: audit_id.as_str().to_owned(),
            request: AuditId::random().as_str().to_owned(),
            client,
        };
        let login = log_in(logins, &ids, &spec.token, spec.authenticator, begun);
        let status = match create.options.timeout.filter(|&timeout| timeout < DEADLINE) {
            None => login.await,
            Some(timeout) => match tokio::time::timeout_at(begun + timeout, login).await {
                Ok(status) => status,
                Err(_elapsed) => return ApiError::timeout().into_response(),
            },
        };
        create.respond(&Answer {
            kind: self.kind.kind,
            api_version: &self.kind.api_version,
            metadata: Empty {},
            spec: AnswerSpec::default(),
            status,
        })
    }
}

/// The checks before a token counts as received: there is one (422), and the request is not a dry
/// run (422).
fn judge(create: &Create<TokenCredentialRequestSpec>) -> Result<(), ApiError> {
    if create.object.spec.token.expose_secret().is_empty() {
        let error = FieldError::required("spec.token.value", "token must be supplied");
        return Err(ApiError::invalid(
            GROUP_IN_ERRORS,
            "",
            &create.object.name,
            &[error],
        ));
    }
    create.refuse_dry_run(GROUP_IN_ERRORS)
}
