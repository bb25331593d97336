//! How a process stops: unready first, then drained, then gone.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The stages of a shutdown and the tasks that it waits for; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled by the first signal: readiness fails and nothing new is begun, but requests are served on, since clients
    /// and endpoints lag behind.
    pub stopping: CancellationToken,
    /// Cancelled when that time is over: listeners stop accepting and connections are drained.
    pub drain: CancellationToken,
    /// Every task of the process runs on it.
    pub tracker: TaskTracker,
}

impl Shutdown {
    /// A shutdown that begins on SIGTERM or SIGINT and drains `serve_on` later. A second signal drains at once.
    ///
    /// # Errors
    /// The signal handlers could not be installed.
    pub fn on_signals(serve_on: Duration) -> io::Result<Self> {
        let shutdown = Self::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stages = shutdown.clone();
        shutdown.tracker.spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = stages.stopping.cancelled() => {}
            }
            stages.stopping.cancel();
            tracing::info!(serve_on_seconds = serve_on.as_secs(), "stopping");
            tokio::select! {
                () = tokio::time::sleep(serve_on) => {}
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = stages.drain.cancelled() => {}
            }
            stages.drain.cancel();
        });
        Ok(shutdown)
    }

    /// Waits until every task has ended, at most `limit`; false when some had to be left.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.stopping.cancel();
        self.drain.cancel();
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait())
            .await
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finish_waits_for_tasks_and_gives_up_at_the_limit() {
        let shutdown = Shutdown::default();
        let drain = shutdown.drain.clone();
        shutdown
            .tracker
            .spawn(async move { drain.cancelled().await });
        assert!(shutdown.finish(Duration::from_secs(5)).await);

        let stuck = Shutdown::default();
        stuck.tracker.spawn(std::future::pending::<()>());
        assert!(!stuck.finish(Duration::from_millis(20)).await);
    }

    #[tokio::test]
    async fn readiness_ends_before_the_drain() {
        let shutdown = Shutdown::on_signals(Duration::from_secs(3600)).unwrap();
        shutdown.stopping.cancel();
        tokio::task::yield_now().await;
        assert!(!shutdown.drain.is_cancelled());
        assert!(shutdown.finish(Duration::from_secs(5)).await);
    }
}
