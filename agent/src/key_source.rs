//! The cluster's signing certificate and key: read from two files, again every second.
//!
//! While the files are half written, do not match, or are otherwise unfit, the pair read before
//! stays in use.

#[cfg(test)]
mod tests;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use haulout_pki::authority::SigningAuthority;

use crate::watched::{AtFault, Watched};

/// The pair of files, and the CA that they made.
pub(crate) struct KeySource {
    pair: Watched<SigningAuthority, 2>,
}

impl KeySource {
    pub(crate) fn new(certificate: &Path, key: &Path) -> Self {
        let files = [certificate, key];
        let pair = Watched::new(
            "signing key",
            files,
            AtFault::Keep,
            |[certificate, key], now| Ok(SigningAuthority::from_pem(certificate, key, now)?),
        );
        Self { pair }
    }

    /// Reads both files and takes over a new pair that is fit to sign.
    pub(crate) fn look(&self, now: SystemTime) {
        self.pair.look(now);
    }

    /// The CA to sign with at `now`, or why there is none.
    pub(crate) fn authority(&self, now: SystemTime) -> Result<Arc<SigningAuthority>, String> {
        match self.pair.value() {
            Some(authority) if now <= authority.not_after() => Ok(authority),
            expired_or_none => Err(self.fault().unwrap_or_else(|| {
                if expired_or_none.is_some() {
                    "the CA certificate has expired; renew the cluster's CA".to_owned()
                } else {
                    "the files were not read yet".to_owned()
                }
            })),
        }
    }

    /// What is wrong with the files as they are now, even while an older pair is in use.
    pub(crate) fn fault(&self) -> Option<String> {
        self.pair.fault()
    }

    /// Whether a file was replaced on the host under a mount of that file alone. The mount keeps
    /// the old inode, to which no name leads any more; the new file is out of reach.
    pub(crate) fn is_cut_off(&self) -> bool {
        let names = |path| fs::metadata(path).map(|file| file.nlink());
        self.pair
            .files()
            .iter()
            .any(|path| names(path).is_ok_and(|links| links == 0))
    }
}

/// When the process begins to leave so that the kubelet mounts its files anew. It goes on signing
/// with the old pair meanwhile, and as long as any leaving process does.
#[derive(Debug)]
pub(crate) struct Departure {
    not_before: SystemTime,
    stagger: Duration,
    cut_off_since: Option<SystemTime>,
}

impl Departure {
    /// A process lives for `least_life` at least. A restart is the one thing that it remembers of its
    /// predecessor, so this spaces restarts. `stagger` is added to the wait; it differs between agents,
    /// which all see a change of the cluster's CA at about the same time.
    pub(crate) fn new(started: SystemTime, least_life: Duration, stagger: Duration) -> Self {
        Self {
            not_before: started + least_life,
            stagger,
            cut_off_since: None,
        }
    }

    /// Whether to leave at `now`.
    pub(crate) fn is_due(&mut self, cut_off: bool, now: SystemTime) -> bool {
        if !cut_off {
            self.cut_off_since = None;
            return false;
        }
        let since = *self.cut_off_since.get_or_insert_with(|| {
            tracing::warn!(
                "the signing key was replaced under its mount; signing on with the old one, and \
                 leaving soon so that the new one is mounted"
            );
            now
        });
        now >= (since + self.stagger).max(self.not_before)
    }
}
