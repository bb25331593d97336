//! The plumbing of an aggregated API server: TLS, trust in peers, connections, health, and the
//! HTTP conventions of the Kubernetes API.

pub mod health;
