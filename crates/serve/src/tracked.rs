//! HTTP/2 on tasks that shutdown waits for.

use hyper::rt::Executor;
use tokio_util::task::TaskTracker;

/// Runs what hyper does beside a connection on the tracker that is waited for. hyper's own executor
/// detaches its tasks.
#[derive(Clone, Debug)]
pub struct TrackedExecutor(pub TaskTracker);

impl<F> Executor<F> for TrackedExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        drop(self.0.spawn(task));
    }
}
