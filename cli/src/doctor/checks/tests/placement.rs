//! The agent, its key, and what it signs.

use super::*;

const SIGNERS: [Name; 2] = [Name::Signing, Name::AdvertisedEndpoint];

fn event(kind: &str, name: &str, reason: &str, message: &str) -> Value {
    json!({
        "metadata": {}, "involvedObject": {"kind": kind, "name": name}, "reason": reason,
        "message": message, "lastTimestamp": NOW,
    })
}

/// One agent that is not ready.
fn with_unready(pod: Value, change: impl FnOnce(&mut Objects)) -> Report {
    with_objects(|objects| {
        objects.daemon_set = Ok(Some(object(daemon_set(1, 1, 0))));
        objects.agent_pods = Ok(vec![object(pod)]);
        change(objects);
    })
}

#[test]
fn an_agent_that_has_no_place_is_found() {
    let report = with_objects(|objects| {
        objects.daemon_set = Ok(Some(object(daemon_set(0, 0, 0))));
        objects.agent_pods = Ok(Vec::new());
    });
    report.has_only_failed(
        Name::Agent,
        "no node has all of the labels node-role.kubernetes.io/control-plane=",
        "kubectl label node NODE node-role.kubernetes.io/control-plane=`",
    );
    report.wait(&SIGNERS, Name::Agent);
    report.wait(&[Name::SigningKey, Name::Token], Name::Agent);

    let report = with_objects(|objects| {
        objects.daemon_set = Ok(Some(object(daemon_set(0, 0, 0))));
        let labels = json!({"node-role.kubernetes.io/control-plane": "", "other": ""});
        let node = json!({"metadata": {"name": "cp-1", "labels": labels}});
        objects.nodes = Ok(vec![object(node)]);
    });
    report.has_only_failed(Name::Agent, "cp-1 has the labels", "agent.tolerations");

    let report = with_objects(|objects| objects.daemon_set = Ok(None));
    report.has_only_failed(Name::Agent, "there is no DaemonSet", "helm upgrade");
    let report = with_objects(|objects| objects.agent_namespace = Ok(None));
    report.has_only_failed(Name::Namespaces, "there is no namespace", "helm upgrade");
}

#[test]
fn a_namespace_without_label_fails_where_pods_are_refused() {
    let message = "Error creating: pods \"haulout-agent-x\" is forbidden: violates PodSecurity \"baseline:latest\"";
    let spoil = |level: Option<&'static str>| {
        move |objects: &mut Objects| {
            objects.agent_namespace = Ok(Some(object(namespace(level))));
            objects.daemon_set = Ok(Some(object(daemon_set(1, 0, 0))));
            objects.agent_pods = Ok(Vec::new());
            let refused = event("DaemonSet", "haulout-agent", "FailedCreate", message);
            objects.agent_events = Ok(vec![object(refused)]);
        }
    };
    let remedy = "enforce=privileged";
    for (level, shown) in [(None, "no label"), (Some("baseline"), "enforce: baseline")] {
        let report = with_objects(spoil(level));
        report.has_only_failed(Name::Namespaces, shown, remedy);
        report.wait(
            &[Name::Agent, Name::SigningKey, Name::Signing],
            Name::Namespaces,
        );
    }
    // Where others go on, people log in.
    let report = with_objects(|objects| {
        spoil(None)(objects);
        objects.daemon_set = Ok(Some(object(daemon_set(2, 1, 1))));
    });
    report.only_warns(Name::Namespaces, "no label", remedy);
    // Something else refuses it then.
    let report = with_objects(spoil(Some("privileged")));
    report.has_only_failed(
        Name::Agent,
        "its pods cannot be made: violates PodSecurity",
        "rollout restart",
    );

    let report = with_objects(|objects| {
        objects.agent_namespace = Ok(Some(object(namespace(None))));
    });
    report.only_warns(Name::Namespaces, "no label", remedy);
    let report = with_objects(|objects| {
        objects.system_namespace = Ok(Some(object(namespace(Some("privileged")))));
    });
    report.only_warns(Name::Namespaces, "haulout-system", "enforce=restricted");
}

#[test]
fn pods_that_are_refused_for_another_reason_are_the_agents_fault() {
    let report = with_objects(|objects| {
        objects.daemon_set = Ok(Some(object(daemon_set(1, 0, 0))));
        objects.agent_pods = Ok(Vec::new());
        let old = event("DaemonSet", "haulout-agent", "FailedCreate", "old");
        let mut new = event(
            "DaemonSet",
            "haulout-agent",
            "FailedCreate",
            "exceeded quota",
        );
        new["lastTimestamp"] = json!("2026-11-26T08:00:01Z");
        objects.agent_events = Ok(vec![object(new), object(old)]);
    });
    report.has_only_failed(
        Name::Agent,
        "cannot be made: exceeded quota",
        "mend what refuses",
    );
}

#[test]
fn a_key_that_cannot_be_read_is_found_by_what_differs() {
    let mut other_user = daemon_set(1, 1, 0);
    other_user["spec"]["template"]["spec"]["securityContext"]["runAsUser"] = json!(1000);
    let mut other_path = daemon_set(1, 1, 0);
    other_path["spec"]["template"]["spec"]["volumes"] = json!([]);
    for (daemon_set, evidence) in [
        (other_user, "runs as user 1000, group 65535, and the key"),
        (other_path, "does not mount"),
    ] {
        let report = with_unready(pod("a", false), |objects| {
            objects.daemon_set = Ok(Some(object(daemon_set.clone())));
        });
        report.has_only_failed(
            Name::SigningKey,
            evidence,
            "agent.runAsUser=65535,agent.runAsGroup=65535`",
        );
        report.wait(&[Name::Agent, Name::Signing, Name::Token], Name::SigningKey);

        // Where the others go on, people log in.
        let report = with_unready(pod("a", false), |objects| {
            let mut daemon_set = daemon_set;
            daemon_set["status"]["numberReady"] = json!(1);
            objects.daemon_set = Ok(Some(object(daemon_set)));
        });
        report.only_warns(Name::SigningKey, evidence, "agent.runAsUser=65535");
        assert!(
            matches!(report.outcome(Name::Signing), Outcome::Ok(_)),
            "{report}"
        );
    }
    // It would be misplaced, but it has not come that far.
    let mut waits = pod("a", false);
    waits["status"]["phase"] = json!("Pending");
    waits["status"]["containerStatuses"] = json!([{
        "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}},
    }]);
    let report = with_unready(waits, |objects| {
        let mut daemon_set = daemon_set(1, 1, 0);
        daemon_set["spec"]["template"]["spec"]["volumes"] = json!([]);
        objects.daemon_set = Ok(Some(object(daemon_set)));
    });
    report.has_only_failed(Name::Agent, "ErrImagePull: not found", "image.registry");
    // What is on its way out is not missed.
    let mut ends = pod("old", false);
    ends["metadata"]["deletionTimestamp"] = json!(NOW);
    with_objects(|objects| objects.agent_pods = Ok(vec![object(ends)])).is_good();
    // The DaemonSet's controller has not come to it.
    let report = with_objects(|objects| {
        objects.daemon_set = Ok(Some(object(daemon_set(1, 0, 0))));
        objects.agent_pods = Ok(Vec::new());
    });
    report.has_only_failed(Name::Agent, "not there yet", "describe daemonset");

    let told = "agent 10.0.0.1:9443 did not sign: KeyUnavailable: permission denied";
    let report = with_unready(pod("a", false), |objects| {
        objects.issuer = Ok(issuer(&[signing("Error", "CouldNotFetchKey", told)]));
    });
    report.has_only_failed(Name::SigningKey, told, "haulout agent-values");

    let mut creating = pod("a", false);
    creating["status"]["phase"] = json!("Pending");
    let mount = |volume: &str| {
        event(
            "Pod",
            "a",
            "FailedMount",
            &format!("failed for volume \"{volume}\""),
        )
    };
    let report = with_unready(creating.clone(), |objects| {
        objects.agent_events = Ok(vec![object(mount("signing-key"))]);
    });
    report.has_only_failed(
        Name::SigningKey,
        "does not get its files",
        "haulout agent-values",
    );
    let report = with_unready(creating, |objects| {
        objects.agent_events = Ok(vec![object(mount("tls"))]);
    });
    report.has_only_failed(Name::Agent, "volume \"tls\"", "haulout-agent-tls");
    report.wait(&[Name::SigningKey], Name::Agent);
    // It has its files by now.
    let report = with_unready(pod("a", false), |objects| {
        objects.agent_events = Ok(vec![object(mount("tls"))]);
    });
    report.has_only_failed(Name::Agent, "pod a is not ready", "logs");
}

#[test]
fn a_controller_manager_is_found_by_a_label() {
    let report = with_objects(|objects| {
        let mut pod = controller_manager();
        pod["metadata"]["labels"] = json!({});
        objects.controller_managers = Ok(ControllerManagers {
            labelled: Vec::new(),
            unlabelled: vec![object(pod)],
        });
    });
    let remedy = "kubectl -n kube-system label pod kube-controller-manager-cp-1 component=kube-controller-manager";
    report.has_only_failed(Name::ControllerManager, "has neither the label", remedy);

    let none =
        |objects: &mut Objects| objects.controller_managers = Ok(ControllerManagers::default());
    let report = with_objects(none);
    report.only_warns(
        Name::ControllerManager,
        "runs as no pod",
        "agent.preset=custom",
    );
    let report = with_objects(|objects| {
        none(objects);
        objects.daemon_set = Err(Unseen::NoRight("x".to_owned()));
    });
    report.has_only_failed(
        Name::ControllerManager,
        "runs as no pod",
        "agent.preset=custom",
    );

    let report = with_objects(|objects| {
        let mut pod = controller_manager();
        pod["spec"]["containers"][0]["command"] = json!(["sh", "-c", "x"]);
        objects.controller_managers.as_mut().unwrap().labelled = vec![object(pod)];
    });
    report.only_warns(
        Name::ControllerManager,
        "cannot be told",
        "agent.preset=custom",
    );
}

#[test]
fn what_the_status_says_of_signing_counts() {
    let say = |status: &'static str, reason: &'static str, message: &'static str| {
        with_objects(|objects| {
            let mut strategy = signing(status, reason, message);
            if status == "Error" {
                strategy["frontend"] = Value::Null;
            }
            objects.issuer = Ok(issuer(&[strategy]));
        })
    };
    let report = say(
        "Error",
        "ErrorDuringSetup",
        "the API server does not accept what agent a signs",
    );
    report.has_only_failed(Name::Signing, "does not accept", "--client-ca-file");
    report.wait(
        &[Name::AdvertisedEndpoint, Name::AgentClocks, Name::Token],
        Name::Signing,
    );
    let report = say("Error", "CouldNotFetchKey", "no signing agent is reachable");
    report.has_only_failed(
        Name::Signing,
        "no signing agent",
        "docs/credential-issuer.md",
    );
    let report = say(
        "Success",
        "FetchedKey",
        "key was fetched; not every agent can be used: b",
    );
    report.only_warns(
        Name::Signing,
        "not every agent",
        "docs/credential-issuer.md",
    );
    let report = say(
        "Success",
        "FetchedKey",
        "key was fetched successfully; the clocks of agent a and of the webhook differ by more than 30 s, set them by NTP",
    );
    report.only_warns(Name::AgentClocks, "the clocks of agent a", "NTP");
    let report = with_objects(|objects| objects.issuer = Ok(None));
    report.has_only_failed(Name::Signing, "no CredentialIssuer", "logs");

    let pending = with(|seen| {
        let mut strategy = signing("Error", "Pending", "not yet");
        strategy["frontend"] = Value::Null;
        seen.objects.as_mut().unwrap().issuer = Ok(issuer(&[strategy]));
    });
    assert!(!pending.has_failed(), "{pending}");
    assert!(matches!(
        pending.outcome(Name::Signing),
        Outcome::Warning(_)
    ));
}
