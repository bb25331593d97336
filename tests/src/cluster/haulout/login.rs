//! Logging in to a cluster by the plugin, as kubectl does.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{AUTHENTICATOR, HauloutStack, READY_LIMIT, TOKEN_VARIABLE};
use crate::cluster::kubeconfig::Credential;
use crate::cluster::{Cluster, pki};

impl HauloutStack {
    /// The `exec` stanza that logs in with the token in [`TOKEN_VARIABLE`] through door A, and keeps the certificate in the
    /// file `cache`, if one is given.
    ///
    /// # Errors
    /// The cluster's CA certificate cannot be read.
    pub fn exec_stanza(&self, cluster: &Cluster, cache: Option<&Path>) -> anyhow::Result<Value> {
        Ok(json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": self.products.program("haulout"),
            "args": self.login_arguments(cluster, cache)?,
            "interactiveMode": "Never",
            "provideClusterInfo": false,
        }))
    }

    /// Writes a kubeconfig that logs in by [`HauloutStack::exec_stanza`] with a token from a file beside it, so that no
    /// environment variable is needed.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn kubeconfig_with_token_file(
        &self,
        cluster: &Cluster,
        token: &str,
    ) -> anyhow::Result<PathBuf> {
        let token_file = cluster.folder().join("user.token");
        pki::write(&token_file, token, 0o600)?;
        let cache = cluster.folder().join("credentials.yaml");
        let mut arguments = vec![
            "-c".to_owned(),
            format!(r#"{TOKEN_VARIABLE}="$(cat "$0")" exec "$@""#),
            token_file.to_string_lossy().into_owned(),
            self.products
                .program("haulout")
                .to_string_lossy()
                .into_owned(),
        ];
        arguments.extend(self.login_arguments(cluster, Some(&cache))?);
        let stanza = json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "/bin/sh",
            "args": arguments,
            "interactiveMode": "Never",
            "provideClusterInfo": false,
        });
        cluster.kubeconfig("user", &Credential::Exec(stanza))
    }

    /// Runs the plugin as kubectl does and gives the `ExecCredential` that it prints.
    ///
    /// # Errors
    /// The plugin failed; the text is its standard error.
    pub async fn login(
        &self,
        cluster: &Cluster,
        token: &str,
        cache: Option<&Path>,
    ) -> anyhow::Result<Value> {
        let output = Command::new(self.products.program("haulout"))
            .args(self.login_arguments(cluster, cache)?)
            .env(TOKEN_VARIABLE, token)
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(READY_LIMIT, output)
            .await
            .context("haulout login static did not end")??;
        ensure!(
            output.status.success(),
            "haulout login static failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        serde_json::from_slice(&output.stdout).context("haulout login static printed no JSON")
    }

    /// Arguments of `haulout` for a login through door A.
    fn login_arguments(
        &self,
        cluster: &Cluster,
        cache: Option<&Path>,
    ) -> anyhow::Result<Vec<String>> {
        let cache = cache.map_or_else(String::new, |cache| cache.to_string_lossy().into_owned());
        let login = [
            "login".to_owned(),
            "static".to_owned(),
            format!("--concierge-api-group-suffix={}", self.options.suffix),
            format!("--credential-cache={cache}"),
            format!("--token-env={TOKEN_VARIABLE}"),
        ];
        Ok([&login[..], &exchange_flags(cluster, AUTHENTICATOR)?].concat())
    }
}

/// The flags by which `haulout login` exchanges a token through door A, by this JWTAuthenticator.
///
/// # Errors
/// The cluster's CA certificate cannot be read.
pub fn exchange_flags(cluster: &Cluster, authenticator: &str) -> anyhow::Result<[String; 5]> {
    let ca = STANDARD.encode(std::fs::read(cluster.ca_certificate())?);
    Ok([
        "--enable-concierge".to_owned(),
        "--concierge-authenticator-type=jwt".to_owned(),
        format!("--concierge-authenticator-name={authenticator}"),
        format!("--concierge-endpoint={}", cluster.server()),
        format!("--concierge-ca-bundle-data={ca}"),
    ])
}
