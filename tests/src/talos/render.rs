//! The static pod of kube-apiserver, as far as it decides who gets in.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::{admission_file, documents, mount_paths, mounted_file};
use super::{Config, Talos, Version};
use crate::cluster::Access;
use crate::go_program::ask;

/// Where Talos 1.14 puts the file that it writes itself, inside the container.
const OWN_FILE: &str = "/system/config/kubernetes/kube-apiserver/authentication-config.yaml";

/// Arguments that a config may not set, on every version.
const DENIED: [&str; 16] = [
    "authorization-mode",
    "client-ca-file",
    "encryption-provider-config",
    "etcd-cafile",
    "etcd-certfile",
    "etcd-keyfile",
    "etcd-servers",
    "kubelet-client-certificate",
    "kubelet-client-key",
    "proxy-client-cert-file",
    "proxy-client-key-file",
    "requestheader-client-ca-file",
    "service-account-key-file",
    "service-account-signing-key-file",
    "tls-cert-file",
    "tls-private-key-file",
];

/// Those that 1.14 denies too. The second one by mistake (siderolabs/talos#14030), mended in 1.14.0-rc.1.
const DENIED_BY_ALPHA: [&str; 2] = ["tls-min-version", "authentication-config"];

/// Arguments to whose values a config only adds.
const ADDITIVE: [&str; 2] = ["enable-admission-plugins", "feature-gates"];

/// What kube-apiserver is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Arguments that decide who gets in, or why Talos writes no pod.
    pub arguments: Result<Vec<String>, String>,
    /// What `--authentication-config` leads to, if it leads to a file.
    pub authentication: Option<Value>,
    /// What `--admission-control-config-file` leads to.
    pub admission: Value,
    /// Where folders of the node are mounted besides those that Talos mounts itself.
    pub mount_paths: Vec<String>,
    /// Arguments were merged by our model, not by Talos' own code.
    pub modelled: bool,
}

impl Rendered {
    /// What it is to an API server that is no pod; nothing where Talos writes no pod.
    pub fn access(&self) -> Access {
        Access {
            flags: self.arguments.clone().unwrap_or_default(),
            authentication: self.authentication.clone(),
            admission: Some(self.admission.clone()),
        }
    }
}

impl Talos {
    /// Renders the pod of a config of the control plane.
    ///
    /// # Errors
    /// It is the config of a worker, or no YAML.
    pub async fn render(&self, config: &Config) -> anyhow::Result<Rendered> {
        let server = config.api_server.as_ref();
        let server = server.context("a worker has no kube-apiserver")?;
        let own = if server.uses_document {
            ("authentication-config", OWN_FILE)
        } else {
            ("anonymous-auth", "false")
        };
        let merge = Merge::new(self.version, own, &server.extra_args);
        let modelled = merge.by_model();
        let arguments = match &self.merger {
            None => modelled,
            Some(program) => {
                let answers: Vec<Answer> = ask(program, &[&merge]).await?;
                let arguments = answers.into_iter().next().context("no answer")?.into();
                // What shows that the model may stand in for it elsewhere.
                ensure!(
                    arguments == modelled,
                    "Talos merges {arguments:?}, we {modelled:?}"
                );
                arguments
            }
        };
        let documents = documents(&config.text)?;
        let path = arguments
            .iter()
            .flatten()
            .rev()
            .find_map(|argument| argument.strip_prefix("--authentication-config="));
        let authentication = match path {
            Some(OWN_FILE) => Some(own_file(server.authentication.as_ref())),
            Some(path) => mounted_file(&documents, path)
                .map(|text| serde_saphyr::from_str(&text))
                .transpose()?,
            None => None,
        };
        Ok(Rendered {
            arguments,
            authentication,
            admission: admission_file(&documents),
            mount_paths: mount_paths(&documents),
            modelled: self.merger.is_none(),
        })
    }
}

/// Talos writes version and kind itself, whatever the document says, but nothing at all without one.
fn own_file(document: Option<&Value>) -> Value {
    let Some(Value::Object(configuration)) = document else {
        return json!({});
    };
    let mut file = configuration.clone();
    file.insert(
        "apiVersion".to_owned(),
        "apiserver.config.k8s.io/v1beta1".into(),
    );
    file.insert("kind".to_owned(), "AuthenticationConfiguration".into());
    Value::Object(file)
}

/// What is merged: in the form that Talos' own code takes too.
#[derive(Debug, Serialize)]
struct Merge<'a> {
    own: Value,
    extra: &'a serde_json::Map<String, Value>,
    denied: Vec<&'static str>,
    additive: [&'static str; 2],
}

impl<'a> Merge<'a> {
    fn new(
        version: Version,
        (name, value): (&str, &str),
        extra: &'a serde_json::Map<String, Value>,
    ) -> Self {
        let value = if version >= Version::V1_13 {
            json!([value])
        } else {
            json!(value)
        };
        let mut denied = DENIED.to_vec();
        if version >= Version::V1_14 {
            denied.extend(DENIED_BY_ALPHA);
        }
        Self {
            own: json!({ name: value }),
            extra,
            denied,
            additive: ADDITIVE,
        }
    }

    /// What Talos' own code does, where it cannot be had: the last writer wins, and of a list each value is an argument of
    /// its own, so that an empty list takes the argument away.
    fn by_model(&self) -> Result<Vec<String>, String> {
        let own = self.own.as_object().into_iter().flatten();
        let mut merged: BTreeMap<&str, Vec<&str>> = own
            .map(|(name, value)| (name.as_str(), values(value)))
            .collect();
        for (name, value) in self.extra {
            if self.denied.contains(&name.as_str()) {
                return Err(format!("extra arg {name:?} is not allowed"));
            }
            merged.insert(name, values(value));
        }
        let arguments = merged.into_iter().flat_map(|(name, values)| {
            let argument = move |value| format!("--{name}={value}");
            values.into_iter().map(argument)
        });
        Ok(arguments.collect())
    }
}

fn values(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        Value::String(text) => vec![text],
        _ => Vec::new(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    refused: Option<String>,
    #[serde(default)]
    arguments: Vec<String>,
}

impl From<Answer> for Result<Vec<String>, String> {
    fn from(answer: Answer) -> Self {
        match answer.refused {
            Some(why) => Err(why),
            None => Ok(answer.arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(version: Version, extra: &Value) -> Result<Vec<String>, String> {
        let extra = extra.as_object().cloned().unwrap();
        Merge::new(version, ("anonymous-auth", "false"), &extra).by_model()
    }

    #[test]
    fn the_model_takes_an_argument_away_only_by_an_empty_list() {
        let arguments = |list: &[&str]| Ok(list.iter().map(|&text| text.to_owned()).collect());
        for (version, extra, expected) in [
            (
                Version::V1_11,
                json!({}),
                arguments(&["--anonymous-auth=false"]),
            ),
            (
                Version::V1_11,
                json!({"anonymous-auth": "true"}),
                arguments(&["--anonymous-auth=true"]),
            ),
            (
                Version::V1_11,
                json!({"anonymous-auth": ""}),
                arguments(&["--anonymous-auth="]),
            ),
            (
                Version::V1_14,
                json!({"anonymous-auth": []}),
                arguments(&[]),
            ),
            (
                Version::V1_14,
                json!({"a": ["x", "y"]}),
                arguments(&["--a=x", "--a=y", "--anonymous-auth=false"]),
            ),
        ] {
            assert_eq!(model(version, &extra), expected, "{version:?} {extra}");
        }
    }

    #[test]
    fn the_model_refuses_what_talos_keeps_for_itself() {
        let denied = json!({"client-ca-file": ["x"]});
        assert!(
            model(Version::V1_11, &denied)
                .unwrap_err()
                .contains("client-ca-file")
        );
        let file = json!({"authentication-config": ["x"]});
        assert!(model(Version::V1_13, &file).is_ok());
        assert!(model(Version::V1_14, &file).is_err());
    }

    #[test]
    fn talos_names_the_kind_of_its_own_file_but_not_without_a_document() {
        let file = own_file(Some(&json!({"kind": "Other", "jwt": []})));
        assert_eq!(file["kind"], "AuthenticationConfiguration");
        assert_eq!(file["jwt"], json!([]));
        assert_eq!(own_file(None), json!({}));
    }
}
