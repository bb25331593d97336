//! `haulout kubeconfig`: who may log in, but administers no cluster, gets a kubeconfig from a catalogue that the administrators
//! have published. The catalogue has no secret, and none gets into the kubeconfig.

mod clusters;
mod source;

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use haulout_https::{
    CallError, CallFault, ClientError, HttpsClient, Limits, ProxyError, TrustRoots, place,
};
use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use url::Url;

use crate::Environment;
use crate::arguments::CatalogueFlags;
use crate::ca::{CaBundle, CaError};
use crate::cluster::{Cluster, ClusterError};
use crate::console::Console;
use crate::document::EncodeError;
use crate::kubeconfig_file::{
    Entry, INSTALL_HINT, Output, OutputError, Plugin, own_path, plugin_command, to_yaml,
};
use crate::runtime::{RuntimeError, block_on};
use crate::transport::TransportFault;

use clusters::{ChoiceError, ClustersError};
use source::{Source, SourceError};

/// For the call to a URL.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(30),
    body: 1 << 20,
};
/// Key of a ConfigMap that holds the catalogue.
const KEY: &str = "clusters.yaml";

/// Why there is no kubeconfig.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogueError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Ca(CaError),
    #[error("failed to find the path of this program; name it by --command")]
    OwnPath(#[source] io::Error),
    #[error("failed to read the catalogue {from}")]
    Read { from: String, source: io::Error },
    #[error(
        "there is no file {0}; --from takes an https URL, configmap/NAMESPACE/NAME, a file, or - for stdin"
    )]
    NoFile(String),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("there is no ConfigMap {0} in the cluster of the kubeconfig")]
    NoConfigMap(String),
    #[error("ConfigMap {0} holds no catalogue: it has no key {KEY}")]
    NoKey(String),
    /// There is no source: the text has the cause, before what to do.
    #[error("failed to get the catalogue: {cause}; {}", remedy(&cause.fault))]
    Get { cause: Box<CallError> },
    #[error(
        "failed to get the catalogue: {0}; set it right, or unset it, or have the host of --from in NO_PROXY"
    )]
    Proxy(ProxyError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("failed to set up the client for the catalogue")]
    Client(#[source] Box<ClientError>),
    #[error(
        "{place} answers {status}; a catalogue is taken only from where --from points, without redirects or a login"
    )]
    Status { place: String, status: StatusCode },
    #[error("the catalogue {from} cannot be used")]
    Clusters { from: String, source: ClustersError },
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl CatalogueError {
    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::Source(_) | Self::Ca(_) | Self::Choice(_))
    }
}

/// Prints the kubeconfig of a catalogue's clusters, or writes it to a file.
pub(crate) fn run(
    flags: &CatalogueFlags,
    environment: Environment<'_>,
    stdin: &mut dyn io::Read,
    stdout: &mut dyn Write,
    console: &Console<'_>,
) -> Result<(), CatalogueError> {
    let source = Source::parse(&flags.from)?;
    if !matches!(source, Source::Url(_)) && !flags.ca_bundle.is_empty() {
        return Err(SourceError::CaBundle.into());
    }
    let command = plugin_command(flags.command.as_deref(), own_path);
    let command = command.map_err(CatalogueError::OwnPath)?;
    let output = Output::open(flags.output.as_deref(), stdout)?;
    let from = source.to_string();
    let text = read(source, flags, environment, stdin)?;
    console.debug(|| format!("read the catalogue {from}: {} bytes", text.len()));
    let clusters =
        clusters::read(&text).map_err(|source| CatalogueError::Clusters { from, source })?;
    let clusters = clusters::choose(clusters, &flags.cluster)?;
    let told: Vec<_> = clusters
        .iter()
        .map(|cluster| format!("{}: {}", cluster.name, cluster.told))
        .collect();
    let entries = clusters.into_iter().map(|cluster| Entry {
        cluster_name: entry_name(&cluster.name),
        user_name: entry_name(&cluster.name),
        context_name: cluster.name,
        cluster: cluster.cluster,
        namespace: cluster.namespace,
        plugin: Plugin {
            command: command.clone(),
            arguments: cluster.arguments,
            install_hint: INSTALL_HINT.to_owned(),
            may_ask: cluster.may_ask,
        },
    });
    output.write(&to_yaml(entries.collect())?)?;
    for line in told {
        console.say(format_args!("{line}"));
    }
    Ok(())
}

/// Name of a cluster and its user in the kubeconfig. Of files that are read together, kubectl takes the first entry of a name: a
/// cluster that has the name of the reader's own user would get the credentials of that one.
fn entry_name(name: &str) -> String {
    format!("haulout:{name}")
}

/// The text of the catalogue.
fn read(
    source: Source,
    flags: &CatalogueFlags,
    environment: Environment<'_>,
    stdin: &mut dyn io::Read,
) -> Result<String, CatalogueError> {
    let from = source.to_string();
    let unreadable = |source: io::Error| {
        let from = from.clone();
        match source.kind() {
            io::ErrorKind::NotFound => CatalogueError::NoFile(from),
            _ => CatalogueError::Read { from, source },
        }
    };
    match source {
        Source::Stdin => whole(stdin).map_err(unreadable),
        Source::File(path) => File::open(path).and_then(whole).map_err(unreadable),
        Source::Url(url) => {
            let ca = CaBundle::from_files("--ca-bundle", &flags.ca_bundle);
            let roots = CaBundle::trust_roots(ca.map_err(CatalogueError::Ca)?.as_ref());
            block_on(get(&roots, url))?
        }
        Source::ConfigMap { namespace, name } => {
            Cluster::with(&flags.reader, environment, async |cluster| {
                let api: Api<ConfigMap> = Api::namespaced(cluster.client(), &namespace);
                let found = cluster
                    .get("the catalogue's ConfigMap", &api, &name)
                    .await?;
                let id = format!("{namespace}/{name}");
                let Some(found) = found else {
                    return Err(CatalogueError::NoConfigMap(id));
                };
                let mut data = found.data.unwrap_or_default();
                data.remove(KEY).ok_or(CatalogueError::NoKey(id))
            })
        }
    }
}

/// What to do where no whole answer came.
fn remedy(fault: &CallFault) -> &'static str {
    let fault = match fault {
        CallFault::TooLong(_) => return "is that a catalogue?",
        CallFault::TimedOut(_) => TransportFault::TimedOut,
        CallFault::Transport(error) => TransportFault::of(error),
    };
    match fault {
        TransportFault::Certificate(_) => {
            "name the CA of its server's certificate by --ca-bundle, and check the server's name and this computer's clock"
        }
        _ => "check --from and your network, and HTTPS_PROXY where there is a proxy",
    }
}

/// A text, unless it is longer than a catalogue can be.
fn whole(file: impl io::Read) -> io::Result<String> {
    let text = io::read_to_string(file.take(LIMITS.body as u64 + 1))?;
    match text.len() > LIMITS.body {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(text),
    }
}

async fn get(roots: &TrustRoots, url: Url) -> Result<String, CatalogueError> {
    let https = HttpsClient::new(roots, LIMITS);
    let https = https.map_err(|error| CatalogueError::Client(Box::new(error)))?;
    https.proxy_to(&url).map_err(CatalogueError::Proxy)?;
    let answer = https.get_json(url.clone()).await;
    let answer = answer.map_err(|error| CatalogueError::Get {
        cause: Box::new(error),
    })?;
    if !answer.status.is_success() {
        let (place, status) = (place(&url), answer.status);
        return Err(CatalogueError::Status { place, status });
    }
    String::from_utf8(answer.body).map_err(|_| CatalogueError::Read {
        from: place(&url),
        source: io::ErrorKind::InvalidData.into(),
    })
}
