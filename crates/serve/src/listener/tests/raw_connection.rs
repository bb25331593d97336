//! An HTTP/2 connection written frame by frame (RFC 9113), for what a client library would not
//! do: send a request and its cancellation at once, or leave a ping unanswered.

use std::collections::HashSet;

use tokio_rustls::client::TlsStream;

use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// One HTTP/2 connection in the hands of the test.
pub(super) struct RawConnection {
    stream: TlsStream<TcpStream>,
    next_id: u32,
    /// Bytes of body that the server is ready to take on all streams together.
    window: usize,
    /// The streams that were answered in full.
    answered: HashSet<u32>,
    out: Vec<u8>,
}

pub(super) struct Frame {
    kind: u8,
    id: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// Of a GOAWAY: the last stream that the server will answer, and why it goes.
    pub(super) fn last_stream_and_error(&self) -> (u32, u32) {
        let (last, error) = self.payload.split_at(4);
        (number(last), number(&error[..4]))
    }
}

impl Frame {
    /// Of a SETTINGS: `SETTINGS_MAX_CONCURRENT_STREAMS` (RFC 9113, 6.5.2).
    pub(super) fn max_concurrent_streams(&self) -> Option<u32> {
        let mut settings = self.payload.chunks(6);
        let setting = settings.find(|setting| setting.starts_with(&[0, 3]))?;
        Some(number(&setting[2..]))
    }
}

impl RawConnection {
    /// A connection like the aggregator's.
    pub(super) async fn open(server: &TestServer) -> Self {
        Self::over(server.connect(TestServer::trusted()).await.unwrap()).await
    }

    pub(super) async fn open_as_stranger(server: &TestServer) -> Self {
        Self::over(server.connect(None).await.unwrap()).await
    }

    async fn over(stream: TlsStream<TcpStream>) -> Self {
        let out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let answered = HashSet::new();
        let mut connection = Self {
            stream,
            next_id: 1,
            window: 65_535,
            answered,
            out,
        };
        connection.frame(SETTINGS, 0, 0, &[]);
        connection.send().await;
        connection
    }

    /// The head of a POST whose body is to follow; gives the stream's id. Nothing leaves before
    /// [`send`](Self::send).
    pub(super) fn begin_post(&mut self, path: &str) -> u32 {
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

    /// A whole POST.
    pub(super) fn post(&mut self, path: &str) -> u32 {
        let id = self.begin_post(path);
        self.body(id, b"whole", END_STREAM);
        id
    }

    /// A POST whose client hangs up in the body.
    pub(super) fn cut_off_post(&mut self, path: &str) {
        let id = self.begin_post(path);
        self.body(id, &[b'x'; 1000], 0);
        self.hang_up(id);
    }

    /// One byte more of a body, even of one that has ended.
    pub(super) fn dribble(&mut self, id: u32) {
        self.body(id, b"x", 0);
    }

    /// Waits until the server has seen all that was sent.
    pub(super) async fn round_trip(&mut self) {
        self.frame(PING, 0, 0, b"a ping..");
        self.send().await;
        self.expect(PING).await;
    }

    pub(super) fn hang_up(&mut self, id: u32) {
        self.frame(RST_STREAM, 0, id, &CANCEL);
    }

    pub(super) fn answer_ping(&mut self, ping: &Frame) {
        self.frame(PING, ACK, 0, &ping.payload);
    }

    fn body(&mut self, id: u32, body: &[u8], flags: u8) {
        self.window = self
            .window
            .checked_sub(body.len())
            .expect("room in the window");
        self.frame(DATA, flags, id, body);
    }

    fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.out.extend_from_slice(&length[1..]);
        self.out.extend_from_slice(&[kind, flags]);
        self.out.extend_from_slice(&id.to_be_bytes());
        self.out.extend_from_slice(payload);
    }

    pub(super) async fn send(&mut self) {
        // A server that gives up says so in a frame, which is what the test then receives.
        let sent = self.stream.write_all(&std::mem::take(&mut self.out)).await;
        drop(sent.and(self.stream.flush().await));
    }

    /// Receives until such a frame has come.
    pub(super) async fn expect(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.receive().await;
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Waits until the server takes `bytes` more; for ever, if it forgets what was cut off.
    pub(super) async fn expect_window(&mut self, bytes: usize) {
        while self.window < bytes {
            self.receive().await;
        }
    }

    /// Waits until each of these streams was answered with 200 in full.
    pub(super) async fn expect_answers(&mut self, ids: &[u32]) {
        while !ids.iter().all(|id| self.answered.contains(id)) {
            let frame = self.receive().await;
            assert_ne!(
                frame.kind,
                GOAWAY,
                "given up: {:?}",
                frame.last_stream_and_error()
            );
        }
    }

    async fn receive(&mut self) -> Frame {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.unwrap();
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; number(&[0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).await.unwrap();
        let frame = Frame {
            kind,
            id: number(&id),
            payload,
        };
        match kind {
            SETTINGS if flags & ACK == 0 => {
                self.frame(SETTINGS, ACK, 0, &[]);
                self.send().await;
            }
            WINDOW_UPDATE if frame.id == 0 => self.window += number(&frame.payload) as usize,
            HEADERS => assert_eq!(frame.payload.first(), Some(&0x88), "status 200"),
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            self.answered.insert(frame.id);
        }
        frame
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}
