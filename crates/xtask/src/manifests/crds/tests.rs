//! The generated definitions against the contract, field by field.

use std::collections::BTreeMap;

use super::*;

const CONDITIONS: &[(&str, &str)] = &[
    ("status", "object"),
    (
        "status.conditions",
        r#"array x-kubernetes-list-map-keys=["type"] x-kubernetes-list-type="map""#,
    ),
    ("status.conditions[]", "object"),
    (
        "status.conditions[].lastTransitionTime",
        r#"required string format="date-time""#,
    ),
    (
        "status.conditions[].message",
        "required string maxLength=32768",
    ),
    (
        "status.conditions[].observedGeneration",
        r#"integer format="int64" minimum=0"#,
    ),
    (
        "status.conditions[].reason",
        r#"required string maxLength=1024 minLength=1 pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$""#,
    ),
    (
        "status.conditions[].status",
        r#"required string enum=["True","False","Unknown"]"#,
    ),
    (
        "status.conditions[].type",
        r#"required string maxLength=316 pattern="^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$""#,
    ),
    (
        "status.phase",
        r#"string default="Pending" enum=["Pending","Ready","Error"]"#,
    ),
];

const TLS: &[(&str, &str)] = &[
    ("spec.tls", "object"),
    ("spec.tls.certificateAuthorityData", "string"),
    ("spec.tls.certificateAuthorityDataSource", "object"),
    (
        "spec.tls.certificateAuthorityDataSource.key",
        "required string minLength=1",
    ),
    (
        "spec.tls.certificateAuthorityDataSource.kind",
        r#"required string enum=["Secret","ConfigMap"]"#,
    ),
    (
        "spec.tls.certificateAuthorityDataSource.name",
        "required string minLength=1",
    ),
];

const JWT: &[(&str, &str)] = &[
    ("", "object"),
    ("spec", "required object"),
    ("spec.audience", "required string minLength=1"),
    ("spec.claimValidationRules", "array"),
    ("spec.claimValidationRules[]", "object"),
    ("spec.claimValidationRules[].claim", "string"),
    ("spec.claimValidationRules[].expression", "string"),
    ("spec.claimValidationRules[].message", "string"),
    ("spec.claimValidationRules[].requiredValue", "string"),
    ("spec.claims", "object"),
    ("spec.claims.extra", "array"),
    ("spec.claims.extra[]", "object"),
    ("spec.claims.extra[].key", "required string"),
    ("spec.claims.extra[].valueExpression", "required string"),
    ("spec.claims.groups", "string"),
    ("spec.claims.groupsExpression", "string"),
    ("spec.claims.username", "string"),
    ("spec.claims.usernameExpression", "string"),
    (
        "spec.issuer",
        r#"required string minLength=1 pattern="^https://""#,
    ),
    ("spec.userValidationRules", "array"),
    ("spec.userValidationRules[]", "object"),
    ("spec.userValidationRules[].expression", "required string"),
    ("spec.userValidationRules[].message", "string"),
];

/// Optional fields of ours on both authenticators; see `docs/differences.md`.
const EXTENSIONS: &[(&str, &str)] = &[
    (
        "spec.certificateLifetimeSeconds",
        r#"integer format="int32" maximum=86400 minimum=60"#,
    ),
    ("spec.groupsPrefix", "string maxLength=253"),
    ("spec.usernamePrefix", "string maxLength=253"),
];

const JWT_EXTENSIONS: &[(&str, &str)] = &[
    (
        "spec.signingAlgorithms",
        r#"array maxItems=7 x-kubernetes-list-type="set""#,
    ),
    (
        "spec.signingAlgorithms[]",
        r#"string enum=["RS256","RS384","RS512","PS256","ES256","ES384","EdDSA"]"#,
    ),
];

const WEBHOOK_EXTENSIONS: &[(&str, &str)] =
    &[("spec.tokenReviewVersion", r#"string enum=["v1beta1","v1"]"#)];

const WEBHOOK: &[(&str, &str)] = &[
    ("", "object"),
    ("spec", "required object"),
    (
        "spec.endpoint",
        r#"required string minLength=1 pattern="^https://""#,
    ),
];

/// `DirectEndpoint` in both type enums is ours, as is `directEndpointInfo`; see `docs/differences.md`.
const ISSUER: &[(&str, &str)] = &[
    ("", "object"),
    ("spec", "object"),
    ("spec.impersonationProxy", "required object"),
    ("spec.impersonationProxy.externalEndpoint", "string"),
    (
        "spec.impersonationProxy.mode",
        r#"required string enum=["auto","enabled","disabled"]"#,
    ),
    (
        "spec.impersonationProxy.service",
        r#"object default={"type":"LoadBalancer"}"#,
    ),
    ("spec.impersonationProxy.service.annotations", "object"),
    ("spec.impersonationProxy.service.annotations{}", "string"),
    (
        "spec.impersonationProxy.service.loadBalancerIP",
        "string maxLength=255 minLength=1",
    ),
    (
        "spec.impersonationProxy.service.type",
        r#"string default="LoadBalancer" enum=["LoadBalancer","ClusterIP","None"]"#,
    ),
    ("spec.impersonationProxy.tls", "object"),
    (
        "spec.impersonationProxy.tls.certificateAuthorityData",
        "string",
    ),
    (
        "spec.impersonationProxy.tls.secretName",
        "string minLength=1",
    ),
    ("status", "object"),
    ("status.strategies", "required array"),
    ("status.strategies[]", "object"),
    ("status.strategies[].frontend", "object"),
    ("status.strategies[].frontend.directEndpointInfo", "object"),
    (
        "status.strategies[].frontend.directEndpointInfo.certificateAuthorityData",
        "string minLength=1",
    ),
    (
        "status.strategies[].frontend.directEndpointInfo.endpoint",
        r#"required string minLength=1 pattern="^https://""#,
    ),
    (
        "status.strategies[].frontend.impersonationProxyInfo",
        "object",
    ),
    (
        "status.strategies[].frontend.impersonationProxyInfo.certificateAuthorityData",
        "required string minLength=1",
    ),
    (
        "status.strategies[].frontend.impersonationProxyInfo.endpoint",
        r#"required string minLength=1 pattern="^https://""#,
    ),
    (
        "status.strategies[].frontend.tokenCredentialRequestInfo",
        "object",
    ),
    (
        "status.strategies[].frontend.tokenCredentialRequestInfo.certificateAuthorityData",
        "required string minLength=1",
    ),
    (
        "status.strategies[].frontend.tokenCredentialRequestInfo.server",
        r#"required string minLength=1 pattern="^https://|^http://""#,
    ),
    (
        "status.strategies[].frontend.type",
        r#"required string enum=["TokenCredentialRequestAPI","ImpersonationProxy","DirectEndpoint"]"#,
    ),
    (
        "status.strategies[].lastUpdateTime",
        r#"required string format="date-time""#,
    ),
    ("status.strategies[].message", "required string minLength=1"),
    (
        "status.strategies[].reason",
        r#"required string enum=["Listening","Pending","Disabled","ErrorDuringSetup","CouldNotFetchKey","CouldNotGetClusterInfo","FetchedKey"]"#,
    ),
    (
        "status.strategies[].status",
        r#"required string enum=["Success","Error"]"#,
    ),
    (
        "status.strategies[].type",
        r#"required string enum=["KubeClusterSigningCertificate","ImpersonationProxy","DirectEndpoint"]"#,
    ),
];

/// Path of each field and what the schema demands of it, descriptions left out.
fn flatten(crd: &Value) -> BTreeMap<String, String> {
    fn walk(
        path: &str,
        required: bool,
        schema: &Map<String, Value>,
        out: &mut BTreeMap<String, String>,
    ) {
        let type_ = schema
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or("(no type)");
        let mut demands = if required {
            format!("required {type_}")
        } else {
            type_.to_owned()
        };
        let described = [
            "type",
            "description",
            "properties",
            "required",
            "items",
            "additionalProperties",
        ];
        for (key, value) in schema {
            if !described.contains(&key.as_str()) {
                demands.push_str(&format!(" {key}={value}"));
            }
        }
        assert!(out.insert(path.to_owned(), demands).is_none());
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        for (name, inner) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            walk(
                &path,
                required.contains(&name.as_str()),
                inner.as_object().unwrap(),
                out,
            );
        }
        for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
            if let Some(inner) = schema.get(key) {
                walk(
                    &format!("{path}{mark}"),
                    false,
                    inner.as_object().unwrap(),
                    out,
                );
            }
        }
    }
    let mut out = BTreeMap::new();
    walk("", false, schema_of(crd), &mut out);
    out
}

fn schema_of(crd: &Value) -> &Map<String, Value> {
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema")
        .unwrap()
        .as_object()
        .unwrap()
}

fn find(plural: &str) -> Value {
    all()
        .unwrap()
        .into_iter()
        .find(|crd| crd.pointer("/spec/names/plural") == Some(&json!(plural)))
        .unwrap()
}

#[test]
fn every_field_demands_what_the_contract_says() {
    let contract = [
        (
            "jwtauthenticators",
            [JWT, TLS, CONDITIONS, EXTENSIONS, JWT_EXTENSIONS].concat(),
        ),
        (
            "webhookauthenticators",
            [WEBHOOK, TLS, CONDITIONS, EXTENSIONS, WEBHOOK_EXTENSIONS].concat(),
        ),
        ("credentialissuers", ISSUER.to_vec()),
    ];
    for (plural, fields) in contract {
        let expected: BTreeMap<String, String> = fields
            .into_iter()
            .map(|(path, demands)| (path.to_owned(), demands.to_owned()))
            .collect();
        assert_eq!(flatten(&find(plural)), expected, "{plural}");
    }
}

#[test]
fn names_scope_versions_and_columns_are_those_of_the_contract() {
    let authenticators = json!([
        "pinniped",
        "pinniped-authenticator",
        "pinniped-authenticators"
    ]);
    let column = |name: &str, type_: &str, path: &str| json!({"name": name, "type": type_, "jsonPath": path});
    let age = column("Age", "date", ".metadata.creationTimestamp");
    let status = column("Status", "string", ".status.phase");
    let cases = [
        (
            "authentication.concierge.pinniped.dev",
            "JWTAuthenticator",
            authenticators.clone(),
            json!([
                column("Issuer", "string", ".spec.issuer"),
                column("Audience", "string", ".spec.audience"),
                status,
                age
            ]),
        ),
        (
            "authentication.concierge.pinniped.dev",
            "WebhookAuthenticator",
            authenticators,
            json!([column("Endpoint", "string", ".spec.endpoint"), status, age]),
        ),
        (
            "config.concierge.pinniped.dev",
            "CredentialIssuer",
            json!(["pinniped"]),
            json!([
                column("ProxyMode", "string", ".spec.impersonationProxy.mode"),
                column(
                    "DefaultStrategy",
                    "string",
                    r#".status.strategies[?(@.status == "Success")].type"#
                ),
                age
            ]),
        ),
    ];
    for (group, kind, categories, columns) in cases {
        let singular = kind.to_lowercase();
        let plural = format!("{singular}s");
        let mut crd = find(&plural);
        crd.pointer_mut("/spec/versions/0")
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove("schema");
        assert_eq!(
            crd,
            json!({
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": format!("{plural}.{group}")},
                "spec": {
                    "group": group,
                    "names": {
                        "categories": categories,
                        "kind": kind,
                        "listKind": format!("{kind}List"),
                        "plural": plural,
                        "singular": singular,
                    },
                    "scope": "Cluster",
                    "versions": [{
                        "name": "v1alpha1",
                        "served": true,
                        "storage": true,
                        "subresources": {"status": {}},
                        "additionalPrinterColumns": columns,
                    }],
                },
            })
        );
    }
}

/// `kubectl explain` shows them.
#[test]
fn every_field_has_a_description() {
    fn walk(path: &str, schema: &Map<String, Value>) {
        let description = schema.get("description").and_then(Value::as_str);
        assert!(description.is_some_and(|text| !text.is_empty()), "{path}");
        for (name, inner) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            walk(&format!("{path}.{name}"), inner.as_object().unwrap());
        }
        if let Some(items) = schema.get("items").and_then(Value::as_object) {
            walk(&format!("{path}[]"), items);
        }
    }
    for crd in all().unwrap() {
        walk("", schema_of(&crd));
    }
}

#[test]
fn nulls_are_taken_out_at_every_depth() {
    let mut schema = json!({
        "nullable": true,
        "properties": {"a": {"enum": ["x", null], "nullable": true}},
        "items": {"nullable": true},
        "additionalProperties": {"nullable": true},
    });
    restructure(schema.as_object_mut().unwrap());
    assert_eq!(
        schema,
        json!({"properties": {"a": {"enum": ["x"]}}, "items": {}, "additionalProperties": {}})
    );
}
