//! How many authenticator objects are in which phase.

use haulout_api::authenticator::AuthenticatorPhase;
use haulout_serve::health::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Counts authenticator objects by kind and phase, as this replica judges them.
#[derive(Clone, Debug)]
pub struct AuthenticatorMetrics {
    authenticators: Family<Labels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    phase: &'static str,
}

impl Labels {
    fn new(kind: &'static str, phase: AuthenticatorPhase) -> Self {
        let phase = match phase {
            AuthenticatorPhase::Pending => "Pending",
            AuthenticatorPhase::Ready => "Ready",
            AuthenticatorPhase::Error => "Error",
        };
        Self { kind, phase }
    }
}

impl AuthenticatorMetrics {
    /// Registers the metric.
    pub fn new(metrics: &Metrics) -> Self {
        let authenticators = Family::<Labels, Gauge>::default();
        metrics.register(|registry| {
            registry.register(
                "authenticators",
                "Authenticator objects by kind and phase, as this replica judges them",
                authenticators.clone(),
            );
        });
        Self { authenticators }
    }

    /// Counts one object of `kind`, pending at first, until the answer is dropped.
    pub(crate) fn count(&self, kind: &'static str) -> CountedAuthenticator {
        let counted = CountedAuthenticator {
            metrics: self.clone(),
            labels: Labels::new(kind, AuthenticatorPhase::Pending),
        };
        counted.gauge().inc();
        counted
    }
}

/// One object within the metric.
#[derive(Debug)]
pub(crate) struct CountedAuthenticator {
    metrics: AuthenticatorMetrics,
    labels: Labels,
}

impl CountedAuthenticator {
    /// Moves the object to another phase.
    pub(crate) fn set_phase(&mut self, phase: AuthenticatorPhase) {
        self.gauge().dec();
        self.labels = Labels::new(self.labels.kind, phase);
        self.gauge().inc();
    }

    fn gauge(&self) -> impl std::ops::Deref<Target = Gauge> + '_ {
        self.metrics.authenticators.get_or_create(&self.labels)
    }
}

impl Drop for CountedAuthenticator {
    fn drop(&mut self) {
        self.gauge().dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_move_between_phases_and_leave() {
        let page = Metrics::new();
        let metrics = AuthenticatorMetrics::new(&page);
        let mut first = metrics.count("JWTAuthenticator");
        let second = metrics.count("JWTAuthenticator");
        first.set_phase(AuthenticatorPhase::Ready);
        let text = page.encode().unwrap();
        let line = |phase, count| {
            format!(
                "haulout_authenticators{{kind=\"JWTAuthenticator\",phase=\"{phase}\"}} {count}\n"
            )
        };
        assert!(
            text.contains(&line("Ready", 1)) && text.contains(&line("Pending", 1)),
            "{text}"
        );
        drop((first, second));
        let text = page.encode().unwrap();
        assert!(
            text.contains(&line("Ready", 0)) && text.contains(&line("Pending", 0)),
            "{text}"
        );
    }
}
