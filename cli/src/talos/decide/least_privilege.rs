//! Opening the one path of a login, and no other.

use haulout_api::credential::login_path;
use serde_json::Value;

use super::{Draft, Variant};
use crate::talos::machine_config::{
    AUTHENTICATION_FILE, Anonymous, Authentication, KubernetesVersion, Legacy,
};
use crate::talos::note::Note;
use crate::talos::refusal::Refusal;
use crate::talos::version::{Stage, Version};
use crate::talos::wishes::{Generation, Missing, Step};

/// Paths that Talos 1.14 opens by itself.
const HEALTH_PATHS: [&str; 3] = ["/livez", "/readyz", "/healthz"];
/// The feature gate of paths for callers without credentials.
const GATE: &str = "AnonymousAuthConfigurableEndpoints";

impl<'a> Draft<'a> {
    pub(super) fn least_privilege(&mut self) -> Result<Variant, Missing> {
        match self.generation()? {
            Generation::MultiDoc => self.document(),
            Generation::Legacy => self.two_steps(),
        }
    }

    fn document(&mut self) -> Result<Variant, Missing> {
        self.refuse_if(self.wishes.step.is_some(), Refusal::NoSteps);
        if let Some(version) = self.kubernetes()?.filter(|version| version.minor() < 32) {
            self.refusals.push(Refusal::KubernetesTooOld(version));
        }
        let mut more_paths = Vec::new();
        let mut jwt = Vec::new();
        if let Some(multi_doc) = self.target.multi_doc() {
            for kind in ["Node", "RBAC"] {
                let is_there = multi_doc.authorizers.iter().any(|other| other == kind);
                self.refuse_if(!is_there, Refusal::NoAuthorizer(kind));
            }
            match &multi_doc.authentication {
                Some(authentication) => {
                    match authentication.anonymous {
                        Anonymous::Everywhere => self.notes.push(Note::WasOpen),
                        Anonymous::Nowhere => self.notes.push(Note::WasClosed),
                        Anonymous::Paths(_) => {}
                    }
                    (more_paths, jwt) = self.carry(authentication, &HEALTH_PATHS);
                }
                None => self.notes.push(Note::WasMissing),
            }
        }
        Ok(Variant::Document { more_paths, jwt })
    }

    /// What the patch repeats of what it replaces: open paths, but for the login and `known` ones, and `jwt`.
    fn carry(
        &mut self,
        authentication: &Authentication,
        known: &[&str],
    ) -> (Vec<String>, Vec<Value>) {
        self.refuse_unknown_keys(authentication);
        let mut paths = self.paths_beside_login(authentication);
        paths.retain(|path| !known.contains(&path.as_str()));
        let jwt = authentication.jwt.clone();
        self.note_if(!paths.is_empty(), Note::PathsCarried(paths.clone()));
        self.note_if(!jwt.is_empty(), Note::JwtCarried(jwt.len()));
        (paths, jwt)
    }

    fn refuse_unknown_keys(&mut self, authentication: &Authentication) {
        let keys = authentication.unknown_keys.clone();
        self.refuse_if(!keys.is_empty(), Refusal::UnknownKeys { keys });
    }

    fn paths_beside_login(&self, authentication: &Authentication) -> Vec<String> {
        let login = login_path(&self.wishes.suffix);
        let paths = authentication.paths().iter();
        paths.filter(|path| **path != login).cloned().collect()
    }

    fn two_steps(&mut self) -> Result<Variant, Missing> {
        let talos = self.target.talos.ok_or(Missing::TalosVersion)?;
        if talos.minor() < 13 {
            self.refusals.push(Refusal::FlagStays(talos));
        } else if talos.minor() == 14 && !talos.is_since(14, Stage::Candidate(1)) {
            self.refusals
                .push(Refusal::AuthenticationConfigDenied(talos));
        }
        let is_told = self.wishes.talos.is_some();
        self.note_if(!is_told, Note::InstallerVersion(talos));
        let kubernetes = self.kubernetes()?;
        if let Some(version) = kubernetes.filter(|version| version.minor() < 31) {
            self.refusals.push(Refusal::KubernetesTooOld(version));
        }
        let needs_gate = kubernetes.is_some_and(|version| version.minor() == 31);
        let legacy = self.target.legacy().cloned().unwrap_or_default();
        self.refuse_flags(&legacy);
        self.note_if(legacy.has_authentication_document, Note::IgnoredDocument);
        let was_open = legacy.anonymous() == Anonymous::Everywhere;
        self.note_if(was_open, Note::WasOpen);
        match self.step(talos)? {
            Step::File => {
                self.refuse_if(self.file().is_some(), Refusal::FileIsThere);
                let own = legacy.own_file.unwrap_or_default();
                let (more_paths, jwt) = self.carry(&own, &[]);
                Ok(Variant::File { more_paths, jwt })
            }
            Step::Flags => {
                self.refuse_flags_step(&legacy);
                self.note_if(needs_gate, Note::FeatureGate);
                let feature_gates = needs_gate.then(|| with_gate(legacy.feature_gates.as_deref()));
                Ok(Variant::Flags { feature_gates })
            }
        }
    }

    /// The step that is asked for, or the one that this machine config lacks.
    fn step(&self, talos: Version) -> Result<Step, Missing> {
        match (self.wishes.step, self.target.config, self.file()) {
            (Some(step), ..) => Ok(step),
            (None, None, _) => Err(Missing::Step),
            (None, Some(_), None) => Ok(Step::File),
            // Older ones have rebooted by themselves.
            (None, Some(_), Some(_)) if talos.minor() < 14 => Ok(Step::Flags),
            (None, Some(_), Some(_)) => Err(Missing::Reboot),
        }
    }

    /// The file of step 1, if this machine config has it.
    fn file(&self) -> Option<&'a Authentication> {
        self.target.config?.authentication_file.as_ref()
    }

    /// Refuses what neither step can stand beside.
    fn refuse_flags(&mut self, legacy: &Legacy) {
        self.refuse_underscores(legacy);
        let flags = legacy.oidc_flags.clone();
        self.refuse_if(!flags.is_empty(), Refusal::OidcFlags { flags });
        let gates = legacy.feature_gates.as_deref().unwrap_or_default();
        let is_off = gates
            .split(',')
            .any(|gate| gate.trim() == format!("{GATE}=false"));
        self.refuse_if(is_off, Refusal::GateOff);
        match legacy.authentication_config.as_deref() {
            None | Some("") => {}
            Some(AUTHENTICATION_FILE) => {
                let is_done = legacy.anonymous_auth.as_deref() == Some("");
                self.refuse_if(is_done, Refusal::AlreadyOpen);
                self.refuse_if(!is_done, Refusal::HalfOpen);
            }
            Some(other) => {
                let other = other.to_owned();
                let login = login_path(&self.wishes.suffix);
                match &legacy.own_file {
                    None => self.refusals.push(Refusal::UnknownFile(other)),
                    Some(_) => {
                        let is_open = matches!(legacy.anonymous(), Anonymous::Paths(paths) if paths.contains(&login));
                        self.refuse_if(is_open, Refusal::OpenByOwnFile(other.clone()));
                        self.notes.push(Note::ReplacesFile(other));
                    }
                }
            }
        }
    }

    fn refuse_flags_step(&mut self, legacy: &Legacy) {
        if self.target.config.is_some() {
            let login = login_path(&self.wishes.suffix);
            match self.file() {
                None => self.refusals.push(Refusal::FileIsMissing),
                Some(file) => {
                    let own = legacy.own_file.iter().flat_map(|own| &own.jwt);
                    let lacks = own.filter(|entry| !file.jwt.contains(entry)).count();
                    self.refuse_if(lacks > 0, Refusal::FileLacksJwt(lacks));
                    let is_open = file.paths().contains(&login);
                    self.refuse_if(!is_open, Refusal::FileOpensOther(login));
                    self.refuse_unknown_keys(file);
                    let more_paths = self.paths_beside_login(file);
                    self.note_if(!more_paths.is_empty(), Note::FileOpensMore(more_paths));
                }
            }
        }
        let is_in_use = legacy.authentication_config.as_deref() == Some(AUTHENTICATION_FILE);
        self.refuse_if(legacy.mounts_folder && !is_in_use, Refusal::FolderMounted);
        if let Some(value) = legacy
            .anonymous_auth
            .clone()
            .filter(|value| !value.is_empty())
        {
            self.notes.push(Note::ReplacesFlag(value));
        }
    }

    /// The version of Kubernetes; none if it is the default of the Talos release, which is new enough.
    fn kubernetes(&self) -> Result<Option<Version>, Missing> {
        let image = self.target.config.map(|config| config.kubernetes);
        match (self.wishes.kubernetes, image) {
            (Some(version), _) | (None, Some(KubernetesVersion::Known(version))) => {
                Ok(Some(version))
            }
            (None, Some(KubernetesVersion::Unknown)) => Err(Missing::KubernetesVersion),
            (None, Some(KubernetesVersion::Default) | None) => Ok(None),
        }
    }
}

/// The user's feature gates, and ours.
fn with_gate(gates: Option<&str>) -> String {
    let ours = format!("{GATE}=true");
    match gates.filter(|gates| !gates.is_empty()) {
        Some(gates) if gates.split(',').any(|gate| gate.trim() == ours) => gates.to_owned(),
        Some(gates) => format!("{gates},{ours}"),
        None => ours,
    }
}
