//! The body of a request, which anybody may send.

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::shares::Shares;
use crate::source::Source;
use crate::status::ApiError;
use crate::throttle::Throttle;

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

/// How often the log tells of bodies that did not come in time.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// What bodies that are still arriving may hold. The default fits door A.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// The most bytes of unfinished bodies at a time.
    pub room: usize,
    /// The most of these that one source sends: sixteen bodies of the largest, or a thousand
    /// ordinary ones, should they all be in the middle at the same moment.
    pub room_per_source: usize,
    /// How many of one source may be late at a time. At door A each takes a stream of the
    /// connection on which everybody's requests come, and what is held with it.
    pub late_per_source: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            room: 64 * 1024 * 1024,
            room_per_source: 4 * 1024 * 1024,
            late_per_source: 8,
        }
    }
}

/// Reads bodies, and bounds what those that are still arriving hold together.
#[derive(Debug)]
pub struct BodyReader {
    /// One permit for each byte.
    room: Semaphore,
    /// Bytes of each source.
    bytes: Shares,
    /// Late bodies of each source.
    late: Shares,
    refusals: Throttle,
}

impl BodyReader {
    /// A reader that nobody uses yet.
    pub fn new(limits: BodyLimits) -> Self {
        Self {
            room: Semaphore::new(limits.room),
            bytes: Shares::new(limits.room_per_source),
            late: Shares::new(limits.late_per_source),
            refusals: Throttle::new(WARNING_INTERVAL),
        }
    }

    /// Reads `body`, which `source` sends, to its end. The log tells of 408 and 429 now and then.
    ///
    /// # Errors
    /// 413 beyond [`BODY_LIMIT`]; 400 when the client stops in the middle; 408 when nothing of it
    /// comes for 1 s, or when it takes more than 5 s; 429 when too much of other bodies is held, in
    /// all or of `source`, or too many of `source` are late.
    pub async fn read(&self, body: Body, source: Source) -> Result<Vec<u8>, ApiError> {
        let read = self.receive(body, source).await;
        read.inspect_err(|error| {
            if is_late(error) && self.refusals.lets_pass() {
                tracing::warn!(
                    address = %source,
                    code = error.code().as_u16(),
                    "refused requests whose bodies were long in coming"
                );
            }
        })
    }

    async fn receive(&self, body: Body, source: Source) -> Result<Vec<u8>, ApiError> {
        let mut body = Limited::new(body, BODY_LIMIT);
        let mut held = self.reserve(0)?;
        let (mut own, mut late) = (self.bytes.of(source), self.late.of(source));
        let mut whole = Vec::new();
        let begun = Instant::now();
        let mut progress = begun;
        loop {
            let frame = match next(begun.elapsed(), progress.elapsed(), !late.is_empty()) {
                Next::Wait(time) => timeout(time, body.frame()).await,
                Next::Count => {
                    if !late.grow(1) {
                        return Err(ApiError::too_many_requests(1));
                    }
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
                if !own.grow(data.len()) {
                    return Err(ApiError::too_many_requests(1));
                }
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

/// Whether a request was refused because its body, or too many others, were long in coming.
pub fn is_late(error: &ApiError) -> bool {
    [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&error.code())
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
