//! What the cluster says of how its users log in, read with the administrator's rights.

use std::time::Duration;

use haulout_api::authenticator::AuthenticatorStatus;
use haulout_api::credential::login_path;
use haulout_api::group::ApiGroupSuffix;
use http::{Request, header};
use kube::core::DynamicObject;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::authenticator::{self, Authenticator, fault};
use super::error::GetKubeconfigError;
use super::strategy::Strategy;
use crate::arguments::DiscoveryFlags;
use crate::authenticator_kind::AuthenticatorKind;
use crate::cluster::{Cluster, ClusterError};
use crate::console::Console;

/// How often a CredentialIssuer is looked at whose strategies are pending.
const POLL: Duration = Duration::from_secs(2);
/// Looks after which it is said again that one waits.
const POLLS_BETWEEN_WORDS: u32 = 5;

/// Reads the objects of one installation.
pub(super) struct Discovery<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) suffix: &'a ApiGroupSuffix,
    pub(super) flags: &'a DiscoveryFlags,
}

impl Discovery<'_> {
    /// The strategies of the CredentialIssuer, once none is pending.
    pub(super) async fn strategies(
        &self,
        timeout: Duration,
        console: &Console<'_>,
    ) -> Result<Vec<Strategy>, GetKubeconfigError> {
        let end = Instant::now() + timeout;
        let mut issuer = self.credential_issuer().await?;
        let name = issuer.metadata.name.clone().unwrap_or_default();
        console.say(format_args!("discovered CredentialIssuer {name}"));
        let mut polls = 0;
        loop {
            let strategies = Strategy::all(&issuer.data);
            let pending: Vec<String> = strategies
                .iter()
                .filter(|strategy| strategy.is_pending())
                .map(ToString::to_string)
                .collect();
            if pending.is_empty() || self.flags.concierge_skip_wait {
                return Ok(strategies);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let pending = pending.join("; ");
                return Err(GetKubeconfigError::StillPending {
                    name,
                    pending,
                    timeout,
                });
            }
            if polls % POLLS_BETWEEN_WORDS == 0 {
                console.say(format_args!(
                    "waiting {} s at most for CredentialIssuer {name}: {}",
                    left.as_secs_f64().ceil(),
                    pending.join("; ")
                ));
            }
            sleep(POLL.min(left)).await;
            issuer = self.credential_issuer().await?;
            polls += 1;
        }
    }

    /// Whether the API server turns away whoever logs in, as it does where anonymous requests are off, or may not do that.
    pub(super) async fn api_server_refuses_logins(&self) -> bool {
        let request = Request::post(login_path(self.suffix))
            .header(header::CONTENT_TYPE, "application/json")
            .body(b"{}".to_vec());
        let (Ok(client), Ok(request)) = (self.cluster.anonymous(), request) else {
            return false;
        };
        let answer = client.request::<Value>(request);
        let answer = self.cluster.call("the login path", answer).await;
        matches!(answer, Err(ClusterError::Refused { status, .. }) if [401, 403].contains(&status.code))
    }

    async fn credential_issuer(&self) -> Result<DynamicObject, GetKubeconfigError> {
        const KIND: &str = "CredentialIssuer";
        let api = self.cluster.custom(&self.suffix.config_group(), KIND);
        let name = self.flags.concierge_credential_issuer.as_str();
        if !name.is_empty() {
            let issuer = self.cluster.get(KIND, &api, name).await;
            let issuer = issuer.map_err(|fault| GetKubeconfigError::GetIssuer {
                name: name.to_owned(),
                fault: Box::new(fault),
            })?;
            return issuer.ok_or_else(|| GetKubeconfigError::NoIssuerOfName(name.to_owned()));
        }
        let all = self.cluster.list(KIND, &api, "").await;
        let mut all = all.map_err(|fault| GetKubeconfigError::ListIssuers {
            fault: Box::new(fault),
        })?;
        match (all.pop(), all.as_slice()) {
            (None, _) => Err(GetKubeconfigError::NoIssuers(self.suffix.to_string())),
            (Some(only), []) => Ok(only),
            (Some(last), others) => {
                let all = others.iter().chain([&last]);
                let names: Vec<&str> = all
                    .filter_map(|issuer| issuer.metadata.name.as_deref())
                    .collect();
                Err(GetKubeconfigError::SeveralIssuers(names.join(", ")))
            }
        }
    }

    /// The authenticator that the flags name, else the only one that fits them.
    pub(super) async fn authenticator(
        &self,
        kind: Option<AuthenticatorKind>,
    ) -> Result<Authenticator, GetKubeconfigError> {
        let name = self.flags.concierge_authenticator_name.as_str();
        if let (Some(kind), false) = (kind, name.is_empty()) {
            return self.named_authenticator(kind, name).await;
        }
        let mut found = Vec::new();
        for kind in AuthenticatorKind::ALL
            .into_iter()
            .filter(|one| kind.is_none_or(|kind| kind == *one))
        {
            let api = self
                .cluster
                .custom(&self.suffix.authentication_group(), kind.kind());
            let all = self.cluster.list(kind.kind(), &api, "").await;
            let all = all.map_err(|fault| GetKubeconfigError::ListAuthenticators {
                kind,
                fault: Box::new(fault),
            })?;
            found.extend(
                all.into_iter()
                    .map(|object| read_authenticator(kind, &object)),
            );
        }
        authenticator::choose(found, name)
    }

    async fn named_authenticator(
        &self,
        kind: AuthenticatorKind,
        name: &str,
    ) -> Result<Authenticator, GetKubeconfigError> {
        let api = self
            .cluster
            .custom(&self.suffix.authentication_group(), kind.kind());
        let object = self.cluster.get(kind.kind(), &api, name).await;
        let object = object.map_err(|fault| GetKubeconfigError::GetAuthenticator {
            kind,
            name: name.to_owned(),
            fault: Box::new(fault),
        })?;
        let object = object.ok_or_else(|| GetKubeconfigError::NoSuchAuthenticator {
            kind,
            name: name.to_owned(),
        })?;
        Ok(read_authenticator(kind, &object))
    }
}

fn read_authenticator(kind: AuthenticatorKind, object: &DynamicObject) -> Authenticator {
    let status = object.data.get("status");
    let status = status.and_then(|status| AuthenticatorStatus::deserialize(status).ok());
    Authenticator {
        kind,
        name: object.metadata.name.clone().unwrap_or_default(),
        spec: object.data.get("spec").cloned().unwrap_or(Value::Null),
        fault: status.and_then(|status| fault(&status, object.metadata.generation)),
    }
}
