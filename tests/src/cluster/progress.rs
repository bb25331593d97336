//! Words to the person who waits.

use std::time::Duration;

/// Prints a line on standard error, at once.
#[expect(
    clippy::print_stderr,
    reason = "the one place where the test helpers talk to the terminal"
)]
pub(super) fn say(line: &str) {
    eprintln!("{line}");
}

/// Runs `work` and says every half minute that it still goes on.
pub(super) async fn with_heartbeat<T>(what: &str, work: impl Future<Output = T>) -> T {
    const BEAT: Duration = Duration::from_secs(30);
    let start = std::time::Instant::now();
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(BEAT, &mut work).await {
            Ok(done) => return done,
            Err(_) => say(&format!("  still {what} ({} s)", start.elapsed().as_secs())),
        }
    }
}
