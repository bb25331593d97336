//! Why a cache could not be used.

use std::io;
use std::path::PathBuf;

use crate::console::Console;
use crate::keyring::KeyringError;

/// Why a cache could not be used; a login goes on without it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("failed to create the folder of the {0} cache")]
    CreateFolder(&'static str, #[source] io::Error),
    #[error("failed to lock the {0} cache")]
    Lock(&'static str, #[source] io::Error),
    #[error("another process holds the lock of the {0} cache")]
    Busy(&'static str),
    #[error("failed to read the {0} cache")]
    Read(&'static str, #[source] io::Error),
    #[error("the {0} cache is damaged, or of another kind; the next login replaces it")]
    Damaged(&'static str),
    #[error(
        "{} holds something else than the {name} cache, and stays as it is; name another file, or delete it",
        path.display()
    )]
    NoCache { name: &'static str, path: PathBuf },
    #[error(
        "{} cannot be the {name} cache: name a file that ends in .yaml",
        path.display()
    )]
    Name { name: &'static str, path: PathBuf },
    #[error(
        "{} is no regular file, so it cannot be the {name} cache; name a file, or none to keep nothing",
        path.display()
    )]
    NotRegular { name: &'static str, path: PathBuf },
    #[error("failed to encode the {0} cache")]
    Encode(&'static str, #[source] serde_saphyr::ser::Error),
    #[error("failed to write the {0} cache")]
    Write(&'static str, #[source] io::Error),
    #[error("failed to use the keyring")]
    Keyring(#[from] KeyringError),
    #[error("the time is outside of what a timestamp can hold")]
    Time,
}

impl CacheError {
    /// Tells of it: to everybody where the user has named a place that does not do, and would wonder why each login is the first;
    /// else to those who want to know what is going on.
    pub(crate) fn report(&self, asked: bool, console: &Console<'_>) {
        match self {
            Self::Keyring(_)
            | Self::NoCache { .. }
            | Self::Name { .. }
            | Self::NotRegular { .. } => console.warn_of(self),
            _ => console.report(self, asked),
        }
    }
}
