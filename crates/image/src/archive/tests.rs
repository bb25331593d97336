use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{Config, Content, File};

const AGENT: Owner = Owner {
    user: 65535,
    group: 65535,
};

fn file(path: &str, content: Content) -> File {
    File {
        path: path.to_owned(),
        content,
        mode: 0o555,
        owner: AGENT,
    }
}

fn text(path: &str, text: &str) -> File {
    file(path, Content::Bytes(text.into()))
}

fn image(files: Vec<File>) -> Image {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let map = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    Image {
        reference: "haulout/haulout-agent:0.1.0".to_owned(),
        architecture: "amd64".to_owned(),
        config: Config {
            entrypoint: words(&["/haulout-agent"]),
            user: AGENT,
            working_directory: "/".to_owned(),
            environment: map("A", "b=c"),
            ports: vec![9443, 9444],
            labels: map("org.opencontainers.image.title", "haulout-agent"),
        },
        files,
    }
}

fn written(image: &Image) -> (Archive, Vec<u8>) {
    let folder = TempDir::new().unwrap();
    let archive = write(image, &folder.path().join("image.tar")).unwrap();
    let bytes = std::fs::read(&archive.path).unwrap();
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
    (archive, bytes)
}

fn refusal(image: &Image) -> Error {
    let folder = TempDir::new().unwrap();
    let error = write(image, &folder.path().join("image.tar")).unwrap_err();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    error
}

/// Path, kind, mode, user, group, time and content of each entry.
type Entry = (String, EntryType, u32, u64, u64, u64, Vec<u8>);

fn entries(bytes: &[u8]) -> Vec<Entry> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        (
            entry.path().unwrap().to_string_lossy().into_owned(),
            header.entry_type(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            header.mtime().unwrap(),
            content,
        )
    });
    entries.collect()
}

fn parts(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let entries = entries(bytes).into_iter();
    entries.map(|entry| (entry.0, entry.6)).collect()
}

#[test]
fn archive_names_config_and_layer_by_their_digests() {
    let (archive, bytes) = written(&image(vec![text("/haulout-agent", "program")]));
    let parts = parts(&bytes);
    assert_eq!(parts.len(), 3);
    let manifest: Value = serde_json::from_slice(&parts["manifest.json"]).unwrap();
    let name = |pointer: &str| manifest.pointer(pointer).unwrap().as_str().unwrap();
    let config = &parts[name("/0/Config")];
    let layer = &parts[name("/0/Layers/0")];
    assert_eq!(name("/0/RepoTags/0"), "haulout/haulout-agent:0.1.0");
    assert_eq!(archive.reference, "haulout/haulout-agent:0.1.0");
    assert_eq!(archive.image_id, format!("sha256:{}", sha256(config)));
    assert_eq!(archive.layer_digest, format!("sha256:{}", sha256(layer)));
    assert_eq!(archive.layer_bytes, layer.len() as u64);
    assert_eq!(
        serde_json::from_slice::<Value>(config).unwrap(),
        json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": "65535:65535",
                "ExposedPorts": {"9443/tcp": {}, "9444/tcp": {}},
                "Env": ["A=b=c"],
                "Entrypoint": ["/haulout-agent"],
                "WorkingDir": "/",
                "Labels": {"org.opencontainers.image.title": "haulout-agent"},
            },
            "rootfs": {"type": "layers", "diff_ids": [archive.layer_digest]},
        })
    );
}

#[test]
fn digests_are_sha256() {
    assert_eq!(
        sha256(b"abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn layer_has_folders_before_files_and_no_times() {
    let long = format!("/{}/{}", "a".repeat(90), "b".repeat(90));
    let files = vec![text("/z/y/x", "1"), text("/p", "2"), text(&long, "3")];
    let (archive, bytes) = written(&image(files));
    let layer = &parts(&bytes)[&format!("{}.tar", archive.layer_digest.replace("sha256:", ""))];
    let folder = |path: &str| {
        let kind = EntryType::Directory;
        (path.to_owned(), kind, 0o755, 0, 0, 0, Vec::new())
    };
    let regular = |path: &str, text: &str| {
        let kind = EntryType::Regular;
        (path.to_owned(), kind, 0o555, 65535, 65535, 0, text.into())
    };
    let long = long.trim_start_matches('/');
    assert_eq!(
        entries(layer),
        [
            folder(&"a".repeat(90)),
            regular(long, "3"),
            regular("p", "2"),
            folder("z"),
            folder("z/y"),
            regular("z/y/x", "1"),
        ]
    );
}

#[test]
fn same_files_give_the_same_bytes() {
    let sources = TempDir::new().unwrap();
    let source = |name: &str, seconds: u64, mode: u32| {
        let path = sources.path().join(name);
        let source = std::fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut &source, b"program").unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        source.set_modified(time).unwrap();
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        source.set_permissions(permissions).unwrap();
        Content::Source(path)
    };
    let one = source("one", 1_000_000_000, 0o600);
    let other = source("other", 1_700_000_000, 0o755);
    let first = image(vec![file("/a", one), text("/b/c", "licence")]);
    let second = image(vec![text("/b/c", "licence"), file("/a", other)]);
    let (_, first_bytes) = written(&first);
    assert_eq!(first_bytes, written(&first).1);
    assert_eq!(first_bytes, written(&second).1);
    let changed = image(vec![text("/b/c", "licence"), text("/a", "Program")]);
    assert_ne!(first_bytes, written(&changed).1);
}

#[test]
fn paths_that_are_no_files_of_the_image_are_refused() {
    for path in [
        "",
        "/",
        "a",
        "./a",
        "../a",
        "/../a",
        "/a/../b",
        "/a/..",
        "/./a",
        "/a//b",
        "/a/",
        "/.wh.a",
        "/a/.wh..wh..opq",
        "/a\0b",
    ] {
        let error = refusal(&image(vec![text(path, "")]));
        assert!(matches!(error, Error::UnsafePath(_)), "{path:?}: {error}");
    }
}

#[test]
fn paths_that_meet_are_refused() {
    for paths in [["/a", "/a"], ["/a", "/a/b"], ["/a/b/c", "/a/b"]] {
        let files = paths.iter().map(|path| text(path, "")).collect();
        let error = refusal(&image(files));
        assert!(matches!(error, Error::Clash(_)), "{paths:?}: {error}");
    }
}

#[test]
fn names_without_a_tag_are_refused() {
    let image = Image {
        reference: "haulout/haulout-agent".to_owned(),
        ..image(Vec::new())
    };
    assert!(matches!(refusal(&image), Error::Reference(_)));
}

#[test]
fn missing_files_are_named() {
    let missing = file("/a", Content::Source("/does/not/exist".into()));
    let error = refusal(&image(vec![missing]));
    assert_eq!(error.to_string(), "failed to read /does/not/exist");
    let error = write(&image(Vec::new()), Path::new("/does/not/exist")).unwrap_err();
    assert_eq!(error.to_string(), "failed to write /does/not/exist");
}
