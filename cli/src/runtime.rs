//! From a program that most often needs no network to calls of servers.

use std::io;

use tokio::runtime;

/// Why no server could be called.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up input and output")]
pub(crate) struct RuntimeError(#[source] io::Error);

/// Runs `work`, which may call HTTPS servers, on this thread. What it has begun on others, such as a question that nobody has
/// answered, is not waited for.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, RuntimeError> {
    // A second call finds it installed, which is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut runtime = runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().map_err(RuntimeError)?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}
