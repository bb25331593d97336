//! `cargo xtask release`: what people and krew download is whole, runs, and is the same each time.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const URL: &str = "https://downloads.example.com/v1";

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{program} {arguments:?}: {stderr}");
    String::from_utf8(stdout).unwrap()
}

/// The files of a release; their programs are those of `HAULOUT_BIN`.
fn release() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let xtask = std::env::var("HAULOUT_XTASK").expect("set by cargo xtask test");
    let output = format!("--output={}", folder.path().display());
    let url = format!("--base-url={URL}");
    run(folder.path(), &xtask, &["release", &output, &url]);
    folder
}

#[test]
#[ignore = "run by cargo xtask test"]
fn cluster_a_release_is_whole_and_the_same_each_time() {
    let (release, again) = (release(), release());
    let release = release.path();
    let names: BTreeSet<String> = std::fs::read_dir(release)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let archive = concat!("haulout-", env!("CARGO_PKG_VERSION"), "-linux-amd64.tar.gz");
    let expected = ["SHA256SUMS", archive, "haulout.yaml"];
    assert_eq!(names, expected.map(str::to_owned).into());
    for name in expected {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert!(read(release) == read(again.path()), "{name} differs");
    }

    run(release, "sha256sum", &["--check", "--strict", "SHA256SUMS"]);
    let sums = std::fs::read_to_string(release.join("SHA256SUMS")).unwrap();
    let plugin = std::fs::read_to_string(release.join("haulout.yaml")).unwrap();
    let plugin: Value = serde_saphyr::from_str(&plugin).unwrap();
    let platform = &plugin["spec"]["platforms"][0];
    assert_eq!(platform["uri"], format!("{URL}/{archive}"));
    let sum = platform["sha256"].as_str().unwrap();
    assert_eq!(sums, format!("{sum}  {archive}\n"));

    // What krew does with it.
    run(release, "tar", &["--extract", "--gzip", "--file", archive]);
    let version = concat!("haulout ", env!("CARGO_PKG_VERSION"), "\n");
    let program = platform["bin"].as_str().unwrap();
    let program = release.join(program);
    assert_eq!(
        run(release, program.to_str().unwrap(), &["version"]),
        version
    );
    for copied in platform["files"].as_array().unwrap() {
        let file = release.join(copied["from"].as_str().unwrap());
        assert!(file.is_file(), "{}", file.display());
    }
    for file in [
        "README.txt",
        "completion/_haulout",
        "completion/haulout.bash",
        "man/man1/haulout.1",
        "man/man1/haulout-login-oidc.1",
    ] {
        let text = std::fs::read_to_string(release.join(file)).unwrap();
        assert!(text.contains("haulout"), "{file}");
    }
    let notices = std::fs::read_to_string(release.join("THIRD-PARTY.txt")).unwrap();
    assert!(notices.contains("rustls") && notices.contains("glibc"));
}
