//! The body of a request, which anybody may send.

use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::status::ApiError;

/// The most bytes that a body may have. A request has few more than its token; Kubernetes takes
/// 3 MiB because of other kinds.
pub const BODY_LIMIT: usize = 256 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes of unfinished bodies at a time.
const ROOM: usize = 64 * 1024 * 1024;

/// Reads bodies, and bounds what those that are still arriving hold together.
#[derive(Debug)]
pub struct BodyReader {
    /// One permit for each byte.
    room: Semaphore,
}

impl BodyReader {
    /// A reader that nobody uses yet.
    pub fn new() -> Self {
        Self::with_room(ROOM)
    }

    pub(super) fn with_room(bytes: usize) -> Self {
        Self {
            room: Semaphore::new(bytes),
        }
    }

    /// Reads `body` to its end.
    ///
    /// # Errors
    /// 413 beyond [`BODY_LIMIT`]; 400 when the client stops in the middle; 504 when it takes more
    /// than 5 s; 429 when too much of other bodies is held.
    pub async fn read(&self, body: Body) -> Result<Vec<u8>, ApiError> {
        tokio::time::timeout(BODY_TIMEOUT, self.collect(body))
            .await
            .unwrap_or_else(|_elapsed| Err(ApiError::timeout()))
    }

    async fn collect(&self, body: Body) -> Result<Vec<u8>, ApiError> {
        let mut body = Limited::new(body, BODY_LIMIT);
        let mut held = self.reserve(0)?;
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    ApiError::request_entity_too_large(BODY_LIMIT)
                } else {
                    ApiError::bad_request("the body of the request ended too early")
                }
            })?;
            if let Ok(data) = frame.into_data() {
                // What has arrived counts, not what was announced: announcing costs nothing.
                held.merge(self.reserve(data.len())?);
                whole.extend_from_slice(&data);
            }
        }
        Ok(whole)
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
