//! Calls to HTTPS servers that somebody else runs and that are not trusted: [`HttpsClient`], and [`HttpsClients`] where many
//! trust the same roots.
//!
//! Each call is bounded in time and size. What a server says stands in a message only as [`foreign`] text.
//!
//! The TLS configuration is made here and not by the HTTP library, so that [`HttpsClient::check_connection`] trusts exactly
//! whom calls trust. It is therefore the second crate that names rustls, beside `haulout_serve::tls`, whose configurations
//! are for peers of our own: TLS 1.3, with certificates of our own authorities.

mod body;
mod client;
mod clients;
mod connection;
mod error;
mod lookup;
mod proxy;
mod tls;

pub use body::{BodyError, read_body};
pub use client::{Answer, HttpsClient, Limits};
pub use clients::HttpsClients;
pub use connection::ConnectionError;
pub use error::{CallError, CallFault, ClientError, by_way_of, causes, place};
pub use lookup::{LookupError, MAX_LOOKUPS};
pub use proxy::{Proxy, ProxyError, ProxyRules};
pub use tls::TrustRoots;

/// Text from outside as it may stand in a message: invisible characters escaped, and cut to a length that cannot flood a
/// log or a status.
pub fn foreign(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    let escaped = || text.chars().flat_map(escape_invisible);
    let mut quoted: String = escaped().take(MAX_CHARS).collect();
    let rest = escaped().skip(MAX_CHARS).count();
    if rest > 0 {
        quoted.push_str(&format!(" [truncated {rest} chars]"));
    }
    quoted
}

/// Quotation marks and backslashes stay: whoever writes the message into JSON escapes them, and once is enough.
fn escape_invisible(c: char) -> impl Iterator<Item = char> {
    let is_plain = matches!(c, '"' | '\'' | '\\');
    let plain = is_plain.then_some(c);
    let escaped = (!is_plain).then(|| c.escape_debug());
    plain.into_iter().chain(escaped.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_visible_and_short() {
        for (text, shown) in [
            ("[\"other\"] it's \\ é 🦭", "[\"other\"] it's \\ é 🦭"),
            (
                "a\u{1b}]0;x\u{7}\r\nb\u{202e}",
                "a\\u{1b}]0;x\\u{7}\\r\\nb\\u{202e}",
            ),
        ] {
            assert_eq!(foreign(text), shown);
        }
        let long = foreign(&"é".repeat(1000));
        assert_eq!(long, format!("{} [truncated 700 chars]", "é".repeat(300)));
    }
}
