//! A listener that speaks no TLS.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Where nobody calls, or nothing is said, a test fails and does not hang.
const LIMIT: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(10);
const TRIES: u32 = 6000;

/// The next call, on which nothing is waited for without a limit either.
pub(crate) fn called(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    for _ in 0..TRIES {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                return stream;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(INTERVAL),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("nobody calls");
}
