//! The models: ours, and those of Kubernetes that they use.

use haulout_api::group::VERSION;
use haulout_api::{credential, identity};
use k8s_openapi::api::core::v1::TypedLocalObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta, Time};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::kinds::ServedKind;

const DEFINITIONS: &str = "#/definitions/";
const COMPONENTS: &str = "#/components/schemas/";

/// The name of a model of the group of `kind`, as Pinniped's Concierge names it, whatever the suffix.
pub(super) fn model_name(kind: &ServedKind, model: &str) -> String {
    let group = if kind.kind == identity::KIND {
        "identity"
    } else {
        "login"
    };
    format!("dev.pinniped.apis.concierge.{group}.{VERSION}.{model}")
}

/// Turns a schema of version 2 into one of version 3, where nothing may stand beside a `$ref`.
pub(super) fn into_v3(schema: Value) -> Value {
    match schema {
        Value::Array(items) => items.into_iter().map(into_v3).collect(),
        Value::Object(fields) => {
            let mut fields: Map<_, _> = fields
                .into_iter()
                .map(|(name, value)| (name, into_v3(value)))
                .collect();
            if let Some(Value::String(target)) = fields.get_mut("$ref") {
                *target = target.replace(DEFINITIONS, COMPONENTS);
            }
            match fields.remove("$ref") {
                Some(target) if fields.is_empty() => json!({ "$ref": target }),
                Some(target) => {
                    fields.insert("allOf".to_owned(), json!([{ "$ref": target }]));
                    Value::Object(fields)
                }
                None => Value::Object(fields),
            }
        }
        other => other,
    }
}

/// All models of the group of `kind` and those that they use, as schemas of version 2, by name.
pub(super) fn definitions(kind: &ServedKind) -> Map<String, Value> {
    let settings = SchemaSettings::draft07().with(|s| s.definitions_path = "/definitions".into());
    let models = Models {
        kind,
        generator: settings.into_generator(),
        all: Map::new(),
    };
    if kind.kind == credential::KIND {
        models.token_credential_request()
    } else {
        models.who_am_i_request()
    }
}

struct Models<'a> {
    kind: &'a ServedKind,
    generator: SchemaGenerator,
    all: Map<String, Value>,
}

impl Models<'_> {
    fn token_credential_request(mut self) -> Map<String, Value> {
        self.kind_and_list(
            "TokenCredentialRequest submits an external credential to Haulout in exchange for a \
             client certificate of the cluster.",
            "What is to be exchanged.",
            "The outcome of the exchange: a credential or a message. Set in answers only.",
        );
        let authenticator = described(
            self.generator
                .subschema_for::<TypedLocalObjectReference>()
                .into(),
            "The authenticator that judges the token. A JWTAuthenticator or a \
             WebhookAuthenticator, named with its API group.",
        );
        self.add(
            "TokenCredentialRequestSpec",
            "What is to be exchanged, and who judges it.",
            &["authenticator"],
            json!({
                "token": text("The token of the user, for example an OpenID Connect ID token that \
                    was issued for this cluster."),
                "authenticator": authenticator,
            }),
        );
        let credential = self.reference("ClusterCredential", "Present when the login succeeded.");
        self.add(
            "TokenCredentialRequestStatus",
            "The outcome of the exchange: either a credential or a message.",
            &[],
            json!({
                "credential": credential,
                "message": text("Present when the login failed. It never says why: the reason is \
                    in the log and the audit events of the server."),
            }),
        );
        let expiration = described(
            self.generator.subschema_for::<Time>().into(),
            "The end of the certificate's validity.",
        );
        self.add(
            "ClusterCredential",
            "A short-lived client certificate for the API of this cluster.",
            &[],
            json!({
                "expirationTimestamp": expiration,
                "token": text("A bearer token for the API. Not used: the credential is always a \
                    certificate."),
                "clientCertificateData": text("The client certificate as PEM."),
                "clientKeyData": text("The private key of the client certificate as PEM."),
            }),
        );
        self.finish()
    }

    fn who_am_i_request(mut self) -> Map<String, Value> {
        self.kind_and_list(
            "WhoAmIRequest asks who the API server says that the caller is.",
            "Nothing: the caller is known from the request itself.",
            "Who the caller is. Set in answers only.",
        );
        self.add("WhoAmIRequestSpec", "Always empty.", &[], json!({}));
        let info = self.reference(
            "KubernetesUserInfo",
            "The identity that the API server established for this request.",
        );
        self.add(
            "WhoAmIRequestStatus",
            "Who the caller is.",
            &["kubernetesUserInfo"],
            json!({ "kubernetesUserInfo": info }),
        );
        let user = self.reference("UserInfo", "The caller.");
        self.add(
            "KubernetesUserInfo",
            "An identity as Kubernetes established it.",
            &["user"],
            json!({
                "user": user,
                "audiences": texts("The audiences that the authenticator accepted. Absent behind \
                    the API server, which does not forward them."),
            }),
        );
        self.add(
            "UserInfo",
            "A user as Kubernetes describes one.",
            &["username"],
            json!({
                "username": text("The name of the user."),
                "uid": text("A value that tells this user from every other for all time. Absent \
                    where none is known."),
                "groups": texts("The groups of the user, in the order in which they came."),
                "extra": {
                    "description": "Additional information about the user; each key has a list of \
                        values.",
                    "type": "object",
                    "additionalProperties": { "type": "array", "items": { "type": "string" } },
                },
            }),
        );
        self.finish()
    }

    /// The models of the kind and of its list.
    fn kind_and_list(&mut self, description: &str, spec: &str, status: &str) {
        let ServedKind {
            kind, list_kind, ..
        } = self.kind;
        let metadata = described(
            self.generator.subschema_for::<ObjectMeta>().into(),
            "Standard metadata. It is not looked at, because no object of this kind is stored.",
        );
        let spec = self.reference(&format!("{kind}Spec"), spec);
        let status = self.reference(&format!("{kind}Status"), status);
        self.add(
            kind,
            description,
            &[],
            json!({
                "apiVersion": api_version(),
                "kind": kind_property(),
                "metadata": metadata,
                "spec": spec,
                "status": status,
            }),
        );
        let metadata = described(
            self.generator.subschema_for::<ListMeta>().into(),
            "Standard metadata of lists.",
        );
        let item = json!({ "$ref": self.location(kind) });
        self.add(
            list_kind,
            &format!("{list_kind} is a list of {kind} objects. It is always empty."),
            &["items"],
            json!({
                "apiVersion": api_version(),
                "kind": kind_property(),
                "metadata": metadata,
                "items": {
                    "description": "Nothing, because no object of this kind is stored.",
                    "type": "array",
                    "items": item,
                },
            }),
        );
        for model in [kind, list_kind] {
            let identity = json!([{ "group": self.kind.group, "version": VERSION, "kind": model }]);
            if let Some(Value::Object(schema)) = self.all.get_mut(&model_name(self.kind, model)) {
                schema.insert("x-kubernetes-group-version-kind".to_owned(), identity);
            }
        }
    }

    fn add(&mut self, model: &str, description: &str, required: &[&str], properties: Value) {
        let mut schema = Map::new();
        schema.insert("description".to_owned(), json!(description));
        schema.insert("type".to_owned(), json!("object"));
        if properties
            .as_object()
            .is_some_and(|properties| !properties.is_empty())
        {
            schema.insert("properties".to_owned(), properties);
        }
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        self.all
            .insert(model_name(self.kind, model), Value::Object(schema));
    }

    fn reference(&self, model: &str, description: &str) -> Value {
        json!({ "description": description, "$ref": self.location(model) })
    }

    fn location(&self, model: &str) -> String {
        format!("{DEFINITIONS}{}", model_name(self.kind, model))
    }

    fn finish(mut self) -> Map<String, Value> {
        self.all.append(&mut self.generator.take_definitions(true));
        self.all
    }
}

fn api_version() -> Value {
    text(
        "The API group and version of this object, for example \
         login.concierge.pinniped.dev/v1alpha1. Taken from the URL of the request where it is \
         missing.",
    )
}

fn kind_property() -> Value {
    text("The kind of this object, in CamelCase. Taken from the URL of the request where missing.")
}

fn text(description: &str) -> Value {
    json!({ "description": description, "type": "string" })
}

fn texts(description: &str) -> Value {
    json!({ "description": description, "type": "array", "items": { "type": "string" } })
}

fn described(mut schema: Value, description: &str) -> Value {
    if let Value::Object(fields) = &mut schema {
        fields.insert("description".to_owned(), json!(description));
    }
    schema
}
