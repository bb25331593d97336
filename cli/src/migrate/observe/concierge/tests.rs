use serde_json::json;

use super::*;

fn deployment(value: Value) -> Deployment {
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_deployment_is_found_by_all_labels_of_the_selector() {
    let with = |name: &str, labels: Value| {
        deployment(json!({"metadata": {"name": name}, "spec": {
            "selector": {}, "template": {"metadata": {"labels": labels}},
        }}))
    };
    let deployments = vec![
        with(
            "concierge",
            json!({"app": "a", "deployment.pinniped.dev": "concierge"}),
        ),
        with(
            "supervisor",
            json!({"app": "a", "deployment.pinniped.dev": "supervisor"}),
        ),
        with("agent", json!({"kube-cert-agent.pinniped.dev": "v3"})),
        Deployment::default(),
    ];
    let selector = BTreeMap::from([("deployment.pinniped.dev".to_owned(), "concierge".to_owned())]);
    let found = selected(deployments, &selector);
    let names: Vec<_> = found
        .iter()
        .filter_map(|found| found.metadata.name.as_deref())
        .collect();
    assert_eq!(names, ["concierge"]);
}

#[test]
fn programs_that_look_after_it_are_known_by_their_marks() {
    let with = |labels: Value, annotations: Value| {
        managers(&deployment(
            json!({"metadata": {"labels": labels, "annotations": annotations}}),
        ))
    };
    let argo_cd = with(
        json!({"argocd.argoproj.io/instance": "x"}),
        json!({"argocd.argoproj.io/tracking-id": "x"}),
    );
    assert_eq!(argo_cd, [Manager::ArgoCd]);
    assert_eq!(
        with(json!({"kapp.k14s.io/app": "1"}), json!(null)),
        [Manager::Kapp]
    );
    assert_eq!(
        with(
            json!({"app": "x"}),
            json!({"meta.helm.sh/release-name": "x"})
        ),
        [Manager::Helm]
    );
    assert_eq!(
        with(json!({"kustomize.toolkit.fluxcd.io/name": "x"}), json!({})),
        [Manager::Flux]
    );
    assert_eq!(with(json!({"app": "pinniped-concierge"}), json!({})), []);
}

#[test]
fn settings_are_read_from_configuration_and_environment() {
    let configuration = json!({
        "discovery": {"url": "https://k.example.com"},
        "audit": {"logUsernamesAndGroups": "enabled"},
    });
    let https = json!({"name": "HTTPS_PROXY", "value": "http://proxy"});
    let no = json!({"name": "NO_PROXY", "value": ".svc"});
    let expected = Settings {
        server: Some("https://k.example.com".to_owned()),
        logs_names: true,
        https_proxy: Some("http://proxy".to_owned()),
        no_proxy: Some(".svc".to_owned()),
    };
    for env in [[&https, &no], [&no, &https]] {
        let pods = json!({"containers": [{"name": "c", "env": env}]});
        let pods: PodSpec = serde_json::from_value(pods).unwrap();
        assert_eq!(settings(&configuration, Some(&pods)), expected, "{env:?}");
    }

    let unset = json!({"discovery": {"url": null}, "audit": {"logUsernamesAndGroups": "disabled"}});
    assert_eq!(settings(&unset, None), Settings::default());
}

#[test]
fn the_serving_secret_is_a_name() {
    let named = |secret: &str| json!({"names": {"servingCertificateSecret": secret}});
    for (configuration, expected) in [
        (named("own"), "own"),
        (json!(null), "concierge-api-tls-serving-certificate"),
    ] {
        let secret = serving_secret(&configuration, "concierge").unwrap();
        assert_eq!(secret.as_str(), expected);
    }
    for hostile in ["x); id; (", "$(id)", "x' y"] {
        serving_secret(&named(hostile), "concierge").unwrap_err();
    }
}
