//! Identity headers, one on each line: nothing from anybody, and from a front proxy exactly who they say.

#![no_main]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, UNIX_EPOCH};

use haulout_api::identity::UserInfo;
use haulout_pki::authority::generate_authority;
use haulout_pki::profile::Validity;
use haulout_serve::front_proxy::{Caller, FrontProxy, FrontProxyConfig, vouched_user};
use haulout_serve::listener::PeerCertificates;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const USER: HeaderName = HeaderName::from_static("x-remote-user");
const UID: HeaderName = HeaderName::from_static("x-remote-uid");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const EXTRA_PREFIX: &str = "x-remote-extra-";

/// What kube-apiserver publishes.
static CONFIG: LazyLock<FrontProxyConfig> = LazyLock::new(|| {
    let day = Validity {
        not_before: UNIX_EPOCH,
        not_after: UNIX_EPOCH + Duration::from_secs(86_400),
    };
    let ca = generate_authority("front-proxy-ca", day)
        .expect("a CA")
        .certificate_pem;
    let data = [
        ("requestheader-client-ca-file", &*ca),
        ("requestheader-allowed-names", "[]"),
        ("requestheader-username-headers", r#"["X-Remote-User"]"#),
        ("requestheader-uid-headers", r#"["X-Remote-Uid"]"#),
        ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
        (
            "requestheader-extra-headers-prefix",
            r#"["X-Remote-Extra-"]"#,
        ),
    ];
    let data: BTreeMap<_, _> = data
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    FrontProxyConfig::from_config_map(&data).expect("a valid ConfigMap")
});

static PROXY: LazyLock<FrontProxy> = LazyLock::new(|| {
    let proxy = FrontProxy::new();
    proxy.replace(CONFIG.clone());
    proxy
});

fuzz_target!(|lines: &[u8]| {
    let headers: HeaderMap = lines
        .split(|byte| *byte == b'\n')
        .filter_map(header)
        .collect();
    let nobody = PeerCertificates(Arc::from([]));
    let caller = PROXY.authenticate(&nobody, &headers, UNIX_EPOCH);
    assert_eq!(caller.ok(), Some(Caller::anonymous()));

    let Some(user) = vouched_user(&CONFIG, &headers) else {
        return;
    };
    let given: Vec<&str> = headers
        .get_all(GROUP)
        .iter()
        .filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
        .filter(|group| !group.is_empty())
        .collect();
    let (kept, added) = user.groups.split_at(given.len());
    assert_eq!(kept, given);
    let everybody = "system:authenticated";
    assert!(added.is_empty() || added == [everybody] && !given.contains(&everybody));
    assert_eq!(
        vouched_user(&CONFIG, &headers_of(&user)).as_deref(),
        Some(&*user),
        "who is passed on is still the same"
    );
});

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at(colon);
    Some((
        HeaderName::from_bytes(name).ok()?,
        HeaderValue::from_bytes(value.get(1..)?).ok()?,
    ))
}

/// The user as a front proxy writes it down, every byte of an extra key escaped.
fn headers_of(user: &UserInfo) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut append = |name: HeaderName, value: &str| {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("it came in a header");
        headers.append(name, value);
    };
    append(USER, &user.username);
    append(UID, &user.uid);
    for group in &user.groups {
        append(GROUP, group);
    }
    for (key, values) in &user.extra {
        let mut name = EXTRA_PREFIX.to_owned();
        for byte in key.bytes() {
            write!(name, "%{byte:02x}").expect("text takes all");
        }
        for value in values {
            append(name.parse().expect("a name"), value);
        }
    }
    headers
}
