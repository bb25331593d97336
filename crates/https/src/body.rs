//! Bodies of answers, which are read no further than a limit.

use reqwest::Response;

/// Why a body could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection failed or time ran out.
    #[error(transparent)]
    Transport(reqwest::Error),
    /// The body is longer than this many bytes.
    #[error("answer is longer than {0} bytes")]
    TooLong(usize),
}

/// The body of `response`, if it has at most `limit` bytes.
///
/// # Errors
/// [`BodyError`].
pub async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Transport)? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
