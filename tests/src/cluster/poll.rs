//! Waiting for something to become true, with a deadline and the reason if it does not.

use std::time::{Duration, Instant};

use anyhow::bail;

use super::process::Process;

const PAUSE: Duration = Duration::from_millis(50);

/// Repeats `attempt` until it succeeds.
///
/// # Errors
/// One of `processes` ended (at once), or `attempt` still fails after `limit`: the text then has its last error and the
/// end of each process' log.
pub async fn wait_for<T>(
    what: &str,
    limit: Duration,
    processes: &mut [&mut Process],
    mut attempt: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        for process in processes.iter_mut() {
            process.ensure_running()?;
        }
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if start.elapsed() >= limit {
            let logs: String = processes
                .iter()
                .map(|process| format!("\n{}{}", process.name(), process.log_tail()))
                .collect();
            bail!("{what}: not within {} s: {error:#}{logs}", limit.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn last_error_is_told_at_the_deadline() {
        let mut attempts = 0;
        let error = wait_for("webhook ready", Duration::ZERO, &mut [], async || {
            attempts += 1;
            bail!("connection refused") as anyhow::Result<()>
        })
        .await
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "webhook ready: not within 0 s: connection refused"
        );
        assert_eq!(attempts, 1);
    }

    #[tokio::test]
    async fn attempts_go_on_until_one_succeeds() {
        let mut attempts = 0;
        let done = wait_for("it", Duration::from_secs(60), &mut [], async || {
            attempts += 1;
            if attempts < 3 {
                bail!("not yet");
            }
            Ok(attempts)
        })
        .await
        .unwrap();
        assert_eq!(done, 3);
    }
}
