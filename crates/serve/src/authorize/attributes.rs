//! What a request wants to do, in the terms of RBAC.

use std::borrow::Cow;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use crate::go_quote::GoQuoted;
use crate::list::is_watch;
use crate::status::ApiError;

/// What a request wants to do (`k8s.io/apiserver` `endpoints/request/requestinfo.go`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// Something with a resource, whether it exists or not.
    Resource {
        /// `create`, `list`, `get`, ...; empty for a method that Kubernetes has no verb for.
        verb: &'static str,
        /// API group.
        group: String,
        /// Version of the group.
        version: String,
        /// Resource in the plural.
        resource: String,
        /// Empty for the object itself.
        subresource: String,
        /// Empty for the collection.
        name: String,
        /// Empty for the cluster.
        namespace: String,
    },
    /// A request for any other path.
    Path {
        /// The method in lower case.
        verb: String,
        /// The path, decoded.
        path: String,
    },
}

impl Attributes {
    /// Reads method, path and `?watch` of a request.
    pub fn of_request(method: &Method, uri: &Uri) -> Self {
        let path = percent_decode_str(uri.path()).decode_utf8_lossy();
        Self::of_resource(method, &path, uri.query()).unwrap_or_else(|| Self::Path {
            verb: method.as_str().to_ascii_lowercase(),
            path: path.into_owned(),
        })
    }

    /// `None` where the path is that of no resource: `/apis/<group>/<version>/<resource>...` is.
    fn of_resource(method: &Method, path: &str, query: Option<&str>) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/').peekable();
        if parts.next() != Some("apis") {
            return None;
        }
        let (group, version) = (parts.next()?, parts.next()?);
        parts.peek()?;

        let mut namespace = "";
        if parts.peek() == Some(&"namespaces") {
            // A namespace itself is a resource of that name; what follows it may be one in it.
            let mut inner = parts.clone();
            inner.next();
            namespace = inner.next().unwrap_or_default();
            if inner
                .peek()
                .is_some_and(|next| !matches!(*next, "status" | "finalize"))
            {
                parts = inner;
            }
        }
        let resource = parts.next()?;
        let name = parts.next().unwrap_or_default();
        let subresource = parts.next().unwrap_or_default();

        let verb = match (method.as_str(), name) {
            ("POST", _) => "create",
            ("GET" | "HEAD", "") if is_watch(query) => "watch",
            ("GET" | "HEAD", "") => "list",
            ("GET" | "HEAD", _) => "get",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", "") => "deletecollection",
            ("DELETE", _) => "delete",
            _ => "",
        };
        Some(Self::Resource {
            verb,
            group: group.to_owned(),
            version: version.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        })
    }

    /// The 403 for a user who may not do this; the reviewer's reason may be empty.
    pub(super) fn forbidden(&self, username: &str, reason: &str) -> ApiError {
        let user = GoQuoted(username);
        let reason = if reason.is_empty() {
            Cow::Borrowed("")
        } else {
            Cow::Owned(format!(": {reason}"))
        };
        match self {
            Self::Path { verb, path } => {
                let text = format!("User {user} cannot {verb} path {}", GoQuoted(path));
                ApiError::forbidden("", "", "", &format!("{}{reason}", sanitized(&text)))
            }
            Self::Resource {
                verb,
                group,
                resource,
                subresource,
                name,
                namespace,
                ..
            } => {
                let whole = if subresource.is_empty() {
                    resource.clone()
                } else {
                    format!("{resource}/{subresource}")
                };
                let place = if namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace {}", GoQuoted(namespace))
                };
                let text = format!(
                    "User {user} cannot {verb} resource {} in API group {} {place}",
                    GoQuoted(&whole),
                    GoQuoted(group),
                );
                let text = format!("{}{reason}", sanitized(&text));
                ApiError::forbidden(group, resource, name, &text)
            }
        }
    }

    /// How much text it holds, in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Path { verb, path } => verb.len() + path.len(),
            Self::Resource {
                group,
                version,
                resource,
                subresource,
                name,
                namespace,
                ..
            } => [group, version, resource, subresource, name, namespace]
                .iter()
                .map(|text| text.len())
                .sum(),
        }
    }
}

/// As `responsewriters.sanitizer`: nothing that looks like HTML.
fn sanitized(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
