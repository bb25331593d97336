//! Requests that are answered before they have ended, on the one connection that carries
//! everybody's logins.

use axum::body::Bytes;
use axum::routing::post;

use super::raw_connection::RawConnection;
use super::*;

/// `/early` answers without a look at the body, `/login` when it has the whole.
fn router() -> Router {
    Router::new()
        .route("/early", post(|| async {}))
        .route("/login", post(|_: Bytes| async {}))
}

#[tokio::test]
async fn bodies_that_dribble_on_behind_their_answers_disturb_nobody() {
    let server = TestServer::start(router()).await;
    let mut connection = RawConnection::open_as_stranger(&server).await;
    let early: Vec<u32> = (0..50).map(|_| connection.begin_post("/early")).collect();
    connection.send().await;
    connection.expect_answers(&early).await;
    // Twice as many small frames as h2 forgives in streams that nobody reads.
    for _ in 0..100 {
        for &id in &early {
            connection.dribble(id);
        }
        connection.round_trip().await;
    }
    let whole = connection.post("/login");
    connection.send().await;
    connection.expect_answers(&[whole]).await;
}

/// What comes for a stream after its end is answered with a reset. h2 counts these as long as the
/// connection lives, so that only no limit at all is high enough.
#[tokio::test]
async fn frames_that_come_too_late_disturb_nobody() {
    let server = TestServer::start(router()).await;
    let mut connection = RawConnection::open(&server).await;
    for _ in 0..=ListenerLimits::default().max_reset_streams / 100 {
        let done: Vec<u32> = (0..100).map(|_| connection.post("/login")).collect();
        connection.send().await;
        connection.expect_answers(&done).await;
        for id in done {
            connection.dribble(id);
        }
        connection.round_trip().await;
    }
}
