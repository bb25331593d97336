use std::os::unix::fs::{MetadataExt, PermissionsExt};

use proptest::prelude::*;

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
    let cache = CredentialCache::new(folder.path().join("a/b/credentials.yaml"));
    Scratch { folder, cache }
}

fn certificate(cache: &CredentialCache, key: &str, now: u64) -> Option<String> {
    cache
        .get(key, at(now))
        .unwrap()
        .map(|credential| credential.client_certificate_data)
}

#[test]
fn missing_file_is_a_miss_and_creates_nothing() {
    let scratch = scratch();
    assert!(scratch.cache.get("k", at(NOW)).unwrap().is_none());
    assert_eq!(std::fs::read_dir(scratch.folder.path()).unwrap().count(), 0);
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
fn folder_and_files_are_private() {
    let Scratch {
        folder: _folder,
        cache,
    } = scratch();
    cache
        .put("k", &credential("a", NOW + 300), at(NOW))
        .unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = cache.path.parent().unwrap();
    assert_eq!(mode(folder), 0o700);
    assert_eq!(mode(folder.parent().unwrap()), 0o700);
    assert_eq!(mode(&cache.path), 0o600);
    assert_eq!(mode(&with_extension(&cache.path, "lock")), 0o600);
}

/// Also where the old file, or one left behind by a crash, was open to others.
#[test]
fn file_is_replaced_not_rewritten() {
    let Scratch {
        folder: _folder,
        cache,
    } = scratch();
    cache
        .put("k", &credential("a", NOW + 300), at(NOW))
        .unwrap();
    let open_to_all = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&cache.path, open_to_all.clone()).unwrap();
    let left_behind = with_extension(&cache.path, "new");
    std::fs::write(&left_behind, "half").unwrap();
    std::fs::set_permissions(&left_behind, open_to_all).unwrap();
    let old = std::fs::metadata(&cache.path).unwrap().ino();

    cache
        .put("k", &credential("b", NOW + 300), at(NOW))
        .unwrap();

    let new = std::fs::metadata(&cache.path).unwrap();
    assert_ne!(new.ino(), old);
    assert_eq!(new.mode() & 0o777, 0o600);
    assert!(!left_behind.exists());
}

#[test]
fn credentials_are_given_out_while_they_are_good() {
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
fn writing_updates_in_place_and_drops_what_has_expired() {
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
        .read()
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
fn damaged_file_is_a_miss_and_is_replaced() {
    for damaged in [
        "",
        "\u{0}",
        "{",
        "credentials: 7",
        "apiVersion: other/v1\nkind: CredentialCache\ncredentials: []\n",
        "apiVersion: config.supervisor.pinniped.dev/v1alpha1\nkind: SessionCache\nsessions: []\n",
    ] {
        let Scratch {
            folder: _folder,
            cache,
        } = scratch();
        create_private_folder(cache.path.parent().unwrap()).unwrap();
        std::fs::write(&cache.path, damaged).unwrap();
        assert!(cache.get("k", at(NOW)).unwrap().is_none(), "{damaged}");
        cache
            .put("k", &credential("a", NOW + 300), at(NOW))
            .unwrap();
        assert!(cache.get("k", at(NOW)).unwrap().is_some(), "{damaged}");
    }
}

#[test]
fn file_is_read_only_as_far_as_one_of_ours_goes() {
    let Scratch {
        folder: _folder,
        mut cache,
    } = scratch();
    cache
        .put("k", &credential("a", NOW + 300), at(NOW))
        .unwrap();
    let ours = std::fs::read_to_string(&cache.path).unwrap();
    cache.max_bytes = ours.len() as u64;
    assert!(cache.get("k", at(NOW)).unwrap().is_some());
    let comment = "#".repeat(ours.len());
    std::fs::write(&cache.path, format!("{comment}\n{ours}")).unwrap();
    assert!(cache.get("k", at(NOW)).unwrap().is_none());
}

#[test]
fn file_of_pinnipeds_cli_is_read() {
    let Scratch {
        folder: _folder,
        cache,
    } = scratch();
    create_private_folder(cache.path.parent().unwrap()).unwrap();
    std::fs::write(
        &cache.path,
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

#[test]
fn locked_cache_is_left_alone() {
    let Scratch {
        folder: _folder,
        cache,
    } = scratch();
    cache
        .put("k", &credential("a", NOW + 300), at(NOW))
        .unwrap();
    let lock = cache.open_lock().unwrap();
    lock.lock().unwrap();
    let hasty = CredentialCache {
        lock_tries: 1,
        ..CredentialCache::new(cache.path.clone())
    };
    assert!(matches!(hasty.get("k", at(NOW)), Err(CacheError::Busy)));
    let put = hasty.put("k", &credential("b", NOW + 300), at(NOW));
    assert!(matches!(put, Err(CacheError::Busy)));
    drop(lock);
    assert!(certificate(&cache, "k", NOW).unwrap().contains("\na\n"));
}

#[test]
fn readers_do_not_wait_for_each_other() {
    let Scratch {
        folder: _folder,
        cache,
    } = scratch();
    cache
        .put("k", &credential("a", NOW + 300), at(NOW))
        .unwrap();
    let other_reader = cache.open_lock().unwrap();
    other_reader.lock_shared().unwrap();
    assert!(cache.get("k", at(NOW)).unwrap().is_some());
}

#[test]
fn folder_that_cannot_be_made_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let cache = CredentialCache::new(folder.path().join("file/credentials.yaml"));
    assert!(matches!(
        cache.put("k", &credential("a", NOW + 300), at(NOW)),
        Err(CacheError::CreateFolder(_))
    ));
}

#[test]
fn default_path_follows_the_environment() {
    let path = |variables: &'static [(&str, &str)]| {
        CredentialCache::default_path(&move |name| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| value.into())
        })
    };
    let expected = |text: &str| Some(PathBuf::from(text));
    assert_eq!(
        path(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]),
        expected("/x/pinniped/credentials.yaml")
    );
    assert_eq!(
        path(&[("XDG_CONFIG_HOME", ""), ("HOME", "/h")]),
        expected("/h/.config/pinniped/credentials.yaml")
    );
    assert_eq!(path(&[]), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a server puts into a credential survives YAML.
    #[test]
    fn any_text_comes_back_whole(certificate in any::<String>(), key in any::<String>(), token in any::<String>()) {
        let Scratch { folder: _folder, cache } = scratch();
        let kept = CredentialStatus {
            token,
            client_certificate_data: certificate,
            client_key_data: key,
            ..credential("", NOW + 300)
        };
        cache.put("k", &kept, at(NOW)).unwrap();
        let found = cache.get("k", at(NOW)).unwrap().unwrap();
        prop_assert_eq!(serde_json::to_value(&found).unwrap(), serde_json::to_value(&kept).unwrap());
    }

    #[test]
    fn any_file_is_survived(text in ".{0,200}") {
        let Scratch { folder: _folder, cache } = scratch();
        create_private_folder(cache.path.parent().unwrap()).unwrap();
        std::fs::write(&cache.path, text).unwrap();
        prop_assert!(cache.get("k", at(NOW)).unwrap().is_none());
    }
}
