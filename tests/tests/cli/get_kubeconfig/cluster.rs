//! What the cluster says, where a stand-in can say it as well as a real one.

use super::*;
use crate::server::{self, Server, with_headers};

const GROUPS: [&str; 2] = [
    "/apis/config.concierge.pinniped.dev/v1alpha1/credentialissuers",
    "/apis/authentication.concierge.pinniped.dev/v1alpha1/jwtauthenticators",
];

/// A cluster with one JWTAuthenticator that has this status.
fn cluster(status: Value) -> Server {
    let strategy = json!({
        "type": "KubeClusterSigningCertificate", "status": "Success", "reason": "FetchedKey", "message": "m",
        "frontend": {"type": "TokenCredentialRequestAPI"},
    });
    let objects = [
        (
            "CredentialIssuer",
            json!({}),
            json!({"strategies": [strategy]}),
        ),
        (
            "JWTAuthenticator",
            json!({"issuer": "https://login.example.com", "audience": "a"}),
            status,
        ),
    ];
    let lists = objects.map(|(kind, spec, status)| {
        json!({
            "kind": format!("{kind}List"), "apiVersion": "v1alpha1", "metadata": {},
            "items": [{
                "kind": kind, "apiVersion": "v1alpha1", "metadata": {"name": "company", "generation": 1},
                "spec": spec, "status": status,
            }],
        })
    });
    Server::start_by(move |request| {
        let position = GROUPS.iter().position(|path| request.uri.path() == *path);
        match position.and_then(|position| lists.get(position)) {
            Some(list) => server::json(200, list),
            None => with_headers(404, [], "404 page not found"),
        }
    })
}

#[test]
fn an_authenticator_that_does_not_work_is_warned_of_and_written_all_the_same() {
    let condition = |type_: &str| {
        json!({"type": type_, "status": "False", "reason": "R", "message": "no route\u{1b}[2J",
               "lastTransitionTime": "2026-11-18T11:06:40Z", "observedGeneration": 1})
    };
    let failed = json!({
        "phase": "Error",
        "conditions": [condition("Ready"), condition("DiscoveryURLValid")],
    });
    let warning = "Warning: JWTAuthenticator company does not work: DiscoveryURLValid: no route\\u{1b}[2J; logins by it will \
                   fail until that is mended; `haulout doctor` says more\n";
    for (status, expected) in [
        (failed, Some(warning)),
        (json!({"phase": "Ready"}), None),
        (Value::Null, None),
    ] {
        let cluster = cluster(status);
        let ca = cluster.ca_base64();
        let admin = Admin::new(&json!({"server": cluster.url(), "certificate-authority-data": ca}));
        let outcome = admin.run(&["--static-token-env=T", "--skip-validation"]);
        let arguments = arguments(&outcome);
        let name = "--concierge-authenticator-name=company".to_owned();
        assert!(arguments.contains(&name), "{arguments:?}");
        let mut warnings = outcome.stderr.split_inclusive('\n');
        let warning = warnings.find(|line| line.starts_with("Warning"));
        assert_eq!(warning, expected, "{}", outcome.stderr);
    }
}
