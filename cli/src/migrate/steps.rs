//! The steps from Pinniped's Concierge to Haulout. No I/O.

mod back;
mod carried;

use std::collections::BTreeMap;

use haulout_api::group::{DEFAULT_SUFFIX, VERSION};
use serde_json::{Value, json};

use super::record::{ANNOTATION, Record};
use super::script::{Script, Tools, quoted};
use super::state::{Concierge, Object, State};
use crate::installation::{
    AGENT, AGENT_NAMESPACE, CHART, ISSUER, NAMESPACE, RELEASE, SERVICE, SERVING_SECRET, WEBHOOK,
};

pub(super) use self::back::{back, restore};
use self::carried::{copy_sources, values};

/// Folder of the backup.
const BACKUP: &str = "haulout-migration";
/// Annotations by which Helm knows what belongs to a release.
pub(super) const RELEASE_NAME: &str = "meta.helm.sh/release-name";
pub(super) const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// The steps that lead from `concierge` to Haulout. What is done already is left out.
pub(super) fn forth(state: &State, concierge: &Concierge, tools: &Tools) -> String {
    let mut script = Script::new(&format!(
        "From Pinniped's Concierge (Deployment {}/{}, API group suffix {}) to Haulout.\n\
         Nothing of this was run. Run it step by step, in a checkout of Haulout {}, and look at what each step says.",
        concierge.namespace,
        concierge.deployment,
        state.suffix,
        env!("CARGO_PKG_VERSION")
    ));
    let to_switch = state.led(false);
    if to_switch.len() == state.api_services().len() {
        back_up(state, concierge, tools, &mut script);
        install(state, concierge, tools, &mut script);
    }
    if !to_switch.is_empty() {
        switch_forth(state, concierge, tools, &mut script);
        log_in(state, tools, &mut script);
        script.comment(&format!(
            "If logins fail: `{} --back` prints the way back.",
            tools.migrate
        ));
    }
    delete_old(concierge, tools, &mut script);
    take_over(state, tools, &mut script);
    script.into_text()
}

fn back_up(state: &State, concierge: &Concierge, tools: &Tools, script: &mut Script) {
    let kubectl = &tools.kubectl;
    script.step("Back up. Secrets may be among it.");
    script.run(format_args!("umask 077 && mkdir -p {BACKUP}/objects"));
    let kinds = custom_resources(state);
    script.run(format_args!(
        "{kubectl} get crd \\\n  {} \\\n  -o yaml > {BACKUP}/crds.yaml",
        kinds.join(" \\\n  ")
    ));
    script.run(format_args!(
        "{kubectl} get {} \\\n  -o yaml > {BACKUP}/custom-resources.yaml",
        kinds.join(",")
    ));
    script.run(format_args!(
        "{kubectl} get apiservice {} -o yaml > {BACKUP}/api-services.yaml",
        state.api_services().join(" ")
    ));
    // In the order of their names the namespace is restored first.
    script.run(format_args!(
        "{kubectl} get namespace {} -o yaml > {BACKUP}/objects/0-namespace.yaml",
        concierge.namespace
    ));
    for (namespace, objects) in by_namespace(&concierge.objects) {
        script.run(format_args!(
            "{kubectl}{} get \\\n  {} \\\n  -o yaml > {BACKUP}/objects/1-{}.yaml",
            in_namespace(namespace),
            objects.join(" \\\n  "),
            quoted(namespace.unwrap_or("cluster"))
        ));
    }
}

fn install(state: &State, concierge: &Concierge, tools: &Tools, script: &mut Script) {
    let Tools {
        kubectl,
        helm,
        agent_values,
        ..
    } = tools;
    script.step("Put Haulout's CRDs, which have all fields of the old ones, over those.");
    let apply = format!("{kubectl} apply --server-side --force-conflicts -f");
    if state.suffix.as_str() == DEFAULT_SUFFIX {
        script.run(format_args!("{apply} manifests/crds"));
    } else {
        script.run(format_args!(
            "sed 's/{}/{}/g' manifests/crds/*.yaml | {apply} -",
            DEFAULT_SUFFIX.replace('.', r"\."),
            state.suffix
        ));
    }
    script.step("Make the namespace, and copy into it what authenticators read there.");
    // The agent's namespace is the chart's own. One that somebody else makes in the meantime is not to be used.
    if !state.namespaces.contains(&NAMESPACE) {
        script.run(format_args!("{kubectl} create namespace {NAMESPACE}"));
    }
    script.run(format_args!(
        "{kubectl} label --overwrite namespace {NAMESPACE} pod-security.kubernetes.io/enforce=restricted"
    ));
    copy_sources(state, concierge, kubectl, script);
    script.step(
        "Install Haulout beside the Concierge; logins go on through that.\n   \
         Set REGISTRY to where you pushed its images (docs/images.md). Other values can be added to the file.",
    );
    script.run(format_args!("{agent_values} > {BACKUP}/values.yaml"));
    script.run(format_args!(
        "printf 'image:\\n  registry: \"%s\"\\n' \"${{REGISTRY:?}}\" >> {BACKUP}/values.yaml"
    ));
    script.run(format_args!(
        "cat >> {BACKUP}/values.yaml <<'EOF'\n{}EOF",
        values(state, &concierge.settings)
    ));
    script.run(format_args!(
        "{helm} upgrade --install {RELEASE} {CHART} -n {NAMESPACE} -f {BACKUP}/values.yaml \\\n  \
         --set crds.install=false --set apiServices.create=false"
    ));
    script.step("Wait for it, and until the API server accepts what an agent signs.");
    script.run(format_args!(
        "{kubectl} -n {NAMESPACE} rollout status deployment/{WEBHOOK} --timeout=5m"
    ));
    script.run(format_args!(
        "{kubectl} -n {AGENT_NAMESPACE} rollout status daemonset/{AGENT} --timeout=5m"
    ));
    script.run(format_args!(
        "{kubectl} wait credentialissuers.{}/{ISSUER} --timeout=5m \\\n  \
         --for=jsonpath='{{.status.strategies[?(@.type==\"KubeClusterSigningCertificate\")].status}}'=Success",
        state.suffix.config_group()
    ));
}

fn switch_forth(state: &State, concierge: &Concierge, tools: &Tools, script: &mut Script) {
    let (namespace, deployment) = (&concierge.namespace, &concierge.deployment);
    let [login, _] = state.api_services();
    script.step(
        "Stop the Concierge, and lead logins to Haulout: Service and CA of each APIService in one patch.\n   \
         Logins fail from the second of these commands to the last: run them in one go. The first is for the way back.",
    );
    let kubectl = &tools.kubectl;
    script.run(format_args!(
        "{kubectl} annotate --overwrite apiservice {login} \\\n  {ANNOTATION}={}",
        Record::of(concierge)
    ));
    script.run(format_args!(
        "{kubectl} -n {namespace} scale deployment/{deployment} --replicas=0"
    ));
    let to = json!({ "namespace": NAMESPACE, "name": SERVICE, "port": 443 });
    let ca = (SERVING_SECRET, r"ca\.crt");
    let names = state.led(false);
    switch(names, namespace.as_str(), NAMESPACE, &to, ca, tools, script);
}

/// Patches these APIServices, if they lead to `from` still: they may be somebody else's by then.
fn switch(
    names: Vec<String>,
    from: &str,
    secret_namespace: &str,
    to: &Value,
    (secret, key): (&str, &str),
    tools: &Tools,
    script: &mut Script,
) {
    let kubectl = &tools.kubectl;
    script.run(format_args!(
        "CA=$({kubectl} -n {secret_namespace} get secret {} -o jsonpath='{{.data.{key}}}')",
        quoted(secret)
    ));
    let patch = json!([
        { "op": "test", "path": "/spec/service/namespace", "value": from },
        { "op": "replace", "path": "/spec/service", "value": to },
        { "op": "add", "path": "/spec/caBundle", "value": "CA" },
    ]);
    let patch = quoted(&patch.to_string()).replace("\"CA\"", r#""'"${CA:?}"'""#);
    script.comment(
        "Where a patch is said to be invalid, the APIService leads elsewhere by now: look at it, and print the steps again.",
    );
    for name in names {
        script.run(format_args!(
            "{kubectl} patch apiservice {name} --type json -p \\\n  {patch}"
        ));
    }
}

fn log_in(state: &State, tools: &Tools, script: &mut Script) {
    let kubectl = &tools.kubectl;
    let [login, identity] = state.api_services();
    script.step("Log in, with the kubeconfig of one of your users: `kubectl auth whoami`.");
    script.run(format_args!(
        "{kubectl} wait --for=condition=Available --timeout=60s \\\n  apiservice/{login} apiservice/{identity}"
    ));
    script.run(format_args!(
        "{kubectl} get --raw /apis/{}/{VERSION}",
        state.suffix.login_group()
    ));
}

fn delete_old(concierge: &Concierge, tools: &Tools, script: &mut Script) {
    script.step(
        "Delete what is left of the Concierge, except CRDs and APIServices, which are Haulout's now.\n   \
         With a CRD all its authenticators would go: never delete by a label or by what installed the Concierge.",
    );
    for (namespace, objects) in by_namespace(&concierge.objects) {
        script.run(format_args!(
            "{}{} delete --ignore-not-found \\\n  {}",
            tools.kubectl,
            in_namespace(namespace),
            objects.join(" \\\n  ")
        ));
    }
    script.comment(&format!(
        "The namespace stays. If nothing else is in it: kubectl delete namespace {}",
        concierge.namespace
    ));
}

/// By Helm's own marks of ownership: its flag `--take-ownership` is younger than many a Helm, and version 3 leaves the
/// APIServices unmarked with it.
fn take_over(state: &State, tools: &Tools, script: &mut Script) {
    let Tools { kubectl, helm, .. } = tools;
    let lasting = lasting(state);
    script.step("Let Helm look after CRDs and APIServices too.");
    script.run(format_args!(
        "{kubectl} annotate --overwrite \\\n  {lasting} \\\n  \
         {RELEASE_NAME}={RELEASE} {RELEASE_NAMESPACE}={NAMESPACE}"
    ));
    script.run(format_args!(
        "{kubectl} label --overwrite \\\n  {lasting} \\\n  app.kubernetes.io/managed-by=Helm"
    ));
    script.run(format_args!(
        "{helm} upgrade {RELEASE} {CHART} -n {NAMESPACE} -f {BACKUP}/values.yaml"
    ));
}

/// The objects that stay whichever way it goes, as kubectl takes them: APIServices and CRDs.
fn lasting(state: &State) -> String {
    let api_services = state
        .api_services()
        .map(|name| format!("apiservice/{name}"));
    let crds = custom_resources(state).map(|name| format!("crd/{name}"));
    [&api_services[..], &crds].concat().join(" \\\n  ")
}

fn custom_resources(state: &State) -> [String; 3] {
    let authentication = state.suffix.authentication_group();
    [
        format!("jwtauthenticators.{authentication}"),
        format!("webhookauthenticators.{authentication}"),
        format!("credentialissuers.{}", state.suffix.config_group()),
    ]
}

/// Names of objects as kubectl takes them, those of one namespace together; of the cluster first.
fn by_namespace(objects: &[Object]) -> BTreeMap<Option<&str>, Vec<String>> {
    let mut grouped: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
    for Object {
        resource,
        namespace,
        name,
    } in objects
    {
        let names = grouped.entry(namespace.as_deref()).or_default();
        names.push(quoted(&format!("{resource}/{name}")));
    }
    grouped
}

fn in_namespace(namespace: Option<&str>) -> String {
    namespace.map_or_else(String::new, |namespace| {
        format!(" -n {}", quoted(namespace))
    })
}

#[cfg(test)]
mod tests;
