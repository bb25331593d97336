use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn number(at_fault: AtFault, path: &Path) -> Watched<u32, 1> {
    Watched::new("number", [path], at_fault, |[text], _| {
        Ok(str::from_utf8(text)?.trim().parse::<u32>()?)
    })
}

fn look(watched: &Watched<u32, 1>) -> (Option<u32>, Option<String>) {
    watched.look(SystemTime::UNIX_EPOCH);
    (watched.value().map(|value| *value), watched.fault())
}

#[test]
fn the_last_good_value_stays_or_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("n");
    let (keep, drop) = (number(AtFault::Keep, &path), number(AtFault::Drop, &path));
    let (value, fault) = look(&keep);
    assert_eq!(value, None);
    assert!(fault.unwrap().contains("n: No such file"));
    assert!(keep.ready().unwrap_err().contains("n: No such file"));

    fs::write(&path, "1").unwrap();
    assert_eq!(look(&keep), (Some(1), None));
    assert_eq!(look(&drop), (Some(1), None));
    fs::write(&path, "x").unwrap();
    let unfit = format!("{}: invalid digit found in string", path.display());
    let fault = Some(unfit);
    assert_eq!(look(&keep), (Some(1), fault.clone()));
    assert_eq!(keep.ready(), Ok(()), "the last good one is in use");
    look(&drop);
    assert_eq!(look(&drop), (None, fault.clone()));
    assert_eq!(drop.ready().err(), fault);
    fs::write(&path, "1").unwrap();
    assert_eq!(look(&keep), (Some(1), None));
    look(&drop);
    assert_eq!(look(&drop), (Some(1), None));
    fs::remove_file(&path).unwrap();
    assert_eq!(look(&keep).0, Some(1));
    assert_eq!(look(&drop).0, None);
    fs::write(&path, "2").unwrap();
    assert_eq!(look(&keep), (Some(2), None));
    look(&drop);
    assert_eq!(look(&drop), (Some(2), None));
}

#[test]
fn a_file_that_is_being_written_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("n");
    let watched = number(AtFault::Drop, &path);
    assert_eq!(look(&watched).0, None);
    for (text, value) in [("1", None), ("12", None), ("12", Some(12)), ("1", Some(12))] {
        fs::write(&path, text).unwrap();
        assert_eq!(look(&watched).0, value, "{text}");
    }
    fs::write(&path, "").unwrap();
    look(&watched);
    assert_eq!(look(&watched).0, None);
    for (text, value) in [("1", None), ("12", None), ("12", Some(12))] {
        fs::write(&path, text).unwrap();
        let (found, fault) = look(&watched);
        assert_eq!(found, value, "{text}");
        assert_eq!(fault.is_some(), value.is_none(), "{text}");
    }
}

#[test]
fn files_that_stay_as_they_are_are_parsed_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("n");
    fs::write(&path, "1").unwrap();
    let parsed = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&parsed);
    let watched = Watched::new("number", [&*path], AtFault::Keep, move |[_text], _now| {
        Ok(count.fetch_add(1, Ordering::Relaxed))
    });
    for text in ["1", "1", "2", "2"] {
        fs::write(&path, text).unwrap();
        watched.look(SystemTime::UNIX_EPOCH);
    }
    assert_eq!(parsed.load(Ordering::Relaxed), 2);
}

/// How Kubernetes changes a mounted ConfigMap or Secret.
#[test]
fn a_swapped_link_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (version, text) in [("v1", "1"), ("v2", "2")] {
        fs::create_dir(path(version)).unwrap();
        fs::write(path(version).join("n"), text).unwrap();
    }
    symlink("v1", path("..data")).unwrap();
    symlink("..data/n", path("n")).unwrap();
    let watched = number(AtFault::Keep, &path("n"));
    assert_eq!(look(&watched), (Some(1), None));
    symlink("v2", path("..data_tmp")).unwrap();
    fs::rename(path("..data_tmp"), path("..data")).unwrap();
    assert_eq!(look(&watched), (Some(2), None));
}

#[test]
fn a_file_of_any_size_does_not_fill_the_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("n");
    File::create(&path)
        .unwrap()
        .set_len(LARGEST_FILE + 1)
        .unwrap();
    let (value, fault) = look(&number(AtFault::Keep, &path));
    assert_eq!(value, None);
    assert!(fault.unwrap().contains("is larger than"));
}

#[test]
fn all_files_of_a_value_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
    fs::write(&a, "").unwrap();
    fs::write(&b, "").unwrap();
    let watched = Watched::<(), 2>::new("pair", [&a, &b], AtFault::Keep, |_contents, _now| {
        Err("no\npair".into())
    });
    let unread = watched.ready().unwrap_err();
    assert!(unread.ends_with("b was not read yet"), "{unread}");
    watched.look(SystemTime::UNIX_EPOCH);
    let (a, b) = (a.display(), b.display());
    assert_eq!(watched.fault().unwrap(), format!("{a}, {b}: no pair"));
}

#[test]
fn files_are_told_apart_in_the_hash() {
    let hash_of =
        |a: &str, b: &str| hash(&[a, b].map(|text| Contents::new(text.as_bytes().to_vec())));
    assert_ne!(hash_of("ab", "c"), hash_of("a", "bc"));
    assert_ne!(hash_of("a", "b"), hash_of("b", "a"));
}
