//! What a machine config holds beside what Talos' interfaces tell of it.

use serde_json::{Value, json};

/// The documents of a config.
///
/// # Errors
/// It is no YAML.
pub fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    Ok(serde_saphyr::from_multiple(text)?)
}

/// The file that a path leads to inside kube-apiserver's container: put on the host by the config, and mounted.
pub(super) fn mounted_file(documents: &[Value], path: &str) -> Option<String> {
    let volumes = lists(documents, "/cluster/apiServer/extraVolumes");
    let host_path = volumes.into_iter().find_map(|volume| {
        let inside = volume["mountPath"].as_str()?.trim_end_matches('/');
        let rest = path.strip_prefix(inside)?;
        let on_host = volume["hostPath"].as_str()?.trim_end_matches('/');
        // A mount of `/a` is none of `/ab`.
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{on_host}{rest}"))
    })?;
    let files = lists(documents, "/machine/files");
    let file = files
        .into_iter()
        .find(|file| file["path"].as_str() == Some(&host_path))?;
    file["content"].as_str().map(str::to_owned)
}

/// Where kube-apiserver's container has the folders that the config adds.
pub(super) fn mount_paths(documents: &[Value]) -> Vec<String> {
    let volumes = lists(documents, "/cluster/apiServer/extraVolumes");
    let paths = volumes
        .into_iter()
        .filter_map(|volume| volume["mountPath"].as_str());
    paths.map(str::to_owned).collect()
}

/// The file for kube-apiserver's admission plugins.
pub(super) fn admission_file(documents: &[Value]) -> Value {
    let plugin = |plugin: &Value| json!({ "name": plugin["name"], "configuration": plugin["configuration"] });
    let legacy = lists(documents, "/cluster/apiServer/admissionControl");
    let own = documents
        .iter()
        .filter(|document| document["kind"] == "KubeAdmissionControlConfig");
    let plugins: Vec<Value> = legacy.into_iter().chain(own).map(plugin).collect();
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": plugins,
    })
}

fn lists<'a>(documents: &'a [Value], pointer: &str) -> Vec<&'a Value> {
    let found = documents
        .iter()
        .filter_map(|document| document.pointer(pointer));
    found.filter_map(Value::as_array).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_through_its_mount() {
        let config = json!({
            "machine": { "files": [{ "path": "/var/lib/a/auth.yaml", "content": "x" }] },
            "cluster": { "apiServer": { "extraVolumes": [
                { "hostPath": "/var/lib/a", "mountPath": "/etc/b/" },
            ] } },
        });
        let find = |path: &str| mounted_file(std::slice::from_ref(&config), path);
        assert_eq!(find("/etc/b/auth.yaml").as_deref(), Some("x"));
        for path in [
            "/etc/b/other.yaml",
            "/var/lib/a/auth.yaml",
            "/etc/bauth.yaml",
        ] {
            assert_eq!(find(path), None, "{path}");
        }
    }
}
