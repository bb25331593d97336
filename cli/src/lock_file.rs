//! Files that are there to be locked, beside what they guard.
//!
//! A flag of somebody's kubeconfig says where, so a folder of others may already hold what is opened here: a link to a file that
//! is dear to the user, or a pipe that nobody writes to.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::private_file::private;

/// Opens the file, which is made where it is missing. It is no link, and nobody is waited for.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // NFS gives a shared lock only to whoever may read, and an exclusive one only to whoever may write.
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits().cast_signed());
    }
    let file = private(&mut options).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other(format!(
            "{} is no regular file",
            path.display()
        ))),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn no_link_is_followed_and_nobody_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |name: &str| folder.path().join(name);
        let dear = in_folder("dear");
        std::fs::write(&dear, "ssh-ed25519 AAAA").unwrap();
        std::os::unix::fs::symlink(&dear, in_folder("link")).unwrap();
        std::os::unix::fs::symlink(in_folder("missing"), in_folder("dangling")).unwrap();
        let made = Command::new("mkfifo").arg(in_folder("pipe")).status();
        assert!(made.unwrap().success());
        for name in ["link", "dangling", "pipe", "."] {
            assert!(open(&in_folder(name)).is_err(), "{name}");
        }
        assert!(!in_folder("missing").exists());
        open(&in_folder("new")).unwrap().try_lock().unwrap();
        // What a login of another time has left.
        open(&in_folder("new")).unwrap().try_lock().unwrap();
    }
}
