//! The one path that callers without credentials need, and what else is open to them.

use haulout_api::credential::login_path;

use super::Done;
use super::api_server::describe;
use crate::doctor::observations::{Observations, Unreachable};
use crate::doctor::report::{Name, Outcome};
use crate::installation::NAMESPACE;

impl Observations {
    fn login_path(&self) -> String {
        login_path(&self.suffix)
    }

    /// Whether nobody says where else logins go: neither the kubeconfig nor a CredentialIssuer that can be read and asked.
    fn may_have_another_door(&self) -> bool {
        let Some(objects) = &self.objects else {
            return false;
        };
        let is_known =
            objects.issuer.is_ok() && (self.verifies_server || !self.has_direct_endpoint());
        self.own.is_none() && !is_known
    }
}

pub(super) fn is_open(seen: &Observations, done: &Done) -> Outcome {
    let path = seen.login_path();
    let answer = match &seen.login {
        Some(Ok(answer)) => answer,
        Some(Err(fault)) => return unanswered(&path, fault),
        None => return Outcome::Waits(Name::ApiServer),
    };
    let evidence = format!("POST {path} without credentials: {}", answer.text());
    if answer.is_webhooks() {
        return Outcome::ok(format!(
            "POST {path} without credentials reaches the webhook"
        ));
    }
    let behind = done.failed(&[Name::Webhook, Name::ApiService]);
    match (answer.status, behind) {
        // Closed by the API server, or by RBAC.
        (status @ (401 | 403), _) if seen.direct_endpoint_is_open() => Outcome::ok(format!(
            "{path} is closed ({status}); logins go by the direct endpoint"
        )),
        (status @ (401 | 403), _) if seen.own_door_is_open() => {
            let endpoint = seen.own.as_ref().map(|own| own.endpoint.as_str());
            Outcome::ok(format!(
                "{path} is closed ({status}); your logins go by {}",
                endpoint.unwrap_or_default()
            ))
        }
        (401 | 403, None) if seen.may_have_another_door() => Outcome::warning(
            format!(
                "{evidence}; whether logins go by a direct endpoint instead cannot be seen with your rights"
            ),
            "ask an administrator to run `haulout doctor`, or give the kubeconfig of a user who logs in by `haulout`",
        ),
        (401, _) => Outcome::failed(
            evidence,
            format!(
                "open exactly this path: an AuthenticationConfiguration with anonymous {{enabled: true, conditions: [{{path: \
                 {path}}}, and the health paths]}} (docs/configuration.md); on Talos, `haulout talos patch` prints it. Or let \
                 it be closed, and set directEndpoint"
            ),
        ),
        // Rights are asked for first, and may have gone with the rest.
        (403 | 404 | 500.., Some(behind)) => Outcome::Waits(behind),
        (403, None) => Outcome::failed(
            evidence,
            "let callers without credentials create tokencredentialrequests: the helm value rbac.anonymous=true, or `kubectl \
             apply -f manifests/rbac/login-anonymous.yaml`; if Haulout is not installed, or has another suffix, the answer is the \
             same",
        ),
        (404, None) => Outcome::failed(
            evidence,
            "no API is registered there: install Haulout, or name its API group suffix by --api-group-suffix",
        ),
        (429, _) => Outcome::warning(
            evidence,
            "run `haulout doctor` again in a moment; if it stays so, raise the limits (docs/configuration.md)",
        ),
        (500.., None) => Outcome::failed(
            evidence,
            format!(
                "no webhook answers the API server; an administrator looks at `kubectl get apiservices` and `kubectl -n \
                 {NAMESPACE} get pods`"
            ),
        ),
        _ => Outcome::failed(
            evidence,
            "something else than Haulout answers there: look for a proxy in front of the API server",
        ),
    }
}

fn unanswered(path: &str, fault: &Unreachable) -> Outcome {
    Outcome::failed(
        format!("POST {path} without credentials: {}", describe(fault)),
        "look for a proxy or firewall that lets GET pass, and POST not",
    )
}

pub(super) fn opens_no_more(seen: &Observations) -> Outcome {
    let Ok(answer) = &seen.version else {
        return Outcome::Waits(Name::ApiServer);
    };
    match answer.status {
        200 => Outcome::warning(
            "GET /version without credentials: 200: they reach more than the login path, and RBAC alone decides what",
            format!(
                "this is kubeadm's default, and kubeadm join needs it; where nothing does, open {} alone (docs/configuration.md), \
                 or take system:unauthenticated out of ClusterRoleBinding system:public-info-viewer",
                seen.login_path()
            ),
        ),
        403 => Outcome::ok("GET /version without credentials: 403: RBAC gives them nothing there"),
        status => Outcome::ok(format!("GET /version without credentials: {status}")),
    }
}
