//! Where the agents are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;

use futures_util::StreamExt;
use haulout_operate::controller::watch_fault;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fault::LastingFault;

/// The label by which a slice names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// What says where the agents are.
#[derive(Clone, Debug)]
pub enum AgentSource {
    /// These, each as `host:port`.
    Addresses(Vec<String>),
    /// The endpoints of a Service.
    Service {
        /// Slices of the Service's namespace.
        slices: Box<Api<EndpointSlice>>,
        /// Name of the Service.
        name: String,
    },
}

/// Publishes where the endpoints of `service` are, until `stop`. Where there is none at all, the former
/// addresses stay, since agents that are gone show by themselves.
pub(super) async fn follow(
    slices: Api<EndpointSlice>,
    service: &str,
    publish: watch::Sender<BTreeSet<String>>,
    fault: &LastingFault,
    stop: CancellationToken,
) {
    let config = watcher::Config::default().labels(&format!("{SERVICE_LABEL}={service}"));
    let mut events = pin!(watcher(slices, config).default_backoff());
    let mut known = BTreeMap::new();
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        match event {
            Ok(Event::Init) => {
                known.clear();
                continue;
            }
            Ok(Event::InitApply(slice)) => {
                known.insert(slice.name_any(), slice);
                continue;
            }
            Ok(Event::InitDone) => {}
            Ok(Event::Apply(slice)) => {
                known.insert(slice.name_any(), slice);
            }
            Ok(Event::Delete(slice)) => {
                known.remove(&slice.name_any());
            }
            Err(error) => {
                if let Some(error) = watch_fault(error) {
                    let text = format!("failed to watch the EndpointSlices of {service}: {error}");
                    note(fault, &text);
                }
                continue;
            }
        }
        let found = addresses(known.values());
        if found.is_empty() {
            let hint = "check agent.service, and that haulout-agent runs on a control plane node";
            note(fault, &format!("Service {service} has no endpoint; {hint}"));
            continue;
        }
        fault.clear();
        publish.send_if_modified(|known| {
            let changed = *known != found;
            *known = found;
            changed
        });
    }
}

/// Keeps why nothing new is known; the log has it once.
fn note(fault: &LastingFault, text: &str) {
    if fault.note(text) {
        tracing::warn!(error = text, "no new addresses of signing agents");
    }
}

/// Endpoints that are ready; if none is, those that serve until they end; if none does, all, since an
/// agent may have come back before the cluster knows.
fn addresses<'a>(slices: impl IntoIterator<Item = &'a EndpointSlice>) -> BTreeSet<String> {
    let mut by_rank: BTreeMap<Rank, BTreeSet<String>> = BTreeMap::new();
    for slice in slices {
        let Some(port) = port(slice) else { continue };
        for endpoint in &slice.endpoints {
            // All addresses of one endpoint are the same agent; only the first may be used.
            let address = endpoint.addresses.first();
            let Some(ip) = address.and_then(|text| text.parse::<IpAddr>().ok()) else {
                continue;
            };
            let address = SocketAddr::new(ip, port).to_string();
            by_rank.entry(rank(endpoint)).or_default().insert(address);
        }
    }
    by_rank.into_values().next().unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Ready,
    Serving,
    Unready,
}

/// By `discovery.k8s.io/v1`, what is not told counts as ready, and as serving if ready.
fn rank(endpoint: &Endpoint) -> Rank {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
    let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
    match (ready, serving) {
        (true, _) => Rank::Ready,
        (false, true) => Rank::Serving,
        (false, false) => Rank::Unready,
    }
}

/// The first TCP port, which is the only one of the agents' Service.
fn port(slice: &EndpointSlice) -> Option<u16> {
    let is_tcp = |port: &&EndpointPort| port.protocol.as_deref().is_none_or(|name| name == "TCP");
    let port = slice.ports.as_ref()?.iter().find(is_tcp)?.port?;
    u16::try_from(port).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn slice(endpoints: &Value) -> EndpointSlice {
        let ports = json!([{"protocol": "UDP", "port": 53}, {"name": "signing", "port": 9443}]);
        serde_json::from_value(json!({"addressType": "IPv4", "metadata": {"name": "a"},
            "endpoints": endpoints, "ports": ports}))
        .unwrap()
    }

    fn endpoint(address: &str, conditions: &Value) -> Value {
        json!({"addresses": [address], "conditions": conditions})
    }

    #[test]
    fn ready_endpoints_go_before_those_that_serve_and_these_before_others() {
        let ready = || endpoint("10.0.0.1", &json!({"ready": true}));
        let silent = || json!({"addresses": ["10.0.0.2", "10.0.0.9"]});
        let ending = || endpoint("10.0.0.3", &json!({"ready": false, "serving": true}));
        let unready = || endpoint("10.0.0.4", &json!({"ready": false}));
        let rows: [(Vec<Value>, &[&str]); 5] = [
            (
                vec![ready(), silent(), ending(), unready()],
                &["10.0.0.1:9443", "10.0.0.2:9443"],
            ),
            (vec![ending(), unready()], &["10.0.0.3:9443"]),
            (vec![unready()], &["10.0.0.4:9443"]),
            (vec![], &[]),
            (
                vec![endpoint("agent.example.com", &Value::Null), unready()],
                &["10.0.0.4:9443"],
            ),
        ];
        for (endpoints, expected) in rows {
            let found = addresses([&slice(&json!(endpoints))]);
            assert!(found.iter().eq(expected), "{found:?}");
        }
    }

    #[test]
    fn slices_of_both_families_count_and_those_without_a_port_do_not() {
        let one = |address| slice(&json!([endpoint(address, &Value::Null)]));
        let (four, six, mut portless) = (one("10.0.0.1"), one("fd00::1"), one("10.0.0.2"));
        portless.ports = None;
        let found = addresses([&four, &six, &portless]);
        assert!(
            found.iter().eq(&["10.0.0.1:9443", "[fd00::1]:9443"]),
            "{found:?}"
        );
    }
}
