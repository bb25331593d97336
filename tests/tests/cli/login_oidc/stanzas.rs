//! Exec stanzas as `pinniped get kubeconfig` writes them, or its users do, with nothing but the command changed.

use haulout_tests::supervisor::Behaviour;
use serde_json::{Value, json};

use super::{LDAP, Site};
use crate::server::{self, Server};
use crate::{Machine, TOKEN, success};

/// The arguments of a stanza, a line each. `ISSUER` and the like stand for what is known only when the servers run.
struct Stanza {
    what: &'static str,
    arguments: &'static str,
    /// Whether what comes out is a certificate.
    exchanges: bool,
}

const STANZAS: &[Stanza] = &[
    Stanza {
        what: "as written, with all flags",
        arguments: "login oidc --enable-concierge --concierge-api-group-suffix=pinniped.dev \
            --concierge-authenticator-name=supervisor --concierge-authenticator-type=jwt --concierge-endpoint=CLUSTER \
            --concierge-ca-bundle-data=CLUSTER_CA --credential-cache=HOME/c.yaml --issuer=ISSUER --client-id=pinniped-cli \
            --scopes=offline_access,openid,pinniped:request-audience,username,groups --skip-browser --skip-listen \
            --listen-port=0 --ca-bundle-data=CA --session-cache=HOME/s.yaml --debug-session-cache \
            --request-audience=my-cluster --upstream-identity-provider-name=my-ldap \
            --upstream-identity-provider-type=ldap --upstream-identity-provider-flow=cli_password",
        exchanges: true,
    },
    Stanza {
        what: "without a Concierge",
        arguments: "login oidc --issuer=ISSUER --client-id=pinniped-cli --scopes=offline_access,openid \
            --ca-bundle-data=CA --upstream-identity-provider-name=my-ldap --upstream-identity-provider-type=ldap",
        exchanges: false,
    },
    Stanza {
        what: "for a WebhookAuthenticator of another suffix, without caches",
        arguments: "login oidc --enable-concierge --concierge-api-group-suffix=walrus.example.com \
            --concierge-authenticator-name=webhook --concierge-authenticator-type=webhook --concierge-endpoint=CLUSTER \
            --concierge-ca-bundle-data=CLUSTER_CA --credential-cache= --issuer=ISSUER --client-id=pinniped-cli \
            --scopes=openid --ca-bundle-data=CA --session-cache= --upstream-identity-provider-name=my-ldap \
            --upstream-identity-provider-type=ldap",
        exchanges: true,
    },
    Stanza {
        what: "of years ago: deprecated flags, and a flow that is inferred",
        arguments: "login oidc --enable-concierge --concierge-api-group-suffix=pinniped.dev \
            --concierge-namespace=pinniped-concierge --concierge-authenticator-name=supervisor \
            --concierge-authenticator-type=JWT --concierge-endpoint=CLUSTER/some/path \
            --concierge-ca-bundle-data=CLUSTER_CA --issuer=ISSUER --client-id=pinniped-cli \
            --scopes=offline_access,openid,pinniped:request-audience --ca-bundle-data=CA --request-audience=my-cluster \
            --upstream-identity-provider-name=my-ldap --upstream-identity-provider-type=ldap \
            --upstream-identity-provider-flow=",
        exchanges: true,
    },
    Stanza {
        what: "with booleans as Go reads them",
        arguments: "login oidc --enable-concierge=false --skip-browser=true --skip-listen=1 --debug-session-cache=F \
            --issuer=ISSUER --ca-bundle-data=CA --upstream-identity-provider-name=my-ldap \
            --upstream-identity-provider-type=ldap",
        exchanges: false,
    },
    Stanza {
        what: "with values as words of their own",
        arguments: "login oidc --issuer ISSUER --client-id pinniped-cli --scopes openid --ca-bundle HOME/ca.pem \
            --session-cache HOME/s.yaml --upstream-identity-provider-name my-ldap \
            --upstream-identity-provider-type ldap --upstream-identity-provider-flow cli_password",
        exchanges: false,
    },
    Stanza {
        what: "with flags that are repeated: lists grow, of others the last counts",
        arguments: "login oidc --issuer=https://nowhere.example.com --issuer=ISSUER --scopes=openid,username \
            --scopes=groups --ca-bundle=HOME/other.pem --ca-bundle=HOME/ca.pem --ca-bundle-data=OTHER_CA \
            --skip-browser --skip-browser=false --upstream-identity-provider-name=x \
            --upstream-identity-provider-name=my-ldap --upstream-identity-provider-type=ldap",
        exchanges: false,
    },
    Stanza {
        what: "with lists of CA certificates",
        arguments: "login oidc --issuer=ISSUER --ca-bundle=HOME/other.pem,HOME/ca.pem --ca-bundle-data=OTHER_CA,CA \
            --upstream-identity-provider-name=my-ldap --upstream-identity-provider-type=ldap",
        exchanges: false,
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn stanzas_of_pinniped_log_in_when_only_the_command_is_changed() {
    for stanza in STANZAS {
        let mut site = Site::new(Behaviour::default()).await;
        site.set_password("alice");
        let cluster = Server::start([server::json(201, &success())]);
        let home = site.machine.home.path();
        std::fs::write(home.join("ca.pem"), site.supervisor.ca_pem()).unwrap();
        std::fs::write(home.join("other.pem"), cluster.ca_pem()).unwrap();
        let ca = site.ca_flag();
        let (_, ca) = ca.split_once('=').unwrap();
        // Longer names first, since they hold the shorter ones.
        let meanings = [
            ("CLUSTER_CA", cluster.ca_base64()),
            ("OTHER_CA", cluster.ca_base64()),
            ("=CLUSTER", format!("={}", cluster.url())),
            ("=CA", format!("={ca}")),
            (",CA", format!(",{ca}")),
            ("ISSUER", site.supervisor.url().to_owned()),
            ("HOME", home.to_str().unwrap().to_owned()),
        ];
        let mut arguments = stanza.arguments.to_owned();
        for (name, meaning) in &meanings {
            arguments = arguments.replace(name, meaning);
        }
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let outcome = site.run_flags(&arguments).await;
        let what = format!("{}: {}", stanza.what, outcome.stderr);
        assert_eq!(outcome.code, std::process::ExitCode::SUCCESS, "{what}");
        let status = &outcome.credential()["status"];
        assert_eq!(
            status["clientKeyData"].is_string(),
            stanza.exchanges,
            "{what}"
        );
        assert_eq!(status["token"].is_string(), !stanza.exchanges, "{what}");
        let exchanges = cluster.received().len();
        assert_eq!(exchanges, usize::from(stanza.exchanges), "{what}");
        assert_eq!(site.supervisor.calls().authorize, 1, "{what}");
    }
}

#[test]
fn stanzas_of_pinniped_with_a_token_work_when_only_the_command_is_changed() {
    for token in [
        format!("--token={TOKEN}"),
        "--token-env=CI_TOKEN".to_owned(),
    ] {
        let cluster = Server::start([server::json(201, &success())]);
        let mut machine = Machine::new();
        machine.set("CI_TOKEN", TOKEN);
        let outcome = machine.run(&[
            "login",
            "static",
            "--enable-concierge",
            "--concierge-api-group-suffix=pinniped.dev",
            "--concierge-namespace=pinniped-concierge",
            "--concierge-authenticator-name=webhook",
            "--concierge-authenticator-type=webhook",
            &format!("--concierge-endpoint={}", cluster.url()),
            &format!("--concierge-ca-bundle-data={}", cluster.ca_base64()),
            "--credential-cache=",
            &token,
        ]);
        assert!(outcome.credential()["status"]["clientKeyData"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_add_up_whichever_way_they_are_listed() {
    let lists: [&[&str]; 3] = [
        &["--scopes=openid,groups,offline_access"],
        &["--scopes=openid", "--scopes=groups,offline_access"],
        &["--scopes", "offline_access", "--scopes=,openid,groups,"],
    ];
    let mut site = Site::new(Behaviour::default()).await;
    site.set_password("alice");
    for list in lists {
        site.run(&[LDAP, list].concat()).await.credential();
    }
    let sessions = std::fs::read_to_string(site.sessions_file()).unwrap();
    let sessions: Value = serde_saphyr::from_str(&sessions).unwrap();
    let [session] = sessions["sessions"].as_array().unwrap().as_slice() else {
        panic!("more sessions than one: {sessions}");
    };
    let expected = json!(["groups", "offline_access", "openid"]);
    assert_eq!(session["key"]["scopes"], expected);
}
