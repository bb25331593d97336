//! Manifests that Talos applies.

use super::{Draft, Variant};
use crate::talos::cluster_info::{certificate_authority_data, parse_server};
use crate::talos::manifest::check_manifest;
use crate::talos::refusal::Refusal;
use crate::talos::wishes::Missing;

/// Names of our inline manifests.
pub(super) const CLUSTER_INFO: &str = "haulout-cluster-info";
pub(super) const INSTALL: &str = "haulout";

impl Draft<'_> {
    pub(super) fn cluster_info(&mut self) -> Result<Variant, Missing> {
        let is_document = self.target.has_manifest_documents();
        self.refuse_same_name(CLUSTER_INFO, is_document);
        let manifests = self.target.config.map(|config| &config.inline_manifests);
        for manifest in manifests.into_iter().flatten() {
            if manifest.makes_cluster_info && manifest.name != CLUSTER_INFO {
                let name = manifest.name.clone();
                self.refusals.push(Refusal::ClusterInfoIsThere(name));
            }
        }
        let endpoint = self
            .target
            .config
            .and_then(|config| config.endpoint.as_deref());
        let server = match (&self.wishes.server, endpoint) {
            (Some(server), _) => server.clone(),
            (None, Some(endpoint)) => parse_server(endpoint).unwrap_or_else(|error| {
                self.refusals.push(Refusal::Endpoint(error));
                String::new()
            }),
            (None, None) => return Err(Missing::Server),
        };
        let certificates = self.wishes.certificates.as_deref();
        let certificates = certificates
            .or_else(|| Some(self.target.config?.certificates.as_slice()))
            .filter(|certificates| !certificates.is_empty())
            .ok_or(Missing::CertificateAuthority)?;
        Ok(Variant::ClusterInfo {
            is_document,
            server,
            certificate_authority_data: certificate_authority_data(certificates),
        })
    }

    /// Refuses an inline manifest of the same name, unless a document replaces a document.
    fn refuse_same_name(&mut self, name: &str, is_document: bool) {
        let manifests = self.target.config.map(|config| &config.inline_manifests);
        let mut manifests = manifests.into_iter().flatten();
        let is_there = manifests
            .any(|manifest| manifest.name == name && !(manifest.is_document && is_document));
        self.refuse_if(is_there, Refusal::ManifestIsThere(name.to_owned()));
    }

    pub(super) fn install_external(&mut self) -> Result<Variant, Missing> {
        let is_document = self.target.has_manifest_documents();
        let url = self.wishes.url.clone().ok_or(Missing::Url)?;
        let urls = self.target.config.map(|config| &config.extra_manifests);
        let is_there = urls.is_some_and(|urls| urls.contains(&url));
        self.refuse_if(is_there, Refusal::UrlIsThere);
        Ok(Variant::InstallExternal { is_document, url })
    }

    pub(super) fn install_inline(&mut self) -> Result<Variant, Missing> {
        self.refuse_same_name(INSTALL, false);
        let manifest = self.wishes.manifest.clone().ok_or(Missing::Manifest)?;
        if let Err(error) = check_manifest(&manifest) {
            self.refusals.push(Refusal::Manifest(error));
        }
        Ok(Variant::InstallInline { manifest })
    }
}
