//! The plumbing of an aggregated API server: TLS, trust in peers, connections, health, and the
//! HTTP conventions of the Kubernetes API.

pub mod client_trust;
pub mod health;
pub mod listener;
pub mod tls;

#[cfg(test)]
mod test_peers;
