//! The plumbing of an aggregated API server: TLS, trust in peers, connections, health, and the
//! HTTP conventions of the Kubernetes API.

pub mod audit_id;
pub mod authorize;
pub mod client_trust;
pub mod discovery;
mod document;
pub mod encoding;
pub mod forwarded;
pub mod front_proxy;
mod go_quote;
pub mod health;
pub mod kinds;
pub mod list;
pub mod listener;
pub mod negotiate;
pub mod openapi;
pub mod panic;
pub mod request;
pub mod server_trust;
pub mod source;
pub mod status;
pub mod throttle;
pub mod tls;
pub mod tracked;

#[cfg(test)]
mod test_peers;
