//! What the three CRDs take and refuse, as an administrator meets it: `kubectl apply`, judged by the API server.

use haulout_tests::cluster::Kubectl;
use serde_json::{Value, json};

/// An object and what must come of it.
struct Case {
    kind: &'static str,
    /// Which object of its kind; becomes its name.
    what: String,
    /// Everything beside kind and metadata.
    spec: Value,
    /// What the refusal must say; none for a good object.
    refusal: Option<String>,
}

impl Case {
    fn good(kind: &'static str, what: &str, spec: Value) -> Self {
        Self {
            kind,
            what: what.to_owned(),
            spec,
            refusal: None,
        }
    }

    fn bad(kind: &'static str, what: &str, spec: Value, refusal: &str) -> Self {
        Self {
            refusal: Some(refusal.to_owned()),
            ..Self::good(kind, what, spec)
        }
    }

    fn group(&self) -> &'static str {
        match self.kind {
            ISSUER => "config.concierge.pinniped.dev",
            _ => "authentication.concierge.pinniped.dev",
        }
    }

    fn name(&self) -> String {
        self.what.replace(' ', "-")
    }

    fn object(&self) -> String {
        let mut object = json!({
            "apiVersion": format!("{}/v1alpha1", self.group()),
            "kind": self.kind,
            "metadata": {"name": self.name()},
        });
        if !self.spec.is_null() {
            object["spec"] = self.spec.clone();
        }
        object.to_string()
    }
}

const JWT: &str = "JWTAuthenticator";
const WEBHOOK: &str = "WebhookAuthenticator";
const ISSUER: &str = "CredentialIssuer";

/// A specification with further fields, or with other values of those that it has; null takes a field away.
fn with(mut spec: Value, fields: &Value) -> Value {
    let all = spec.as_object_mut().unwrap();
    all.extend(fields.as_object().unwrap().clone());
    all.retain(|_, value| !value.is_null());
    spec
}

fn jwt(fields: &Value) -> Value {
    let minimal = json!({"issuer": "https://issuer.example.com", "audience": "a"});
    with(minimal, fields)
}

fn webhook(fields: &Value) -> Value {
    with(json!({"endpoint": "https://webhook.example.com"}), fields)
}

fn proxy(fields: &Value) -> Value {
    json!({"impersonationProxy": with(json!({"mode": "auto"}), fields)})
}

fn jwt_cases() -> Vec<Case> {
    let good = |what, fields| Case::good(JWT, what, jwt(&fields));
    let bad = |what, fields, refusal| Case::bad(JWT, what, jwt(&fields), refusal);
    let rule = json!({"userValidationRules": [{"message": "m"}]});
    let extra = json!({"claims": {"extra": [{"key": "example.com/k"}]}});
    vec![
        good("minimal", json!({})),
        good("empty claims", json!({"claims": {}})),
        good(
            "empty username and groups",
            json!({"claims": {"username": "", "groups": ""}}),
        ),
        bad("empty issuer", json!({"issuer": ""}), "spec.issuer"),
        bad(
            "http issuer",
            json!({"issuer": "http://i.example.com"}),
            "spec.issuer",
        ),
        bad(
            "issuer without scheme",
            json!({"issuer": "i.example.com"}),
            "spec.issuer",
        ),
        bad("no issuer", json!({"issuer": null}), "spec.issuer"),
        bad("empty audience", json!({"audience": ""}), "spec.audience"),
        bad("no audience", json!({"audience": null}), "spec.audience"),
        bad(
            "rule without expression",
            rule,
            "spec.userValidationRules[0].expression",
        ),
        bad(
            "extra without expression",
            extra,
            "spec.claims.extra[0].valueExpression",
        ),
        good(
            "algorithms",
            json!({"signingAlgorithms": ["EdDSA", "PS256"]}),
        ),
        bad(
            "no algorithm",
            json!({"signingAlgorithms": ["none"]}),
            "spec.signingAlgorithms[0]",
        ),
        bad(
            "shared secret",
            json!({"signingAlgorithms": ["HS256"]}),
            "spec.signingAlgorithms[0]",
        ),
        bad(
            "algorithm twice",
            json!({"signingAlgorithms": ["RS256", "RS256"]}),
            "spec.signingAlgorithms[1]",
        ),
        Case::bad(JWT, "no spec", Value::Null, "spec"),
    ]
}

fn webhook_cases() -> Vec<Case> {
    let bad = |what, endpoint: Value| {
        let spec = webhook(&json!({"endpoint": endpoint}));
        Case::bad(WEBHOOK, what, spec, "spec.endpoint")
    };
    vec![
        Case::good(WEBHOOK, "minimal", webhook(&json!({}))),
        bad("empty endpoint", json!("")),
        bad("http endpoint", json!("http://webhook.example.com")),
        bad("no endpoint", Value::Null),
        Case::good(
            WEBHOOK,
            "stable version",
            webhook(&json!({"tokenReviewVersion": "v1"})),
        ),
        Case::bad(
            WEBHOOK,
            "unknown version",
            webhook(&json!({"tokenReviewVersion": "v2"})),
            "spec.tokenReviewVersion",
        ),
        Case::bad(WEBHOOK, "no spec", Value::Null, "spec"),
    ]
}

/// `spec.tls`, which both authenticators have.
fn tls_cases() -> Vec<Case> {
    let source = |fields| with(json!({"kind": "Secret", "name": "n", "key": "k"}), &fields);
    let from = |fields| json!({"certificateAuthorityDataSource": source(fields)});
    let good = [
        ("empty tls", json!({})),
        ("empty CA data", json!({"certificateAuthorityData": ""})),
        // The condition of the object tells of it.
        ("no CA", json!({"certificateAuthorityData": "no base64!"})),
        ("a Secret", from(json!({}))),
        ("a ConfigMap", from(json!({"kind": "ConfigMap"}))),
    ];
    let bad = [
        ("source without kind", json!({"kind": null}), "kind"),
        ("source of empty kind", json!({"kind": ""}), "kind"),
        ("source of unknown kind", json!({"kind": "Pod"}), "kind"),
        ("source without name", json!({"name": null}), "name"),
        ("source of empty name", json!({"name": ""}), "name"),
        ("source without key", json!({"key": null}), "key"),
        ("source of empty key", json!({"key": ""}), "key"),
        ("unknown field", json!({"path": "p"}), "path"),
    ];
    let mut cases = Vec::new();
    for (kind, spec) in [(JWT, jwt(&json!({}))), (WEBHOOK, webhook(&json!({})))] {
        let with_tls = |tls: &Value| with(spec.clone(), &json!({"tls": tls}));
        for (what, tls) in &good {
            cases.push(Case::good(kind, &what.to_lowercase(), with_tls(tls)));
        }
        for (what, fields, field) in &bad {
            let path = format!("spec.tls.certificateAuthorityDataSource.{field}");
            let spec = with_tls(&from(fields.clone()));
            cases.push(Case::bad(kind, what, spec, &path));
        }
    }
    cases
}

fn issuer_cases() -> Vec<Case> {
    let good = |what, fields| Case::good(ISSUER, what, proxy(&fields));
    let bad = |what, fields, field: &str| {
        let path = format!("spec.impersonationProxy{field}");
        Case::bad(ISSUER, what, proxy(&fields), &path)
    };
    let service = |fields| json!({"service": fields});
    let ip = |ip: &str| service(json!({"loadBalancerIP": ip}));
    vec![
        Case::good(ISSUER, "no spec", Value::Null),
        good("minimal", json!({})),
        good("enabled", json!({"mode": "enabled"})),
        good("disabled", json!({"mode": "disabled"})),
        good("empty service", service(json!({}))),
        good("no service", service(json!({"type": "None"}))),
        good("cluster ip", service(json!({"type": "ClusterIP"}))),
        good("annotations", service(json!({"annotations": {"a": "b"}}))),
        good("empty endpoint", json!({"externalEndpoint": ""})),
        good("empty tls", json!({"tls": {}})),
        Case::bad(ISSUER, "empty spec", json!({}), "spec.impersonationProxy"),
        bad("no mode", json!({"mode": null}), ".mode"),
        bad("empty mode", json!({"mode": ""}), ".mode"),
        bad("unknown mode", json!({"mode": "on"}), ".mode"),
        bad(
            "node port",
            service(json!({"type": "NodePort"})),
            ".service.type",
        ),
        bad("empty address", ip(""), ".service.loadBalancerIP"),
        bad(
            "long address",
            ip(&"1".repeat(256)),
            ".service.loadBalancerIP",
        ),
        bad(
            "empty secret name",
            json!({"tls": {"secretName": ""}}),
            ".tls.secretName",
        ),
    ]
}

/// The optional fields that both authenticators have.
fn extension_cases() -> Vec<Case> {
    let lifetime = |seconds: u32| json!({"certificateLifetimeSeconds": seconds});
    let prefix = |length| json!({"usernamePrefix": "p".repeat(length)});
    let groups = |length| json!({"groupsPrefix": "p".repeat(length)});
    [
        ("shortest life", lifetime(60), None),
        (
            "too short a life",
            lifetime(59),
            Some("spec.certificateLifetimeSeconds"),
        ),
        ("longest life", lifetime(86_400), None),
        (
            "too long a life",
            lifetime(86_401),
            Some("spec.certificateLifetimeSeconds"),
        ),
        ("longest prefix", prefix(253), None),
        (
            "too long a prefix",
            prefix(254),
            Some("spec.usernamePrefix"),
        ),
        ("longest groups prefix", groups(253), None),
        (
            "too long a groups prefix",
            groups(254),
            Some("spec.groupsPrefix"),
        ),
    ]
    .into_iter()
    .flat_map(|(what, fields, refusal)| {
        [(JWT, jwt(&fields)), (WEBHOOK, webhook(&fields))].map(|(kind, spec)| Case {
            refusal: refusal.map(str::to_owned),
            ..Case::good(kind, what, spec)
        })
    })
    .collect()
}

/// One kubectl applies all of them: it goes on after a refusal, and tells of each object by its name.
pub(crate) async fn good_objects_are_taken_and_bad_ones_refused(kubectl: &Kubectl) {
    let cases: Vec<Case> = [
        jwt_cases(),
        webhook_cases(),
        extension_cases(),
        tls_cases(),
        issuer_cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let objects: Vec<String> = cases.iter().map(Case::object).collect();
    let arguments = ["apply", "--dry-run=server", "-f", "-"];
    let output = kubectl
        .output_of(&arguments, &objects.join("\n---\n"))
        .await
        .unwrap();
    let [taken, refused] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    let errors: Vec<&str> = refused.split("Error from server").collect();
    for case in &cases {
        let Case { kind, what, .. } = case;
        let (name, group) = (case.name(), case.group());
        let line = format!(
            "{}.{group}/{name} created (server dry run)",
            kind.to_lowercase()
        );
        let is_taken = taken.lines().any(|taken| taken == line);
        let Some(refusal) = &case.refusal else {
            assert!(is_taken, "{kind}, {what}: {taken}\n{refused}");
            continue;
        };
        assert!(!is_taken, "{kind}, {what}: taken");
        // A field that does not exist is named without its object.
        let unknown = format!("unknown field \"{refusal}\"");
        let named = format!("{kind}.{group} \"{name}\" is invalid");
        let is_refused_for_it = |error: &str| {
            error.contains(&named) && error.contains(&format!("{refusal}: "))
                || error.contains(kind) && error.contains(&unknown)
        };
        assert!(
            errors.iter().any(|error| is_refused_for_it(error)),
            "{kind}, {what}: {refused}"
        );
    }
}
