//! What the kernel says of a process: CPU time and resident memory.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// User and system time of a process so far, from `/proc/PID/stat` (10 ms steps).
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    parse_cpu_time(&stat, rustix::param::clock_ticks_per_second())
        .with_context(|| format!("{path} has no CPU times"))
}

/// Fields 14 and 15 of proc_pid_stat(5); the command name may hold spaces and parentheses.
fn parse_cpu_time(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    Some(Duration::from_millis(ticks * 1000 / ticks_per_second))
}

/// Resident memory (`VmRSS`) in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS")
}

/// The most memory that was resident so far (`VmHWM`) in bytes.
pub(crate) fn peak_bytes(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM")
}

fn memory(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status =
        std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    parse_memory(&status, field).with_context(|| format!("{path} has no {field}"))
}

fn parse_memory(status: &str, field: &str) -> Option<u64> {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_an_odd_command_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 100 1 1";
        assert_eq!(parse_cpu_time(stat, 100), Some(Duration::from_secs(2)));
        assert_eq!(parse_cpu_time("42 (x) S 1", 100), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(parse_memory(status, "VmRSS"), Some(2 * 1024 * 1024));
        assert_eq!(parse_memory(status, "VmHWM"), Some(4 * 1024 * 1024));
        assert_eq!(parse_memory("Name:\tx\n", "VmRSS"), None);
    }

    #[test]
    fn own_process_can_be_read() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 0);
        assert!(peak_bytes(pid).unwrap() > 0);
        cpu_time(pid).unwrap();
    }
}
