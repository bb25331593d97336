//! When certificates end, for alerts.

use std::fmt;
use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The ends of the certificates that are kept: `certificate_expiry_timestamp_seconds{certificate}`.
#[derive(Clone, Default)]
pub struct ExpiryMetrics(Family<Labels, Gauge>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    certificate: &'static str,
}

impl ExpiryMetrics {
    /// Registers the metric.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "End of a certificate that Haulout keeps, in seconds since 1970; those that this replica does not see are missing",
            metrics.0.clone(),
        );
        metrics
    }

    /// Shows the end of a certificate, or that there is none.
    pub(crate) fn show(&self, certificate: &'static str, ends: Option<SystemTime>) {
        let labels = Labels { certificate };
        let since_epoch = ends.and_then(|ends| ends.duration_since(SystemTime::UNIX_EPOCH).ok());
        match since_epoch.and_then(|since| i64::try_from(since.as_secs()).ok()) {
            Some(seconds) => {
                self.0.get_or_create(&labels).set(seconds);
            }
            None => {
                self.0.remove(&labels);
            }
        }
    }
}

impl fmt::Debug for ExpiryMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExpiryMetrics")
    }
}
