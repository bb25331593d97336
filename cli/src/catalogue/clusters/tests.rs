use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;

/// Of no use but to be read: a certificate's block with two bytes in it.
fn ca() -> String {
    BASE64_STANDARD.encode("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
}

/// A catalogue with one cluster, of which this line of YAML is added or replaced.
fn with(field: &str, value: &str) -> String {
    let mut fields = vec![
        ("name", "one".to_owned()),
        ("server", "https://k.example.com:6443".to_owned()),
        ("certificateAuthorityData", ca()),
        (
            "arguments",
            "[login, oidc, --issuer=https://login.example.com]".to_owned(),
        ),
    ];
    fields.retain(|(name, _)| *name != field);
    if !value.is_empty() {
        fields.push((field, value.to_owned()));
    }
    let lines: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    format!("clusters:\n- {}", lines.join("  "))
}

#[test]
fn clusters_are_read_with_all_they_have() {
    let text = with(
        "namespace",
        "team-a\n  tlsServerName: k\n  proxyUrl: http://proxy.example.com:3128",
    );
    let clusters = read(&text).unwrap();
    let expected = ListedCluster {
        name: "one".to_owned(),
        cluster: Cluster {
            server: Some("https://k.example.com:6443".to_owned()),
            certificate_authority_data: Some(ca()),
            tls_server_name: Some("k".to_owned()),
            proxy_url: Some("http://proxy.example.com:3128".to_owned()),
            ..Cluster::default()
        },
        namespace: Some("team-a".to_owned()),
        arguments: ["login", "oidc", "--issuer=https://login.example.com"]
            .map(str::to_owned)
            .to_vec(),
        may_ask: true,
        told: "logs in at https://login.example.com, for https://k.example.com:6443".to_owned(),
    };
    assert_eq!(format!("{clusters:?}"), format!("{:?}", [expected]));
    let by_token = with("arguments", "[login, static, --token-env=TOKEN]");
    assert!(!read(&by_token).unwrap()[0].may_ask);
    for cache in [
        "--session-cache=",
        "--session-cache=none",
        "--session-cache=keyring:pass",
        "--credential-cache=none",
    ] {
        let arguments = format!("[login, oidc, --issuer=https://login.example.com, {cache}]");
        read(&with("arguments", &arguments)).unwrap();
    }
    // A server with a certificate of a public CA.
    read(&with("certificateAuthorityData", "")).unwrap();
}

#[test]
fn it_is_told_who_gets_what() {
    const CONCIERGE: &str =
        "--enable-concierge, --concierge-authenticator-name=a, --concierge-authenticator-type=jwt";
    let ca = ca();
    for (arguments, expected) in [
        (
            "login, oidc, --issuer=https://l".to_owned(),
            "logs in at https://l, for https://k.example.com:6443",
        ),
        (
            format!("login, oidc, --issuer=https://l, --ca-bundle-data={ca}"),
            "logs in at https://l with the catalogue's own CA certificates, for https://k.example.com:6443",
        ),
        (
            format!(
                "login, oidc, --issuer=https://l, --client-secret-env=S, --ca-bundle-data={ca}"
            ),
            "logs in at https://l with the catalogue's own CA certificates and $S, for https://k.example.com:6443",
        ),
        (
            format!(
                "login, oidc, --issuer=https://l, {CONCIERGE}, --concierge-endpoint=https://k.example.com:6443/"
            ),
            "logs in at https://l, for https://k.example.com:6443",
        ),
        (
            format!(
                "login, oidc, --issuer=https://l, {CONCIERGE}, --concierge-endpoint=https://d:444"
            ),
            "logs in at https://l, for https://k.example.com:6443, by way of https://d:444",
        ),
        (
            format!(
                "login, static, --token-env=T, {CONCIERGE}, --concierge-endpoint=https://d:444"
            ),
            "sends $T to https://k.example.com:6443, by way of https://d:444",
        ),
    ] {
        let clusters = read(&with("arguments", &format!("[{arguments}]"))).unwrap();
        assert_eq!(clusters[0].told, expected);
    }
}

/// That each value of a field is refused so.
fn assert_refused(field: &str, cases: &[(&str, &str)]) {
    for (value, expected) in cases {
        let error = read(&with(field, value)).unwrap_err().to_string();
        assert!(error.contains(expected), "{field}: {value}: {error}");
        assert!(!error.contains("very-secret"), "{error}");
    }
}

#[test]
fn each_fault_names_its_field() {
    let empty = ("\"\"", "clusters[0].name is empty");
    assert_refused("name", &[empty, ("", "missing field `name`")]);
    assert_refused(
        "name",
        &[("--all", "[0].name"), ("\"a\\u202Eb\"", "[0].name")],
    );
    assert_refused(
        "namespace",
        &[("Foo Bar", "[0].namespace"), ("a-", "[0].namespace")],
    );
    assert_refused("tlsServerName", &[("\"a\\nb\"", "[0].tlsServerName")]);
    assert_refused("nmae", &[("x", "nmae")]);
    let no_https = "clusters[0].server is no https URL";
    assert_refused(
        "server",
        &[
            ("http://k.example.com", no_https),
            ("https://u:very-secret@k.example.com", no_https),
        ],
    );
    let no_url = "clusters[0].proxyUrl is no URL";
    assert_refused(
        "proxyUrl",
        &[
            ("http://u:very-secret@proxy", no_url),
            // Its scheme is `admin`, for whoever reads it so.
            ("admin:very-secret@proxy:3128", no_url),
        ],
    );
    let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    assert_refused(
        "certificateAuthorityData",
        &[
            (
                "'*'",
                "certificateAuthorityData cannot be used: it is not base64",
            ),
            (
                &BASE64_STANDARD.encode(key),
                "certificateAuthorityData cannot be used: it holds no",
            ),
        ],
    );
}

#[test]
fn arguments_that_cannot_work_or_name_what_is_not_theirs_are_refused() {
    assert_refused(
        "arguments",
        &[
            ("[]", "arguments are none of `haulout`"),
            ("[version]", "arguments must begin with login, oidc"),
            ("[login, oidc]", "were not provided: --issuer"),
            (
                "[login, static, --token=very-secret, --token=]",
                "have --token twice",
            ),
            ("[login, oidc, --issuer=http://l]", "arguments: issuer"),
            ("[login, oidc, --issuer=https://l, --isuer=x]", "--isuer"),
            (
                "[login, oidc, --issuer=https://l, --ca-bundle=/etc/passwd]",
                "have --ca-bundle,",
            ),
            (
                "[login, oidc, --issuer=https://l, --session-cache=.bashrc]",
                "have --session-cache,",
            ),
            (
                "[login, oidc, --issuer=https://l, --credential-cache=a]",
                "have --credential-cache,",
            ),
            (
                "[login, oidc, --issuer=https://l, --enable-concierge]",
                "arguments: authenticator name",
            ),
            ("[login, static, --token=very-secret]", "have --token,"),
            (
                "[login, static, --token-env=T, --credential-cache=a]",
                "have --credential-cache,",
            ),
            (
                "[login, static, --enable-concierge]",
                "arguments: authenticator name",
            ),
        ],
    );
}

#[test]
fn the_list_itself_is_checked() {
    let twice = with("", "") + with("", "").trim_start_matches("clusters:\n");
    for (text, expected) in [
        ("clusters: []", "it lists no clusters"),
        ("", "end of input"),
        ("<html>", ""),
        ("kluster: []", "kluster"),
        (&twice, "clusters[1].name \"one\" is that of another"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn those_that_were_asked_for_come_in_that_order() {
    let names = ["a", "b", "c"];
    let listed = |names: &[&str]| {
        let cluster = read(&with("", "")).unwrap().remove(0);
        let named = |name: &&str| ListedCluster {
            name: (*name).to_owned(),
            ..cluster.clone()
        };
        names.iter().map(named).collect::<Vec<_>>()
    };
    let choose = |wanted: &[&str]| {
        let wanted: Vec<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
        choose(listed(&names), &wanted)
    };
    let chosen = |wanted| {
        let clusters = choose(wanted).unwrap().into_iter();
        clusters.map(|cluster| cluster.name).collect::<Vec<_>>()
    };
    assert_eq!(chosen(&[]), names);
    assert_eq!(chosen(&["c", "a", "c"]), ["c", "a"]);
    let error = choose(&["a", "d"]).unwrap_err().to_string();
    assert_eq!(error, "the catalogue has no cluster \"d\"; it has a, b, c");
}
