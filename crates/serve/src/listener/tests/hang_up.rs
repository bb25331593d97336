//! Clients of the API server that hang up arrive as reset streams on the one connection that
//! carries everybody's logins.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::routing::post;

use super::raw_connection::{GOAWAY, RawConnection};
use super::*;

const ENHANCE_YOUR_CALM: u32 = 11;

/// `/login` answers when it has the whole body, `/hang` never; gives how many are at `/hang`.
fn router() -> (Router, Arc<AtomicUsize>) {
    struct Leaves(Arc<AtomicUsize>);
    impl Drop for Leaves {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let hanging = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hanging);
    let hang = move |_: Bytes| async move {
        count.fetch_add(1, Ordering::Relaxed);
        let _leaves = Leaves(count);
        std::future::pending::<()>().await;
    };
    let login = |body: Bytes| async move { format!("{} bytes", body.len()) };
    (
        Router::new()
            .route("/login", post(login))
            .route("/hang", post(hang)),
        hanging,
    )
}

async fn until(what: &AtomicUsize, is: usize) {
    while what.load(Ordering::Relaxed) != is {
        tokio::task::yield_now().await;
    }
}

/// 500 requests that are cut off in their bodies, with `good` whole ones between them.
fn cut_off(connection: &mut RawConnection, good: usize) -> Vec<u32> {
    let mut whole = Vec::new();
    for number in 0..500 {
        connection.cut_off_post("/login");
        if number % (500 / good) == 0 {
            whole.push(connection.post("/login"));
        }
    }
    whole
}

#[tokio::test]
async fn clients_that_hang_up_in_their_request_disturb_nobody() {
    let (router, _) = router();
    let server = TestServer::start(router).await;
    let mut connection = RawConnection::open(&server).await;
    // More than the reset limit in all, and several times the connection's flow control window.
    for _ in 0..10 {
        connection.expect_window(510_000).await;
        let whole = cut_off(&mut connection, 10);
        connection.send().await;
        connection.expect_answers(&whole).await;
    }
}

#[tokio::test]
async fn clients_that_hang_up_while_they_wait_free_their_handlers() {
    let (router, hanging) = router();
    let server = TestServer::start(router).await;
    let mut connection = RawConnection::open(&server).await;
    for _ in 0..10 {
        let ids: Vec<u32> = (0..500).map(|_| connection.post("/hang")).collect();
        connection.send().await;
        until(&hanging, 500).await;
        for id in ids {
            connection.hang_up(id);
        }
        let good = connection.post("/login");
        connection.send().await;
        connection.expect_answers(&[good]).await;
        until(&hanging, 0).await;
    }
}

#[tokio::test]
async fn it_is_the_reset_limit_that_makes_the_difference() {
    let (router, _) = router();
    let limits = ListenerLimits {
        max_reset_streams: 20,
        ..ListenerLimits::default()
    };
    let server = TestServer::start_with(router, limits, GRACE).await;
    let mut connection = RawConnection::open(&server).await;
    connection.expect_window(510_000).await;
    cut_off(&mut connection, 1);
    connection.send().await;
    let (_, error) = connection.expect(GOAWAY).await.last_stream_and_error();
    assert_eq!(error, ENHANCE_YOUR_CALM);
}
