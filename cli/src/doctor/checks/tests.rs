//! A healthy cluster, and what is found where one thing of it is wrong.

mod doors;
mod placement;
mod tokens;
mod webhook;

use haulout_api::group::ApiGroupSuffix;
use k8s_openapi::jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::judge;
use crate::authenticator_kind::AuthenticatorKind;
use crate::cluster::CredentialFault;
use crate::doctor::claims::Claims;
use crate::doctor::observations::{
    AccountFault, Answer, Authenticator, Body, ControllerManagers, Issuer, Objects, Observations,
    OwnDoor, Token, TokenLogin, Unreachable, Unseen,
};
use crate::doctor::report::{Name, Outcome, Report};

const NOW: &str = "2026-11-26T08:00:00Z";
const KEY: &str = "/system/secrets/kubernetes/kube-controller-manager/ca.key";
const CERTIFICATE: &str = "/system/secrets/kubernetes/kube-controller-manager/ca.crt";

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn answer(status: u16, message: &str) -> Answer {
    Answer {
        status,
        body: Body::Status(message.to_owned()),
        audit_id: None,
    }
}

fn from_webhook() -> Answer {
    answer(
        422,
        "TokenCredentialRequest.login.concierge.pinniped.dev \"\" is invalid: spec.token.value: Required value: token must be \
         supplied",
    )
}

fn api_service(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "group": "g", "version": "v1alpha1", "groupPriorityMinimum": 1, "versionPriority": 1,
            "caBundle": "Zm9v",
            "service": {"namespace": "haulout-system", "name": "haulout-api"},
        },
        "status": {"conditions": [{"type": "Available", "status": "True"}]},
    })
}

fn pod(name: &str, ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({
        "metadata": {"name": name},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
    })
}

fn daemon_set(wanted: i32, there: i32, ready: i32) -> Value {
    let volume = |name: &str, path: &str| json!({"name": name, "hostPath": {"path": path}});
    json!({
        "metadata": {"name": "haulout-agent", "namespace": "haulout-agent"},
        "spec": {
            "selector": {},
            "template": {"spec": {
                "containers": [{"name": "agent"}],
                "securityContext": {"runAsUser": 65535, "runAsGroup": 65535},
                "nodeSelector": {"node-role.kubernetes.io/control-plane": ""},
                "volumes": [volume("signing-certificate", CERTIFICATE), volume("signing-key", KEY)],
            }},
        },
        "status": {
            "desiredNumberScheduled": wanted, "currentNumberScheduled": there, "numberReady": ready,
            "numberMisscheduled": 0,
        },
    })
}

fn deployment(wanted: i32, ready: i32) -> Value {
    json!({
        "metadata": {"name": "haulout-webhook"},
        "spec": {"replicas": wanted, "selector": {}, "template": {}},
        "status": {"readyReplicas": ready},
    })
}

fn controller_manager() -> Value {
    json!({
        "metadata": {
            "name": "kube-controller-manager-cp-1", "namespace": "kube-system",
            "labels": {"k8s-app": "kube-controller-manager"},
        },
        "spec": {
            "nodeName": "cp-1",
            "securityContext": {"runAsUser": 65535, "runAsGroup": 65535},
            "containers": [{
                "name": "kube-controller-manager",
                "command": [
                    "kube-controller-manager",
                    format!("--cluster-signing-cert-file={CERTIFICATE}"),
                    format!("--cluster-signing-key-file={KEY}"),
                ],
                "volumeMounts": [{"name": "secrets", "mountPath": "/system/secrets/kubernetes"}],
            }],
            "volumes": [{"name": "secrets", "hostPath": {"path": "/system/secrets/kubernetes"}}],
        },
        "status": {"phase": "Running"},
    })
}

fn namespace(level: Option<&str>) -> Value {
    let labels = match level {
        Some(level) => json!({"pod-security.kubernetes.io/enforce": level}),
        None => json!({}),
    };
    json!({"metadata": {"name": "n", "labels": labels}})
}

fn signing(status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": "KubeClusterSigningCertificate", "status": status, "reason": reason, "message": message,
        "lastUpdateTime": NOW,
        "frontend": {
            "type": "TokenCredentialRequestAPI",
            "tokenCredentialRequestInfo": {
                "server": "https://k.example.com:6443", "certificateAuthorityData": "Zm9v",
            },
        },
    })
}

fn issuer(strategies: &[Value]) -> Option<Issuer> {
    Some(Issuer {
        name: "haulout".to_owned(),
        strategies: strategies.iter().cloned().map(object).collect(),
    })
}

fn condition(type_: &str, status: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": "R", "message": message, "observedGeneration": 1,
        "lastTransitionTime": NOW,
    })
}

/// Of an authenticator: its phase and conditions.
fn status<T: DeserializeOwned>(phase: &str, conditions: &[Value]) -> T {
    object(json!({"phase": phase, "conditions": conditions}))
}

fn claims(issuer: &str, audience: &str) -> Claims {
    Claims {
        issuer: issuer.to_owned(),
        audiences: vec![audience.to_owned()],
        expires: Some(time("2026-11-26T09:00:00Z")),
        not_before: None,
    }
}

fn token_login(answer: Result<Answer, Unreachable>) -> TokenLogin {
    TokenLogin {
        kind: AuthenticatorKind::Jwt,
        authenticator: "company".to_owned(),
        answer,
    }
}

fn healthy() -> Observations {
    let objects = Objects {
        namespace: "haulout-system".to_owned(),
        deployment: Ok(Some(object(deployment(2, 2)))),
        webhook_pods: Ok(vec![object(pod("w", true))]),
        login_service: Ok(Some(object(api_service("login")))),
        identity_service: Ok(Some(object(api_service("identity")))),
        system_namespace: Ok(Some(object(namespace(None)))),
        agent_namespace: Ok(Some(object(namespace(Some("privileged"))))),
        daemon_set: Ok(Some(object(daemon_set(1, 1, 1)))),
        agent_pods: Ok(vec![object(pod("a", true))]),
        agent_events: Ok(Vec::new()),
        controller_managers: Ok(ControllerManagers {
            labelled: vec![object(controller_manager())],
            unlabelled: Vec::new(),
        }),
        nodes: Ok(Vec::new()),
        issuer: Ok(issuer(&[signing(
            "Success",
            "FetchedKey",
            "key was fetched successfully",
        )])),
        jwt: Ok(vec![Authenticator {
            name: "company".to_owned(),
            generation: Some(1),
            spec: object(json!({"issuer": "https://i", "audience": "this-cluster"})),
            status: status("Ready", &[condition("Ready", "True", "")]),
        }]),
        webhook: Ok(Vec::new()),
    };
    let credential = Answer {
        status: 201,
        body: Body::Credential {
            until: time("2026-11-26T08:05:00Z"),
        },
        audit_id: None,
    };
    Observations {
        suffix: ApiGroupSuffix::default(),
        server: "https://k.example.com:6443".to_owned(),
        proxy: None,
        verifies_server: true,
        now: time(NOW),
        version: Ok(answer(401, "Unauthorized")),
        clock_difference: Some(0),
        login: Some(Ok(from_webhook())),
        account: Some(Ok("admin".to_owned())),
        objects: Some(Box::new(objects)),
        advertised: Some(Ok(answer(401, ""))),
        direct: None,
        own: None,
        token: Some(Token {
            is_own: false,
            claims: Ok(claims("https://i", "this-cluster")),
            logins: vec![token_login(Ok(credential))],
        }),
    }
}

/// A healthy cluster with one thing in it changed.
fn with(change: impl FnOnce(&mut Observations)) -> Report {
    let mut observations = healthy();
    change(&mut observations);
    judge(&observations)
}

/// The same with one thing changed that is read with the user's rights.
fn with_objects(change: impl FnOnce(&mut Objects)) -> Report {
    with(|seen| change(seen.objects.as_mut().unwrap()))
}

impl Report {
    fn outcome(&self, name: Name) -> &Outcome {
        let mut checks = self.checks.iter();
        let check = checks.find(|check| check.name == name);
        &check.unwrap_or_else(|| panic!("{name}: {self}")).outcome
    }

    /// Only this check has failed: with this in evidence and remedy.
    fn has_only_failed(&self, name: Name, evidence: &str, remedy: &str) {
        self.has_only_found(name, evidence, remedy);
        assert!(self.has_failed(), "{self}");
    }

    /// Only this check warns.
    fn only_warns(&self, name: Name, evidence: &str, remedy: &str) {
        self.has_only_found(name, evidence, remedy);
        assert!(!self.has_failed(), "{self}");
    }

    fn has_only_found(&self, name: Name, evidence: &str, remedy: &str) {
        let mut count = 0;
        for check in &self.checks {
            let (Outcome::Warning(finding) | Outcome::Failed(finding)) = &check.outcome else {
                continue;
            };
            count += 1;
            assert_eq!(check.name, name, "{self}");
            assert!(
                finding.evidence.contains(evidence),
                "{evidence}: {finding:?}"
            );
            assert!(finding.remedy.contains(remedy), "{remedy}: {finding:?}");
        }
        assert_eq!(count, 1, "{self}");
    }

    /// Nothing is found.
    fn is_good(&self) {
        for check in &self.checks {
            assert!(
                matches!(check.outcome, Outcome::Ok(_) | Outcome::Unseen(_)),
                "{self}"
            );
        }
    }

    /// These wait for that one.
    fn wait(&self, names: &[Name], root: Name) {
        for name in names {
            assert_eq!(*self.outcome(*name), Outcome::Waits(root), "{name}: {self}");
        }
    }
}

#[test]
fn a_healthy_cluster_is_found_so() {
    let report = judge(&healthy());
    for check in &report.checks {
        assert!(matches!(check.outcome, Outcome::Ok(_)), "{report}");
    }
    assert_eq!(report.checks.len(), 16, "{report}");
}

#[test]
fn what_must_not_be_read_is_skipped_and_keeps_nothing_up() {
    let report = with(|seen| {
        seen.token.as_mut().unwrap().logins.clear();
        let objects = seen.objects.as_mut().unwrap();
        let missing = || Unseen::NoRight("get it".to_owned());
        objects.deployment = Err(missing());
        objects.webhook_pods = Err(missing());
        objects.login_service = Err(missing());
        objects.identity_service = Err(missing());
        objects.system_namespace = Err(missing());
        objects.agent_namespace = Err(missing());
        objects.daemon_set = Err(missing());
        objects.agent_pods = Err(missing());
        objects.agent_events = Err(missing());
        objects.controller_managers = Err(missing());
        objects.nodes = Err(missing());
        objects.issuer = Err(missing());
        objects.jwt = Err(missing());
        objects.webhook = Err(missing());
    });
    report.is_good();
    let unseen = report
        .checks
        .iter()
        .filter(|check| check.outcome == Outcome::Unseen("you have no right to get it".to_owned()));
    // Both kinds of authenticators, and a token that nothing is to be compared with.
    assert_eq!(unseen.count(), 12, "{report}");
}
