//! The credential plugin of the kubeconfig's user.
//!
//! The client of the Kubernetes API would run it anew for each part of a connection, and panic at a token that is no header.

use std::io;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::config::{AuthInfo, ExecAuthCluster, ExecConfig, ExecInteractiveMode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::error::CredentialFault;

/// What a plugin is told. Credentials are kept by a hash of the cluster as it stands here, so the order of fields is that of the
/// client of the Kubernetes API.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecInfo<'a> {
    kind: &'static str,
    api_version: Option<&'a str>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Spec<'a> {
    interactive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a ExecAuthCluster>,
}

/// What a plugin prints, as JSON or YAML. When its credential ends is not looked at: hardly a command is at work for so long, and
/// one that is, such as `get kubeconfig` while it waits, is told by the API server.
#[derive(Deserialize)]
struct ExecCredential {
    status: Option<Credential>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    token: Option<SecretString>,
    client_certificate_data: Option<String>,
    client_key_data: Option<SecretString>,
}

/// Runs the plugin, if there is one and nothing that comes before it, and puts its credential in its place.
pub(super) fn log_in(user: &mut AuthInfo) -> Result<(), CredentialFault> {
    let has_password = user.username.is_some() && user.password.is_some();
    let has_token = user.token.is_some() || user.token_file.is_some();
    if has_password || has_token || user.auth_provider.is_some() {
        return Ok(());
    }
    let Some(plugin) = user.exec.take() else {
        return Ok(());
    };
    let credential = run(&plugin)?;
    let is_set = |secret: &SecretString| !secret.expose_secret().is_empty();
    let certificate = credential.client_certificate_data;
    let certificate = certificate.filter(|text| !text.is_empty());
    let has_certificate = match (certificate, credential.client_key_data.filter(is_set)) {
        (Some(certificate), Some(key)) => {
            let key = BASE64_STANDARD.encode(key.expose_secret());
            user.client_certificate_data = Some(BASE64_STANDARD.encode(certificate));
            user.client_key_data = Some(key.into());
            true
        }
        _ => false,
    };
    user.token = credential.token.filter(is_set);
    match has_certificate || user.token.is_some() {
        true => Ok(()),
        false => Err(CredentialFault::Other(
            "its plugin gave neither a token nor a certificate with its key".to_owned(),
        )),
    }
}

fn run(plugin: &ExecConfig) -> Result<Credential, CredentialFault> {
    let other = |fault: &str| CredentialFault::Other(fault.to_owned());
    let name = plugin.command.as_deref();
    let name = name.ok_or_else(|| other("its plugin has no command"))?;
    let mut command = Command::new(name);
    command.args(plugin.args.as_deref().unwrap_or_default());
    for variable in plugin.env.as_deref().unwrap_or_default() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    let may_ask = plugin.interactive_mode != Some(ExecInteractiveMode::Never);
    let cluster = plugin.cluster.as_ref();
    let told = serde_json::to_string(&ExecInfo {
        kind: "ExecCredential",
        api_version: plugin.api_version.as_deref(),
        spec: Spec {
            interactive: may_ask,
            cluster: cluster.filter(|_| plugin.provide_cluster_info),
        },
    });
    let told = told.map_err(|_| other("its plugin cannot be told of the cluster"))?;
    command.env("KUBERNETES_EXEC_INFO", told);
    if may_ask {
        command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
    }
    let output = command.output().map_err(|error| {
        let hint = plugin.install_hint.as_deref();
        let hint = hint.filter(|_| error.kind() == io::ErrorKind::NotFound);
        let hint = hint.map_or_else(String::new, |hint| format!("; {}", hint.trim()));
        other(&format!(
            "its plugin {name} cannot be started: {error}{hint}"
        ))
    })?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        let told = match told.trim() {
            // One that may ask the user has this program's own standard error.
            "" => "; if it said why, that is on stderr".to_owned(),
            told => format!(": {told}"),
        };
        let status = output.status;
        return Err(CredentialFault::Plugin(format!(
            "its plugin ended with {status}{told}"
        )));
    }
    // What it printed may be a credential, and is not repeated.
    serde_saphyr::from_slice::<ExecCredential>(&output.stdout)
        .ok()
        .and_then(|printed| printed.status)
        .ok_or_else(|| other("its plugin printed no ExecCredential"))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A user whose plugin is this line of a shell.
    fn user(line: &str) -> AuthInfo {
        let exec = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", line],
            "env": [{"name": "SAID", "value": "yes"}], "interactiveMode": "Never", "provideClusterInfo": true,
        });
        serde_json::from_value(json!({ "exec": exec })).unwrap()
    }

    #[test]
    fn its_credential_takes_its_place() {
        let line = r#"printf '{"status":{"token":"%s","clientCertificateData":"c","clientKeyData":"k"}}' "$SAID""#;
        let mut user = user(line);
        log_in(&mut user).unwrap();
        assert!(user.exec.is_none());
        assert_eq!(user.token.unwrap().expose_secret(), "yes");
        assert_eq!(user.client_certificate_data.as_deref(), Some("Yw=="));
        assert_eq!(user.client_key_data.unwrap().expose_secret(), "aw==");
    }

    #[test]
    fn it_is_told_what_kubectl_tells() {
        let line = r#"printf 'status:\n  token: "%s"\n' "$(printf %s "$KUBERNETES_EXEC_INFO" | base64 -w0)""#;
        let mut user = user(line);
        let exec = user.exec.as_mut().unwrap();
        let cluster = json!({"server": "https://k"});
        exec.cluster = Some(serde_json::from_value(cluster).unwrap());
        log_in(&mut user).unwrap();
        let told = BASE64_STANDARD.decode(user.token.unwrap().expose_secret());
        let told: serde_json::Value = serde_json::from_slice(&told.unwrap()).unwrap();
        assert_eq!(told["kind"], "ExecCredential");
        assert_eq!(told["apiVersion"], "client.authentication.k8s.io/v1");
        assert_eq!(told["spec"]["interactive"], false);
        assert_eq!(told["spec"]["cluster"]["server"], "https://k");
    }

    #[test]
    fn it_is_not_run_where_something_comes_before_it() {
        for field in [
            json!({"token": "t"}),
            json!({"tokenFile": "/t"}),
            json!({"username": "u", "password": "p"}),
        ] {
            let mut user = user("exit 1");
            let exec = user.exec.take();
            user = serde_json::from_value(field).unwrap();
            user.exec = exec;
            log_in(&mut user).unwrap();
        }
    }

    #[test]
    fn what_it_printed_is_not_repeated() {
        for (line, expected) in [
            (
                "echo very-secret; echo no session >&2; exit 3",
                "its plugin ended with exit status: 3: no session",
            ),
            (
                "echo very-secret; exit 3",
                "its plugin ended with exit status: 3; if it said why, that is on stderr",
            ),
            ("echo very-secret", "its plugin printed no ExecCredential"),
            (
                "echo 'status: {token: [very-secret]}'",
                "its plugin printed no ExecCredential",
            ),
            (
                "echo 'status: {clientKeyData: very-secret, token: \"\"}'",
                "its plugin gave neither a token nor a certificate with its key",
            ),
        ] {
            let told = log_in(&mut user(line)).unwrap_err().to_string();
            assert_eq!(told, expected);
        }
    }
}
