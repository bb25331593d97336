//! What of the old installation is brought into the new one by the steps.

use std::collections::BTreeMap;

use haulout_api::authenticator::CertificateAuthorityDataSourceKind;
use serde_json::{Value, json};

use crate::installation::NAMESPACE;
use crate::migrate::script::{Script, quoted};
use crate::migrate::state::{Concierge, Settings, State};

/// Copies the named keys, and nothing else, of what authenticators read their CA bundles from.
pub(super) fn copy_sources(
    state: &State,
    concierge: &Concierge,
    kubectl: &str,
    script: &mut Script,
) {
    let mut objects: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for found in &state.sources {
        let kind = match found.source.kind {
            CertificateAuthorityDataSourceKind::Secret => "Secret",
            CertificateAuthorityDataSourceKind::ConfigMap => "ConfigMap",
        };
        let keys = objects.entry((kind, &found.source.name)).or_default();
        if !keys.contains(&found.source.key.as_str()) {
            keys.push(&found.source.key);
        }
    }
    for ((kind, name), keys) in objects {
        let template = source_template(kind, name, &keys);
        script.run(format_args!(
            "{kubectl} -n {} get {} {} -o go-template={} |\n  {kubectl} apply --server-side -f -",
            concierge.namespace,
            kind.to_lowercase(),
            quoted(name),
            quoted(&template),
        ));
    }
}

/// A template that makes the copy's manifest out of the object. What a Secret holds is base64 already.
fn source_template(kind: &str, name: &str, keys: &[&str]) -> String {
    let data: Vec<String> = keys
        .iter()
        .map(|key| {
            let key = Value::from(*key);
            match kind {
                "Secret" => format!("{key}:\"{{{{index .data {key}}}}}\""),
                _ => format!("{key}:{{{{printf \"%q\" (index .data {key})}}}}"),
            }
        })
        .collect();
    let metadata = json!({ "name": name, "namespace": NAMESPACE });
    format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"{kind}\",\"metadata\":{metadata},\"data\":{{{}}}}}",
        data.join(",")
    )
}

/// Values of the chart that say what the Concierge's configuration says.
pub(super) fn values(state: &State, settings: &Settings) -> String {
    let Settings {
        server,
        logs_names,
        https_proxy,
        no_proxy,
    } = settings;
    let mut text = format!("apiGroupSuffix: {}\n", state.suffix);
    let string = |value: &str| Value::from(value).to_string();
    if let Some(server) = server {
        text.push_str(&format!("advertise:\n  server: {}\n", string(server)));
    }
    if *logs_names {
        text.push_str("audit:\n  logUsernamesAndGroups: enabled\n");
    }
    if let Some(proxy) = https_proxy {
        text.push_str(&format!(
            "webhook:\n  proxy:\n    httpsProxy: {}\n",
            string(proxy)
        ));
        if let Some(no_proxy) = no_proxy {
            text.push_str(&format!("    noProxy: {}\n", string(no_proxy)));
        }
    }
    text
}
