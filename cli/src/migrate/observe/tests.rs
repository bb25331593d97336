use serde_json::json;

use super::*;

const GROUP: &str = "login.concierge.pinniped.dev";

/// An APIService that leads to `service`, with these annotations.
fn services(service: &Value, annotations: &Value) -> Vec<APIService> {
    let service = json!({
        "metadata": {"name": format!("v1alpha1.{GROUP}"), "annotations": annotations},
        "spec": {"service": service, "groupPriorityMinimum": 1, "versionPriority": 1},
    });
    vec![
        APIService::default(),
        serde_json::from_value(service).unwrap(),
    ]
}

#[test]
fn an_api_service_leads_to_names_alone() {
    let led = |namespace: &str, name: &str| {
        let service = json!({"namespace": namespace, "name": name});
        leads_to(&services(&service, &json!({})), GROUP)
    };
    let service = led("pinniped-concierge", "api").unwrap().unwrap();
    assert_eq!(service.to_string(), "pinniped-concierge/api");
    for (namespace, name) in [("x", "a'; id; '"), ("$(id)", "api"), ("", "api")] {
        led(namespace, name).unwrap_err();
    }
    let local = services(&json!(null), &json!({}));
    assert_eq!(leads_to(&local, GROUP), Ok(None));
}

/// Only the annotation says it: there is no other place where the Concierge is looked for after the switch.
#[test]
fn the_record_is_read_from_the_annotation() {
    let ours = json!({"namespace": "haulout-system", "name": "haulout-api"});
    let read = |annotations: Value| recorded(&services(&ours, &annotations), GROUP);
    assert_eq!(read(json!({})), Ok(None));
    assert_eq!(read(json!({"app": "a/b/c"})), Ok(None));
    let record = read(json!({ANNOTATION: "a/b/c"})).unwrap().unwrap();
    assert_eq!(record.to_string(), "a/b/c");
    read(json!({ANNOTATION: "a/b"})).unwrap_err();
}

/// Helm's marks on its own are any release's.
#[test]
fn only_the_marks_of_our_release_count() {
    let ours = json!({"namespace": "haulout-system", "name": "haulout-api"});
    let cases = [
        ("haulout", "haulout-system", true),
        ("pinniped", "haulout-system", false),
        ("haulout", "elsewhere", false),
    ];
    for (release, namespace, expected) in cases {
        let marks = json!({RELEASE_NAME: release, RELEASE_NAMESPACE: namespace});
        assert_eq!(is_taken_over(&services(&ours, &marks), GROUP), expected);
    }
    assert!(!is_taken_over(&services(&ours, &json!({})), GROUP));
}
