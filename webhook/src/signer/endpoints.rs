//! Where the agents are.

use std::collections::BTreeMap;
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

/// Addresses of agents, and whether each counts as ready.
pub(super) type Addresses = BTreeMap<String, bool>;

/// Publishes where the endpoints of `service` are, until `stop`. Where there is none at all, the former
/// addresses stay, since agents that are gone show by themselves.
pub(super) async fn follow(
    slices: Api<EndpointSlice>,
    service: &str,
    publish: watch::Sender<Addresses>,
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

/// All endpoints, ready or not: whoever may say of a pod that it is ready must not hide the agents by
/// one of his own, and an agent may have come back before the cluster knows.
fn addresses<'a>(slices: impl IntoIterator<Item = &'a EndpointSlice>) -> Addresses {
    let mut addresses = Addresses::new();
    for slice in slices {
        let Some(port) = port(slice) else { continue };
        for endpoint in &slice.endpoints {
            // All addresses of one endpoint are the same agent; only the first may be used.
            let address = endpoint.addresses.first();
            let Some(ip) = address.and_then(|text| text.parse::<IpAddr>().ok()) else {
                continue;
            };
            let address = SocketAddr::new(ip, port).to_string();
            *addresses.entry(address).or_default() |= is_ready(endpoint);
        }
    }
    addresses
}

/// By `discovery.k8s.io/v1`, what is not told counts as ready.
fn is_ready(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions.and_then(|told| told.ready).unwrap_or(true)
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
    fn a_ready_endpoint_hides_no_other() {
        let slice = slice(&json!([
            endpoint("10.0.0.1", &json!({"ready": true})),
            {"addresses": ["10.0.0.2", "10.0.0.9"]},
            endpoint("10.0.0.3", &json!({"ready": false, "serving": true})),
            endpoint("10.0.0.4", &json!({"ready": false})),
            endpoint("agent.example.com", &Value::Null),
        ]));
        let expected = [
            ("10.0.0.1:9443", true),
            ("10.0.0.2:9443", true),
            ("10.0.0.3:9443", false),
            ("10.0.0.4:9443", false),
        ];
        let expected = expected.map(|(address, is_ready)| (address.to_owned(), is_ready));
        assert_eq!(addresses([&slice]), Addresses::from(expected));
    }

    #[test]
    fn an_endpoint_in_two_slices_is_ready_if_one_says_so() {
        let one =
            |is_ready: bool| slice(&json!([endpoint("10.0.0.1", &json!({"ready": is_ready}))]));
        for slices in [[one(true), one(false)], [one(false), one(true)]] {
            let expected = Addresses::from([("10.0.0.1:9443".to_owned(), true)]);
            assert_eq!(addresses(&slices), expected);
        }
    }

    #[test]
    fn slices_of_both_families_count_and_those_without_a_port_do_not() {
        let one = |address| slice(&json!([endpoint(address, &Value::Null)]));
        let (four, six, mut portless) = (one("10.0.0.1"), one("fd00::1"), one("10.0.0.2"));
        portless.ports = None;
        let found = addresses([&four, &six, &portless]);
        assert!(
            found.keys().eq(&["10.0.0.1:9443", "[fd00::1]:9443"]),
            "{found:?}"
        );
    }
}
