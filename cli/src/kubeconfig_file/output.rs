//! Where the kubeconfig goes, once there is one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kube::config::{Kubeconfig, NamedAuthInfo};
use tempfile::NamedTempFile;

use crate::private_file::{self, folder};
use crate::standard_output::{PrintError, print};

/// Why a kubeconfig did not get where it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("could not write --output {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "--output {} holds something else than logins by haulout, and is left as it is; name another file: KUBECONFIG takes several",
        .0.display()
    )]
    Foreign(PathBuf),
    #[error(
        "--output {} is a link that leads to no file; make that file, or name another",
        .0.display()
    )]
    Dangling(PathBuf),
    #[error(
        "could not write --output {}: there is no folder {}; make it, by mkdir -p",
        path.display(),
        folder(path).display()
    )]
    NoFolder { path: PathBuf },
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// Standard output, or a file that is replaced as a whole.
pub(crate) enum Output<'a> {
    Stdout(&'a mut dyn Write),
    File(PathBuf),
}

impl<'a> Output<'a> {
    /// Looks whether a file can be there, so that nobody waits in vain; changes nothing.
    pub(crate) fn open(
        path: Option<&Path>,
        stdout: &'a mut dyn Write,
    ) -> Result<Self, OutputError> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Stdout(stdout));
        };
        let failed = |source| OutputError::Write {
            path: path.to_owned(),
            source,
        };
        // A link stays, and what it leads to is replaced.
        let path = match path.canonicalize() {
            Ok(path) => path,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Err(_) if path.is_symlink() => return Err(OutputError::Dangling(path.to_owned())),
            Err(_) => path.to_owned(),
        };
        if path.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let folder = match std::fs::metadata(folder(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OutputError::NoFolder { path });
            }
            folder => folder.map_err(failed)?,
        };
        if !folder.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        if !may_be_replaced(&path).map_err(failed)? {
            return Err(OutputError::Foreign(path));
        }
        Ok(Self::File(path))
    }

    pub(crate) fn write(self, text: &str) -> Result<(), OutputError> {
        match self {
            Self::Stdout(stdout) => Ok(print(stdout, text)?),
            Self::File(path) => {
                replace(&path, text).map_err(|source| OutputError::Write { path, source })
            }
        }
    }
}

/// Whether nothing is lost with the file: there is none, it is empty, or a kubeconfig whose users all log in by a plugin's `login`.
fn may_be_replaced(path: &Path) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(old) if old.is_file() => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => return Ok(true),
    }
    let text = std::fs::read_to_string(path)?;
    let is_login = |user: &NamedAuthInfo| {
        let exec = user.auth_info.as_ref().and_then(|user| user.exec.as_ref());
        let arguments = exec.and_then(|exec| exec.args.as_deref());
        arguments.is_some_and(|arguments| arguments.first().is_some_and(|first| first == "login"))
    };
    let kubeconfig = Kubeconfig::from_yaml(&text);
    let is_ours = kubeconfig.is_ok_and(|kubeconfig| {
        !kubeconfig.auth_infos.is_empty() && kubeconfig.auth_infos.iter().all(is_login)
    });
    Ok(text.trim().is_empty() || is_ours)
}

/// Writes a new file, which is its owner's alone unless the old one was not, and puts it in the old one's place.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let old = match std::fs::metadata(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        // A pipe or a terminal cannot be replaced.
        return std::fs::write(path, text);
    }
    let new = NamedTempFile::new_in(folder(path))?;
    if let Some(old) = old {
        new.as_file().set_permissions(old.permissions())?;
    }
    private_file::replace(path, new, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kubeconfig as this program makes it.
    fn of_ours(name: &str) -> String {
        format!(
            "users: [{{name: {name}, user: {{exec: {{command: haulout, args: [login, oidc]}}}}}}]"
        )
    }

    #[test]
    fn what_is_not_ours_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        for (theirs, expected) in [
            (
                "users: [{name: a, user: {client-key-data: c2VjcmV0}}]".to_owned(),
                false,
            ),
            (of_ours("a").replace("login", "eks"), false),
            (
                of_ours("a").replace("}]", "}, {name: b, user: {token: secret}}]"),
                false,
            ),
            ("clusters:\n- name: a\n".to_owned(), false),
            ("dear diary".to_owned(), false),
            ("\n".to_owned(), true),
            (of_ours("a"), true),
        ] {
            std::fs::write(&path, &theirs).unwrap();
            let mut stdout = Vec::new();
            let opened = Output::open(Some(&path), &mut stdout);
            assert_eq!(opened.is_ok(), expected, "{theirs}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), theirs);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_mode() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let mut stdout = Vec::new();
        let mut write = |text: &str| {
            Output::open(Some(&path), &mut stdout)
                .unwrap()
                .write(text)
                .unwrap();
            std::fs::metadata(&path).unwrap()
        };
        let [one, two] = ["one", "two"].map(of_ours);
        let first = write(&one);
        assert_eq!(first.mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let second = write(&two);
        assert_eq!(second.mode() & 0o777, 0o644);
        assert_ne!(first.ino(), second.ino());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), two);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(stdout.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        let [path, link] = ["kubeconfig", "link"].map(|name| folder.path().join(name));
        std::fs::write(&path, of_ours("one")).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut stdout = Vec::new();
        Output::open(Some(&link), &mut stdout)
            .unwrap()
            .write("two")
            .unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_stays_too() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        for (target, expected) in [
            (
                folder.path().join("missing"),
                "is a link that leads to no file",
            ),
            (link.clone(), "could not write"),
        ] {
            std::os::unix::fs::symlink(&target, &link).unwrap();
            let mut stdout = Vec::new();
            let opened = Output::open(Some(&link), &mut stdout).map(drop);
            let told = opened.unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
            std::fs::remove_file(&link).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let reader = std::thread::spawn({
            let path = path.clone();
            move || std::fs::read_to_string(path).unwrap()
        });
        let mut stdout = Vec::new();
        Output::open(Some(&path), &mut stdout)
            .unwrap()
            .write("one")
            .unwrap();
        assert_eq!(reader.join().unwrap(), "one");
    }

    #[test]
    fn where_no_file_can_be_it_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for (path, expected) in [
            (folder.path().to_owned(), "could not write --output "),
            (
                folder.path().join("missing/kubeconfig"),
                "make it, by mkdir -p",
            ),
        ] {
            let mut stdout = Vec::new();
            let opened = Output::open(Some(&path), &mut stdout).map(drop);
            let told = opened.unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
        }
    }
}
