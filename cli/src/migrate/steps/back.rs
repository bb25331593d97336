//! The steps back to Pinniped's Concierge.

use serde_json::json;

use super::{BACKUP, RELEASE_NAME, RELEASE_NAMESPACE, lasting, log_in, switch};
use crate::installation::{CHART, ISSUER, NAMESPACE, RELEASE};
use crate::migrate::record::ANNOTATION;
use crate::migrate::script::{Script, Tools};
use crate::migrate::state::{Concierge, State};

/// Pinniped's manifests start so many.
const USUAL_REPLICAS: i32 = 2;

/// The steps that lead from Haulout back to `concierge`.
pub(in crate::migrate) fn back(state: &State, concierge: &Concierge, tools: &Tools) -> String {
    let Concierge {
        namespace,
        deployment,
        serving_secret,
        ..
    } = concierge;
    let Tools { kubectl, helm, .. } = tools;
    let mut script = Script::new(&format!(
        "From Haulout back to Pinniped's Concierge (Deployment {namespace}/{deployment}, API group suffix {}).\n\
         Nothing of this was run. Run it step by step, in a checkout of Haulout {}, and look at what each step says.",
        state.suffix,
        env!("CARGO_PKG_VERSION")
    ));
    let to_switch = state.led(true);
    if !to_switch.is_empty() {
        script.step("Start the Concierge again.");
        let replicas = match concierge.replicas {
            0 => USUAL_REPLICAS,
            replicas => replicas,
        };
        script.run(format_args!(
            "{kubectl} -n {namespace} scale deployment/{deployment} --replicas={replicas}"
        ));
        script.run(format_args!(
            "{kubectl} -n {namespace} rollout status deployment/{deployment} --timeout=5m"
        ));
        script.step("Lead logins to it: Service and CA of each APIService in one patch.");
        let (namespace, service) = (namespace.as_str(), concierge.service.as_str());
        let to = json!({ "namespace": namespace, "name": service, "port": 443 });
        let ca = (serving_secret.as_str(), "caCertificate");
        switch(to_switch, NAMESPACE, namespace, &to, ca, tools, &mut script);
        log_in(state, tools, &mut script);
    }
    script.step("Remove Haulout, but neither the CRDs, nor authenticators, nor APIServices.");
    let [login, identity] = state.api_services();
    script.run(format_args!(
        "{kubectl} annotate --overwrite apiservice {login} {identity} helm.sh/resource-policy=keep"
    ));
    script.run(format_args!(
        "{helm} upgrade {RELEASE} {CHART} -n {NAMESPACE} --reuse-values \\\n  \
         --set crds.install=false --set apiServices.create=false"
    ));
    script.run(format_args!("{helm} uninstall {RELEASE} -n {NAMESPACE}"));
    script.run(format_args!(
        "{kubectl} annotate apiservice {login} {identity} helm.sh/resource-policy- {ANNOTATION}-"
    ));
    if state.is_taken_over {
        take_marks_off(state, kubectl, &mut script);
    }
    script.run(format_args!(
        "{kubectl} delete --ignore-not-found credentialissuers.{}/{ISSUER}",
        state.suffix.config_group()
    ));
    script.run(format_args!("{kubectl} delete namespace {NAMESPACE}"));
    script.into_text()
}

/// The marks of the release would keep another one from looking after what stays.
fn take_marks_off(state: &State, kubectl: &str, script: &mut Script) {
    let lasting = lasting(state);
    script.run(format_args!(
        "{kubectl} annotate \\\n  {lasting} \\\n  \
         {RELEASE_NAME}- {RELEASE_NAMESPACE}- helm.sh/resource-policy-"
    ));
    script.run(format_args!(
        "{kubectl} label \\\n  {lasting} \\\n  app.kubernetes.io/managed-by- app.kubernetes.io/version- \\\n  \
         app.kubernetes.io/name- app.kubernetes.io/component-"
    ));
}

/// What to do where the Concierge was deleted.
pub(in crate::migrate) fn restore(tools: &Tools) -> String {
    let mut script = Script::new(
        "From Haulout back to Pinniped's Concierge, which is not there any more.\n\
         Nothing of this was run. Run it in the folder where the way here was run.",
    );
    script.step(
        "Restore it from the backup. What is there already is left as it is, with an error each.",
    );
    script.run(format_args!("{} create -f {BACKUP}/objects", tools.kubectl));
    script.step("Get the rest of the way.");
    script.run(format_args!("{} --back", tools.migrate));
    script.into_text()
}
