use serde_json::json;

use super::*;

const NOW: u64 = 1_795_000_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn key() -> SessionKey {
    SessionKey {
        client_id: "pinniped-cli".to_owned(),
        issuer: "https://login.example.com".to_owned(),
        redirect_uri: "http://localhost:0/callback".to_owned(),
        scopes: ["groups", "openid"].map(str::to_owned).into(),
        upstream_provider_name: String::new(),
    }
}

fn tokens() -> Tokens {
    let claims = json!({"sub": "1", "groups": ["a"], "exp": 1_795_000_120});
    Tokens {
        access: Some(AccessToken {
            token: "access".to_owned(),
            type_: "Bearer".to_owned(),
            expiry_timestamp: Some(timestamp(at(NOW + 120)).unwrap()),
        }),
        id: Some(IdToken {
            token: "id".to_owned(),
            expiry_timestamp: Some(timestamp(at(NOW + 60)).unwrap()),
            claims: claims.as_object().unwrap().clone(),
        }),
        refresh: Some(RefreshToken {
            token: "refresh".to_owned(),
        }),
    }
}

fn cache() -> (tempfile::TempDir, SessionCache) {
    let folder = tempfile::tempdir().unwrap();
    let file = CacheFile::new(folder.path().join("sessions.yaml"));
    let cache = SessionCache {
        file,
        keyring: None,
        roots: "system".to_owned(),
    };
    (folder, cache)
}

/// The same file for logins that trust others.
fn for_others(cache: &SessionCache) -> SessionCache {
    SessionCache {
        file: CacheFile::new(cache.path().to_owned()),
        keyring: None,
        roots: "other".to_owned(),
    }
}

/// The names of the tokens that are given out at a time.
fn given(cache: &SessionCache, seconds: u64) -> Vec<String> {
    let found = cache.get(&key(), at(seconds)).unwrap();
    names(found.map(|found| {
        found.noted.unwrap();
        found.tokens
    }))
}

fn names(tokens: Option<Tokens>) -> Vec<String> {
    let tokens = tokens.unwrap_or_default();
    [
        tokens.access.map(|token| token.token),
        tokens.id.map(|token| token.token),
        tokens.refresh.map(|token| token.token),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn tokens_are_given_out_while_they_are_good() {
    let (_folder, cache) = cache();
    cache.put(&key(), &tokens(), at(NOW)).unwrap();
    assert_eq!(given(&cache, NOW + 59), ["access", "id", "refresh"]);
    assert_eq!(given(&cache, NOW + 60), ["access", "refresh"]);
    assert_eq!(given(&cache, NOW + 120), ["refresh"]);
}

#[test]
fn a_session_that_is_used_lives_on() {
    let (_folder, cache) = cache();
    const DAY: u64 = 24 * 3600;
    cache.put(&key(), &tokens(), at(NOW)).unwrap();
    assert_eq!(given(&cache, NOW + 89 * DAY), ["refresh"]);
    assert_eq!(given(&cache, NOW + 178 * DAY), ["refresh"]);
    assert_eq!(given(&cache, NOW + 268 * DAY), [""; 0]);
}

#[test]
fn tokens_are_given_out_where_their_use_cannot_be_noted() {
    let (folder, cache) = cache();
    const DAY: u64 = 24 * 3600;
    cache.put(&key(), &tokens(), at(NOW)).unwrap();
    // The new file cannot be there.
    let in_the_way = folder.path().join("sessions.yaml.haulout-new/x");
    std::fs::create_dir_all(in_the_way).unwrap();
    let Found { tokens, noted } = cache.get(&key(), at(NOW + DAY)).unwrap().unwrap();
    assert_eq!(names(Some(tokens)), ["refresh"]);
    assert!(matches!(noted, Err(CacheError::Write("session", _))));
}

#[test]
fn who_only_looks_changes_nothing_and_binds_no_session() {
    let (folder, cache) = cache();
    const DAY: u64 = 24 * 3600;
    cache.put(&key(), &tokens(), at(NOW)).unwrap();
    std::fs::remove_file(folder.path().join("sessions.yaml.lock")).unwrap();
    let written = std::fs::read_to_string(cache.path()).unwrap();
    let peeked = |seconds| names(cache.peek(&key(), at(seconds)).unwrap());
    assert_eq!(peeked(NOW + 59), ["access", "id", "refresh"]);
    assert_eq!(peeked(NOW + DAY), ["refresh"]);
    assert_eq!(std::fs::read_to_string(cache.path()).unwrap(), written);
    let other = for_others(&cache);
    assert!(other.peek(&key(), at(NOW)).unwrap().is_none());
    let unbound = written.replace("trustedRoots: system", "");
    assert_ne!(unbound, written);
    std::fs::write(cache.path(), &unbound).unwrap();
    assert_eq!(peeked(NOW), [""; 0]);
    assert_eq!(std::fs::read_to_string(cache.path()).unwrap(), unbound);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn whatever_makes_another_session_finds_none() {
    let (_folder, cache) = cache();
    cache.put(&key(), &tokens(), at(NOW)).unwrap();
    let changed = |change: fn(&mut SessionKey)| {
        let mut key = key();
        change(&mut key);
        key
    };
    let others = [
        changed(|key| key.client_id.push('x')),
        changed(|key| key.issuer.push('x')),
        changed(|key| key.redirect_uri.push('x')),
        changed(|key| key.scopes.push("x".to_owned())),
        changed(|key| key.upstream_provider_name.push('x')),
    ];
    for other in others {
        assert!(cache.get(&other, at(NOW)).unwrap().is_none(), "{other:?}");
        assert_ne!(other.digest(), key().digest());
    }
}

#[test]
fn whatever_the_issuer_is_told_beside_makes_another_session() {
    let parameter = |value: &str| [("login_hint".to_owned(), value.to_owned())];
    let (alice, bob) = (parameter("alice"), parameter("bob"));
    assert_eq!(key().with_parameters(&[]), key());
    let alices = key().with_parameters(&alice);
    assert_ne!(alices, key());
    assert_ne!(alices, key().with_parameters(&bob));
    assert_eq!(alices, key().with_parameters(&alice));
}

#[test]
fn a_session_is_given_to_no_login_that_trusts_others() {
    let (_folder, cache) = cache();
    let other = for_others(&cache);
    cache.put(&key(), &tokens(), at(NOW)).unwrap();
    assert_eq!(given(&other, NOW), [""; 0]);
    assert_eq!(given(&cache, NOW), ["access", "id", "refresh"]);
    // Each has its own.
    let theirs = Tokens {
        refresh: tokens().refresh,
        ..Tokens::default()
    };
    other.put(&key(), &theirs, at(NOW)).unwrap();
    assert_eq!(given(&other, NOW), ["refresh"]);
    assert_eq!(given(&cache, NOW), ["access", "id", "refresh"]);
}

#[test]
fn a_session_of_pinnipeds_cli_becomes_that_of_whoever_asks_first() {
    let (_folder, cache) = cache();
    let other = for_others(&cache);
    cache.put(&key(), &tokens(), at(NOW)).unwrap();
    let written = std::fs::read_to_string(cache.path()).unwrap();
    // What Pinniped's CLI makes of it.
    let lines = written
        .lines()
        .filter(|line| !line.contains("trustedRoots"));
    let unbound = lines.collect::<Vec<_>>().join("\n");
    assert_ne!(unbound, written.trim_end());
    std::fs::write(cache.path(), unbound).unwrap();
    assert_eq!(given(&other, NOW), ["access", "id", "refresh"]);
    assert_eq!(given(&cache, NOW), [""; 0]);
}

/// A kubeconfig of somebody else names an issuer, and a CA that would pose as it.
#[test]
fn a_logout_means_no_session_that_its_login_would_not_get() {
    let (_folder, cache) = cache();
    let another = SessionKey {
        client_id: "another".to_owned(),
        ..key()
    };
    for key in [&key(), &another] {
        cache.put(key, &tokens(), at(NOW)).unwrap();
    }
    let meant = |cache: &SessionCache, key: &SessionKey| {
        let meant = cache.list(Which::OfLogin(key), at(NOW)).unwrap();
        meant.into_iter().map(|kept| kept.key).collect::<Vec<_>>()
    };
    let others = for_others(&cache);
    assert_eq!(meant(&cache, &key()), [key()]);
    assert_eq!(meant(&others, &key()), []);
    // The first is of Pinniped's CLI now, and the second still bound.
    let written = std::fs::read_to_string(cache.path()).unwrap();
    std::fs::write(
        cache.path(),
        written.replacen("trustedRoots: system", "", 1),
    )
    .unwrap();
    assert_eq!(meant(&others, &key()), [key()]);
    assert_eq!(meant(&others, &another), []);
    // Whoever has bound another of its key has made it his.
    others.put(&key(), &tokens(), at(NOW)).unwrap();
    let written = std::fs::read_to_string(cache.path()).unwrap();
    let same_key = format!("clientID: {}", key().client_id);
    let unbound = written.replacen("clientID: another", &same_key, 1);
    assert_ne!(unbound, written);
    std::fs::write(cache.path(), unbound.replace("trustedRoots: system", "")).unwrap();
    assert_eq!(meant(&cache, &key()), []);
    others.remove(Which::OfLogin(&key()), &[]).unwrap();
    assert_eq!(cache.list(Which::All, at(NOW)).unwrap().len(), 1);
}

#[test]
fn roots_have_one_name_in_any_order() {
    let only = |certificates: &[&[u8]]| {
        let certificates = certificates.iter().map(|der| der.to_vec());
        name_of(&TrustRoots::Only(certificates.collect()), &|_| None)
    };
    assert_eq!(only(&[b"a", b"b"]), only(&[b"b", b"a", b"b"]));
    let names = [only(&[b"a"]), only(&[b"b"]), only(&[b"a", b"b"])];
    for (position, name) in names.iter().enumerate() {
        assert_ne!(name, "system");
        assert!(!names[..position].contains(name));
    }
    assert_eq!(name_of(&TrustRoots::System, &|_| None), "system");
}

#[test]
fn variables_that_name_other_roots_name_the_roots() {
    let name = |set: &[(&str, &str)]| {
        let value = |name: &str| {
            let found = set.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.into())
        };
        name_of(&TrustRoots::System, &value)
    };
    let names = [
        name(&[]),
        name(&[("SSL_CERT_FILE", "/a")]),
        name(&[("SSL_CERT_FILE", "/b")]),
        name(&[("SSL_CERT_DIR", "/a")]),
        name(&[("SSL_CERT_FILE", "/a"), ("SSL_CERT_DIR", "/a")]),
    ];
    for (position, name) in names.iter().enumerate() {
        assert!(!names[..position].contains(name), "{position}");
    }
    assert_eq!(name(&[("SSL_CERTS", "/a")]), "system");
    // Of certificates that a flag names, they change nothing.
    let only = TrustRoots::Only(vec![b"a".to_vec()]);
    let set = |_: &str| Some("/a".into());
    assert_eq!(name_of(&only, &set), name_of(&only, &|_| None));
}

#[test]
fn c120_writing_keeps_the_age_and_the_others() {
    let (_folder, cache) = cache();
    let other = SessionKey {
        issuer: "https://other.example.com".to_owned(),
        ..key()
    };
    cache.put(&key(), &tokens(), at(NOW)).unwrap();
    cache.put(&other, &tokens(), at(NOW + 1)).unwrap();
    cache.put(&key(), &tokens(), at(NOW + 2)).unwrap();
    let entries = cache.file.get().unwrap().sessions;
    let of = |entry: &Entry| {
        let age = SystemTime::from(entry.creation_timestamp.0);
        (entry.key.clone(), age, entry.last_used())
    };
    let entries: Vec<_> = entries.iter().map(of).collect();
    let expected = [
        (key(), at(NOW), at(NOW + 2)),
        (other, at(NOW + 1), at(NOW + 1)),
    ];
    assert_eq!(entries, expected);
}

#[test]
fn file_of_pinnipeds_cli_is_read() {
    let (_folder, cache) = cache();
    std::fs::write(
        cache.path(),
        r#"apiVersion: config.supervisor.pinniped.dev/v1alpha1
kind: SessionCache
sessions:
- creationTimestamp: "2026-11-18T11:06:40Z"
  key:
    clientID: pinniped-cli
    issuer: https://login.example.com
    redirect_uri: http://localhost:0/callback
    scopes:
    - groups
    - openid
  lastUsedTimestamp: "2026-11-18T11:06:40Z"
  tokens:
    access:
      expiryTimestamp: "2026-11-18T11:08:40Z"
      token: access
      type: Bearer
    id:
      claims:
        aud: pinniped-cli
        exp: 1795000060
        groups: [a]
      expiryTimestamp: "2026-11-18T11:07:40Z"
      token: id
    refresh:
      token: refresh
"#,
    )
    .unwrap();
    let Found { tokens, noted } = cache.get(&key(), at(NOW)).unwrap().unwrap();
    noted.unwrap();
    assert_eq!(tokens.access.unwrap().type_, "Bearer");
    let claims = tokens.id.unwrap().claims;
    assert_eq!(claims["exp"], json!(1_795_000_060));
    assert_eq!(tokens.refresh.unwrap().token, "refresh");
}

#[test]
fn tokens_are_not_debug_printed() {
    assert_eq!(format!("{:?}", tokens()), "Tokens");
}
