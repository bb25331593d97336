use super::*;

const NOW: u64 = 1_795_000_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn credential(token: &str, expires: u64) -> CredentialStatus {
    CredentialStatus {
        expiration_timestamp: Some(Time(Timestamp::try_from(at(expires)).unwrap())),
        token: String::new(),
        client_certificate_data: format!(
            "-----BEGIN CERTIFICATE-----\n{token}\n-----END CERTIFICATE-----\n"
        ),
        client_key_data: "key: with # odd\n  characters\n".to_owned(),
    }
}

struct Scratch {
    folder: tempfile::TempDir,
    cache: CredentialCache,
}

fn scratch() -> Scratch {
    let folder = tempfile::tempdir().unwrap();
    // Patient as in earnest: a child that another test begins holds our lock too, until it is another program.
    let cache = CredentialCache(CacheFile::new(folder.path().join("a/b/credentials.yaml")));
    Scratch { folder, cache }
}

fn certificate(cache: &CredentialCache, key: &str, now: u64) -> Option<String> {
    cache
        .get(key, at(now))
        .unwrap()
        .map(|credential| credential.client_certificate_data)
}

#[test]
fn kept_credential_comes_back_whole() {
    let Scratch {
        folder: _folder,
        cache,
    } = scratch();
    let kept = credential("a", NOW + 300);
    cache.put("k", &kept, at(NOW)).unwrap();
    let found = cache.get("k", at(NOW + 60)).unwrap().unwrap();
    assert_eq!(
        serde_json::to_value(&found).unwrap(),
        serde_json::to_value(&kept).unwrap()
    );
    assert!(cache.get("other", at(NOW + 60)).unwrap().is_none());
}

#[test]
fn c121_credentials_are_given_out_while_they_are_good() {
    let Scratch {
        folder: _folder,
        cache,
    } = scratch();
    cache
        .put("short", &credential("s", NOW + 300), at(NOW))
        .unwrap();
    cache
        .put("long", &credential("l", NOW + 86_400), at(NOW))
        .unwrap();
    assert!(certificate(&cache, "short", NOW + 269).is_some());
    assert!(
        certificate(&cache, "short", NOW + 270).is_none(),
        "expires in flight"
    );
    assert!(certificate(&cache, "long", NOW + 3600).is_some());
    assert!(
        certificate(&cache, "long", NOW + 3601).is_none(),
        "older than an hour"
    );
}

#[test]
fn credential_without_an_end_is_not_given_out() {
    let Scratch {
        folder: _folder,
        cache,
    } = scratch();
    cache
        .put("k", &CredentialStatus::from_token("t"), at(NOW))
        .unwrap();
    assert!(cache.get("k", at(NOW)).unwrap().is_none());
}

#[test]
fn c120_writing_updates_in_place_and_drops_what_has_expired() {
    let Scratch {
        folder: _folder,
        cache,
    } = scratch();
    cache
        .put("gone", &credential("g", NOW + 10), at(NOW))
        .unwrap();
    cache
        .put("k", &credential("a", NOW + 300), at(NOW))
        .unwrap();
    cache
        .put("other", &credential("o", NOW + 300), at(NOW + 1))
        .unwrap();
    cache
        .put("k", &credential("b", NOW + 400), at(NOW + 20))
        .unwrap();
    let entries: Vec<_> = cache
        .0
        .get()
        .unwrap()
        .credentials
        .into_iter()
        .map(|entry| {
            (
                entry.key,
                SystemTime::from(entry.creation_timestamp.0),
                SystemTime::from(entry.last_used_timestamp.0),
            )
        })
        .collect();
    assert_eq!(
        entries,
        [
            ("k".to_owned(), at(NOW), at(NOW + 20)),
            ("other".to_owned(), at(NOW + 1), at(NOW + 1))
        ]
    );
    assert!(
        certificate(&cache, "k", NOW + 20)
            .unwrap()
            .contains("\nb\n")
    );
}

#[test]
fn file_of_pinnipeds_cli_is_read() {
    let Scratch {
        folder: _folder,
        cache,
    } = scratch();
    std::fs::create_dir_all(cache.0.path().parent().unwrap()).unwrap();
    std::fs::write(
        cache.0.path(),
        r#"apiVersion: config.supervisor.pinniped.dev/v1alpha1
credentials:
- creationTimestamp: "2026-11-18T11:06:40Z"
  credential:
    clientCertificateData: |
      -----BEGIN CERTIFICATE-----
      AAAA
      -----END CERTIFICATE-----
    clientKeyData: |
      -----BEGIN PRIVATE KEY-----
      BBBB
      -----END PRIVATE KEY-----
    expirationTimestamp: "2026-11-18T11:11:40Z"
  key: 38e0b9de817f645c4bec37c0d4a3e58baecccb040f5718dc069a72c7385a0bed
  lastUsedTimestamp: "2026-11-18T11:06:40Z"
kind: CredentialCache
"#,
    )
    .unwrap();
    let key = "38e0b9de817f645c4bec37c0d4a3e58baecccb040f5718dc069a72c7385a0bed";
    let found = cache.get(key, at(NOW + 1)).unwrap().unwrap();
    assert_eq!(
        found.client_key_data,
        "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n"
    );
}
