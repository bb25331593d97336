//! The body of a request, which anybody may send.

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::late::LateBodies;
use crate::source::Source;
use crate::status::ApiError;

/// The most bytes that a body may have. A request has few more than its token; Kubernetes takes
/// 3 MiB because of other kinds.
pub const BODY_LIMIT: usize = 256 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long nothing of it may come. Who is there at all sends on within that time.
const STALL_TIMEOUT: Duration = Duration::from_secs(1);

/// A body that takes longer counts as late. Ordinary ones come with their heads, and behind one
/// address there may be many people.
const LATE_AFTER: Duration = Duration::from_millis(200);

/// The most bytes of unfinished bodies at a time.
const ROOM: usize = 64 * 1024 * 1024;

/// Reads bodies, and bounds what those that are still arriving hold together.
#[derive(Debug)]
pub struct BodyReader {
    /// One permit for each byte.
    room: Semaphore,
    late: LateBodies,
}

impl BodyReader {
    /// A reader that nobody uses yet.
    pub fn new() -> Self {
        Self::with_room(ROOM)
    }

    fn with_room(bytes: usize) -> Self {
        Self {
            room: Semaphore::new(bytes),
            late: LateBodies::default(),
        }
    }

    /// Reads `body`, which `source` sends, to its end.
    ///
    /// # Errors
    /// 413 beyond [`BODY_LIMIT`]; 400 when the client stops in the middle; 408 when nothing of it
    /// comes for 1 s, or when it takes more than 5 s; 429 when too much of other bodies is held, or
    /// too many of `source` are late.
    pub async fn read(&self, body: Body, source: Source) -> Result<Vec<u8>, ApiError> {
        let mut body = Limited::new(body, BODY_LIMIT);
        let mut held = self.reserve(0)?;
        let mut whole = Vec::new();
        let begun = Instant::now();
        let (mut progress, mut late) = (begun, None);
        loop {
            let frame = match next(begun.elapsed(), progress.elapsed(), late.is_some()) {
                Next::Wait(time) => timeout(time, body.frame()).await,
                Next::Count => {
                    let place = self.late.take(source);
                    late = Some(place.ok_or_else(|| ApiError::too_many_requests(1))?);
                    continue;
                }
                Next::GiveUp => return Err(ApiError::request_timeout()),
            };
            let frame = match frame {
                Ok(Some(frame)) => frame.map_err(|error| refuse(&*error))?,
                Ok(None) => return Ok(whole),
                Err(_elapsed) => continue,
            };
            let data = frame.into_data().unwrap_or_default();
            if !data.is_empty() {
                // What has arrived counts, not what was announced: announcing costs nothing.
                held.merge(self.reserve(data.len())?);
                whole.extend_from_slice(&data);
                progress = Instant::now();
            }
        }
    }

    fn reserve(&self, bytes: usize) -> Result<SemaphorePermit<'_>, ApiError> {
        u32::try_from(bytes)
            .ok()
            .and_then(|bytes| self.room.try_acquire_many(bytes).ok())
            .ok_or_else(|| ApiError::too_many_requests(1))
    }
}

impl Default for BodyReader {
    fn default() -> Self {
        Self::new()
    }
}

fn refuse(error: &(dyn std::error::Error + 'static)) -> ApiError {
    if error.is::<LengthLimitError>() {
        ApiError::request_entity_too_large(BODY_LIMIT)
    } else {
        ApiError::bad_request("the body of the request ended too early")
    }
}

/// What to do about the rest of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Wait for it, no longer than this.
    Wait(Duration),
    /// Count it among the late ones of its source.
    Count,
    /// Wait no more.
    GiveUp,
}

/// Decides about a body that was begun `age` ago and of which nothing has come for `idle`.
fn next(age: Duration, idle: Duration, is_counted: bool) -> Next {
    let left = BODY_TIMEOUT
        .saturating_sub(age)
        .min(STALL_TIMEOUT.saturating_sub(idle));
    if left.is_zero() {
        return Next::GiveUp;
    }
    if is_counted {
        return Next::Wait(left);
    }
    match LATE_AFTER.saturating_sub(age) {
        Duration::ZERO => Next::Count,
        on_time => Next::Wait(left.min(on_time)),
    }
}
