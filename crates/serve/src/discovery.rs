//! What the server serves, told to clients and to the API server's aggregator.
//!
//! `/`, `/apis` (also in the aggregated form), `/apis/<group>` and `/apis/<group>/<version>`, as
//! `k8s.io/apiserver` `endpoints/discovery` writes them. All documents are made once.

mod documents;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use self::documents::{ApiGroup, ApiGroupList, ApiResourceList, GroupDiscoveryList, RootPaths};
use crate::document::Document;
use crate::encoding::{EncodeError, Encoding};
use crate::kinds::ServedKind;
use crate::negotiate::{DiscoveryVersion, Endpoint, Shape, negotiate};
use crate::status::ApiError;

/// What a server of this kind has beside its groups.
const OTHER_PATHS: &[&str] = &[
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/readyz",
    "/version",
];

/// The routes of discovery for `kinds`, of which no two share a group.
///
/// # Errors
/// A document that cannot be written, which no document of ours is.
pub fn router(kinds: &[ServedKind]) -> Result<Router, EncodeError> {
    let mut kinds: Vec<_> = kinds.iter().collect();
    kinds.sort_by(|a, b| a.group.cmp(&b.group));

    let root = Document::new(&RootPaths::of(&kinds, OTHER_PATHS))?;
    let mut router = Router::new()
        .route(
            "/",
            get(move || async move { root.respond(Encoding::PrettyJson) }),
        )
        .merge(both("/apis", Groups::of(&kinds)?.into_route()));
    for kind in kinds {
        let group = Document::new(&ApiGroup::of(kind, true))?;
        let resources = Document::new(&ApiResourceList::of(kind))?;
        router = router
            .merge(both(&format!("/apis/{}", kind.group), plain(group)))
            .merge(both(&kind.group_path(), plain(resources)));
    }
    Ok(router)
}

/// The route with and without a slash at its end, as Kubernetes takes it.
fn both(path: &str, route: MethodRouter) -> Router {
    Router::new()
        .route(path, route.clone())
        .route(&format!("{path}/"), route)
}

fn plain(document: Document) -> MethodRouter {
    get(move |request: Request| async move {
        let query = request.uri().query();
        let format = negotiate(request.headers(), query, Endpoint::Object)?;
        Ok::<_, ApiError>(document.respond(format.encoding))
    })
}

/// `/apis` in all of its forms.
struct Groups {
    legacy: Document,
    v2: Document,
    v2beta1: Document,
}

impl Groups {
    fn of(kinds: &[&ServedKind]) -> Result<Arc<Self>, EncodeError> {
        Ok(Arc::new(Self {
            legacy: Document::new(&ApiGroupList::of(kinds))?,
            v2: Document::new(&GroupDiscoveryList::of(kinds, DiscoveryVersion::V2))?,
            v2beta1: Document::new(&GroupDiscoveryList::of(kinds, DiscoveryVersion::V2Beta1))?,
        }))
    }

    fn into_route(self: Arc<Self>) -> MethodRouter {
        get(move |request: Request| async move { self.respond(&request) })
    }

    fn respond(&self, request: &Request) -> Result<Response, ApiError> {
        let headers = request.headers();
        let format = negotiate(headers, request.uri().query(), Endpoint::Groups)?;
        let (version, document) = match format.shape {
            Shape::Discovery(version @ DiscoveryVersion::V2) => (version, &self.v2),
            Shape::Discovery(version @ DiscoveryVersion::V2Beta1) => (version, &self.v2beta1),
            Shape::Plain | Shape::Table(_) | Shape::PartialObjectMetadataList(_) => {
                return Ok(self.legacy.respond(format.encoding));
            }
        };
        let content_type = format!(
            "{};g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList",
            format.encoding.media_type(),
            version.version(),
        );
        Ok(document.respond_cacheable(format.encoding, &content_type, "public", headers))
    }
}
