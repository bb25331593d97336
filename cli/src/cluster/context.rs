//! One context of a kubeconfig, and what it leads to.

use kube::config::{Cluster, Context, Kubeconfig};

/// Which part of the way through a kubeconfig is missing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContextFault {
    #[error("the kubeconfig has no current-context; choose one by --context, of {0}")]
    NotNamed(String),
    #[error("no such context \"{wanted}\"; there is {found}")]
    Context { wanted: String, found: String },
    #[error("no such cluster \"{0}\"")]
    Cluster(String),
    #[error("no such user \"{0}\"")]
    User(String),
}

/// A context. Its user is in the kubeconfig too, if it names one.
#[derive(Debug)]
pub(crate) struct FoundContext<'a> {
    pub(crate) name: &'a str,
    pub(crate) context: &'a Context,
}

impl<'a> FoundContext<'a> {
    /// The cluster that it leads to.
    pub(crate) fn cluster(&self, kubeconfig: &'a Kubeconfig) -> Result<&'a Cluster, ContextFault> {
        let name = &self.context.cluster;
        let mut clusters = kubeconfig.clusters.iter();
        clusters
            .find(|cluster| cluster.name == *name)
            .and_then(|cluster| cluster.cluster.as_ref())
            .ok_or_else(|| ContextFault::Cluster(name.clone()))
    }
}

/// Finds the context of this name, or the current one.
pub(crate) fn find_context<'a>(
    kubeconfig: &'a Kubeconfig,
    wanted: Option<&'a str>,
) -> Result<FoundContext<'a>, ContextFault> {
    let all = || {
        let names = kubeconfig
            .contexts
            .iter()
            .map(|context| context.name.as_str());
        match names.collect::<Vec<_>>().join(", ") {
            names if names.is_empty() => "none".to_owned(),
            names => names,
        }
    };
    let name = wanted
        .filter(|name| !name.is_empty())
        .or(kubeconfig.current_context.as_deref())
        .ok_or_else(|| ContextFault::NotNamed(all()))?;
    let mut contexts = kubeconfig.contexts.iter();
    let context = contexts
        .find(|context| context.name == name)
        .and_then(|context| context.context.as_ref())
        .ok_or_else(|| ContextFault::Context {
            wanted: name.to_owned(),
            found: all(),
        })?;
    // The client would go on without any credentials.
    let mut users = kubeconfig.auth_infos.iter();
    match &context.user {
        Some(user) if !users.any(|known| known.name == *user) => {
            Err(ContextFault::User(user.clone()))
        }
        _ => Ok(FoundContext { name, context }),
    }
}
