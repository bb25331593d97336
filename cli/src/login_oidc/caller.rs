//! Who started this program. Tools that lose patience kill kubectl and not its plugin: a login for nobody would hold up all others
//! of the session.

use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(1);

/// The process that waits for the result.
#[derive(Debug)]
pub(super) struct Caller(Option<u32>);

impl Caller {
    /// The one that started this program.
    pub(super) fn of_this_program() -> Self {
        Self(parent())
    }

    /// Waits until it has ended.
    pub(super) async fn gone(&self) {
        while parent() == self.0 {
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// Whoever looks after orphans is the parent of a process whose own has ended.
#[cfg(unix)]
fn parent() -> Option<u32> {
    Some(std::os::unix::process::parent_id())
}

#[cfg(not(unix))]
fn parent() -> Option<u32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_one_that_has_ended_is_gone() {
        Caller(Some(u32::MAX)).gone().await;
        let caller = Caller::of_this_program();
        let waiting = tokio::time::timeout(Duration::from_millis(50), caller.gone()).await;
        assert!(waiting.is_err());
    }
}
