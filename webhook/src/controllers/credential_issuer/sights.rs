//! Looks at what may keep agents from signing.

use haulout_api::controller_manager::{LABEL_SELECTORS, NAMESPACE};
use haulout_operate::cluster::{CallError, call};
use haulout_operate::error::chain;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::explain::{FAILED, FAILED_CREATE, FAILED_MOUNT, Sights};

/// More than any cluster has of what is asked for; a flood of events costs no memory.
const MOST: u32 = 100;

/// Reads, at the same time, the DaemonSet called `name` in `namespace`, its events and the pods of kube-controller-manager.
pub(super) async fn look(client: &Client, namespace: &str, name: &str) -> Sights {
    let (daemon_set, events, controller_managers) = tokio::join!(
        daemon_set(client, namespace, name),
        events(client, namespace, name),
        controller_managers(client),
    );
    let text = |error: CallError| chain(&error);
    Sights {
        daemon_set: daemon_set.map_err(text),
        events: events.map_err(text),
        controller_managers: controller_managers.map_err(text),
    }
}

async fn daemon_set(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<Box<DaemonSet>>, CallError> {
    match call(Api::namespaced(client.clone(), namespace).get(name)).await {
        Ok(found) => Ok(Some(Box::new(found))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn events(client: &Client, namespace: &str, name: &str) -> Result<Vec<Event>, CallError> {
    let events = Api::<Event>::namespaced(client.clone(), namespace);
    let of_daemon_set =
        format!("involvedObject.kind=DaemonSet,involvedObject.name={name},reason={FAILED_CREATE}");
    let of_pods = |reason| format!("involvedObject.kind=Pod,reason={reason}");
    let (of_mounts, of_images) = (of_pods(FAILED_MOUNT), of_pods(FAILED));
    let list = async |fields: &str| {
        let parameters = ListParams::default().fields(fields).limit(MOST);
        call(events.list(&parameters)).await
    };
    let (of_daemon_set, of_mounts, of_images) =
        tokio::join!(list(&of_daemon_set), list(&of_mounts), list(&of_images));
    Ok([of_daemon_set?.items, of_mounts?.items, of_images?.items].concat())
}

/// Those with any of the labels that installers give them, each once.
async fn controller_managers(client: &Client) -> Result<Vec<Pod>, CallError> {
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    let list = async |labels: &str| {
        let parameters = ListParams::default().labels(labels).limit(MOST);
        call(pods.list(&parameters)).await
    };
    let mut found: Vec<Pod> = Vec::new();
    for labels in LABEL_SELECTORS {
        found.extend(list(labels).await?.items);
    }
    found.sort_by_key(ResourceExt::name_any);
    found.dedup_by_key(|pod| pod.name_any());
    Ok(found)
}
