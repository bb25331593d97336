//! Health checks in the manner of Kubernetes, metrics, and the version of the program.

mod checks;
mod metrics;
#[cfg(test)]
mod tests;
mod version;

pub use self::checks::{Finding, HealthRegistry, Reasons, Scope, router};
pub use self::metrics::Metrics;
pub use self::version::{version_info, version_router};
