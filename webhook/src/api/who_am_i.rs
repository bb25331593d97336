//! `WhoAmIRequest`: create, which says who the caller is, and the empty list.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use haulout_api::identity::{KubernetesUserInfo, UserInfo, WhoAmIRequestStatus};
use haulout_operate::clock::Clock;
use haulout_serve::front_proxy::Caller;
use haulout_serve::kinds::ServedKind;
use haulout_serve::list;
use haulout_serve::request::BodyReader;
use haulout_serve::source::Source;
use haulout_serve::status::ApiError;
use serde::Serialize;

use super::create::{Create, Empty};
use crate::limits::{LoginLimits, RETRY_AFTER_SECONDS};

/// What the texts of errors name, whichever suffix is configured.
const GROUP_IN_ERRORS: &str = "identity.concierge.pinniped.dev";

/// The kind as it is served.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) kind: ServedKind,
    pub(super) bodies: Arc<BodyReader>,
    pub(super) limits: Arc<LoginLimits>,
    pub(super) clock: Clock,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    kind: &'a str,
    api_version: &'a str,
    metadata: Empty,
    spec: Empty,
    status: WhoAmIRequestStatus,
}

/// `GET` of the collection.
pub(super) async fn list(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request,
) -> Result<Response, ApiError> {
    list::respond(&endpoint.kind, request.headers(), request.uri().query())
}

/// `POST`: tells the caller as what the API server knows him. Order of groups and all extras stay
/// as they came; audiences are not forwarded by the aggregator.
pub(super) async fn create(
    State(endpoint): State<Arc<Endpoint>>,
    caller: Option<Extension<Caller>>,
    request: Request,
) -> Result<Response, ApiError> {
    let Endpoint {
        kind,
        bodies,
        limits,
        clock,
    } = &*endpoint;
    // It is open to whom logins are open to, and costs as much until the token is looked at.
    limits
        .admit(Source::of(request.extensions()), clock.now())
        .map_err(|_exceeded| ApiError::too_many_requests(RETRY_AFTER_SECONDS))?;
    let create = Create::<Empty>::read(request, kind, bodies).await?;
    create.refuse_dry_run(GROUP_IN_ERRORS)?;
    let Some(Extension(caller)) = caller else {
        return Err(ApiError::internal("no user info on request"));
    };
    let user = UserInfo::clone(&caller.user);
    Ok(create.respond(&Answer {
        kind: kind.kind,
        api_version: &kind.api_version,
        metadata: Empty {},
        spec: Empty {},
        status: WhoAmIRequestStatus {
            kubernetes_user_info: KubernetesUserInfo {
                user,
                audiences: Vec::new(),
            },
        },
    }))
}
