//! Whether a server can be reached and its certificate is accepted, found out without a request.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::error::tls_text;
use crate::lookup::{LookupError, Resolver};

/// Longest time for name lookup, TCP and TLS together.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Why no connection came about; texts begin as Go's do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The URL has no host, or one that no certificate can be for.
    #[error("the URL has no host that can be called")]
    Host,
    /// The name has no address.
    #[error("dial tcp: lookup {address}: {cause}")]
    Lookup {
        /// Host and port.
        address: String,
        /// Why not.
        cause: LookupError,
    },
    /// Nothing can be reached at the address.
    #[error("dial tcp {address}: connect: {cause}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the operating system says.
        cause: io::Error,
    },
    /// The server does not speak TLS 1.2 or later, or its certificate is not accepted. There is no source: the text has
    /// the cause, in Go's words.
    #[error("{}", tls_text(.0.to_string()))]
    Tls(io::Error),
    /// The server or something on the way is silent.
    #[error("dial tcp {address}: no connection within {} s", CONNECTION_TIMEOUT.as_secs())]
    TimedOut {
        /// Host and port.
        address: String,
    },
}

/// Connects to the server of `url` directly, sees whether `tls` accepts it, and hangs up.
pub(crate) async fn check(
    tls: Arc<ClientConfig>,
    resolver: &Resolver,
    url: &Url,
) -> Result<(), ConnectionError> {
    let server = Server::of(url).ok_or(ConnectionError::Host)?;
    match tokio::time::timeout(CONNECTION_TIMEOUT, server.connect(tls, resolver)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(ConnectionError::TimedOut {
            address: server.address(),
        }),
    }
}

/// Whom to connect to.
struct Server<'a> {
    host: Host<&'a str>,
    port: u16,
    /// Whom its certificate must be for.
    name: ServerName<'static>,
}

impl<'a> Server<'a> {
    fn of(url: &'a Url) -> Option<Self> {
        let host = url.host()?;
        let name = match host {
            Host::Domain(name) => ServerName::try_from(name.to_owned()).ok()?,
            Host::Ipv4(address) => ServerName::from(address),
            Host::Ipv6(address) => ServerName::from(address),
        };
        let port = url.port_or_known_default()?;
        Some(Self { host, port, name })
    }

    /// Where it listens, for messages.
    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    async fn connect(
        &self,
        tls: Arc<ClientConfig>,
        resolver: &Resolver,
    ) -> Result<(), ConnectionError> {
        let found = self.addresses(resolver).await;
        let found = found.map_err(|cause| ConnectionError::Lookup {
            address: self.address(),
            cause,
        })?;
        let found: Vec<_> = found
            .iter()
            .map(|&address| SocketAddr::new(address, self.port))
            .collect();
        let connected = TcpStream::connect(found.as_slice()).await;
        let stream = connected.map_err(|cause| ConnectionError::Connect {
            address: self.address(),
            cause,
        })?;
        let secured = TlsConnector::from(tls).connect(self.name.clone(), stream);
        // The server has shown all that was asked of it.
        let _hung_up = secured
            .await
            .map_err(ConnectionError::Tls)?
            .shutdown()
            .await;
        Ok(())
    }

    async fn addresses(&self, resolver: &Resolver) -> Result<Arc<[IpAddr]>, LookupError> {
        match self.host {
            Host::Domain(name) => resolver.lookup(name).await,
            Host::Ipv4(address) => Ok(Arc::new([address.into()])),
            Host::Ipv6(address) => Ok(Arc::new([address.into()])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_dialed_by_name_and_by_address() {
        for (url, name, address) in [
            (
                "https://w.example.com/a",
                "w.example.com",
                "w.example.com:443",
            ),
            (
                "https://w.example.com:8443",
                "w.example.com",
                "w.example.com:8443",
            ),
            ("https://10.0.0.1", "10.0.0.1", "10.0.0.1:443"),
            ("https://10.0.0.1:8443", "10.0.0.1", "10.0.0.1:8443"),
            ("https://[2001:db8::1]", "2001:db8::1", "[2001:db8::1]:443"),
            (
                "https://[2001:db8::1]:8443/a",
                "2001:db8::1",
                "[2001:db8::1]:8443",
            ),
        ] {
            let url = Url::parse(url).unwrap();
            let found = Server::of(&url).unwrap();
            assert_eq!(
                (&*found.name.to_str(), found.address().as_str()),
                (name, address)
            );
            assert_eq!(
                matches!(found.name, ServerName::IpAddress(_)),
                address.parse::<SocketAddr>().is_ok(),
                "an address is compared as one"
            );
        }
        assert!(Server::of(&Url::parse("unix:/run/x").unwrap()).is_none());
    }
}
