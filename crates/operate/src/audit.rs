//! The audit log: one JSON line an event, never filtered by the log level.

use std::fmt;
use std::io::{self, Write};
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::clock::Clock;

/// Writes audit events to one sink; cheap to clone.
///
/// A line is written whole and at once, on the thread of the caller: an event that was reported has reached the kernel, and a
/// sink that stands still holds up logins rather than losing their record.
#[derive(Clone)]
pub struct AuditLog {
    sink: Arc<Mutex<dyn Write + Send>>,
    clock: Clock,
}

/// What stands before the event's own fields (Pinniped `internal/plog`).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a, E> {
    level: &'static str,
    timestamp: String,
    caller: String,
    message: &'a str,
    audit_event: bool,
    #[serde(flatten)]
    event: &'a E,
}

impl AuditLog {
    /// Writes to stderr, as Pinniped's Concierge does.
    pub fn stderr(clock: Clock) -> Self {
        Self::new(io::stderr(), clock)
    }

    /// Writes to `sink`.
    pub fn new(sink: impl Write + Send + 'static, clock: Clock) -> Self {
        Self {
            sink: Arc::new(Mutex::new(sink)),
            clock,
        }
    }

    /// Writes `message` and the fields of `event`, which must serialise as an object.
    ///
    /// # Errors
    /// The event has left no line, or not a whole one.
    #[track_caller]
    pub fn write(&self, message: &str, event: &impl Serialize) -> io::Result<()> {
        let caller = Location::caller();
        let line = Line {
            level: "info",
            timestamp: rfc3339(self.clock.now()),
            caller: format!("{}:{}", caller.file(), caller.line()),
            message,
            audit_event: true,
            event,
        };
        let mut bytes = Vec::with_capacity(768);
        serde_json::to_writer(&mut bytes, &line)?;
        bytes.push(b'\n');
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.write_all(&bytes)
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditLog")
    }
}

/// RFC 3339 with microseconds, UTC; the epoch for a time that has no such form.
pub fn rfc3339(time: SystemTime) -> String {
    format!("{:.6}", timestamp(time))
}

/// The epoch for a time before it, or far beyond any year that can be written.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros())
        .ok()
        .and_then(|micros| Timestamp::from_microsecond(micros).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_event_is_one_line_with_the_reference_s_head() {
        let (clock, _) =
            Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_000_000_250));
        let sink = Sink::default();
        let log = AuditLog::new(sink.clone(), clock);
        log.write(
            "Something\nhappened",
            &json!({"auditID": "a", "reason": "r"}),
        )
        .unwrap();
        log.write("Again", &json!({})).unwrap();

        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        let mut first: Value = serde_json::from_str(lines[0]).unwrap();
        let caller = first["caller"].take();
        assert!(caller.as_str().unwrap().contains("audit.rs:"), "{caller}");
        assert_eq!(
            first,
            json!({"level": "info", "timestamp": "2025-11-24T16:00:00.250000Z", "caller": null,
                "message": "Something\nhappened", "auditEvent": true, "auditID": "a", "reason": "r"})
        );
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_lost_event_is_told() {
        let log = AuditLog::new(Full, Clock::system());
        let error = log.write("Something happened", &json!({})).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let log = AuditLog::new(Sink::default(), Clock::system());
        assert!(log.write("No object", &"text").is_err());
    }
}
