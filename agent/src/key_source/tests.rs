use std::path::PathBuf;

use haulout_pki::authority::{GeneratedAuthority, generate_authority};
use haulout_pki::profile::Validity;
use tempfile::TempDir;

use super::*;

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A CA valid in seconds 1000 to 2000.
fn ca(name: &str) -> GeneratedAuthority {
    lasting(name, 2000)
}

fn lasting(name: &str, end: u64) -> GeneratedAuthority {
    generate_authority(
        name,
        Validity {
            not_before: time(1000),
            not_after: time(end),
        },
    )
    .unwrap()
}

struct Files {
    directory: TempDir,
    source: KeySource,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (
            directory.path().join("ca.crt"),
            directory.path().join("ca.key"),
        );
        Self {
            source: KeySource::new(&certificate, &key),
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write_certificate(&self, ca: &GeneratedAuthority) {
        fs::write(self.path("ca.crt"), &ca.certificate_pem).unwrap();
    }

    fn write_key(&self, ca: &GeneratedAuthority) {
        fs::write(self.path("ca.key"), ca.key_pem.as_bytes()).unwrap();
    }

    fn write(&self, ca: &GeneratedAuthority) {
        self.write_certificate(ca);
        self.write_key(ca);
    }

    /// The certificate in use after a look, or the reason for having none.
    fn look(&self, now: u64) -> Result<String, String> {
        self.source.look(time(now));
        self.source
            .authority(time(now))
            .map(|authority| authority.certificate_pem().to_owned())
    }
}

/// None, only one of the two, swap, bad values, recovery.
#[test]
fn the_old_pair_stays_in_use_until_the_new_one_is_whole() {
    let files = Files::new();
    let (old, new) = (ca("old"), ca("new"));
    assert_eq!(
        files.source.authority(time(1500)).unwrap_err(),
        "the files were not read yet"
    );
    assert!(
        files
            .look(1500)
            .unwrap_err()
            .contains("ca.crt: No such file")
    );
    files.write_certificate(&old);
    assert!(
        files
            .look(1500)
            .unwrap_err()
            .contains("ca.key: No such file")
    );
    files.write_key(&old);
    assert_eq!(files.look(1500).unwrap(), old.certificate_pem);
    assert_eq!(files.source.fault(), None);

    files.write_certificate(&new);
    assert_eq!(files.look(1500).unwrap(), old.certificate_pem);
    assert!(files.source.fault().unwrap().contains("does not belong"));
    fs::write(files.path("ca.key"), &new.key_pem.as_bytes()[..40]).unwrap();
    assert_eq!(files.look(1500).unwrap(), old.certificate_pem);
    assert!(
        files
            .source
            .fault()
            .unwrap()
            .contains("failed to read the CA key")
    );
    files.write_key(&new);
    assert_eq!(files.look(1500).unwrap(), new.certificate_pem);
    assert_eq!(files.source.fault(), None);

    fs::write(files.path("ca.key"), "garbage").unwrap();
    assert_eq!(files.look(1500).unwrap(), new.certificate_pem);
    fs::remove_file(files.path("ca.crt")).unwrap();
    assert_eq!(files.look(1500).unwrap(), new.certificate_pem);
    files.write(&old);
    assert_eq!(files.look(1500).unwrap(), old.certificate_pem);
}

#[test]
fn an_expired_pair_does_not_displace_a_good_one() {
    let files = Files::new();
    let (good, short) = (ca("good"), lasting("short", 1100));
    files.write(&good);
    assert!(files.look(1500).is_ok());
    files.write(&short);
    assert_eq!(files.look(1500).unwrap(), good.certificate_pem);
    assert!(files.source.fault().unwrap().contains("expired"));
}

#[test]
fn a_pair_in_use_ends_with_its_certificate() {
    let files = Files::new();
    files.write(&ca("a"));
    assert!(files.look(2000).is_ok());
    assert!(files.look(2001).unwrap_err().contains("expired"));
    files.write(&lasting("b", 3000));
    assert!(files.look(2001).is_ok());
}

#[test]
fn a_pair_that_begins_later_is_taken_when_it_begins() {
    let files = Files::new();
    files.write(&ca("a"));
    assert!(files.look(999).unwrap_err().contains("not valid yet"));
    assert!(files.look(1000).is_ok());
}

/// An open descriptor of a deleted file stands for a mount of it: both lead to an inode that has
/// no name any more.
#[test]
fn a_file_replaced_under_its_mount_is_noticed() {
    use std::os::fd::AsRawFd;

    let files = Files::new();
    files.write(&ca("a"));
    let key = fs::File::open(files.path("ca.key")).unwrap();
    let mounted = PathBuf::from(format!("/proc/self/fd/{}", key.as_raw_fd()));
    let source = KeySource::new(&files.path("ca.crt"), &mounted);
    source.look(time(1500));
    assert!(!source.is_cut_off());

    fs::write(files.path("new.key"), "new").unwrap();
    fs::rename(files.path("new.key"), files.path("ca.key")).unwrap();
    assert!(source.is_cut_off());
    source.look(time(1500));
    assert!(source.authority(time(1500)).is_ok());
    assert!(!files.source.is_cut_off());
    fs::remove_file(files.path("ca.key")).unwrap();
    assert!(!files.source.is_cut_off());
}

#[test]
fn leaving_waits_for_its_time() {
    let mut departure = Departure::new(time(0), Duration::ZERO, Duration::from_secs(3));
    assert!(!departure.is_due(false, time(1000)));
    assert!(!departure.is_due(true, time(1000)));
    assert!(!departure.is_due(true, time(1002)));
    assert!(departure.is_due(true, time(1003)));
    assert!(!departure.is_due(false, time(1004)));
    assert!(!departure.is_due(true, time(1005)));
}

#[test]
fn a_process_that_has_just_started_stays_for_its_least_life() {
    let mut departure = Departure::new(time(1000), Duration::from_secs(600), Duration::ZERO);
    assert!(!departure.is_due(true, time(1001)));
    assert!(!departure.is_due(true, time(1599)));
    assert!(departure.is_due(true, time(1600)));
}
