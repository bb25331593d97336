//! As much of an API server as a controller of one custom resource needs: list, watch, and replacing the status with a
//! check of the resourceVersion.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

const RESOURCE: &str =
    "/apis/authentication.concierge.walrus.example.com/v1alpha1/jwtauthenticators";

/// Suffix under which the resource is served; another than the default, so that tests notice a fixed one.
pub(crate) const SUFFIX: &str = "walrus.example.com";

pub(crate) struct ApiServer {
    shared: Arc<Shared>,
    url: String,
    _server: JoinSet<()>,
}

struct Shared {
    state: Mutex<Objects>,
    events: broadcast::Sender<Bytes>,
}

#[derive(Default)]
struct Objects {
    by_name: BTreeMap<String, Value>,
    version: u64,
    status_writes: u32,
    refuse_status: bool,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            events: broadcast::channel(1000).0,
        });
        let router = Router::new()
            .route(RESOURCE, get(list_or_watch))
            .route(&format!("{RESOURCE}/{{name}}/status"), put(replace_status))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            shared,
            url,
            _server: server,
        }
    }

    pub(crate) fn client(&self) -> kube::Client {
        let config = kube::Config::new(self.url.parse().unwrap());
        kube::Client::try_from(config).unwrap()
    }

    /// Creates an object, or replaces its specification and counts up its generation.
    pub(crate) fn apply(&self, name: &str, spec: &Value) {
        let mut objects = self.shared.objects();
        let stored = objects.by_name.get(name);
        let generation = stored.map_or(1, |object| {
            object["metadata"]["generation"].as_u64().unwrap() + 1
        });
        let status = stored.map_or_else(|| json!({}), |object| object["status"].clone());
        let kind = if stored.is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        let object = json!({
            "apiVersion": format!("authentication.concierge.{SUFFIX}/v1alpha1"),
            "kind": "JWTAuthenticator",
            "metadata": {"name": name, "uid": name, "generation": generation},
            "spec": spec,
            "status": status,
        });
        self.shared.store(&mut objects, kind, name, object);
    }

    pub(crate) fn delete(&self, name: &str) {
        let mut objects = self.shared.objects();
        let object = objects.by_name.remove(name).unwrap();
        self.shared.announce("DELETED", &object);
    }

    /// Overwrites a status by hand.
    pub(crate) fn edit_status(&self, name: &str, status: Value) {
        let mut objects = self.shared.objects();
        let mut object = objects.by_name[name].clone();
        object["status"] = status;
        self.shared.store(&mut objects, "MODIFIED", name, object);
    }

    pub(crate) fn refuse_status(&self, refuse: bool) {
        self.shared.objects().refuse_status = refuse;
    }

    pub(crate) fn status_writes(&self) -> u32 {
        self.shared.objects().status_writes
    }

    pub(crate) fn status(&self, name: &str) -> Value {
        self.shared.objects().by_name[name]["status"].clone()
    }

    /// `True`, `False`, `Unknown`, or nothing while there is no such condition.
    pub(crate) fn condition(&self, name: &str, type_: &str) -> (String, String) {
        let status = self.status(name);
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        conditions
            .iter()
            .find(|condition| condition["type"] == type_)
            .map(|condition| (text(&condition["status"]), text(&condition["message"])))
            .unwrap_or_default()
    }
}

impl Shared {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.state.lock().unwrap()
    }

    fn store(&self, objects: &mut Objects, event: &str, name: &str, mut object: Value) -> Value {
        objects.version += 1;
        object["metadata"]["resourceVersion"] = json!(objects.version.to_string());
        objects.by_name.insert(name.to_owned(), object.clone());
        self.announce(event, &object);
        object
    }

    fn announce(&self, event: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": event, "object": object}));
        let _no_watchers = self.events.send(Bytes::from(line));
    }
}

async fn list_or_watch(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    if query.contains_key("watch") {
        return watch(&shared, query.get("resourceVersion"));
    }
    let objects = shared.objects();
    let items: Vec<_> = objects.by_name.values().collect();
    Json(json!({
        "apiVersion": "v1",
        "kind": "List",
        "metadata": {"resourceVersion": objects.version.to_string()},
        "items": items,
    }))
    .into_response()
}

/// Everything newer than the given version, then what happens. Deletions in between are lost, which no test needs.
fn watch(shared: &Shared, since: Option<&String>) -> Response {
    let objects = shared.objects();
    let receiver = shared.events.subscribe();
    let since: u64 = since.and_then(|version| version.parse().ok()).unwrap_or(0);
    let version = |object: &Value| {
        object["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let missed: Vec<_> = objects
        .by_name
        .values()
        .filter(|object| version(object) > since)
        .map(|object| {
            Bytes::from(format!(
                "{}\n",
                json!({"type": "MODIFIED", "object": object})
            ))
        })
        .collect();
    let events = stream::unfold(
        (missed.into_iter(), receiver),
        |(mut missed, mut receiver)| async {
            let line = match missed.next() {
                Some(line) => line,
                None => receiver.recv().await.ok()?,
            };
            Some((Ok::<_, Infallible>(line), (missed, receiver)))
        },
    );
    Body::from_stream(events).into_response()
}

async fn replace_status(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Json(sent): Json<Value>,
) -> Response {
    let mut objects = shared.objects();
    objects.status_writes += 1;
    if objects.refuse_status {
        return failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
    }
    let Some(mut object) = objects.by_name.get(&name).cloned() else {
        return failure(StatusCode::NOT_FOUND, "NotFound");
    };
    if sent["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
        return failure(StatusCode::CONFLICT, "Conflict");
    }
    object["status"] = sent["status"].clone();
    Json(shared.store(&mut objects, "MODIFIED", &name, object)).into_response()
}

fn failure(code: StatusCode, reason: &str) -> Response {
    let status = json!({
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": reason,
        "message": reason,
        "code": code.as_u16(),
    });
    (code, Json(status)).into_response()
}
