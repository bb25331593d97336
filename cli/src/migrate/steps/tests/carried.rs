//! What is brought from the old installation into the new one.

use haulout_api::authenticator::{
    CertificateAuthorityDataSource, CertificateAuthorityDataSourceKind,
};

use super::*;
use crate::migrate::example::name;
use crate::migrate::state::Source;

#[test]
fn settings_become_values() {
    let settings = Settings {
        server: Some("https://k.example.com".to_owned()),
        logs_names: true,
        https_proxy: Some("http://proxy:3128".to_owned()),
        no_proxy: Some(".svc".to_owned()),
    };
    let read: Value = serde_saphyr::from_str(&values(&state(), &settings)).unwrap();
    let expected = json!({
        "apiGroupSuffix": "pinniped.dev",
        "advertise": {"server": "https://k.example.com"},
        "audit": {"logUsernamesAndGroups": "enabled"},
        "webhook": {"proxy": {"httpsProxy": "http://proxy:3128", "noProxy": ".svc"}},
    });
    assert_eq!(read, expected);
    assert_eq!(
        values(&state(), &Settings::default()),
        "apiGroupSuffix: pinniped.dev\n"
    );
}

#[test]
fn settings_reach_the_chart_as_they_are() {
    for text in [
        "true",
        "0x1",
        "",
        "a: b",
        "x #y",
        "\"",
        "\\",
        "x\ny: z\n",
        "{{ .Values }}",
        "\u{2028}\u{85}",
    ] {
        let settings = Settings {
            server: Some(text.to_owned()),
            logs_names: false,
            https_proxy: Some(text.to_owned()),
            no_proxy: Some(text.to_owned()),
        };
        let read: Value = serde_saphyr::from_str(&values(&state(), &settings)).unwrap();
        let expected = json!({
            "apiGroupSuffix": "pinniped.dev",
            "advertise": {"server": text},
            "webhook": {"proxy": {"httpsProxy": text, "noProxy": text}},
        });
        assert_eq!(read, expected);
    }
}

#[test]
fn of_sources_only_the_named_keys_are_copied() {
    let source = |kind, key: &str| Source {
        of: "JWTAuthenticator corp".to_owned(),
        namespace: name("pinniped-concierge"),
        source: CertificateAuthorityDataSource {
            kind,
            name: "ca".to_owned(),
            key: key.to_owned(),
        },
        is_there: true,
    };
    let mut state = state();
    let (secret, config_map) = (
        CertificateAuthorityDataSourceKind::Secret,
        CertificateAuthorityDataSourceKind::ConfigMap,
    );
    state.sources = vec![
        source(secret, "a"),
        source(secret, "b"),
        source(secret, "a"),
        source(config_map, "c"),
    ];
    let commands = commands(&forth(&state, &concierge(), &tools()));
    let copies: Vec<_> = commands
        .iter()
        .filter(|command| command.contains("go-template"))
        .collect();
    let metadata = r#""metadata":{"name":"ca","namespace":"haulout-system"}"#;
    let expected = [
        format!(
            r#"kubectl -n pinniped-concierge get configmap ca -o go-template='{{"apiVersion":"v1","kind":"ConfigMap",{metadata},"data":{{"c":{{{{printf "%q" (index .data "c")}}}}}}}}' | kubectl apply --server-side -f -"#
        ),
        format!(
            r#"kubectl -n pinniped-concierge get secret ca -o go-template='{{"apiVersion":"v1","kind":"Secret",{metadata},"data":{{"a":"{{{{index .data "a"}}}}","b":"{{{{index .data "b"}}}}"}}}}' | kubectl apply --server-side -f -"#
        ),
    ];
    assert_eq!(copies, expected.iter().collect::<Vec<_>>());
}
