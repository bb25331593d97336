//! Calls to HTTPS servers that somebody else runs and that are not trusted: [`HttpsClient`].
//!
//! Each call is bounded in time and size. What a server says stands in a message only as [`foreign`] text.
//!
//! The TLS configuration is made here and not by the HTTP library, so that [`HttpsClient::check_connection`] trusts exactly
//! whom calls trust. It is therefore the second crate that names rustls, beside `haulout_serve::tls`, whose configurations
//! are for peers of our own: TLS 1.3, with certificates of our own authorities.

mod body;
mod client;
mod connection;
mod error;
mod proxy;
mod tls;

pub use body::{BodyError, read_body};
pub use client::{Answer, HttpsClient, Limits};
pub use connection::ConnectionError;
pub use error::{CallError, CallFault, ClientError, causes};
pub use proxy::{ProxyError, ProxyRules};
pub use tls::TrustRoots;

/// Text from outside as it may stand in a message: escaped, and cut to a length that cannot flood a log or a status.
pub fn foreign(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    let mut quoted: String = text.escape_debug().take(MAX_CHARS).collect();
    let rest = text.escape_debug().skip(MAX_CHARS).count();
    if rest > 0 {
        quoted.push_str(&format!(" [truncated {rest} chars]"));
    }
    quoted
}
