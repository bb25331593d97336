//! What the commands print.

use std::time::{Duration, Instant};

/// Prints a line on standard output.
#[expect(clippy::print_stdout, reason = "the one place where xtask prints")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Prints a line on standard error.
#[expect(clippy::print_stderr, reason = "the one place where xtask complains")]
pub(crate) fn complain(line: &str) {
    eprintln!("{line}");
}

/// Runs one step, and says what it is before and how long it took after.
pub(crate) async fn step<T>(
    what: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    say(&format!("==> {what}"));
    let start = Instant::now();
    let done = work.await?;
    say(&format!("    done in {}", seconds(start.elapsed())));
    Ok(done)
}

/// A duration as a person reads it: `0.42 s`, `12.3 s`, `3 min 20 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 10.0 {
        format!("{seconds:.2} s")
    } else if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        let whole = duration.as_secs();
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.42 s");
        assert_eq!(seconds(Duration::from_millis(12_345)), "12.3 s");
        assert_eq!(seconds(Duration::from_secs(200)), "3 min 20 s");
    }
}
