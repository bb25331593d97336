use std::collections::BTreeMap;

use proptest::prelude::*;
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};

use super::*;
use crate::test_peers::{TestAuthority, day};

/// What kube-apiserver publishes, in its usual form.
fn config_map(authority: Option<&TestAuthority>, names: &str) -> BTreeMap<String, String> {
    let mut data = BTreeMap::from(
        [
            ("client-ca-file", "not for us"),
            ("requestheader-allowed-names", names),
            (
                "requestheader-extra-headers-prefix",
                r#"["X-Remote-Extra-"]"#,
            ),
            ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
            ("requestheader-uid-headers", r#"["X-Remote-Uid"]"#),
            (
                "requestheader-username-headers",
                r#"["X-Remote-User","X-Other-User"]"#,
            ),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    if let Some(authority) = authority {
        let pem = authority.bundle().to_pem();
        data.insert("requestheader-client-ca-file".to_owned(), pem);
    }
    data
}

fn config(authority: &TestAuthority, names: &str) -> FrontProxyConfig {
    FrontProxyConfig::from_config_map(&config_map(Some(authority), names)).unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (name.parse::<HeaderName>().unwrap(), value)
        })
        .collect()
}

const ADMIN: &[(&str, &str)] = &[
    ("X-Remote-User", "admin"),
    ("X-Remote-Group", "system:masters"),
    ("X-Remote-Uid", "1"),
    ("X-Remote-Extra-Scopes", "all"),
    ("X-Forwarded-For", "192.0.2.1"),
];

fn no_certificate() -> PeerCertificates {
    PeerCertificates(Arc::from([]))
}

fn proxy(config: FrontProxyConfig) -> FrontProxy {
    let proxy = FrontProxy::new();
    proxy.replace(config);
    proxy
}

#[test]
fn headers_without_a_certificate_mean_nothing() {
    let authority = TestAuthority::new("front-proxy-ca");
    for names in ["[]", r#"["front-proxy-client"]"#] {
        let proxy = proxy(config(&authority, names));
        let caller = proxy.authenticate(&no_certificate(), &headers(ADMIN), day(2026, 6, 1));
        assert_eq!(caller.unwrap(), Caller::anonymous());
        assert!(!proxy.trusts(&no_certificate(), day(2026, 6, 1)));
    }
    let caller = Caller::anonymous();
    assert_eq!(caller.user.username, "system:anonymous");
    assert_eq!(caller.user.groups, ["system:unauthenticated"]);
    assert!(!caller.is_vouched_for && caller.client_address.is_none());
}

#[test]
fn certificates_that_are_no_front_proxys_are_refused() {
    let authority = TestAuthority::new("front-proxy-ca");
    let proxy = proxy(config(&authority, r#"["front-proxy-client","other"]"#));
    let server = |p: &mut rcgen::CertificateParams| {
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    let cases = [
        (
            "unknown CA",
            TestAuthority::new("front-proxy-ca").client("front-proxy-client", |_| ()),
        ),
        (
            "expired",
            authority.client("front-proxy-client", |p| {
                p.not_after = date_time_ymd(2026, 2, 1)
            }),
        ),
        (
            "for servers",
            authority.client("front-proxy-client", server),
        ),
        (
            "another name",
            authority.client("Front-Proxy-Client", |_| ()),
        ),
        ("no name", authority.client("", |_| ())),
    ];
    for (what, leaf) in cases {
        let refused = proxy.authenticate(&leaf.presented(), &headers(ADMIN), day(2026, 6, 1));
        assert!(refused.is_err(), "{what}");
        assert!(!proxy.trusts(&leaf.presented(), day(2026, 6, 1)), "{what}");
    }
}

#[test]
fn nobody_is_trusted_without_a_ca() {
    let authority = TestAuthority::new("front-proxy-ca");
    let leaf = authority.client("front-proxy-client", |_| ());
    let without_ca = FrontProxyConfig::from_config_map(&config_map(None, "[]")).unwrap();
    for proxy in [FrontProxy::new(), proxy(without_ca)] {
        let refused = proxy.authenticate(&leaf.presented(), &headers(ADMIN), day(2026, 6, 1));
        assert!(
            matches!(refused, Err(FrontProxyError::Untrusted(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn a_front_proxy_vouches_for_its_callers() {
    let authority = TestAuthority::new("front-proxy-ca");
    let leaf = authority.client("front-proxy-client", |_| ());
    for names in ["[]", r#"["x","front-proxy-client"]"#] {
        let proxy = proxy(config(&authority, names));
        let caller = proxy
            .authenticate(&leaf.presented(), &headers(ADMIN), day(2026, 6, 1))
            .unwrap();
        assert!(caller.is_vouched_for);
        assert!(proxy.trusts(&leaf.presented(), day(2026, 6, 1)));
        assert_eq!(caller.user.username, "admin");
        assert_eq!(caller.user.uid, "1");
        assert_eq!(
            caller.user.groups,
            ["system:masters", "system:authenticated"]
        );
        assert_eq!(caller.user.extra["scopes"], ["all"]);
        assert_eq!(caller.client_address, Some("192.0.2.1".parse().unwrap()));
    }
}

#[test]
fn a_front_proxy_that_names_nobody_vouches_for_nobody() {
    let authority = TestAuthority::new("front-proxy-ca");
    let leaf = authority.client("front-proxy-client", |_| ());
    let proxy = proxy(config(&authority, "[]"));
    for nobody in [
        headers(&[("X-Remote-Group", "system:masters")]),
        headers(&[("X-Remote-User", ""), ("X-Remote-Group", "system:masters")]),
        headers(&[
            ("Impersonate-User", "admin"),
            ("Impersonate-Group", "system:masters"),
        ]),
    ] {
        let caller = proxy
            .authenticate(&leaf.presented(), &nobody, day(2026, 6, 1))
            .unwrap();
        assert_eq!(caller, Caller::anonymous());
    }
}

#[test]
fn a_new_ca_counts_from_the_next_request_on() {
    let (old, new) = (TestAuthority::new("old"), TestAuthority::new("new"));
    let (old_leaf, new_leaf) = (old.client("p", |_| ()), new.client("p", |_| ()));
    let proxy = proxy(config(&old, "[]"));
    let passes = |leaf: &PeerCertificates| {
        proxy
            .authenticate(leaf, &headers(ADMIN), day(2026, 6, 1))
            .is_ok()
    };
    assert!(passes(&old_leaf.presented()) && !passes(&new_leaf.presented()));
    proxy.replace(config(&new, "[]"));
    assert!(!passes(&old_leaf.presented()) && passes(&new_leaf.presented()));
}

fn vouched(pairs: &[(&str, &str)]) -> UserInfo {
    let config = FrontProxyConfig::from_config_map(&config_map(None, "[]")).unwrap();
    (*vouched_user(&config, &headers(pairs)).unwrap()).clone()
}

#[test]
fn groups_keep_their_order_and_gain_the_one_of_all_users() {
    let cases: [(&[&str], &[&str]); 6] = [
        (&[], &["system:authenticated"]),
        (&["ops", "devs"], &["ops", "devs", "system:authenticated"]),
        (
            &["system:authenticated", "b"],
            &["system:authenticated", "b"],
        ),
        (
            &["b", "system:unauthenticated"],
            &["b", "system:unauthenticated"],
        ),
        (&["", "b", "b"], &["b", "b", "system:authenticated"]),
        (&["a,b"], &["a,b", "system:authenticated"]),
    ];
    for (given, expected) in cases {
        let mut pairs = vec![("X-Remote-User", "alice")];
        pairs.extend(given.iter().map(|group| ("x-remote-group", *group)));
        assert_eq!(vouched(&pairs).groups, expected, "{given:?}");
    }
}

#[test]
fn the_anonymous_user_never_counts_as_authenticated() {
    let anonymous = ("X-Remote-User", "system:anonymous");
    let nobody = vouched(&[anonymous, ("X-Remote-Group", "system:unauthenticated")]);
    assert_eq!(nobody, *Caller::anonymous().user);
    assert!(vouched(&[anonymous]).groups.is_empty());
    let grouped = vouched(&[anonymous, ("X-Remote-Group", "g"), ("X-Remote-Uid", "7")]);
    assert_eq!(
        (grouped.groups, grouped.uid),
        (vec!["g".to_owned()], "7".to_owned())
    );
}

#[test]
fn the_first_header_with_a_value_names_the_user() {
    assert_eq!(vouched(&[("X-Other-User", "b")]).username, "b");
    assert_eq!(
        vouched(&[("X-Remote-User", ""), ("X-Other-User", "b")]).username,
        "b"
    );
    assert_eq!(
        vouched(&[("X-Other-User", "b"), ("X-Remote-User", "a")]).username,
        "a"
    );
    assert_eq!(
        vouched(&[("X-Remote-User", "a"), ("X-Remote-User", "b")]).username,
        "a"
    );
    assert_eq!(vouched(&[("X-Remote-User", "Zoë")]).username, "Zoë");
}

#[test]
fn extra_keys_are_unescaped_and_in_lower_case() {
    let cases = [
        ("X-Remote-Extra-Scopes", "scopes"),
        (
            "x-remote-extra-authentication.kubernetes.io%2Fcredential-Id",
            "authentication.kubernetes.io/credential-id",
        ),
        ("X-Remote-Extra-a%2fb%2Fc", "a/b/c"),
        ("X-Remote-Extra-100%25", "100%"),
        // What is no escape stays as a whole.
        ("X-Remote-Extra-a%2Fb%zz", "a%2fb%zz"),
        ("X-Remote-Extra-a%2", "a%2"),
        ("X-Remote-Extra-a%ff", "a%ff"),
        ("X-Remote-Extra-", ""),
    ];
    for (name, key) in cases {
        let user = vouched(&[("X-Remote-User", "u"), (name, "v")]);
        assert_eq!(
            user.extra,
            BTreeMap::from([(key.to_owned(), vec!["v".to_owned()])]),
            "{name}"
        );
    }
    let user = vouched(&[
        ("X-Remote-User", "u"),
        ("X-Remote-Extra-k", "b"),
        ("X-Remote-Extra-K", ""),
        ("X-Remote-Extra-k", "a"),
        ("X-Remote-Extr", "x"),
    ]);
    assert_eq!(user.extra["k"], ["b", "", "a"]);
    assert_eq!(user.extra.len(), 1);
}

#[test]
fn the_last_forwarder_names_the_client() {
    let cases: [(&[&str], Option<&str>); 16] = [
        (&[], None),
        (&["192.0.2.1"], Some("192.0.2.1")),
        (&["203.0.113.9, 192.0.2.1"], Some("192.0.2.1")),
        (&["203.0.113.9", "192.0.2.1"], Some("192.0.2.1")),
        (&["2001:db8::1"], Some("2001:db8::1")),
        (&["192.0.2.1, nonsense"], None),
        (&["192.0.2.1,"], None),
        (&["203.0.113.9", ""], None),
        (&["192.0.2.1:443"], Some("192.0.2.1")),
        (&["[2001:db8::1]:443"], Some("2001:db8::1")),
        (&["[2001:db8::1]"], Some("2001:db8::1")),
        (&["fe80::1%eth0"], Some("fe80::1")),
        (&["[fe80::1%eth0]:443"], Some("fe80::1")),
        (&["[192.0.2.1"], None),
        (&["192.0.2.1:port"], None),
        (&["192.0.2.1 203.0.113.9"], None),
    ];
    for (values, expected) in cases {
        let pairs: Vec<_> = values
            .iter()
            .map(|value| ("X-Forwarded-For", *value))
            .collect();
        let expected = expected.map(|address| address.parse().unwrap());
        assert_eq!(client_address(&headers(&pairs)), expected, "{values:?}");
    }
}

#[test]
fn a_config_map_that_cannot_be_used_names_the_key() {
    let cases = [
        ("requestheader-allowed-names", "front-proxy-client"),
        ("requestheader-allowed-names", r#"{"a":1}"#),
        ("requestheader-username-headers", r#"["X Remote"]"#),
        ("requestheader-group-headers", r#"[""]"#),
        ("requestheader-uid-headers", "[5]"),
        ("requestheader-extra-headers-prefix", r#"["é"]"#),
        ("requestheader-client-ca-file", "no PEM"),
    ];
    for (key, value) in cases {
        let mut data = config_map(None, "[]");
        data.insert(key.to_owned(), value.to_owned());
        let error = FrontProxyConfig::from_config_map(&data).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[test]
fn what_the_config_map_lacks_names_nobody() {
    let config = FrontProxyConfig::from_config_map(&BTreeMap::new()).unwrap();
    assert_eq!(config, FrontProxyConfig::default());
    assert_eq!(vouched_user(&config, &headers(ADMIN)), None);
    let mut data = config_map(None, " null ");
    data.insert("requestheader-uid-headers".to_owned(), String::new());
    let config = FrontProxyConfig::from_config_map(&data).unwrap();
    assert_eq!(vouched_user(&config, &headers(ADMIN)).unwrap().uid, "");
}

proptest! {
    #[test]
    fn no_header_panics(
        name in "[a-z0-9%!#$&'*+.^_`|~-]{0,30}",
        values in proptest::collection::vec(proptest::collection::vec(0x20_u8..=0xff, 0..30), 1..5),
    ) {
        let config = FrontProxyConfig::from_config_map(&config_map(None, "[]")).unwrap();
        let mut headers = HeaderMap::new();
        for value in values {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                for name in ["x-remote-user", "x-remote-group", "x-forwarded-for", &format!("x-remote-extra-{name}")] {
                    headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.clone());
                }
            }
        }
        if let Some(user) = vouched_user(&config, &headers) {
            prop_assert!(!user.username.is_empty());
        }
        client_address(&headers);
    }
}
