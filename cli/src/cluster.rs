//! Reading a cluster with the rights of whoever runs the command.

mod call_fault;
mod context;
mod error;
mod kubeconfig;
mod plugin;

use std::fmt::Debug;
use std::time::Duration;

use haulout_api::group::VERSION;
use http::{Response, Uri};
use http_body_util::Limited;
use kube::api::ListParams;
use kube::client::{ClientBuilder, DynBody};
use kube::config::AuthInfo;
use kube::core::{
    ApiResource, DynamicObject, GroupVersionKind, ObjectList, ObjectMeta, PartialObjectMeta,
};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;
use tower::util::MapResponseLayer;

use crate::Environment;
use crate::arguments::ClusterFlags;
use crate::runtime::block_on;

use call_fault::CallFault;
pub(crate) use context::{ContextFault, FoundContext, find_context};
pub(crate) use error::{ClusterError, CredentialFault};
use error::{credential_fault, file_fault};
pub(crate) use kubeconfig::{NamedCluster, shown_server};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Objects in one answer; more are asked for in turn.
const PAGE: u32 = 500;
/// Most objects of one kind. No cluster has as many of those that are read here, and a server could go on for ever.
const MAX_OBJECTS: usize = 100_000;
/// Most bytes of one answer: each object has 1.5 MiB at most, and 500 of them seldom have a tenth of this.
const MAX_BYTES: usize = 64 << 20;

/// A cluster, by way of its API server.
pub(crate) struct Cluster {
    client: Client,
    config: Config,
    call_timeout: Duration,
}

impl Cluster {
    /// Runs `work` with a client for the cluster that `flags` name. Credential plugins of the kubeconfig are run for it.
    pub(crate) fn with<T, E: From<ClusterError>>(
        flags: &ClusterFlags,
        environment: Environment<'_>,
        work: impl AsyncFnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        Self::with_config(flags, environment, async |config| {
            work(&Self::connect(config)?).await
        })
    }

    /// The same before a client is made, and a credential plugin is run for it.
    pub(crate) fn with_config<T, E: From<ClusterError>>(
        flags: &ClusterFlags,
        environment: Environment<'_>,
        work: impl AsyncFnOnce(Config) -> Result<T, E>,
    ) -> Result<T, E> {
        block_on(async { work(kubeconfig::config(flags, environment).await?).await })
            .map_err(ClusterError::Runtime)?
    }

    /// Runs the credential plugin of the kubeconfig, if it has one.
    pub(crate) fn connect(mut config: Config) -> Result<Self, ClusterError> {
        // Whoever calls ends the call before, and says so; only `whoami --timeout=0` waits for this.
        config.connect_timeout = Some(2 * CALL_TIMEOUT);
        // It would try again for half a minute at an answer that is the cause.
        config.default_retry = false;
        if config.cluster_url.scheme_str() == Some("http") {
            // As kubectl: no credentials go where anybody can read them.
            config.auth_info = AuthInfo::default();
        }
        plugin::log_in(&mut config.auth_info).map_err(ClusterError::Credentials)?;
        kubeconfig::check(&config)?;
        let client = connect(config.clone())?;
        Ok(Self {
            client,
            config,
            call_timeout: CALL_TIMEOUT,
        })
    }

    /// Gives each call no more time than this, unless it is zero.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        if !limit.is_zero() {
            self.call_timeout = CALL_TIMEOUT.min(limit);
        }
        self
    }

    /// A client of the same API server without any credentials, which tries once.
    pub(crate) fn anonymous(&self) -> Result<Client, ClusterError> {
        let mut config = self.config.clone();
        config.auth_info = AuthInfo::default();
        connect(config)
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// All objects of a kind of ours.
    pub(crate) fn custom(&self, group: &str, kind: &str) -> Api<DynamicObject> {
        let plural = format!("{}s", kind.to_lowercase());
        let kind = GroupVersionKind::gvk(group, VERSION, kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
        Api::all_with(self.client(), &resource)
    }

    /// URL of the API server, as the kubeconfig has it.
    pub(crate) fn server(&self) -> &Uri {
        &self.config.cluster_url
    }

    /// Where calls go, for messages.
    fn place(&self) -> String {
        let server = shown_server(self.server());
        match &self.config.proxy_url {
            Some(proxy) => format!("{server} by way of the proxy {}", shown_server(proxy)),
            None => server,
        }
    }

    /// Waits for one call for `what`, half a minute at most.
    pub(crate) async fn call<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ClusterError> {
        match tokio::time::timeout(self.call_timeout, call).await {
            Ok(answer) => answer.map_err(|error| self.error(what, error)),
            Err(_elapsed) => Err(ClusterError::Call {
                what,
                server: self.place(),
                fault: CallFault::TimedOut(self.call_timeout),
            }),
        }
    }

    /// Why a call for `what` failed.
    pub(crate) fn error(&self, what: &'static str, error: kube::Error) -> ClusterError {
        ClusterError::of_call(what, self.place(), error)
    }

    /// All objects that `api` has with this label selector; none where the kind does not exist.
    pub(crate) async fn list<K>(
        &self,
        what: &'static str,
        api: &Api<K>,
        labels: &str,
    ) -> Result<Vec<K>, ClusterError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let list = async |parameters: &ListParams| api.list(parameters).await;
        self.pages(what, labels, list).await
    }

    /// The metadata of the same.
    pub(crate) async fn list_metadata<K>(
        &self,
        what: &'static str,
        api: &Api<K>,
        labels: &str,
    ) -> Result<Vec<ObjectMeta>, ClusterError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let list = async |parameters: &ListParams| api.list_metadata(parameters).await;
        let objects: Vec<PartialObjectMeta<K>> = self.pages(what, labels, list).await?;
        Ok(objects.into_iter().map(|object| object.metadata).collect())
    }

    /// One object; `None` where it, or its kind, does not exist.
    pub(crate) async fn get<K>(
        &self,
        what: &'static str,
        api: &Api<K>,
        name: &str,
    ) -> Result<Option<K>, ClusterError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        match self.call(what, api.get(name)).await {
            Err(ClusterError::Refused { status, .. }) if status.code == 404 => Ok(None),
            other => other.map(Some),
        }
    }

    /// All pages that `list` gives.
    async fn pages<K: Clone>(
        &self,
        what: &'static str,
        labels: &str,
        list: impl AsyncFn(&ListParams) -> kube::Result<ObjectList<K>>,
    ) -> Result<Vec<K>, ClusterError> {
        let mut all = Vec::new();
        let mut parameters = ListParams::default().labels(labels).limit(PAGE);
        for _ in 0..MAX_OBJECTS / PAGE as usize {
            let page = match self.call(what, list(&parameters)).await {
                Err(ClusterError::Refused { status, .. }) if status.code == 404 => return Ok(all),
                page => page?,
            };
            all.extend(page.items);
            if all.len() > MAX_OBJECTS {
                break;
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(all),
            }
        }
        Err(ClusterError::Call {
            what,
            server: self.place(),
            fault: CallFault::TooMany,
        })
    }
}

fn connect(config: Config) -> Result<Client, ClusterError> {
    let builder = ClientBuilder::try_from(config).map_err(|error| {
        let credentials = credential_fault(&error).map(ClusterError::Credentials);
        let fault = credentials.or_else(|| file_fault(&error));
        fault.unwrap_or_else(|| ClusterError::of_client(error))
    })?;
    let limit = MapResponseLayer::new(|answer: Response<Box<DynBody>>| {
        answer.map(|body| Limited::new(body, MAX_BYTES))
    });
    Ok(builder.with_layer(&limit).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client's own end of connecting would come first, and its text says nothing.
    #[test]
    fn a_silent_server_is_left_when_its_call_ends() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", silent.local_addr().unwrap());
        let mut config = Config::new(url.parse().unwrap());
        config.connect_timeout = Some(Duration::from_millis(1));
        let told = block_on(async {
            let cluster = Cluster::connect(config).unwrap();
            let cluster = cluster.within(Duration::from_millis(200));
            let client = cluster.client();
            cluster
                .call("the version", client.apiserver_version())
                .await
        });
        let told = told.unwrap().unwrap_err().to_string();
        assert!(told.contains("did not answer within 0.2 s"), "{told}");
    }
}
