//! What carries over, what to know and what blocks. No I/O.

use std::fmt;

use haulout_api::authenticator::{
    AuthenticatorPhase, CertificateAuthorityDataSourceKind, JwtAuthenticatorSpec,
};
use haulout_api::credential::PLURAL;
use haulout_api::group::VERSION;
use haulout_jwt::claims::ClaimRules;

use super::state::{Anonymous, Authenticator, Concierge, Issuer, Manager, Service, Source, State};
use crate::installation::ISSUER;
use crate::printable;

/// The oldest version of Kubernetes that is supported.
const OLDEST: (u32, u32) = (1, 30);

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) weight: Weight,
    pub(super) text: String,
}

/// What it means for the migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    Blocks,
    ToKnow,
    CarriesOver,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Blocks => "blocks",
            Weight::ToKnow => "to know",
            Weight::CarriesOver => "carries over",
        };
        // What stands in objects is foreign text, and this is for a terminal.
        write!(f, "{weight:<14}{}", printable(&self.text))
    }
}

/// Everything that is found, what blocks first.
pub(super) fn judge(state: &State) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    findings.cluster(state);
    match &state.concierge {
        Some(concierge) => findings.concierge(concierge),
        None => findings.blocks(format!(
            "Service {} leads to no Deployment, so it is not known what to replace",
            state.login
        )),
    }
    for issuer in &state.issuers {
        findings.credential_issuer(issuer);
    }
    for authenticator in &state.jwt {
        findings.authenticator(authenticator, jwt);
    }
    for authenticator in &state.webhook {
        findings.authenticator(authenticator, |spec| Ok(spec.endpoint.clone()));
    }
    for source in &state.sources {
        findings.source(source);
    }
    let Findings(mut found) = findings;
    found.sort_by_key(|finding| finding.weight);
    found
}

/// The issuer, or what of the object Haulout cannot do.
fn jwt(spec: &JwtAuthenticatorSpec) -> Result<String, String> {
    ClaimRules::compile(spec)
        .map(|_| spec.issuer.clone())
        .map_err(|errors| errors.to_string())
}

struct Findings(Vec<Finding>);

impl Findings {
    fn cluster(&mut self, state: &State) {
        let (major, minor) = state.version;
        if state.version < OLDEST {
            let (oldest_major, oldest_minor) = OLDEST;
            self.blocks(format!(
                "Kubernetes {major}.{minor}: Haulout needs {oldest_major}.{oldest_minor} or later"
            ));
        }
        let is_expected = |service: &Service| {
            let concierge = state.concierge.as_ref();
            *service == state.login
                || service.is_ours()
                || concierge.is_some_and(|concierge| concierge.is_behind(service))
        };
        if !state.identity.as_ref().is_some_and(is_expected) {
            let [login, identity] = state.api_services();
            let leads_to = match &state.identity {
                Some(service) => service.to_string(),
                None => "nowhere".to_owned(),
            };
            self.blocks(format!(
                "APIService {identity} leads to {leads_to}, but {login} to {}: both have to be of one installation",
                state.login
            ));
        }
        for namespace in state.namespaces.iter().filter(|_| !state.is_installed) {
            self.blocks(format!(
                "namespace {namespace} is there, but Haulout is not installed: whoever made it may have rights in it; look at it, and delete it"
            ));
        }
        let path = format!("/apis/{}/{VERSION}/{PLURAL}", state.suffix.login_group());
        match &state.anonymous {
            Anonymous::Admitted => self.carries_over(
                "kubeconfigs that log in by TokenCredentialRequest: they name the API server, the API group suffix and the \
                 authenticator, which all stay"
                    .to_owned(),
            ),
            Anonymous::Refused => self.blocks(format!(
                "the API server answers 401 to requests without credentials at {path}; open exactly this path by an \
                 AuthenticationConfiguration (docs/configuration.md)"
            )),
            Anonymous::Unknown(reason) => self.mentions(format!(
                "it could not be tried whether the API server admits requests without credentials at {path}: {reason}"
            )),
        }
        match &state.placement {
            Ok(preset) => self.carries_over(format!(
                "the signing key: an agent signs with it where it is (agent.preset: {preset})"
            )),
            Err(reason) => self.blocks(format!("no place for the agent: {reason}")),
        }
        self.mentions(
            "names that Haulout's agent never signs, such as the group system:masters, and those that it signs only when \
             they are listed, under system: and kubeadm: (SECURITY.md)"
                .to_owned(),
        );
    }

    fn concierge(&mut self, concierge: &Concierge) {
        if concierge.objects.is_empty() {
            self.blocks(format!(
                "Deployment {}/{} has no label app, by which Pinniped's manifests mark what belongs together, so it cannot \
                 be listed what to delete",
                concierge.namespace, concierge.deployment
            ));
        }
        for manager in &concierge.managers {
            self.mentions(
                match manager {
                    Manager::Kapp => {
                        "kapp installed the Concierge: do not run `kapp delete`, it would delete the CRDs and with them all \
                         authenticators"
                    }
                    Manager::Helm => {
                        "Helm installed the Concierge: do not run `helm uninstall` of that release, it would delete the \
                         APIServices; delete the Secrets of its history once the migration is done"
                    }
                    Manager::ArgoCd => {
                        "Argo CD looks after the Concierge: first delete its Application with --cascade=orphan, or it undoes \
                         the steps"
                    }
                    Manager::Flux => {
                        "Flux looks after the Concierge: first suspend it, and set prune to false, or it undoes the steps"
                    }
                }
                .to_owned(),
            );
        }
    }

    fn credential_issuer(&mut self, issuer: &Issuer) {
        let Issuer {
            name,
            mode,
            is_proxy_up,
        } = issuer;
        if *is_proxy_up || mode == "enabled" {
            self.blocks(format!(
                "CredentialIssuer {name}: the impersonation proxy is in use (mode {mode}), which Haulout does not have yet; \
                 set spec.impersonationProxy.mode to disabled once nobody's kubeconfig leads to it"
            ));
        } else {
            self.mentions(format!(
                "CredentialIssuer {name} is deleted in the end: Haulout has one of its own, named {ISSUER}, which only \
                 `pinniped get kubeconfig` looks for"
            ));
        }
    }

    fn authenticator<S>(
        &mut self,
        authenticator: &Authenticator<S>,
        check: impl FnOnce(&S) -> Result<String, String>,
    ) {
        let Authenticator {
            kind,
            name,
            spec,
            phase,
        } = authenticator;
        match spec.as_ref().map_err(Clone::clone).and_then(check) {
            Ok(of) => self.carries_over(format!("{kind} {name} ({of})")),
            Err(reason) => self.blocks(format!("{kind} {name} cannot be used as it is: {reason}")),
        }
        if *phase != AuthenticatorPhase::Ready {
            self.mentions(format!(
                "{kind} {name} is not Ready now; see its conditions"
            ));
        }
    }

    fn source(&mut self, found: &Source) {
        let Source {
            of,
            namespace,
            source,
            is_there,
        } = found;
        let kind = match source.kind {
            CertificateAuthorityDataSourceKind::Secret => "Secret",
            CertificateAuthorityDataSourceKind::ConfigMap => "ConfigMap",
        };
        let (name, key) = (&source.name, &source.key);
        if *is_there {
            self.mentions(format!(
                "{of} reads its CA from {kind} {namespace}/{name}, key {key}: the steps copy it"
            ));
        } else {
            self.blocks(format!(
                "{of} reads its CA from {kind} {namespace}/{name}, key {key}, which is not there"
            ));
        }
    }

    fn blocks(&mut self, text: String) {
        self.add(Weight::Blocks, text);
    }

    fn mentions(&mut self, text: String) {
        self.add(Weight::ToKnow, text);
    }

    fn carries_over(&mut self, text: String) {
        self.add(Weight::CarriesOver, text);
    }

    fn add(&mut self, weight: Weight, text: String) {
        self.0.push(Finding { weight, text });
    }
}

#[cfg(test)]
mod tests;
