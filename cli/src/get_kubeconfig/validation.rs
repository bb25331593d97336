//! Whether the cluster answers to the kubeconfig that was made.

use std::time::Duration;

use haulout_https::causes;
use http::{Request, StatusCode};
use kube::client::Body;
use kube::config::{Cluster as ClusterEntry, Context, Kubeconfig, NamedCluster, NamedContext};
use kube::{Client, Config};
use tokio::time::{Instant, sleep, timeout};

use super::error::GetKubeconfigError;
use crate::chain;
use crate::cluster::Cluster;
use crate::console::Console;

/// How long one try may take, where there is as much time.
const TRY: Duration = Duration::from_secs(10);
/// How long it is waited until the next.
const PAUSE: Duration = Duration::from_secs(2);

/// Why one call of the cluster was no good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptFault {
    #[error("the request cannot be made")]
    Request(#[source] http::Error),
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The cause alone: what stands before it says that there was a call.
    #[error("{}", innermost(.0))]
    Call(Box<kube::Error>),
    #[error("it answered {0}")]
    Status(StatusCode),
}

fn innermost(error: &kube::Error) -> String {
    let cause = causes(error).last();
    cause.map_or_else(|| error.to_string(), ToString::to_string)
}

/// Calls the cluster without credentials, again and again until it answers.
pub(super) async fn validate(
    entry: &ClusterEntry,
    limit: Duration,
    console: &Console<'_>,
) -> Result<(), GetKubeconfigError> {
    let client = client(entry).await?;
    let server = entry.server.clone().unwrap_or_default();
    let end = Instant::now() + limit;
    // No time at all is one try.
    let mut time = if limit.is_zero() { TRY } else { TRY.min(limit) };
    let mut told = String::new();
    loop {
        let Err(source) = attempt(&client, time).await else {
            return Ok(());
        };
        let left = end.saturating_duration_since(Instant::now());
        if left <= PAUSE {
            return Err(GetKubeconfigError::Validation { server, source });
        }
        let fault = chain(&source);
        if fault != told {
            let left = left.as_secs_f64().ceil();
            console.say(format_args!(
                "{server} does not answer yet, trying for another {left} s: {fault}"
            ));
            told = fault;
        }
        sleep(PAUSE).await;
        time = TRY.min(end.saturating_duration_since(Instant::now()));
    }
}

/// Any answer will do that is not of a server in trouble: whether the user may is seen at his login.
async fn attempt(client: &Client, time: Duration) -> Result<(), AttemptFault> {
    let request = Request::get("/").body(Body::empty());
    let request = request.map_err(AttemptFault::Request)?;
    match timeout(time, client.send(request)).await {
        Err(_elapsed) => Err(AttemptFault::TimedOut(time)),
        Ok(Err(error)) => Err(AttemptFault::Call(Box::new(error))),
        Ok(Ok(answer)) if answer.status().is_server_error() => {
            Err(AttemptFault::Status(answer.status()))
        }
        Ok(Ok(_)) => Ok(()),
    }
}

/// A client that reaches the cluster as kubectl will: by its CA, its proxy and its name.
async fn client(entry: &ClusterEntry) -> Result<Client, GetKubeconfigError> {
    const NAME: &str = "new";
    let kubeconfig = Kubeconfig {
        clusters: vec![NamedCluster {
            name: NAME.to_owned(),
            cluster: Some(entry.clone()),
            ..NamedCluster::default()
        }],
        contexts: vec![NamedContext {
            name: NAME.to_owned(),
            context: Some(Context {
                cluster: NAME.to_owned(),
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        current_context: Some(NAME.to_owned()),
        ..Kubeconfig::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await;
    let mut config = config.map_err(|error| GetKubeconfigError::Config(Box::new(error)))?;
    config.default_retry = false;
    let cluster = Cluster::connect(config);
    let cluster = cluster.map_err(|error| GetKubeconfigError::Client(Box::new(error)))?;
    Ok(cluster.client())
}
