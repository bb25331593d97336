use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::post;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::listener::{ListenerLimits, PeerAddress, serve_plain};

const SOMEBODY: Source = Source::V4(Ipv4Addr::new(192, 0, 2, 1));
const ANOTHER: Source = Source::V4(Ipv4Addr::new(192, 0, 2, 2));

fn with_room(room: usize, room_per_source: usize) -> BodyReader {
    BodyReader::new(BodyLimits {
        room,
        room_per_source,
        ..BodyLimits::default()
    })
}

#[tokio::test]
async fn bodies_end_at_the_limit() {
    let reader = BodyReader::new(BodyLimits::default());
    let whole = Body::from(vec![b' '; BODY_LIMIT]);
    let read = reader.read(whole, SOMEBODY).await;
    assert_eq!(read.unwrap().len(), BODY_LIMIT);
    let over = Body::from(vec![b' '; BODY_LIMIT + 1]);
    let too_large = Err(ApiError::request_entity_too_large(262_144));
    assert_eq!(reader.read(over, SOMEBODY).await, too_large);

    let endless = futures_util::stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[0; 4096])));
    let endless = Body::from_stream(endless);
    assert_eq!(reader.read(endless, SOMEBODY).await, too_large);

    let broken = futures_util::stream::iter([Ok(Bytes::new()), Err(std::io::Error::other("gone"))]);
    let refused = reader.read(Body::from_stream(broken), SOMEBODY).await;
    assert_eq!(refused.unwrap_err().code(), 400);
}

/// Age, time without a byte, and whether it is counted; what follows. In milliseconds.
#[test]
fn how_long_a_body_is_awaited() {
    use Next::{Count, GiveUp, Wait};
    let millis = Duration::from_millis;
    let rows = [
        (0, 0, false, Wait(millis(200))),
        (199, 10, false, Wait(millis(1))),
        (200, 0, false, Count),
        (200, 200, false, Count),
        (3_000, 0, false, Count),
        (200, 200, true, Wait(millis(800))),
        (999, 999, true, Wait(millis(1))),
        (1_000, 1_000, true, GiveUp),
        // However slow the machine was meanwhile.
        (1_000, 1_000, false, GiveUp),
        (3_000, 0, true, Wait(millis(1_000))),
        (3_000, 999, true, Wait(millis(1))),
        (3_000, 1_000, true, GiveUp),
        (4_500, 0, true, Wait(millis(500))),
        (4_999, 900, true, Wait(millis(1))),
        (5_000, 0, true, GiveUp),
        (9_000, 0, false, GiveUp),
    ];
    for (age, idle, is_counted, expected) in rows {
        let decided = next(millis(age), millis(idle), is_counted);
        assert_eq!(decided, expected, "{age} {idle} {is_counted}");
    }
}

/// Sends some bytes and then nothing more.
fn stalling(bytes: usize) -> Body {
    let sent = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from(vec![b' '; bytes]))]);
    Body::from_stream(sent.chain(futures_util::stream::pending()))
}

/// Sends `frames` frames of `bytes` bytes, one after each `pause`.
fn dribbling(frames: usize, bytes: usize, pause: u64) -> Body {
    let frames = futures_util::stream::iter(0..frames).then(move |_| async move {
        sleep(Duration::from_millis(pause)).await;
        Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b' '; bytes])))
    });
    Body::new(StreamBody::new(frames))
}

/// Body; bytes that are read, or else an error, and milliseconds until then.
#[tokio::test(start_paused = true)]
async fn bodies_that_do_not_end_are_given_up() {
    let reader = BodyReader::new(BodyLimits::default());
    let given_up = || Err(ApiError::request_timeout());
    for (body, outcome, millis) in [
        (stalling(0), given_up(), 1_000),
        (stalling(10), given_up(), 1_000),
        (dribbling(5, 1, 900), Ok(5), 4_500),
        (dribbling(3, 1, 1_100), given_up(), 1_000),
        (dribbling(100, 1, 400), given_up(), 5_000),
        // What holds nothing is no progress.
        (dribbling(100, 0, 100), given_up(), 1_000),
    ] {
        let begun = Instant::now();
        let read = reader.read(body, SOMEBODY).await.map(|whole| whole.len());
        assert_eq!(read, outcome);
        assert_eq!(begun.elapsed().as_millis(), millis);
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_arriving_have_a_bound_together() {
    let reader = with_room(100, 100);
    let mut first = std::pin::pin!(reader.read(stalling(60), SOMEBODY));
    assert!(futures_util::poll!(&mut first).is_pending());
    let body = |bytes: usize| reader.read(Body::from(vec![b' '; bytes]), ANOTHER);
    assert_eq!(body(41).await, Err(ApiError::too_many_requests(1)));
    assert_eq!(body(40).await.unwrap().len(), 40);
    assert!(first.await.is_err());
    assert_eq!(body(100).await.unwrap().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn one_source_takes_a_part_of_it_only() {
    let reader = with_room(100, 60);
    let mut first = std::pin::pin!(reader.read(stalling(50), SOMEBODY));
    assert!(futures_util::poll!(&mut first).is_pending());
    let body = |bytes: usize, source| reader.read(Body::from(vec![b' '; bytes]), source);
    let too_many = Err(ApiError::too_many_requests(1));
    assert_eq!(body(11, SOMEBODY).await, too_many);
    assert_eq!(body(10, SOMEBODY).await.unwrap().len(), 10);
    assert_eq!(body(50, ANOTHER).await.unwrap().len(), 50);
    assert!(first.await.is_err());
    assert_eq!(body(60, SOMEBODY).await.unwrap().len(), 60);
}

#[tokio::test(start_paused = true)]
async fn few_bodies_of_one_source_may_be_late() {
    let reader = BodyReader::new(BodyLimits::default());
    let read = |source| reader.read(dribbling(10, 1, 400), source);
    let too_many = Err(ApiError::too_many_requests(1));
    let begun = Instant::now();
    let late = join_all((0..BodyLimits::default().late_per_source).map(|_| read(SOMEBODY)));
    let others = async {
        sleep(Duration::from_millis(300)).await;
        assert_eq!(read(SOMEBODY).await, too_many);
        assert_eq!(begun.elapsed().as_millis(), 500);
        // One that is on time is not counted, and another's are his own.
        let on_time = reader.read(dribbling(3, 1, 60), SOMEBODY).await;
        assert_eq!(on_time.unwrap().len(), 3);
        read(ANOTHER).await
    };
    let (late, of_another) = tokio::join!(late, others);
    for read in late.into_iter().chain([of_another, read(SOMEBODY).await]) {
        assert_eq!(read.unwrap().len(), 10);
    }
}

/// The listener, with a route that answers when it has read the body.
async fn listening(reader: BodyReader, tasks: &mut JoinSet<()>) -> SocketAddr {
    let reader = Arc::new(reader);
    let read = async move |request: Request| {
        let peer: Option<&PeerAddress> = request.extensions().get();
        let source = Source::from(peer.unwrap().0.ip());
        let body = reader.read(request.into_body(), source).await?;
        Ok::<_, ApiError>(body.len().to_string())
    };
    let router = Router::new().route("/", post(read));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (limits, drain) = (ListenerLimits::default(), CancellationToken::new());
    tasks.spawn(serve_plain(listener, limits, router, drain, Duration::ZERO));
    address
}

/// A request from this loopback address that announces a hundred bytes and sends so many.
async fn send(server: SocketAddr, from: [u8; 4], bytes: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100\r\n\r\n";
    let request = [head.as_bytes(), &vec![b' '; bytes]].concat();
    stream.write_all(&request).await.unwrap();
    stream
}

/// The status code of the answer.
async fn status(mut stream: TcpStream) -> String {
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer.to_vec()).unwrap();
    answer.strip_prefix("HTTP/1.1 ").unwrap().to_owned()
}

#[tokio::test]
async fn bodies_are_counted_by_the_address_that_the_listener_sees() {
    let mut tasks = JoinSet::new();
    let server = listening(with_room(1_000, 120), &mut tasks).await;
    let (host, neighbour) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let mut refused = false;
    for _ in 0..50 {
        // It may not have been read yet, or be given up by now.
        let held = send(server, host, 60).await;
        sleep(Duration::from_millis(20)).await;
        refused |= status(send(server, host, 100).await).await == "429";
        assert_eq!(status(send(server, neighbour, 100).await).await, "200");
        drop(held);
        if refused {
            return;
        }
    }
    panic!("nothing was counted");
}
