use super::*;
use AuthenticatorKind::{Jwt, Webhook};

/// Base64 of a block of PEM that holds `content`.
fn ca(content: &str) -> Option<CaBundle> {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    let content = BASE64_STANDARD.encode(content);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n");
    Some(CaBundle::parse(pem.as_bytes()).unwrap())
}

fn concierge(kind: AuthenticatorKind, endpoint: &str) -> Option<Concierge> {
    Some(Concierge {
        suffix: "pinniped.dev".to_owned(),
        authenticator_name: "company".to_owned(),
        authenticator_kind: kind,
        endpoint: endpoint.to_owned(),
        ca: ca("cluster"),
    })
}

const API: &str = "https://k.example.com:6443";

fn oidc() -> Oidc {
    Oidc {
        issuer: "https://login.example.com".to_owned(),
        client_id: "pinniped-cli".to_owned(),
        scopes: [
            "offline_access",
            "openid",
            "pinniped:request-audience",
            "username",
            "groups",
        ]
        .map(str::to_owned)
        .to_vec(),
        ca: ca("issuer"),
        request_audience: "this-cluster".to_owned(),
        ..Oidc::default()
    }
}

fn stanza(concierge: Option<Concierge>, login: Login) -> Stanza {
    Stanza {
        concierge,
        credential_cache: None,
        login,
    }
}

#[test]
fn c048_arguments_stand_in_this_order_and_spelling() {
    let all = Oidc {
        skip_browser: true,
        skip_listen: true,
        listen_port: 1234,
        session_cache: "/sessions".to_owned(),
        debug_session_cache: true,
        upstream_name: "corp 🦭".to_owned(),
        upstream_type: "ldap".to_owned(),
        upstream_flow: "cli_password".to_owned(),
        ..oidc()
    };
    let oidc = |oidc| Login::Oidc(Box::new(oidc));
    let env = || Login::TokenEnv("MY_TOKEN".to_owned());
    let direct = Concierge {
        ca: None,
        ..concierge(Jwt, "https://login.k.example.com").unwrap()
    };
    let cases = [
        (
            "jwt",
            stanza(concierge(Jwt, API), oidc(self::oidc())),
            include_str!("golden/jwt.txt"),
        ),
        (
            "webhook",
            stanza(concierge(Webhook, API), oidc(self::oidc())),
            include_str!("golden/webhook.txt"),
        ),
        (
            "static",
            stanza(concierge(Jwt, API), Login::Token("the-token".into())),
            include_str!("golden/static.txt"),
        ),
        (
            "static-env",
            stanza(concierge(Jwt, API), env()),
            include_str!("golden/static-env.txt"),
        ),
        (
            "no-concierge",
            stanza(None, oidc(self::oidc())),
            include_str!("golden/no-concierge.txt"),
        ),
        (
            "impersonation",
            stanza(
                concierge(Jwt, "https://proxy.example.com"),
                oidc(self::oidc()),
            ),
            include_str!("golden/impersonation.txt"),
        ),
        (
            "direct",
            stanza(Some(direct), oidc(self::oidc())),
            include_str!("golden/direct.txt"),
        ),
        (
            "all-flags",
            Stanza {
                credential_cache: Some(String::new()),
                ..stanza(concierge(Jwt, API), oidc(all))
            },
            include_str!("golden/all-flags.txt"),
        ),
    ];
    for (name, stanza, golden) in cases {
        let golden: Vec<&str> = golden.lines().collect();
        assert_eq!(stanza.arguments(), golden, "{name}");
        stanza.check().unwrap();
    }
}

#[test]
fn the_login_takes_what_is_written() {
    use clap::Parser as _;
    let stanza = stanza(concierge(Jwt, API), Login::Oidc(Box::new(oidc())));
    let arguments = ["haulout".to_owned()].into_iter().chain(stanza.arguments());
    let parsed = crate::arguments::Arguments::try_parse_from(arguments).unwrap();
    let crate::arguments::Command::Login(crate::arguments::Login::Oidc(login)) = parsed.command
    else {
        panic!("{parsed:?}");
    };
    assert_eq!(login.scopes.unwrap().len(), 5);
    assert_eq!(login.request_audience, "this-cluster");
}

#[test]
fn what_the_login_would_refuse_is_refused_now() {
    for endpoint in ["", "http://k.example.com", "https://u:p@k.example.com"] {
        let stanza = stanza(concierge(Jwt, endpoint), Login::TokenEnv("T".to_owned()));
        assert!(stanza.check().is_err(), "{endpoint}");
    }
}
