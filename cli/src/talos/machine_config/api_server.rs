//! How a machine config configures the API server.

use super::documents::Documents;
use super::field::Field;
use super::{
    AUTHENTICATION_FOLDER, Anonymous, Authentication, ConfigError, Legacy, MultiDoc, texts,
};

pub(super) fn legacy(documents: &Documents) -> Result<Legacy, ConfigError> {
    let main = documents.main();
    let mut legacy = Legacy {
        has_authentication_document: documents.one("KubeAuthenticationConfig").is_some(),
        ..Legacy::default()
    };
    for (name, value) in main.get_map("cluster.apiServer.extraArgs")? {
        match name {
            "anonymous-auth" => legacy.anonymous_auth = Some(value.flag()?),
            "authentication-config" => legacy.authentication_config = Some(value.flag()?),
            "feature-gates" => legacy.feature_gates = Some(value.flag()?),
            name if name.starts_with("oidc-") => legacy.oidc_flags.push(name.to_owned()),
            _ => {}
        }
    }
    for volume in main.get_list("cluster.apiServer.extraVolumes")? {
        legacy.mounts_folder |= volume
            .get_text("mountPath")?
            .is_some_and(|path| path.trim_end_matches('/') == AUTHENTICATION_FOLDER);
    }
    for plugin in main.get_list("cluster.apiServer.admissionControl")? {
        if plugin.get_text("name")? == Some("PodSecurity") {
            legacy.exempt = Some(exempt(&plugin)?);
        }
    }
    Ok(legacy)
}

pub(super) fn multi_doc(documents: &Documents) -> Result<MultiDoc, ConfigError> {
    let mut multi_doc = MultiDoc {
        has_legacy: documents.main().get("cluster.apiServer")?.is_some(),
        ..MultiDoc::default()
    };
    if let Some(document) = documents.one("KubeAuthenticationConfig") {
        multi_doc.authentication = Some(authentication(&document)?);
    }
    for document in documents.all("KubeAuthorizerConfig") {
        if let Some(kind) = document.get_text("type")? {
            multi_doc.authorizers.push(kind.to_owned());
        }
    }
    for document in documents.all("KubeAdmissionControlConfig") {
        if document.get_text("name")? == Some("PodSecurity") {
            multi_doc.exempt = Some(exempt(&document)?);
        }
    }
    Ok(multi_doc)
}

fn authentication(document: &Field<'_>) -> Result<Authentication, ConfigError> {
    const KEYS: [&str; 4] = ["apiVersion", "kind", "anonymous", "jwt"];
    let keys = document.get_map("configuration")?;
    let unknown_keys = keys
        .iter()
        .filter(|(key, _)| !KEYS.contains(key))
        .map(|(key, _)| (*key).to_owned());
    let jwt = document.get_list("configuration.jwt")?;
    let anonymous = match document.get("configuration.anonymous")? {
        Some(anonymous) => anonymous_paths(&anonymous)?,
        // There is no flag, and without one the API server lets everybody in.
        None => Anonymous::Everywhere,
    };
    Ok(Authentication {
        anonymous,
        jwt: jwt.iter().map(|entry| entry.value().clone()).collect(),
        unknown_keys: unknown_keys.collect(),
    })
}

pub(super) fn anonymous_paths(anonymous: &Field<'_>) -> Result<Anonymous, ConfigError> {
    let enabled = anonymous.get("enabled")?;
    let enabled = enabled.map(|enabled| enabled.boolean()).transpose()?;
    if enabled != Some(true) {
        return Ok(Anonymous::Nowhere);
    }
    let mut paths = Vec::new();
    for condition in anonymous.get_list("conditions")? {
        let path = condition.get_text("path")?;
        paths.push(path.ok_or_else(|| condition.is_not("a path"))?.to_owned());
    }
    Ok(if paths.is_empty() {
        Anonymous::Everywhere
    } else {
        Anonymous::Paths(paths)
    })
}

fn exempt(plugin: &Field<'_>) -> Result<Vec<String>, ConfigError> {
    texts(&plugin.get_list("configuration.exemptions.namespaces")?)
}
