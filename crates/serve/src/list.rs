//! The list of objects that are never stored: always empty, there so that `kubectl get` of a
//! category does not fail.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::go_quote::clip;
use crate::kinds::ServedKind;
use crate::negotiate::{Endpoint, MetaVersion, Shape, negotiate};
use crate::status::{ApiError, FieldError};

/// Kubernetes' descriptions of the two fields that a table of anything shows.
const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATION_TIMESTAMP_DESCRIPTION: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The answer to a `GET` of the collection: the empty list, its `Table` or its
/// `PartialObjectMetadataList`.
///
/// # Errors
/// 406; 405 for a watch; 400 for a table with an unknown `includeObject`.
pub fn respond(
    kind: &ServedKind,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    if is_watch(query) {
        return Err(ApiError::action_not_supported(
            &kind.group,
            kind.plural,
            "watch",
        ));
    }
    let format = negotiate(headers, query, Endpoint::List)?;
    let encoding = format.encoding;
    Ok(match format.shape {
        Shape::Table(version) => {
            let include_object = first_parameter(query, "includeObject");
            let table = Table::empty(version, include_object.as_deref())?;
            encoding.respond(StatusCode::OK, &table)
        }
        Shape::PartialObjectMetadataList(version) => {
            let list = List {
                kind: "PartialObjectMetadataList",
                api_version: version.api_version(),
                metadata: EMPTY_METADATA,
                items: None,
            };
            encoding.respond(StatusCode::OK, &list)
        }
        Shape::Plain | Shape::Discovery(_) => {
            let list = List {
                kind: kind.list_kind,
                api_version: &kind.api_version,
                metadata: EMPTY_METADATA,
                items: Some([]),
            };
            encoding.respond(StatusCode::OK, &list)
        }
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: &'static str,
}

const EMPTY_METADATA: ListMetadata = ListMetadata {
    resource_version: "0",
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: &'static str,
    api_version: &'a str,
    metadata: ListMetadata,
    /// `null` in Kubernetes' list of metadata alone.
    items: Option<[(); 0]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    kind: &'static str,
    api_version: &'static str,
    metadata: ListMetadata,
    column_definitions: [Column; 2],
    /// Prints as `null`, as Go prints no rows.
    rows: (),
}

#[derive(Serialize)]
struct Column {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    format: &'static str,
    description: &'static str,
    priority: u32,
}

impl Table {
    fn empty(version: MetaVersion, include_object: Option<&str>) -> Result<Self, ApiError> {
        if let Some(other) = include_object
            && !matches!(other, "" | "None" | "Metadata" | "Object")
        {
            let detail = "must be 'Metadata', 'Object', 'None', or empty";
            let error = FieldError::invalid("includeObject", clip(other, 253), detail);
            let text = format!("Unable to convert to Table as requested: {error}");
            return Err(ApiError::bad_request(text));
        }
        let column = |name, kind, format, description| Column {
            name,
            kind,
            format,
            description,
            priority: 0,
        };
        Ok(Self {
            kind: "Table",
            api_version: version.api_version(),
            metadata: EMPTY_METADATA,
            column_definitions: [
                column("Name", "string", "name", NAME_DESCRIPTION),
                column("Created At", "date", "", CREATION_TIMESTAMP_DESCRIPTION),
            ],
            rows: (),
        })
    }
}

/// Whether `?watch` asks for a watch: any value but `0` and `false` does.
pub(crate) fn is_watch(query: Option<&str>) -> bool {
    first_parameter(query, "watch")
        .is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
}

fn first_parameter<'q>(query: Option<&'q str>, name: &str) -> Option<Cow<'q, str>> {
    form_urlencoded::parse(query?.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}
