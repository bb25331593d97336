//! The webhook, and what leads to it.

use super::*;

#[test]
fn each_fault_of_an_api_service_has_its_remedy() {
    let report = with(|seen| {
        seen.objects.as_mut().unwrap().login_service = Ok(None);
        seen.login = Some(Ok(answer(404, "")));
        // It goes with its owner.
        seen.objects.as_mut().unwrap().issuer = Ok(None);
        seen.advertised = None;
    });
    report.has_only_failed(Name::ApiService, "there is no APIService", "helm upgrade");
    report.wait(
        &[
            Name::LoginPath,
            Name::Signing,
            Name::AdvertisedEndpoint,
            Name::Token,
        ],
        Name::ApiService,
    );

    let mut elsewhere = api_service("login");
    elsewhere["spec"]["service"]["name"] = json!("pinniped-concierge-api");
    let mut without_ca = api_service("login");
    without_ca["spec"]["caBundle"] = Value::Null;
    without_ca["status"] = json!({});
    let mut not_yet = api_service("login");
    not_yet["status"] = json!({});
    let unavailable = |reason: &str| {
        let mut service = api_service("login");
        service["status"] = json!({"conditions": [
            {"type": "Available", "status": "False", "reason": reason, "message": "m"},
        ]});
        service
    };
    for (service, evidence, remedy) in [
        (
            elsewhere,
            "leads to Service \"pinniped-concierge-api\"",
            "haulout migrate",
        ),
        (
            without_ca,
            "has no caBundle",
            "kubectl -n haulout-system logs",
        ),
        (not_yet, "has not looked", "again"),
        (
            unavailable("ServiceNotFound"),
            "ServiceNotFound: m",
            "-n haulout-system",
        ),
        (
            unavailable("MissingEndpoints"),
            "MissingEndpoints: m",
            "describe service",
        ),
        (
            unavailable("FailedDiscoveryCheck"),
            "FailedDiscoveryCheck: m",
            "NetworkPolicy",
        ),
    ] {
        let change =
            |objects: &mut Objects| objects.login_service = Ok(Some(object(service.clone())));
        with_objects(change).has_only_failed(Name::ApiService, evidence, remedy);
        // Only `pinniped whoami` needs the other.
        let change = |objects: &mut Objects| objects.identity_service = Ok(Some(object(service)));
        with_objects(change).only_warns(Name::ApiService, evidence, remedy);
    }
}

#[test]
fn a_webhook_that_is_down_is_all_that_is_found() {
    let waiting = json!({
        "metadata": {"name": "w"},
        "status": {"containerStatuses": [{
            "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
        }]},
    });
    for (wanted, pods, evidence, remedy) in [
        (0, vec![], "is scaled to 0 pods", "--replicas=2"),
        (2, vec![pod("w", false)], "0 of 2 pods", "describe pods"),
        (
            2,
            vec![waiting],
            "ImagePullBackOff: not found",
            "image.registry",
        ),
    ] {
        let report = with(|seen| {
            let objects = seen.objects.as_mut().unwrap();
            objects.deployment = Ok(Some(object(deployment(wanted, 0))));
            objects.webhook_pods = Ok(pods.into_iter().map(object).collect());
            let mut service = api_service("login");
            service["status"]["conditions"][0]["status"] = json!("False");
            objects.login_service = Ok(Some(object(service)));
            seen.login = Some(Ok(answer(503, "")));
        });
        report.has_only_failed(Name::Webhook, evidence, remedy);
        // What the status says is of the past.
        let wait = [
            Name::ApiService,
            Name::LoginPath,
            Name::Signing,
            Name::AdvertisedEndpoint,
            Name::Authenticator,
            Name::Token,
        ];
        report.wait(&wait, Name::Webhook);
    }
    let report = with_objects(|objects| objects.deployment = Ok(Some(object(deployment(2, 1)))));
    report.only_warns(Name::Webhook, "1 of 2 pods", "describe pods");
}

#[test]
fn what_is_not_installed_is_found_once() {
    let report = with(|seen| {
        let objects = seen.objects.as_mut().unwrap();
        objects.deployment = Ok(None);
        objects.login_service = Ok(None);
        objects.identity_service = Ok(None);
        objects.agent_namespace = Ok(None);
        objects.daemon_set = Ok(None);
        objects.issuer = Ok(None);
        objects.jwt = Ok(Vec::new());
        seen.login = Some(Ok(answer(403, "")));
        seen.advertised = None;
        seen.token = None;
    });
    report.has_only_failed(Name::Webhook, "there is no Deployment", "docs/install.md");
    report.wait(
        &[
            Name::LoginPath,
            Name::Agent,
            Name::SigningKey,
            Name::Namespaces,
        ],
        Name::Webhook,
    );
}

#[test]
fn programs_that_are_no_pods_are_not_missed() {
    let processes = |objects: &mut Objects| {
        objects.deployment = Ok(None);
        objects.webhook_pods = Ok(Vec::new());
        objects.agent_namespace = Ok(None);
        objects.daemon_set = Ok(None);
        objects.agent_pods = Ok(Vec::new());
        objects.controller_managers = Ok(ControllerManagers::default());
    };
    let report = with_objects(processes);
    report.is_good();
    let of_agents = [
        Name::Namespaces,
        Name::ControllerManager,
        Name::Agent,
        Name::SigningKey,
    ];
    for name in of_agents {
        assert!(
            matches!(report.outcome(name), Outcome::Unseen(_)),
            "{report}"
        );
    }
    for name in [Name::Webhook, Name::Signing, Name::Token] {
        assert!(matches!(report.outcome(name), Outcome::Ok(_)), "{report}");
    }
    // One that does not answer is.
    let report = with_objects(|objects| {
        processes(objects);
        let mut service = api_service("login");
        service["status"]["conditions"][0]["status"] = json!("False");
        objects.login_service = Ok(Some(object(service)));
    });
    report.has_only_failed(
        Name::Webhook,
        "there is no Deployment haulout-webhook in namespace haulout-system, though APIService login leads to Service \
         haulout-system/haulout-api",
        "if the webhook runs as a process, start it, and look at its log (docs/processes.md)",
    );
    report.wait(&of_agents, Name::Webhook);

    // Their logs and files are found elsewhere than those of pods.
    let report = with_objects(|objects| {
        processes(objects);
        objects.issuer = Ok(None);
    });
    report.has_only_failed(
        Name::Signing,
        "no CredentialIssuer",
        "`tail -n 50 WEBHOOK_LOG`",
    );
    let report = with_objects(|objects| {
        processes(objects);
        let strategy = signing("Error", "ErrorDuringSetup", "refused");
        objects.issuer = Ok(issuer(&[strategy]));
    });
    report.has_only_failed(Name::Signing, "refused", "by its --ca-cert and --ca-key");
    let report = with(|seen| {
        processes(seen.objects.as_mut().unwrap());
        let refused = Answer {
            status: 201,
            body: Body::NoCredential("authentication failed".to_owned()),
            audit_id: Some("d6e1".to_owned()),
        };
        seen.token.as_mut().unwrap().logins = vec![token_login(Ok(refused))];
    });
    report.has_only_failed(
        Name::Token,
        "authentication failed",
        "`grep d6e1 WEBHOOK_LOG`",
    );
}

#[test]
fn remedies_are_for_the_namespace_that_the_webhook_is_in() {
    for (reason, remedy) in [
        (
            "ServiceNotFound",
            "manifests/helm/haulout -n logins --reset",
        ),
        (
            "MissingEndpoints",
            "kubectl -n logins describe service haulout-api",
        ),
    ] {
        let report = with_objects(|objects| {
            objects.namespace = "logins".to_owned();
            let mut service = api_service("login");
            service["status"]["conditions"][0]["status"] = json!("False");
            service["status"]["conditions"][0]["reason"] = json!(reason);
            objects.login_service = Ok(Some(object(service)));
        });
        report.has_only_failed(Name::ApiService, reason, remedy);
    }
}

#[test]
fn a_deployment_that_is_gone_is_made_again() {
    let report = with_objects(|objects| {
        objects.deployment = Ok(None);
        let mut service = api_service("login");
        service["status"]["conditions"][0]["status"] = json!("False");
        objects.login_service = Ok(Some(object(service)));
    });
    report.has_only_failed(
        Name::Webhook,
        "though APIService login leads",
        "make it again: `helm upgrade",
    );
    // One of somebody else's is no trace of ours.
    let report = with_objects(|objects| {
        objects.deployment = Ok(None);
        let mut service = api_service("login");
        service["spec"]["service"]["name"] = json!("pinniped-concierge-api");
        objects.login_service = Ok(Some(object(service)));
    });
    report.has_only_failed(Name::Webhook, "there is no Deployment", "install Haulout");
}
