//! Haulout's objects in the cluster: installed, and ready.

use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_api::group::{ApiGroupSuffix, VERSION};
use serde_json::{Value, json};

use super::{AUDIENCE, AUTHENTICATOR, files};
use crate::cluster::kubectl::Kubectl;

/// Installs CRDs, RBAC and the rest of `manifests/`, with a Service that leads to the webhook's process, and APIServices
/// that lead to its `port`, if one is given.
pub(super) async fn install(
    kubectl: &Kubectl,
    port: Option<u16>,
    suffix: &ApiGroupSuffix,
) -> anyhow::Result<()> {
    kubectl.apply(&files::manifests(port, suffix)?).await?;
    kubectl
        .run([
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "crd",
            "--all",
        ])
        .await?;
    Ok(())
}

/// The `JWTAuthenticator` for the test issuer.
pub(super) fn authenticator(
    issuer: &str,
    issuer_ca: &Path,
    suffix: &ApiGroupSuffix,
) -> anyhow::Result<String> {
    let object = json!({
        "apiVersion": format!("{}/{VERSION}", suffix.authentication_group()),
        "kind": "JWTAuthenticator",
        "metadata": { "name": AUTHENTICATOR },
        "spec": {
            "issuer": issuer,
            "audience": AUDIENCE,
            "tls": { "certificateAuthorityData": STANDARD.encode(std::fs::read(issuer_ca)?) },
        },
    });
    Ok(object.to_string())
}

pub(super) async fn api_services_available(
    kubectl: &Kubectl,
    suffix: &ApiGroupSuffix,
) -> anyhow::Result<()> {
    for group in [suffix.login_group(), suffix.identity_group()] {
        let name = format!("{VERSION}.{group}");
        let object = kubectl.json(&["get", "apiservice", &name]).await?;
        let condition = condition(&object, "Available")?;
        if condition.get("status").and_then(Value::as_str) != Some("True") {
            bail!("{name}: {condition}");
        }
    }
    // The condition lags behind a restart; discovery does not.
    let path = format!("/apis/{}/{VERSION}", suffix.login_group());
    kubectl.run(["get", "--raw", &path]).await.map(drop)
}

pub(super) async fn authenticator_ready(kubectl: &Kubectl) -> anyhow::Result<()> {
    let object = kubectl
        .json(&["get", "jwtauthenticator", AUTHENTICATOR])
        .await?;
    let status = object.get("status").context("no status yet")?;
    if status.get("phase").and_then(Value::as_str) != Some("Ready") {
        bail!("status: {status}");
    }
    Ok(())
}

fn condition<'a>(object: &'a Value, kind: &str) -> anyhow::Result<&'a Value> {
    object
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|condition| condition.get("type").and_then(Value::as_str) == Some(kind))
        .with_context(|| format!("no condition {kind} yet"))
}
