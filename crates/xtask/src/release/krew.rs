//! The manifest by which krew, kubectl's plugin manager, installs the program.

use anyhow::Context as _;
use serde::Serialize;

use super::{PROGRAM, Platform, VERSION};

/// Its name.
pub(super) const FILE: &str = "haulout.yaml";

/// An archive that can be downloaded.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) platform: Platform,
    pub(super) name: String,
    pub(super) sha256: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Plugin<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    version: String,
    short_description: &'a str,
    description: &'a str,
    platforms: Vec<PluginPlatform<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PluginPlatform<'a> {
    selector: Selector,
    uri: String,
    sha256: &'a str,
    bin: String,
    files: [Copied; 3],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    match_labels: Labels,
}

#[derive(Serialize)]
struct Labels {
    os: &'static str,
    arch: &'static str,
}

/// A file of the archive that krew keeps.
#[derive(Serialize)]
struct Copied {
    from: String,
    to: &'static str,
}

/// The manifest for archives below `base_url`.
pub(super) fn manifest(downloads: &[Download], base_url: &str) -> anyhow::Result<String> {
    let base_url = base_url.trim_end_matches('/');
    let platforms = downloads.iter().map(|download| {
        let Platform { os, arch, .. } = download.platform;
        let program = download.platform.program();
        let kept = [&program, "LICENSE", "THIRD-PARTY.txt"];
        PluginPlatform {
            selector: Selector {
                match_labels: Labels { os, arch },
            },
            uri: format!("{base_url}/{}", download.name),
            sha256: &download.sha256,
            files: kept.map(|from| Copied {
                from: from.to_owned(),
                to: ".",
            }),
            bin: program,
        }
    });
    let plugin = Plugin {
        api_version: "krew.googlecontainertools.github.com/v1alpha2",
        kind: "Plugin",
        metadata: Metadata { name: PROGRAM },
        spec: Spec {
            version: format!("v{VERSION}"),
            short_description: "Log in to clusters with your company login",
            description: "Logs in at an OIDC issuer and exchanges the token for a client certificate that lives minutes, in \
                          clusters that run Haulout or Pinniped's Concierge. Kubeconfigs name the program haulout, so put \
                          it into the PATH under this name too, or write them by: kubectl haulout get kubeconfig.",
            platforms: platforms.collect(),
        },
    };
    serde_saphyr::to_string(&plugin).context("failed to encode krew's manifest")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_archive_is_a_platform_of_the_plugin() {
        let downloads = [Platform::ALL[0], Platform::ALL[5]].map(|platform| Download {
            platform,
            name: platform.archive(),
            sha256: "00".repeat(32),
        });
        let manifest = manifest(&downloads, "https://downloads.example.com/v1/").unwrap();
        let plugin: Value = serde_saphyr::from_str(&manifest).unwrap();
        assert_eq!(plugin["metadata"]["name"], "haulout");
        assert_eq!(plugin["spec"]["version"], format!("v{VERSION}"));
        let platforms = plugin["spec"]["platforms"].as_array().unwrap();
        let [linux, windows] = platforms.as_slice() else {
            panic!("{manifest}");
        };
        let labels = &windows["selector"]["matchLabels"];
        assert_eq!(labels, &json!({"os": "windows", "arch": "arm64"}));
        assert_eq!(
            (&linux["bin"], &windows["bin"]),
            (&json!("haulout"), &json!("haulout.exe"))
        );
        let uri = format!("https://downloads.example.com/v1/haulout-{VERSION}-linux-amd64.tar.gz");
        assert_eq!(linux["uri"], uri);
        assert_eq!(linux["sha256"], "00".repeat(32));
        assert_eq!(
            windows["files"][0],
            json!({"from": "haulout.exe", "to": "."})
        );
    }
}
