//! OpenAPI descriptions, for `kubectl explain` (version 3) and for the aggregator's own document
//! (version 2), as `k8s.io/kube-openapi` serves them, in JSON only: who asks for protobuf alone
//! gets 406 and asks again.

mod models;
mod operations;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use serde_json::{Map, Value, json};

use self::models::{definitions, into_v3};
use crate::document::Document;
use crate::encoding::{EncodeError, Encoding};
use crate::kinds::ServedKind;
use crate::negotiate::{Endpoint, negotiate};
use crate::status::ApiError;

/// The routes `/openapi/v2`, `/openapi/v3` and `/openapi/v3/apis/<group>/<version>` of each kind.
///
/// # Errors
/// A document that cannot be written, which no document of ours is.
pub fn router(kinds: &[ServedKind]) -> Result<Router, EncodeError> {
    let mut router = Router::new();
    let mut index = Map::new();
    for kind in kinds {
        let document = Document::new(&version_3(kind))?;
        let name = format!("apis/{}", kind.api_version);
        let path = format!("/openapi/v3/{name}");
        let location = format!("{path}?hash={}", document.hash());
        index.insert(name, json!({ "serverRelativeURL": location }));
        router = router.route(&path, serve(document));
    }
    let index = serve(Document::new(&json!({ "paths": index }))?);
    Ok(router
        .route("/openapi/v2", serve(Document::new(&version_2(kinds))?))
        .route("/openapi/v3", index.clone())
        .route("/openapi/v3/", index))
}

fn serve(document: Document) -> MethodRouter {
    get(move |request: Request| async move { respond(&document, &request) })
}

fn respond(document: &Document, request: &Request) -> Result<Response, ApiError> {
    let headers = request.headers();
    if negotiate(headers, None, Endpoint::Object)?.encoding == Encoding::Yaml {
        return Err(ApiError::not_acceptable());
    }
    // A URL with the right hash means one document for ever.
    let hash = request
        .uri()
        .query()
        .and_then(|query| query.strip_prefix("hash="));
    let caching = if hash == Some(document.hash()) {
        "public, immutable, max-age=31536000"
    } else {
        "no-cache, private"
    };
    Ok(document.respond_cacheable(Encoding::Json, "application/json", caching, headers))
}

fn info() -> Value {
    json!({ "title": "Haulout", "version": env!("CARGO_PKG_VERSION") })
}

fn version_3(kind: &ServedKind) -> Value {
    let schemas: Map<_, _> = definitions(kind)
        .into_iter()
        .map(|(name, schema)| (name, into_v3(schema)))
        .collect();
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": operations::version_3(kind),
        "components": { "schemas": schemas },
    })
}

fn version_2(kinds: &[ServedKind]) -> Value {
    let (mut paths, mut all) = (Map::new(), Map::new());
    for kind in kinds {
        paths.append(&mut operations::version_2(kind));
        all.append(&mut definitions(kind));
    }
    json!({ "swagger": "2.0", "info": info(), "paths": paths, "definitions": all })
}
