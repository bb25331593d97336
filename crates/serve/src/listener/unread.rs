//! Request bodies that a handler has left unread: they are read on behind the answer.
//!
//! HTTP/2 resets a stream whose body is dropped before its end. What still arrives for it counts
//! against the whole connection: after some 2,000 small frames h2 ends that with
//! `ENHANCE_YOUR_CALM`, and everybody's requests on it (`Counts::record_data_frame`: the frames of
//! a body that is read are forgiven, those of a dropped one never). Also, some clients lose an
//! answer that is followed by a reset.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Request;
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// How much is read behind an answer: what the flow control of a stream lets a client send before
/// it can have heard the answer.
const LIMIT: usize = 1024 * 1024;

/// How long that may take. A client that has its answer sends no more.
const TIME: Duration = Duration::from_secs(5);

/// A body in the hands of a handler, which goes back when it is dropped before its end.
pub(super) struct Lent {
    body: Option<Incoming>,
    unread: Unread,
}

/// Where a body that was left unread is found.
#[derive(Clone, Default)]
pub(super) struct Unread(Arc<Mutex<Option<Incoming>>>);

/// Lends the body of a request.
pub(super) fn lend(request: Request<Incoming>) -> (Request<Lent>, Unread) {
    let unread = Unread::default();
    let lent = |body| Lent {
        body: Some(body),
        unread: unread.clone(),
    };
    (request.map(lent), unread)
}

impl Unread {
    /// The body, if the handler is done with it and has not read it to its end.
    pub(super) fn take(&self) -> Option<Incoming> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            let mut unread = self.unread.0.lock().unwrap_or_else(PoisonError::into_inner);
            *unread = Some(body);
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

/// Reads `body` to its end, [`LIMIT`] or [`TIME`].
pub(super) async fn discard(mut body: impl Body + Unpin) {
    let mut room = LIMIT;
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Buf::remaining);
            match room.checked_sub(bytes) {
                Some(rest) => room = rest,
                None => break,
            }
        }
    };
    let _ended_or_late = tokio::time::timeout(TIME, all).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;
    use http_body_util::StreamBody;
    use tokio::time::Instant;

    use super::*;

    /// A body of `frames` frames of 64 KiB, one each `pause`; counts those that were read.
    fn body(frames: usize, pause: Duration, read: &AtomicUsize) -> impl Body + Unpin {
        StreamBody::new(Box::pin(stream::unfold(0, move |sent| async move {
            tokio::time::sleep(pause).await;
            read.store(sent, Ordering::Relaxed);
            let frame = Frame::data(Bytes::from(vec![b'x'; 64 * 1024]));
            (sent < frames).then(|| (Ok::<_, Infallible>(frame), sent + 1))
        })))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_body_is_read_in_bounds() {
        let cases = [
            ("to its end", 16, Duration::ZERO, 16, 0),
            ("no more than 1 MiB", 1000, Duration::ZERO, 16, 0),
            ("for 5 s", 1000, Duration::from_secs(2), 1, 5),
        ];
        for (what, frames, pause, expected, seconds) in cases {
            let (read, begun) = (AtomicUsize::new(0), Instant::now());
            discard(body(frames, pause, &read)).await;
            assert_eq!(read.into_inner(), expected, "{what}");
            assert_eq!(begun.elapsed().as_secs(), seconds, "{what}");
        }
    }
}
