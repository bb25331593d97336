//! Which patch fits a cluster, or why none does. No I/O.

mod least_privilege;
mod manifests;

use serde_json::Value;

use super::machine_config::{ApiServer, Legacy, MachineConfig, MultiDoc};
use super::note::Note;
use super::refusal::Refusal;
use super::version::{Stage, Version};
use super::wishes::{Generation, Missing, Patch, Wishes};
use crate::installation::AGENT_NAMESPACE;

/// A file of `talos-patches`, and what is filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Variant {
    /// `1.14/least-privilege.yaml`
    Document {
        more_paths: Vec<String>,
        jwt: Vec<Value>,
    },
    /// `1.13/least-privilege-file.yaml`
    File {
        more_paths: Vec<String>,
        jwt: Vec<Value>,
    },
    /// `1.13/least-privilege-flags.yaml`
    Flags { feature_gates: Option<String> },
    /// `legacy/anonymous-auth.yaml`
    AnonymousAuth,
    /// `cluster-info.template.yaml`, of 1.14 or not
    ClusterInfo {
        is_document: bool,
        server: String,
        certificate_authority_data: String,
    },
    /// `optional/psa-exemption.yaml`, of 1.14 or not
    PsaExemption { is_document: bool },
    /// `install-external.yaml`, of 1.14 or not
    InstallExternal { is_document: bool, url: String },
    /// `install-inline.template.yaml`
    InstallInline { manifest: String },
}

/// A patch to print.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) variant: Variant,
    pub(crate) notes: Vec<Note>,
}

/// Why there is no patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoPlan {
    /// Something has to be told first.
    Missing(Missing),
    /// It would break something, or do nothing.
    Refused(Vec<Refusal>),
}

/// Chooses the patch.
pub(crate) fn decide(wishes: &Wishes, config: Option<&MachineConfig>) -> Result<Plan, NoPlan> {
    if config.is_some_and(|config| !config.is_control_plane) {
        return Err(NoPlan::Refused(vec![Refusal::Worker]));
    }
    let target = Target::find(wishes, config)?;
    let mut draft = Draft::new(wishes, target);
    let variant = match wishes.patch {
        Patch::LeastPrivilege => draft.least_privilege(),
        Patch::AnonymousAuth => draft.anonymous_auth(),
        Patch::ClusterInfo => draft.cluster_info(),
        Patch::PsaExemption => draft.psa_exemption(),
        Patch::InstallExternal => draft.install_external(),
        Patch::InstallInline => draft.install_inline(),
    };
    // What is refused anyhow needs nothing that is missing.
    if !draft.refusals.is_empty() {
        return Err(NoPlan::Refused(draft.refusals));
    }
    Ok(Plan {
        variant: variant.map_err(NoPlan::Missing)?,
        notes: draft.notes,
    })
}

/// The cluster, as far as it is known.
#[derive(Clone, Copy)]
struct Target<'a> {
    talos: Option<Version>,
    generation: Option<Generation>,
    config: Option<&'a MachineConfig>,
}

impl<'a> Target<'a> {
    fn find(wishes: &Wishes, config: Option<&'a MachineConfig>) -> Result<Self, NoPlan> {
        let talos = wishes
            .talos
            .or_else(|| config.and_then(|config| config.installer));
        let refused = |refusal| Err(NoPlan::Refused(vec![refusal]));
        if let Some(version) = talos.filter(|version| version.minor() < 7) {
            return refused(Refusal::TalosTooOld(version));
        }
        let found = config.map(|config| match config.api_server {
            ApiServer::Legacy(_) => Generation::Legacy,
            ApiServer::MultiDoc(_) => Generation::MultiDoc,
        });
        let told = wishes.talos.filter(|version| version.minor() < 14);
        match (found.or(wishes.generation), told) {
            (Some(Generation::MultiDoc), Some(version)) => {
                return refused(Refusal::NoMultiDoc(version));
            }
            (None, None) if talos.is_none() => {
                return Err(NoPlan::Missing(Missing::ConfigOrVersion));
            }
            _ => {}
        }
        let generation = match (found, wishes.generation) {
            (Some(Generation::Legacy), Some(Generation::MultiDoc)) => {
                return refused(Refusal::IsLegacy);
            }
            (Some(Generation::MultiDoc), Some(Generation::Legacy)) => {
                return refused(Refusal::IsMultiDoc);
            }
            (None, None) => told.map(|_| Generation::Legacy),
            (found, claimed) => found.or(claimed),
        };
        // A version that cannot be that of this config is an old installer's.
        let talos = talos
            .filter(|version| generation != Some(Generation::MultiDoc) || version.minor() >= 14);
        Ok(Self {
            talos,
            generation,
            config,
        })
    }

    /// Whether Talos knows documents for single manifests. If nothing is known, it does not.
    fn has_manifest_documents(&self) -> bool {
        match self.talos {
            Some(version) => version.is_since(14, Stage::Beta(0)),
            None => self.generation == Some(Generation::MultiDoc),
        }
    }

    fn legacy(&self) -> Option<&'a Legacy> {
        match &self.config?.api_server {
            ApiServer::Legacy(legacy) => Some(legacy),
            ApiServer::MultiDoc(_) => None,
        }
    }

    fn multi_doc(&self) -> Option<&'a MultiDoc> {
        match &self.config?.api_server {
            ApiServer::Legacy(_) => None,
            ApiServer::MultiDoc(multi_doc) => Some(multi_doc),
        }
    }
}

/// A decision in the making: everything that speaks against a patch is collected.
struct Draft<'a> {
    wishes: &'a Wishes,
    target: Target<'a>,
    notes: Vec<Note>,
    refusals: Vec<Refusal>,
}

impl<'a> Draft<'a> {
    fn new(wishes: &'a Wishes, target: Target<'a>) -> Self {
        let mut draft = Self {
            wishes,
            target,
            notes: Vec::new(),
            refusals: Vec::new(),
        };
        let has_key = target
            .config
            .is_none_or(|config| config.has_controller_manager);
        draft.note_if(!has_key, Note::NoControllerManager);
        if let Some(multi_doc) = target.multi_doc() {
            draft.refuse_if(multi_doc.has_legacy, Refusal::BothGenerations);
            let repairs = wishes.patch == Patch::LeastPrivilege;
            let is_broken = multi_doc.authentication.is_none() && !repairs;
            draft.refuse_if(is_broken, Refusal::NoAuthentication);
        }
        draft
    }

    fn refuse_if(&mut self, condition: bool, refusal: Refusal) {
        if condition {
            self.refusals.push(refusal);
        }
    }

    fn note_if(&mut self, condition: bool, note: Note) {
        if condition {
            self.notes.push(note);
        }
    }

    /// Refuses flags that a patch would stand beside, where it means to replace them.
    fn refuse_underscores(&mut self, legacy: &Legacy) {
        let flags = legacy.underscored.clone();
        self.refuse_if(!flags.is_empty(), Refusal::Underscores { flags });
    }

    fn generation(&self) -> Result<Generation, Missing> {
        self.target.generation.ok_or(Missing::Generation)
    }

    fn anonymous_auth(&mut self) -> Result<Variant, Missing> {
        let generation = self.generation()?;
        self.refuse_if(generation == Generation::MultiDoc, Refusal::FlagOnMultiDoc);
        if let Some(legacy) = self.target.legacy() {
            self.refuse_underscores(legacy);
            let file = legacy.authentication_config.clone();
            if let Some(file) = file.filter(|file| !file.is_empty()) {
                self.refusals.push(Refusal::FlagBesideFile(file));
            }
        }
        let is_new = self.target.talos.is_some_and(|version| {
            version.minor() == 13 || version.is_since(14, Stage::Candidate(1))
        });
        let has_config = self.target.config.is_some();
        self.note_if(is_new && has_config, Note::LeastPrivilegeIsPossible);
        Ok(Variant::AnonymousAuth)
    }

    fn psa_exemption(&mut self) -> Result<Variant, Missing> {
        let is_document = self.generation()? == Generation::MultiDoc;
        let exempt = self.target.config.map(|config| match &config.api_server {
            ApiServer::Legacy(legacy) => legacy.exempt.as_ref(),
            ApiServer::MultiDoc(multi_doc) => multi_doc.exempt.as_ref(),
        });
        match exempt {
            Some(None) => self.refusals.push(Refusal::NoPodSecurity),
            Some(Some(names)) => {
                let is_done = names.iter().any(|name| name == AGENT_NAMESPACE);
                self.refuse_if(is_done, Refusal::AlreadyExempt);
            }
            None => {}
        }
        Ok(Variant::PsaExemption { is_document })
    }
}

#[cfg(test)]
mod tests;
