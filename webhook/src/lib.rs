//! The webhook: the aggregated API server and its controllers.

pub mod api;
pub mod audit;
pub mod authenticators;
pub mod config;
pub mod metrics;
pub mod signer;
mod throttle;
