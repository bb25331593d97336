//! A cluster with Pinniped's Concierge as its manifests install it, for tests.

use haulout_api::authenticator::{AuthenticatorPhase, JwtAuthenticatorSpec};
use haulout_api::group::ApiGroupSuffix;

use super::name::Name;
use super::state::{Anonymous, Authenticator, Concierge, Issuer, Object, Service, Settings, State};
use crate::authenticator_kind::AuthenticatorKind;

/// A state in which nothing blocks.
pub(super) fn state() -> State {
    let service = Service {
        namespace: name("pinniped-concierge"),
        name: name("pinniped-concierge-api"),
    };
    State {
        version: (1, 36),
        suffix: ApiGroupSuffix::default(),
        login: service.clone(),
        identity: Some(service),
        concierge: Some(concierge()),
        is_recorded: false,
        is_taken_over: false,
        namespaces: Vec::new(),
        is_installed: false,
        jwt: vec![Authenticator {
            kind: AuthenticatorKind::Jwt,
            name: "corp".to_owned(),
            spec: Ok(JwtAuthenticatorSpec {
                issuer: "https://issuer.example.com".to_owned(),
                audience: "cluster".to_owned(),
                ..JwtAuthenticatorSpec::default()
            }),
            phase: AuthenticatorPhase::Ready,
        }],
        webhook: Vec::new(),
        issuers: vec![Issuer {
            name: "pinniped-concierge-config".to_owned(),
            mode: "disabled".to_owned(),
            is_proxy_up: false,
        }],
        sources: Vec::new(),
        anonymous: Anonymous::Admitted,
        placement: Ok("kubeadm"),
    }
}

/// The installation of [`state`].
pub(super) fn concierge() -> Concierge {
    let object = |resource: &str, namespace: Option<&str>, name: &str| Object {
        resource: resource.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    let own = Some("pinniped-concierge");
    Concierge {
        namespace: name("pinniped-concierge"),
        service: name("pinniped-concierge-api"),
        deployment: name("pinniped-concierge"),
        replicas: 3,
        serving_secret: name("pinniped-concierge-api-tls-serving-certificate"),
        settings: Settings::default(),
        managers: Vec::new(),
        objects: vec![
            object(
                "clusterroles.rbac.authorization.k8s.io",
                None,
                "pinniped-concierge-pre-authn-apis",
            ),
            object("deployments.apps", own, "pinniped-concierge"),
            object("services", own, "pinniped-concierge-api"),
            object(
                "roles.rbac.authorization.k8s.io",
                Some("kube-system"),
                "pinniped-concierge-kube-system-pod-read",
            ),
        ],
    }
}

/// Where Haulout's logins lead.
pub(super) fn ours() -> Service {
    Service {
        namespace: name(crate::installation::NAMESPACE),
        name: name(crate::installation::SERVICE),
    }
}

/// The name of an object.
pub(super) fn name(name: &str) -> Name {
    Name::parse("an object", name).unwrap()
}
