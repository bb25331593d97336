#[cfg(unix)]
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Notes {
    #[serde(default)]
    notes: Vec<String>,
}

impl Contents for Notes {
    const KIND: &'static str = "NoteCache";
    const NAME: &'static str = "note";
    const FILE: &'static str = "notes.yaml";
}

struct Scratch {
    folder: tempfile::TempDir,
    file: CacheFile<Notes>,
}

fn scratch() -> Scratch {
    let folder = tempfile::tempdir().unwrap();
    // Patient as in earnest: a child that another test begins holds our lock too, until it is another program.
    let file = CacheFile::new(folder.path().join("a/b/notes.yaml"));
    Scratch { folder, file }
}

fn note(file: &CacheFile<Notes>, text: &str) -> Result<(), CacheError> {
    file.update(|contents| {
        contents.notes.push(text.to_owned());
        Ok(())
    })
}

fn notes(file: &CacheFile<Notes>) -> Vec<String> {
    file.get().unwrap().notes
}

#[test]
fn c119_missing_file_holds_nothing_and_is_not_created() {
    let Scratch { folder, file } = scratch();
    assert_eq!(notes(&file), [""; 0]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn c120_folder_and_files_are_private() {
    let Scratch {
        folder: _folder,
        file,
    } = scratch();
    note(&file, "a").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = file.path().parent().unwrap();
    assert_eq!(mode(folder), 0o700);
    assert_eq!(mode(folder.parent().unwrap()), 0o700);
    assert_eq!(mode(file.path()), 0o600);
    assert_eq!(mode(&file.path().with_added_extension("lock")), 0o600);
}

/// Also where the old file, or one left behind by a crash, was open to others.
#[cfg(unix)]
#[test]
fn file_is_replaced_not_rewritten() {
    let Scratch {
        folder: _folder,
        file,
    } = scratch();
    note(&file, "a").unwrap();
    let open_to_all = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(file.path(), open_to_all.clone()).unwrap();
    let left_behind = file.path().with_added_extension(NEW);
    std::fs::write(&left_behind, "half").unwrap();
    std::fs::set_permissions(&left_behind, open_to_all).unwrap();
    let old = std::fs::metadata(file.path()).unwrap().ino();

    note(&file, "b").unwrap();

    let new = std::fs::metadata(file.path()).unwrap();
    assert_ne!(new.ino(), old);
    assert_eq!(new.mode() & 0o777, 0o600);
    assert!(!left_behind.exists());
    assert_eq!(notes(&file), ["a", "b"]);
}

#[test]
fn a_change_that_fails_leaves_the_file() {
    let Scratch {
        folder: _folder,
        file,
    } = scratch();
    note(&file, "a").unwrap();
    let failed = file.update(|contents| {
        contents.notes.clear();
        Err(CacheError::Time)
    });
    assert!(matches!(failed, Err(CacheError::Time)));
    assert_eq!(notes(&file), ["a"]);
}

#[test]
fn c119_damaged_file_is_told_of_and_replaced() {
    for damaged in [
        "",
        "\u{0}",
        "apiVersion: config.super",
        "apiVersion: config.supervisor.pinniped.dev/v1alpha1\nkind: NoteCache\nnotes: [\"",
        "apiVersion: config.supervisor.pinniped.dev/v1alpha1\nkind: NoteCache\nnotes: 7\n",
        "apiVersion: config.supervisor.pinniped.dev/v2\nkind: NoteCache\nnotes: [a]\n",
    ] {
        let Scratch {
            folder: _folder,
            file,
        } = scratch();
        create_private_folder(file.path().parent().unwrap()).unwrap();
        std::fs::write(file.path(), damaged).unwrap();
        let told = file.get();
        assert!(
            matches!(told, Err(CacheError::Damaged("note"))),
            "{damaged}"
        );
        note(&file, "b").unwrap();
        assert_eq!(notes(&file), ["b"], "{damaged}");
        let aside = file.path().with_added_extension(DAMAGED);
        assert_eq!(std::fs::read_to_string(&aside).unwrap(), damaged);
        file.remove_remains().unwrap();
        assert!(!aside.exists());
    }
}

/// A flag may name any file of the user's.
#[test]
fn a_file_that_was_never_a_cache_is_left_alone() {
    for theirs in [
        "alias ls='ls -l'\n",
        "{",
        "notes: 7",
        " apiVersion: config.supervisor.pinniped.dev/v1alpha1\n",
        "apiVersion: other/v1\nkind: NoteCache\nnotes: [a]\n",
        "apiVersion: config.supervisor.pinniped.dev/v1alpha1\nkind: SessionCache\nnotes: [a]\n",
        "\u{0}a",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = CacheFile::<Notes>::new(folder.path().join("theirs.yaml"));
        std::fs::write(file.path(), theirs).unwrap();
        let error = note(&file, "b").unwrap_err().to_string();
        assert!(
            error.contains("theirs.yaml holds something else"),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), theirs);
    }
}

/// `.git/index.lock` would stop git, and `d/` what is no folder.
#[test]
fn nothing_is_made_beside_what_is_no_cache() {
    let folder = tempfile::tempdir().unwrap();
    let names = |folder: &Path| {
        let names = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort_unstable();
        names
    };
    std::fs::write(folder.path().join("index"), "DIRC").unwrap();
    for name in ["index", "missing", "d/missing"] {
        let file = CacheFile::<Notes>::new(folder.path().join(name));
        let get = file.get().map(drop);
        for refused in [note(&file, "b"), file.check_name()] {
            let error = refused.unwrap_err();
            let is_there = matches!(error, CacheError::NoCache { .. });
            let may_not_be = matches!(error, CacheError::Name { .. });
            assert_eq!((is_there, may_not_be), (name == "index", name != "index"));
        }
        assert_eq!(get.is_err(), name == "index");
        assert_eq!(names(folder.path()), ["index"]);
    }
    // One of Pinniped's CLI may have any name.
    let file = CacheFile::<Notes>::new(folder.path().join("cache"));
    let ours = document::to_text(Notes::default()).unwrap();
    std::fs::write(file.path(), ours).unwrap();
    note(&file, "b").unwrap();
    assert_eq!(notes(&file), ["b"]);
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_looked_at_is_not_missing() {
    let Scratch { folder, file: _ } = scratch();
    std::os::unix::fs::symlink(folder.path().join("loop"), folder.path().join("loop")).unwrap();
    let file = CacheFile::<Notes>::new(folder.path().join("loop/notes.yaml"));
    assert!(matches!(file.get(), Err(CacheError::Read("note", _))));
    let changed = file.change_existing(|_| ());
    assert!(matches!(changed, Err(CacheError::Read("note", _))));
}

#[test]
fn file_is_read_only_as_far_as_one_of_ours_goes() {
    let Scratch {
        folder: _folder,
        mut file,
    } = scratch();
    note(&file, "a").unwrap();
    let ours = std::fs::read_to_string(file.path()).unwrap();
    file.max_bytes = ours.len() as u64;
    assert_eq!(notes(&file), ["a"]);
    let comment = "#".repeat(ours.len());
    std::fs::write(file.path(), format!("{comment}\n{ours}")).unwrap();
    assert!(matches!(file.get(), Err(CacheError::Damaged("note"))));
}

#[test]
fn c119_locked_file_is_left_alone() {
    let Scratch {
        folder: _folder,
        file,
    } = scratch();
    note(&file, "a").unwrap();
    let lock = file.open_lock().unwrap();
    lock.lock().unwrap();
    let hasty = CacheFile {
        lock_tries: 1,
        ..CacheFile::<Notes>::new(file.path().to_owned())
    };
    assert!(matches!(hasty.get(), Err(CacheError::Busy("note"))));
    assert!(matches!(note(&hasty, "b"), Err(CacheError::Busy("note"))));
    drop(lock);
    assert_eq!(notes(&file), ["a"]);
}

#[test]
fn readers_do_not_wait_for_each_other() {
    let Scratch {
        folder: _folder,
        file,
    } = scratch();
    note(&file, "a").unwrap();
    let other_reader = file.open_lock().unwrap();
    other_reader.lock_shared().unwrap();
    assert_eq!(notes(&file), ["a"]);
}

#[test]
fn folder_that_cannot_be_made_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let file = CacheFile::<Notes>::new(folder.path().join("file/notes.yaml"));
    assert!(matches!(
        note(&file, "a"),
        Err(CacheError::CreateFolder("note", _))
    ));
}

#[test]
fn path_follows_the_flag_and_the_environment() {
    let path = |flag, variables: &'static [(&str, &str)]| {
        let file = CacheFile::<Notes>::chosen(flag, &move |name| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| value.into())
        });
        file.map(|file| file.path)
    };
    let expected = |text: &str| Some(PathBuf::from(text));
    assert_eq!(
        path(None, &[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]),
        expected("/x/pinniped/notes.yaml")
    );
    assert_eq!(
        path(None, &[("XDG_CONFIG_HOME", ""), ("HOME", "/h")]),
        expected("/h/.config/pinniped/notes.yaml")
    );
    assert_eq!(path(None, &[]), None);
    assert_eq!(path(Some("/f"), &[("HOME", "/h")]), expected("/f"));
    assert_eq!(path(Some(""), &[("HOME", "/h")]), None);
    assert_eq!(path(Some("none"), &[("HOME", "/h")]), None);
    assert_eq!(path(Some("./none"), &[]), expected("./none"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a server puts into what is kept survives YAML.
    #[test]
    fn any_text_comes_back_whole(texts in proptest::collection::vec(any::<String>(), 1..4)) {
        let Scratch { folder: _folder, file } = scratch();
        for text in &texts {
            note(&file, text).unwrap();
        }
        prop_assert_eq!(notes(&file), texts);
    }

    #[test]
    fn any_file_is_survived(text in ".{0,200}") {
        let Scratch { folder: _folder, file } = scratch();
        create_private_folder(file.path().parent().unwrap()).unwrap();
        std::fs::write(file.path(), text).unwrap();
        prop_assert!(matches!(file.get(), Err(CacheError::Damaged("note"))));
    }
}

/// It would wait for a writer, or read without end.
#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_at_once_and_stay() {
    let Scratch { folder, file: _ } = scratch();
    let pipe = folder.path().join("pipe.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let device = folder.path().join("zero.yaml");
    std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
    for path in [pipe, device] {
        let file = CacheFile::<Notes>::new(path);
        for refused in [file.get().map(drop), note(&file, "a")] {
            let error = refused.unwrap_err();
            assert!(matches!(error, CacheError::NotRegular { .. }), "{error}");
        }
        assert!(!std::fs::metadata(file.path()).unwrap().is_file());
    }
}
