//! The webhook's pods, and how the API server leads logins to them.

use haulout_api::group::VERSION;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{
    APIService, APIServiceCondition,
};

use super::judged;
use crate::doctor::observations::{Objects, Observations};
use crate::doctor::report::Outcome;
use crate::installation::{CHART, RELEASE, SERVICE, WEBHOOK};

pub(super) fn pods(objects: &Objects) -> Outcome {
    let namespace = &objects.namespace;
    judged(&objects.deployment, |deployment| {
        let Some(deployment) = deployment else {
            return if runs_as_process(objects) {
                Outcome::ok(format!(
                    "the webhook runs as a process: there is no Deployment {namespace}/{WEBHOOK}, and the API server reaches it"
                ))
            } else {
                absent(objects)
            };
        };
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        let wanted = wanted.unwrap_or(1);
        let status = deployment.status.as_ref();
        let ready = status.and_then(|status| status.ready_replicas);
        let ready = ready.unwrap_or_default();
        let evidence =
            format!("{ready} of {wanted} pods of Deployment {namespace}/{WEBHOOK} are ready");
        if wanted == 0 {
            return Outcome::failed(
                format!("Deployment {namespace}/{WEBHOOK} is scaled to 0 pods"),
                format!("`kubectl -n {namespace} scale deployment/{WEBHOOK} --replicas=2`"),
            );
        }
        let pods = objects.webhook_pods.iter().flatten();
        let why = pods.filter(|pod| !is_ready(pod)).find_map(waiting);
        let (why, remedy) = explained(objects, why, namespace, "webhook");
        match ready {
            0 => Outcome::failed(evidence + &why, remedy),
            ready if ready < wanted => Outcome::warning(evidence + &why, remedy),
            _ => Outcome::ok(evidence),
        }
    })
}

/// Whether the API server leads logins to something that is no pod of ours.
pub(super) fn runs_as_process(objects: &Objects) -> bool {
    let service = objects.login_service.as_ref();
    objects.has_no_deployment()
        && service.is_ok_and(|service| fault("", service.as_ref(), objects).is_none())
}

impl Objects {
    /// The command that puts the installation in step with the chart, for values that are set behind it.
    pub(super) fn upgrade(&self) -> String {
        format!(
            "helm upgrade {RELEASE} {CHART} -n {} --reset-then-reuse-values",
            self.namespace
        )
    }

    /// What to do where something of the installation is not there.
    pub(super) fn made_again(&self) -> String {
        let upgrade = self.upgrade();
        format!("make it again: `{upgrade}`, or apply what you installed once more")
    }

    /// Whether there is none: either the webhook runs as a process, or not at all.
    pub(super) fn has_no_deployment(&self) -> bool {
        matches!(self.deployment, Ok(None))
    }

    /// The command that shows the webhook's log: the lines with this text, or the last ones.
    pub(super) fn webhook_log(&self, text: Option<&str>) -> String {
        let pods = format!(
            "kubectl -n {} logs -l app.kubernetes.io/component=webhook",
            self.namespace
        );
        match (self.has_no_deployment(), text) {
            (false, Some(text)) => format!("`{pods} --tail=-1 | grep {text}`"),
            (false, None) => format!("`{pods} --tail=50`"),
            (true, Some(text)) => format!("`grep {text} WEBHOOK_LOG`"),
            (true, None) => "`tail -n 50 WEBHOOK_LOG`".to_owned(),
        }
    }
}

/// What to say of a webhook that is neither pods nor a process that answers.
fn absent(objects: &Objects) -> Outcome {
    let namespace = &objects.namespace;
    let evidence = format!("there is no Deployment {WEBHOOK} in namespace {namespace}");
    let service = objects.login_service.as_ref().ok().and_then(Option::as_ref);
    match service.filter(|service| target(service) == SERVICE) {
        Some(service) => Outcome::failed(
            format!(
                "{evidence}, though APIService {} leads to Service {namespace}/{SERVICE}",
                service.metadata.name.as_deref().unwrap_or_default()
            ),
            format!(
                "{}; if the webhook runs as a process, start it, and look at its log (docs/processes.md)",
                objects.made_again()
            ),
        ),
        None => Outcome::failed(
            evidence,
            "install Haulout (docs/install.md), or name its API group suffix by --api-group-suffix; if the webhook runs as a \
             process, start it, and look at its log (docs/processes.md)",
        ),
    }
}

/// The Service that an APIService leads to.
fn target(service: &APIService) -> &str {
    let spec = service.spec.as_ref();
    let target = spec.and_then(|spec| spec.service.as_ref());
    target
        .and_then(|target| target.name.as_deref())
        .unwrap_or_default()
}

/// Where pods of this component are not ready: what to add to the evidence, and the remedy.
pub(super) fn explained(
    objects: &Objects,
    waiting: Option<Waiting<'_>>,
    namespace: &str,
    component: &str,
) -> (String, String) {
    let look = format!(
        "`kubectl -n {namespace} describe pods -l app.kubernetes.io/component={component}`; `kubectl -n {namespace} logs -l \
         app.kubernetes.io/component={component} --tail=50`"
    );
    let Some(Waiting { reason, message }) = waiting else {
        return (String::new(), look);
    };
    let remedy = if waiting.is_some_and(Waiting::is_for_image) {
        format!(
            "push the image, and set where it is: `{} --set image.registry=REGISTRY,image.tag=TAG`",
            objects.upgrade()
        )
    } else {
        look
    };
    let colon = if message.is_empty() { "" } else { ": " };
    (format!("; {reason}{colon}{message}"), remedy)
}

/// Why the kubelet, or the scheduler, does not start a pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting<'a> {
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

impl Waiting<'_> {
    pub(super) fn is_for_image(self) -> bool {
        let reasons = [
            "ErrImageNeverPull",
            "ErrImagePull",
            "ImagePullBackOff",
            "InvalidImageName",
        ];
        reasons.contains(&self.reason)
    }
}

pub(super) fn waiting(pod: &Pod) -> Option<Waiting<'_>> {
    let status = pod.status.as_ref()?;
    let mut containers = status.container_statuses.iter().flatten();
    let container = containers.find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        Some(Waiting {
            reason: waiting.reason.as_deref()?,
            message: waiting.message.as_deref().unwrap_or_default(),
        })
    });
    let mut conditions = status.conditions.iter().flatten();
    let scheduling = conditions
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    container.or_else(|| {
        let condition = scheduling?;
        Some(Waiting {
            reason: condition.reason.as_deref()?,
            message: condition.message.as_deref().unwrap_or_default(),
        })
    })
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub(super) fn api_services(objects: &Objects, seen: &Observations) -> Outcome {
    let login = format!("{VERSION}.{}", seen.suffix.login_group());
    let identity = format!("{VERSION}.{}", seen.suffix.identity_group());
    judged(&objects.login_service, |service| {
        if let Some((evidence, remedy)) = fault(&login, service.as_ref(), objects) {
            return Outcome::failed(evidence, remedy);
        }
        // `pinniped whoami` alone needs the other.
        match objects
            .identity_service
            .as_ref()
            .map(|service| fault(&identity, service.as_ref(), objects))
        {
            Ok(Some((evidence, remedy))) => Outcome::warning(evidence, remedy),
            Ok(None) | Err(_) => Outcome::ok(format!(
                "{login} is Available, and leads to Service {}/{SERVICE}",
                objects.namespace
            )),
        }
    })
}

fn fault(name: &str, service: Option<&APIService>, objects: &Objects) -> Option<(String, String)> {
    let Some(service) = service else {
        return Some((
            format!("there is no APIService {name}"),
            objects.made_again(),
        ));
    };
    let target = target(service);
    if target != SERVICE {
        return Some((
            format!("APIService {name} leads to Service \"{target}\", which is not Haulout's"),
            "`haulout migrate` prints the way from Pinniped's Concierge; else name the suffix of the installation by \
             --api-group-suffix"
                .to_owned(),
        ));
    }
    let conditions = service
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    let available = conditions.find(|condition| condition.type_ == "Available");
    let spec = service.spec.as_ref();
    let has_ca = spec.is_some_and(|spec| spec.ca_bundle.is_some());
    match available {
        Some(condition) if condition.status == "True" => None,
        _ if !has_ca => Some((
            format!("APIService {name} has no caBundle, which the webhook that leads writes"),
            format!(
                "look for its error: {}; it needs the right to patch apiservices/{name}",
                objects.webhook_log(None)
            ),
        )),
        Some(condition) => Some(unavailable(name, condition, objects)),
        None => Some((
            format!("the API server has not looked at APIService {name} yet"),
            "run `haulout doctor` again in some seconds".to_owned(),
        )),
    }
}

fn unavailable(name: &str, condition: &APIServiceCondition, objects: &Objects) -> (String, String) {
    let reason = condition.reason.as_deref().unwrap_or_default();
    let message = condition.message.as_deref().unwrap_or_default();
    let remedy = match reason {
        "ServiceNotFound" => format!("make the Service again: `{}`", objects.upgrade()),
        "MissingEndpoints" | "EndpointsNotFound" => {
            format!(
                "compare the labels that Service {SERVICE} selects with those of the pods: `kubectl -n {} describe service {SERVICE}`",
                objects.namespace
            )
        }
        _ => "let the API server reach the webhook's pods on port 10250: kube-proxy on control plane nodes, NetworkPolicy, \
              firewall, and the helm value networkPolicy.apiServerCIDRs"
            .to_owned(),
    };
    (
        format!("APIService {name} is not Available: {reason}: {message}"),
        remedy,
    )
}
