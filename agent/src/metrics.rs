//! What the agent counts. No label holds a name.

use haulout_api::signing::SigningFailure;
use haulout_pki::authority::IssuedCertificate;
use haulout_serve::health::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// The agent's metrics.
#[derive(Clone, Debug)]
pub(crate) struct AgentMetrics {
    certificates: Family<Outcome, Counter>,
    faults: Family<Files, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Files {
    files: &'static str,
}

impl AgentMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let certificates = Family::default();
        let faults = Family::default();
        metrics.register(|registry| {
            registry.register(
                "agent_certificates",
                "Signing calls by their outcome",
                certificates.clone(),
            );
            registry.register(
                "agent_file_fault",
                "1 while the files cannot be loaded; the last good ones may be in use",
                faults.clone(),
            );
        });
        Self {
            certificates,
            faults,
        }
    }

    pub(crate) fn count(&self, outcome: &Result<IssuedCertificate, SigningFailure>) {
        let outcome = match outcome {
            Ok(_) => Outcome {
                result: "issued",
                reason: "",
            },
            Err(failure) => Outcome {
                result: "refused",
                reason: failure.reason.as_str(),
            },
        };
        self.certificates.get_or_create(&outcome).inc();
    }

    pub(crate) fn set_fault(&self, files: &'static str, faulty: bool) {
        self.faults
            .get_or_create(&Files { files })
            .set(faulty.into());
    }
}
