//! Clients of the API server that hang up arrive as reset streams on the one connection that
//! carries everybody's logins. Written frame by frame, because an HTTP/2 client library would not
//! send what is already cancelled.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::routing::post;
use tokio_rustls::client::TlsStream;

use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
const ENHANCE_YOUR_CALM: u8 = 11;

/// One HTTP/2 connection in the hands of the test.
struct RawConnection {
    stream: TlsStream<TcpStream>,
    next_id: u32,
    /// Bytes of body that the server is ready to take on all streams together.
    window: usize,
    out: Vec<u8>,
}

struct Frame {
    kind: u8,
    flags: u8,
    id: u32,
    payload: Vec<u8>,
}

impl RawConnection {
    async fn open(server: &TestServer) -> Self {
        let stream = server.connect(None).await.unwrap();
        let out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut connection = Self {
            stream,
            next_id: 1,
            window: 65_535,
            out,
        };
        connection.frame(SETTINGS, 0, 0, &[]);
        connection.send().await;
        connection
    }

    fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.out.extend_from_slice(&length[1..]);
        self.out.extend_from_slice(&[kind, flags]);
        self.out.extend_from_slice(&id.to_be_bytes());
        self.out.extend_from_slice(payload);
    }

    /// The head of a POST whose body may follow; gives the stream's id.
    fn post(&mut self, path: &str) -> u32 {
        let id = self.next_id;
        self.next_id += 2;
        // HPACK: POST and https from the static table, then path and authority as plain literals.
        let mut head = vec![0x83, 0x87, 0x04, u8::try_from(path.len()).unwrap()];
        head.extend_from_slice(path.as_bytes());
        head.extend_from_slice(&[0x01, 9]);
        head.extend_from_slice(b"localhost");
        self.frame(HEADERS, END_HEADERS, id, &head);
        id
    }

    fn body(&mut self, id: u32, body: &[u8], flags: u8) {
        self.window = self
            .window
            .checked_sub(body.len())
            .expect("room in the window");
        self.frame(DATA, flags, id, body);
    }

    fn hang_up(&mut self, id: u32) {
        self.frame(RST_STREAM, 0, id, &CANCEL);
    }

    async fn send(&mut self) {
        // A server that gives up says so in a frame, which is what the test then receives.
        let sent = self.stream.write_all(&std::mem::take(&mut self.out)).await;
        drop(sent.and(self.stream.flush().await));
    }

    async fn receive(&mut self) -> Frame {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.unwrap();
            let [a, b, c, kind, flags, id @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.stream.read_exact(&mut payload).await.unwrap();
            match (kind, flags & ACK) {
                (SETTINGS | PING, 0) => {
                    let answer = if kind == PING { payload } else { Vec::new() };
                    self.frame(kind, ACK, 0, &answer);
                    self.send().await;
                }
                (WINDOW_UPDATE, _) if id == [0; 4] => {
                    let more = u32::from_be_bytes(payload.try_into().unwrap());
                    self.window += more as usize;
                    return Frame {
                        kind,
                        flags,
                        id: 0,
                        payload: Vec::new(),
                    };
                }
                _ => {
                    return Frame {
                        kind,
                        flags,
                        id: u32::from_be_bytes(id),
                        payload,
                    };
                }
            }
        }
    }

    /// Waits until the server takes `bytes` more; for ever, if it forgets what was cut off.
    async fn expect_window(&mut self, bytes: usize) {
        while self.window < bytes {
            self.receive().await;
        }
    }

    /// Waits until each of these streams was answered with 200 in full.
    async fn expect_answers(&mut self, mut ids: Vec<u32>) {
        while !ids.is_empty() {
            let frame = self.receive().await;
            assert_ne!(
                frame.kind, GOAWAY,
                "the connection was given up: {:?}",
                frame.payload
            );
            if frame.kind == HEADERS {
                assert_eq!(frame.payload.first(), Some(&0x88), "status 200");
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                ids.retain(|id| *id != frame.id);
            }
        }
    }
}

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
    let mut answered = Vec::new();
    for number in 0..500 {
        let id = connection.post("/login");
        connection.body(id, &[b'x'; 1000], 0);
        connection.hang_up(id);
        if number % (500 / good) == 0 {
            let id = connection.post("/login");
            connection.body(id, b"whole", END_STREAM);
            answered.push(id);
        }
    }
    answered
}

#[tokio::test]
async fn clients_that_hang_up_in_their_request_disturb_nobody() {
    let (router, _) = router();
    let server = TestServer::start(router).await;
    let mut connection = RawConnection::open(&server).await;
    // More than the reset limit in all, and several times the connection's flow control window.
    for _ in 0..10 {
        connection.expect_window(510_000).await;
        let answered = cut_off(&mut connection, 10);
        connection.send().await;
        connection.expect_answers(answered).await;
    }
}

#[tokio::test]
async fn clients_that_hang_up_while_they_wait_free_their_handlers() {
    let (router, hanging) = router();
    let server = TestServer::start(router).await;
    let mut connection = RawConnection::open(&server).await;
    for _ in 0..10 {
        let ids: Vec<u32> = (0..500).map(|_| connection.post("/hang")).collect();
        for id in &ids {
            connection.body(*id, b"whole", END_STREAM);
        }
        connection.send().await;
        until(&hanging, 500).await;
        for id in ids {
            connection.hang_up(id);
        }
        let good = connection.post("/login");
        connection.body(good, b"whole", END_STREAM);
        connection.send().await;
        connection.expect_answers(vec![good]).await;
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
    let farewell = loop {
        let frame = connection.receive().await;
        if frame.kind == GOAWAY {
            break frame;
        }
    };
    assert_eq!(farewell.payload[7], ENHANCE_YOUR_CALM);
}
