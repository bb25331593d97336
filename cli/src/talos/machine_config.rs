//! What a Talos machine config says about the API server. Of its many secrets nothing is kept, and no error repeats a value.

mod api_server;
mod documents;
mod field;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use self::api_server::{file_of_node, legacy, multi_doc};
use self::documents::Documents;
use self::field::Field;
use super::cluster_info::parse_certificates;
use super::version::Version;

/// Where the file of the legacy patch is, on the node and in the API server's container.
pub(crate) const AUTHENTICATION_FILE: &str = "/var/lib/haulout/authentication.yaml";
/// Its folder, which is mounted.
pub(crate) const AUTHENTICATION_FOLDER: &str = "/var/lib/haulout";

/// Why a text is not taken for a machine config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("line {0} is no YAML; the line is not repeated, since a machine config has secrets")]
    Yaml(u64),
    #[error("it is no YAML")]
    NotYaml,
    #[error(
        "this is what talosctl prints around a machine config; get the config itself: \
         `talosctl -n NODE get machineconfig v1alpha1 -o jsonpath='{{.spec}}'`"
    )]
    Envelope,
    #[error(
        "no document of it has `version: v1alpha1` and `machine`, so it is no complete machine config; get it from the node: \
         `talosctl -n NODE get machineconfig v1alpha1 -o jsonpath='{{.spec}}'`"
    )]
    NoMachine,
    #[error(
        "document {0} has neither `kind` nor `version: v1alpha1`, so this is no machine config; get it from the node: \
         `talosctl -n NODE get machineconfig v1alpha1 -o jsonpath='{{.spec}}'`"
    )]
    NoKind(usize),
    #[error(
        "there are two documents {0}, of which a machine config has one; give one machine config at a time"
    )]
    Twice(String),
    #[error("{document}: {field} is missing")]
    Missing {
        document: String,
        field: &'static str,
    },
    #[error("{document}: {field} is not {expected}")]
    Field {
        document: String,
        field: String,
        expected: &'static str,
    },
}

/// A machine config, as far as it matters here.
#[derive(Clone, Debug)]
pub(crate) struct MachineConfig {
    pub(crate) is_control_plane: bool,
    /// Whether kube-controller-manager runs on the node, without which nothing there can sign.
    pub(crate) has_controller_manager: bool,
    /// The Talos that was installed at first; upgrades leave it as it is.
    pub(crate) installer: Option<Version>,
    pub(crate) kubernetes: KubernetesVersion,
    /// Of the control plane, not checked.
    pub(crate) endpoint: Option<String>,
    /// Of the Kubernetes CA: the one that issues, then those accepted beside it.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) api_server: ApiServer,
    pub(crate) inline_manifests: Vec<InlineManifest>,
    /// URLs of `cluster.extraManifests`.
    pub(crate) extra_manifests: Vec<String>,
    /// [`AUTHENTICATION_FILE`], if `machine.files` has it.
    pub(crate) authentication_file: Option<Authentication>,
}

/// What the API server's image says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KubernetesVersion {
    /// No image is named: it is that of the Talos release.
    Default,
    /// The image's tag is no version.
    Unknown,
    /// Its version.
    Known(Version),
}

/// How the API server is configured.
#[derive(Clone, Debug)]
pub(crate) enum ApiServer {
    /// By `cluster.apiServer`, as at first.
    Legacy(Legacy),
    /// By documents of their own, from 1.14 on.
    MultiDoc(MultiDoc),
}

/// What `cluster.apiServer` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Legacy {
    pub(crate) anonymous_auth: Option<String>,
    pub(crate) authentication_config: Option<String>,
    /// What the file of `authentication-config` has, if `machine.files` has it.
    pub(crate) own_file: Option<Authentication>,
    pub(crate) feature_gates: Option<String>,
    /// Names of the `oidc-*` flags.
    pub(crate) oidc_flags: Vec<String>,
    /// Names of flags that a patch sets, written with underscores; their values are not read.
    pub(crate) underscored: Vec<String>,
    pub(crate) mounts_folder: bool,
    /// Namespaces that PodSecurity leaves alone, if it is configured.
    pub(crate) exempt: Option<Vec<String>>,
    /// Whether there is a `KubeAuthenticationConfig` beside, which nothing reads.
    pub(crate) has_authentication_document: bool,
}

/// What the documents say.
#[derive(Clone, Debug, Default)]
pub(crate) struct MultiDoc {
    /// Whether there is a `cluster.apiServer` too, which Talos refuses.
    pub(crate) has_legacy: bool,
    pub(crate) authentication: Option<Authentication>,
    /// Types of the `KubeAuthorizerConfig` documents.
    pub(crate) authorizers: Vec<String>,
    /// Namespaces that PodSecurity leaves alone, if it is configured.
    pub(crate) exempt: Option<Vec<String>>,
}

/// An `AuthenticationConfiguration`, of a file or a `KubeAuthenticationConfig`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authentication {
    pub(crate) anonymous: Anonymous,
    pub(crate) jwt: Vec<Value>,
    /// Keys that no `AuthenticationConfiguration` has.
    pub(crate) unknown_keys: Vec<String>,
}

/// Where callers without credentials are let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Anonymous {
    #[default]
    Everywhere,
    Nowhere,
    Paths(Vec<String>),
}

impl Legacy {
    /// Where callers without credentials are let in, from Talos 1.13 on.
    pub(crate) fn anonymous(&self) -> Anonymous {
        match (self.anonymous_auth.as_deref(), &self.own_file) {
            // Talos drops an empty flag, and the file decides, or the API server's default.
            (Some(""), Some(file)) => file.anonymous.clone(),
            (Some("" | "1" | "t" | "T" | "true" | "TRUE" | "True"), _) => Anonymous::Everywhere,
            (Some(_) | None, _) => Anonymous::Nowhere,
        }
    }
}

impl Authentication {
    /// Paths that it opens alone; none where all are open, or none is.
    pub(crate) fn paths(&self) -> &[String] {
        match &self.anonymous {
            Anonymous::Paths(paths) => paths,
            Anonymous::Everywhere | Anonymous::Nowhere => &[],
        }
    }
}

/// A manifest in the machine config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InlineManifest {
    pub(crate) name: String,
    /// Whether it is a `KubeInlineManifestConfig`, which one of the same name replaces.
    pub(crate) is_document: bool,
    /// Whether it seems to make `kube-public/cluster-info`.
    pub(crate) makes_cluster_info: bool,
}

impl MachineConfig {
    /// Reads all documents of a machine config.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let documents = Documents::parse(text)?;
        let main = documents.main();
        let kind = main.get_text("machine.type")?;
        let is_control_plane = match kind {
            Some("controlplane" | "init") => true,
            Some("worker" | "join") => false,
            Some(_) => {
                let field = main.get("machine.type")?.unwrap_or(main);
                return Err(field.is_not("controlplane or worker"));
            }
            None => {
                return Err(ConfigError::Missing {
                    document: documents::MAIN.to_owned(),
                    field: "machine.type",
                });
            }
        };
        let api_server_document = documents.one("KubeAPIServerConfig");
        let image = match &api_server_document {
            Some(document) => document.get_text("image")?,
            None => main.get_text("cluster.apiServer.image")?,
        };
        let api_server = if api_server_document.is_some() {
            ApiServer::MultiDoc(multi_doc(&documents)?)
        } else {
            ApiServer::Legacy(legacy(&documents)?)
        };
        Ok(Self {
            is_control_plane,
            has_controller_manager: has_controller_manager(&documents)?,
            installer: main
                .get_text("machine.install.image")?
                .and_then(Version::of_image),
            kubernetes: match image.map(Version::of_image) {
                None => KubernetesVersion::Default,
                Some(None) => KubernetesVersion::Unknown,
                Some(Some(version)) => KubernetesVersion::Known(version),
            },
            endpoint: endpoint(&documents)?,
            certificates: certificates(&documents)?,
            api_server,
            inline_manifests: inline_manifests(&documents)?,
            extra_manifests: texts(&main.get_list("cluster.extraManifests")?)?,
            authentication_file: file_of_node(&main, AUTHENTICATION_FILE)?,
        })
    }
}

fn has_controller_manager(documents: &Documents) -> Result<bool, ConfigError> {
    let disabled = "machine.controlPlane.controllerManager.disabled";
    let switch = match documents.one("KubeControllerManagerConfig") {
        Some(document) => document.get("enabled")?.map(|enabled| enabled.boolean()),
        None => documents
            .main()
            .get(disabled)?
            .map(|disabled| disabled.boolean().map(|disabled| !disabled)),
    };
    Ok(switch.transpose()?.unwrap_or(true))
}

fn endpoint(documents: &Documents) -> Result<Option<String>, ConfigError> {
    let endpoint = match documents.one("KubeClusterConfig") {
        Some(document) => document.get_text("endpoint")?,
        None => documents.main().get_text("cluster.controlPlane.endpoint")?,
    };
    Ok(endpoint.map(str::to_owned))
}

/// In the v1alpha1 document, certificates are base64 of PEM; in a document of their own, they are PEM.
fn certificates(documents: &Documents) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    const EXPECTED: &str = "PEM of a CA certificate";
    const EXPECTED_BASE64: &str = "base64 of the PEM of a CA certificate";
    let mut certificates = Vec::new();
    if let Some(document) = documents.one("KubeAPIServerCAConfig") {
        let issuing = document.get("issuingCA.cert")?;
        for field in issuing.into_iter().chain(document.get_list("acceptedCAs")?) {
            let parsed = parse_certificates(field.text()?.as_bytes());
            certificates.extend(parsed.map_err(|_| field.is_not(EXPECTED))?);
        }
        return Ok(certificates);
    }
    let mut fields: Vec<_> = documents
        .main()
        .get("cluster.ca.crt")?
        .into_iter()
        .collect();
    for accepted in documents.main().get_list("cluster.acceptedCAs")? {
        fields.extend(accepted.get("crt")?);
    }
    for field in fields {
        let pem = STANDARD.decode(field.text()?);
        let pem = pem.map_err(|_| field.is_not(EXPECTED_BASE64))?;
        certificates.extend(parse_certificates(&pem).map_err(|_| field.is_not(EXPECTED_BASE64))?);
    }
    Ok(certificates)
}

fn inline_manifests(documents: &Documents) -> Result<Vec<InlineManifest>, ConfigError> {
    let mut manifests = Vec::new();
    for entry in documents.main().get_list("cluster.inlineManifests")? {
        manifests.push(inline_manifest(&entry, "contents")?);
    }
    for document in documents.all("KubeInlineManifestConfig") {
        manifests.push(InlineManifest {
            is_document: true,
            ..inline_manifest(&document, "manifest")?
        });
    }
    Ok(manifests)
}

fn inline_manifest(entry: &Field<'_>, contents: &str) -> Result<InlineManifest, ConfigError> {
    let text = entry.get_text(contents)?.unwrap_or_default();
    Ok(InlineManifest {
        name: entry.get_text("name")?.unwrap_or_default().to_owned(),
        is_document: false,
        makes_cluster_info: text.contains("name: cluster-info") && text.contains("kube-public"),
    })
}

fn texts(fields: &[Field<'_>]) -> Result<Vec<String>, ConfigError> {
    fields
        .iter()
        .map(|field| field.text().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests;
