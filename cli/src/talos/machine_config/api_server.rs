//! How a machine config configures the API server.

use super::documents::{Documents, values};
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
    let file = legacy.authentication_config.clone();
    for volume in main.get_list("cluster.apiServer.extraVolumes")? {
        let mount_path = volume.get_text("mountPath")?.unwrap_or_default();
        let mount_path = mount_path.trim_end_matches('/');
        legacy.mounts_folder |= mount_path == AUTHENTICATION_FOLDER;
        let below = file
            .as_deref()
            .and_then(|file| file.strip_prefix(mount_path));
        if let Some(below) = below.filter(|below| below.is_empty() || below.starts_with('/')) {
            let host_path = volume.get_text("hostPath")?.unwrap_or_default();
            let host_path = format!("{}{below}", host_path.trim_end_matches('/'));
            legacy.own_file = file_of_node(&main, &host_path)?;
        }
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
        multi_doc.authentication = Some(match document.get("configuration")? {
            Some(configuration) => authentication(&configuration)?,
            None => Authentication::default(),
        });
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

/// The configuration in a file that `machine.files` puts at `path`.
pub(super) fn file_of_node(
    main: &Field<'_>,
    path: &str,
) -> Result<Option<Authentication>, ConfigError> {
    let mut found = None;
    // Of two files at one path the later one is written last.
    for file in main.get_list("machine.files")? {
        if file.get_text("path")? == Some(path) {
            found = file.get("content")?;
        }
    }
    let Some(content) = found else {
        return Ok(None);
    };
    let error = || content.is_not("an AuthenticationConfiguration");
    let values = values(content.text()?).map_err(|_| error())?;
    let [value] = values.as_slice() else {
        return Err(error());
    };
    let file = authentication(&Field::root("the file", value)).map_err(|_| error())?;
    Ok(Some(file))
}

fn authentication(configuration: &Field<'_>) -> Result<Authentication, ConfigError> {
    const KEYS: [&str; 4] = ["apiVersion", "kind", "anonymous", "jwt"];
    let keys = configuration.map()?;
    let unknown_keys = keys
        .iter()
        .filter(|(key, _)| !KEYS.contains(key))
        .map(|(key, _)| (*key).to_owned());
    let jwt = configuration.get_list("jwt")?;
    let anonymous = match configuration.get("anonymous")? {
        Some(anonymous) => anonymous_paths(&anonymous)?,
        // Without a flag, the API server lets everybody in.
        None => Anonymous::Everywhere,
    };
    Ok(Authentication {
        anonymous,
        jwt: jwt.iter().map(|entry| entry.value().clone()).collect(),
        unknown_keys: unknown_keys.collect(),
    })
}

fn anonymous_paths(anonymous: &Field<'_>) -> Result<Anonymous, ConfigError> {
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
