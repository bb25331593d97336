//! `kubectl explain`: every field of every kind is there and described.

use std::collections::BTreeMap;

use haulout_tests::cluster::Kubectl;
use serde_json::Value;

use crate::running::{Running, until};

/// Group, kind, and a field deep inside that must be found.
const KINDS: [(&str, &str, &str); 5] = [
    (
        "login.concierge.pinniped.dev",
        "TokenCredentialRequest",
        "status.credential.expirationTimestamp",
    ),
    (
        "identity.concierge.pinniped.dev",
        "WhoAmIRequest",
        "status.kubernetesUserInfo.user.extra",
    ),
    (
        "authentication.concierge.pinniped.dev",
        "JWTAuthenticator",
        "spec.tls.certificateAuthorityDataSource.key",
    ),
    (
        "authentication.concierge.pinniped.dev",
        "WebhookAuthenticator",
        "status.conditions.lastTransitionTime",
    ),
    (
        "config.concierge.pinniped.dev",
        "CredentialIssuer",
        "status.strategies.frontend.tokenCredentialRequestInfo.certificateAuthorityData",
    ),
];

/// Takes the fields from the document that kubectl explains by, as the API server serves it, and compares them with what
/// kubectl shows; one kubectl for each field would take minutes.
pub(crate) async fn every_field_is_described(running: &Running) {
    let kubectl = running.cluster.kubectl();
    for (group, kind, deep) in KINDS {
        let shown = shown_fields(kubectl, group, kind).await;
        let path = format!("/openapi/v3/apis/{group}/v1alpha1");
        let document = running.get_as_admin(&path, "application/json").await;
        let fields = Walk { document }.fields_of(group, kind);
        assert!(fields.contains_key(deep), "{kind} has no {deep}");
        for (field, description) in &fields {
            assert!(!description.trim().is_empty(), "{kind}.{field}");
        }
        let walked: Vec<&String> = fields.keys().collect();
        assert_eq!(shown.iter().collect::<Vec<_>>(), walked, "{kind}");
        explains(kubectl, &format!("{}.{deep}", kind.to_lowercase())).await;
    }
    for field in [
        "tokencredentialrequest",
        "tokencredentialrequest.spec.authenticator.name",
        "tokencredentialrequest.status.message",
        "tokencredentialrequest.metadata.name",
        "whoamirequest.status.kubernetesUserInfo.user.groups",
        "jwtauthenticator.spec",
        "credentialissuer.status.strategies",
    ] {
        explains(kubectl, field).await;
    }
}

async fn explains(kubectl: &Kubectl, field: &str) {
    let text = kubectl.run(["explain", field]).await.unwrap();
    let (_, description) = text.split_once("DESCRIPTION:").unwrap_or_default();
    let description = description.trim();
    assert!(
        !description.is_empty() && !description.starts_with("<empty>"),
        "{field}: {text}"
    );
}

/// What `kubectl explain --recursive` lists, as paths, sorted.
async fn shown_fields(kubectl: &Kubectl, group: &str, kind: &str) -> Vec<String> {
    let version = format!("--api-version={group}/v1alpha1");
    let arguments = ["explain", &kind.to_lowercase(), &version, "--recursive"];
    let mut text = String::new();
    // The API server fetches the documents of an aggregated API in its own time.
    until(&format!("kubectl explain {kind}"), async || {
        text = kubectl.run(arguments).await.unwrap_or_default();
        !text.is_empty()
    })
    .await;
    let (_, list) = text.split_once("FIELDS:\n").expect(&text);
    let mut paths = Vec::new();
    let mut above: Vec<&str> = Vec::new();
    for line in list.lines() {
        // `  NAME\t<TYPE>`, two spaces more for each level; allowed values stand in lines of their own.
        let Some((name, _)) = line.split_once('\t') else {
            continue;
        };
        let level = (name.len() - name.trim_start().len()) / 2 - 1;
        above.truncate(level);
        above.push(name.trim_start());
        paths.push(above.join("."));
    }
    paths.sort_unstable();
    paths
}

/// A walk through the schemas of an OpenAPI document, version 3.
struct Walk {
    document: Value,
}

impl Walk {
    /// Every field by its path, with its description.
    fn fields_of(&self, group: &str, kind: &str) -> BTreeMap<String, String> {
        let schemas = self.document["components"]["schemas"].as_object().unwrap();
        let is_wanted = |schema: &&Value| {
            let names = schema["x-kubernetes-group-version-kind"].as_array();
            let mut names = names.into_iter().flatten();
            names.any(|name| name["group"] == group && name["kind"] == kind)
        };
        let schema = schemas.values().find(is_wanted);
        let schema = schema.unwrap_or_else(|| panic!("{kind} is not in the document"));
        let mut fields = BTreeMap::new();
        self.walk(schema, "", &mut fields);
        fields
    }

    fn walk(&self, schema: &Value, path: &str, fields: &mut BTreeMap<String, String>) {
        assert!(path.matches('.').count() < 20, "{path}");
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let separator = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{separator}{name}");
            fields.insert(path.clone(), self.description(property));
            self.walk(property, &path, fields);
        }
        for inner in self.within(schema) {
            self.walk(inner, path, fields);
        }
    }

    /// A schema's own description, else that of what it refers to or consists of, as kubectl looks for it.
    fn description(&self, schema: &Value) -> String {
        match schema["description"].as_str() {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => self
                .within(schema)
                .into_iter()
                .map(|inner| self.description(inner))
                .collect(),
        }
    }

    fn within<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let target = schema["$ref"].as_str().map(|target| {
            let pointer = target.trim_start_matches('#');
            self.document.pointer(pointer).expect(target)
        });
        let parts = schema["allOf"].as_array().into_iter().flatten();
        let elements = ["items", "additionalProperties"]
            .into_iter()
            .filter_map(|key| schema.get(key).filter(|inner| inner.is_object()));
        target.into_iter().chain(parts).chain(elements).collect()
    }
}
