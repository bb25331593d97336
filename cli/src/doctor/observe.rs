//! Looks at a cluster: first without credentials, then with those of the kubeconfig.

mod objects;
mod server;

use std::time::{Duration, Instant, SystemTime};

use haulout_api::group::ApiGroupSuffix;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::client::AuthError;
use kube::{Api, Config};
use secrecy::{ExposeSecret, SecretString};

use self::server::Server;
use super::claims::{Claims, ClaimsError};
use super::observations::{AccountFault, Objects, Observations, Token, TokenLogin};
use crate::chain;
use crate::cluster::{Cluster, ClusterError, call};
use crate::exchange::Request;

/// This computer's clock, as it was read at the start, and gone on since.
#[derive(Debug)]
pub(super) struct Clock {
    now: SystemTime,
    set: Instant,
}

impl Clock {
    pub(super) fn set_to(now: SystemTime) -> Self {
        Self {
            now,
            set: Instant::now(),
        }
    }

    fn now(&self) -> Timestamp {
        let gone_on: Duration = self.set.elapsed();
        Timestamp::try_from(self.now + gone_on).unwrap_or_default()
    }
}

/// Looks at everything that can be seen; no answer from the API server ends it.
pub(super) async fn observe(
    config: Config,
    suffix: ApiGroupSuffix,
    token: Option<&SecretString>,
    clock: &Clock,
) -> Result<Observations, ClusterError> {
    let (door, version, date) = match Server::of_kubeconfig(&config).await {
        Ok(server) => match server.version().await {
            Ok((answer, date)) => (Some(server), Ok(answer), date),
            Err(fault) => (None, Err(fault), None),
        },
        Err(fault) => (None, Err(fault), None),
    };
    let mut observations = Observations {
        server: config
            .cluster_url
            .to_string()
            .trim_end_matches('/')
            .to_owned(),
        verifies_server: !config.accept_invalid_certs,
        now: clock.now(),
        clock_difference: date.map(|date| clock.now().as_second() - date.as_second()),
        version,
        login: None,
        account: None,
        objects: None,
        advertised: None,
        direct: None,
        token: None,
        suffix,
    };
    if let Some(door) = door {
        observations.look_behind(&door, config, token).await?;
    }
    Ok(observations)
}

impl Observations {
    async fn look_behind(
        &mut self,
        door: &Server,
        config: Config,
        token: Option<&SecretString>,
    ) -> Result<(), ClusterError> {
        self.login = Some(door.log_in_with_nothing(&self.suffix).await);
        match account(config).await? {
            Ok((cluster, name)) => {
                self.account = Some(Ok(name));
                // On the heap: it is large, and so would be all that wait for it.
                let read = Box::pin(Objects::read(&cluster, &self.suffix));
                self.objects = Some(Box::new(read.await));
            }
            Err(fault) => self.account = Some(Err(fault)),
        }
        if let Some(info) = self.advertised_info() {
            let ca = Some(info.certificate_authority_data.as_str());
            self.advertised = Some(match Server::advertised(&info.server, ca) {
                Ok(server) => server.version().await.map(|(answer, _)| answer),
                Err(fault) => Err(fault),
            });
        }
        let mut direct_door = None;
        if let Some(info) = self.direct_info() {
            let ca = info.certificate_authority_data.as_deref();
            self.direct = Some(match Server::advertised(&info.endpoint, ca) {
                Ok(server) => {
                    let answer = server.log_in_with_nothing(&self.suffix).await;
                    direct_door = Some(server);
                    answer
                }
                Err(fault) => Err(fault),
            });
        }
        if let Some(token) = token {
            // It goes only where a login would: not to a door that is closed.
            let door = match direct_door.as_ref() {
                _ if self.login_path_is_open() => Some(door),
                Some(direct) if self.direct_endpoint_is_open() => Some(direct),
                _ => None,
            };
            self.token = Some(self.try_token(door, token.expose_secret()).await);
        }
        Ok(())
    }

    /// Logs in by each authenticator that may take the token.
    async fn try_token(&self, door: Option<&Server>, token: &str) -> Token {
        let claims = Claims::read(token);
        let mut logins = Vec::new();
        if let Some(door) = door.filter(|door| door.is_verified()) {
            for (kind, authenticator) in self.candidates(&claims) {
                let request = Request::new(&self.suffix, kind, &authenticator, token);
                let answer = door.log_in(&request, &self.suffix).await;
                logins.push(TokenLogin {
                    kind,
                    authenticator,
                    answer,
                });
            }
        }
        Token { claims, logins }
    }

    fn candidates(&self, claims: &Result<Claims, ClaimsError>) -> Vec<(&'static str, String)> {
        let Some(objects) = &self.objects else {
            return Vec::new();
        };
        let jwt = objects.jwt.iter().flatten();
        let jwt = jwt.filter(|authenticator| {
            claims
                .as_ref()
                .is_ok_and(|claims| claims.fit(&authenticator.spec))
        });
        let jwt = jwt.map(|authenticator| ("JWTAuthenticator", authenticator.name.clone()));
        let webhook = objects.webhook.iter().flatten();
        let webhook =
            webhook.map(|authenticator| ("WebhookAuthenticator", authenticator.name.clone()));
        jwt.chain(webhook).collect()
    }
}

/// Whom the API server takes the kubeconfig's user for, and a client that has his rights.
async fn account(config: Config) -> Result<Result<(Cluster, String), AccountFault>, ClusterError> {
    let cluster = match Cluster::connect(config) {
        Ok(cluster) => cluster,
        Err(error) => return credential_fault(error).map(Err),
    };
    let reviews: Api<SelfSubjectReview> = Api::all(cluster.client());
    let (parameters, review) = (PostParams::default(), SelfSubjectReview::default());
    let review = call("your own name", reviews.create(&parameters, &review)).await;
    let name = |review: SelfSubjectReview| review.status?.user_info?.username;
    Ok(match review {
        Ok(review) => Ok((cluster, name(review).unwrap_or_default())),
        Err(ClusterError::Refused { status, .. }) if status.code == 401 => {
            Err(AccountFault::NotAccepted)
        }
        Err(error) => Err(AccountFault::Other(chain(&error))),
    })
}

/// What a plugin printed to its standard output may be a credential, and is not repeated.
fn credential_fault(error: ClusterError) -> Result<AccountFault, ClusterError> {
    let ClusterError::Client(source) = &error else {
        return Err(error);
    };
    let kube::Error::Auth(fault) = source.as_ref() else {
        return Err(error);
    };
    let text = match fault {
        AuthError::AuthExecRun { out, .. } => {
            let told = String::from_utf8_lossy(&out.stderr);
            let told = told.trim();
            let colon = if told.is_empty() { "" } else { ": " };
            format!("its plugin ended with {}{colon}{told}", out.status)
        }
        AuthError::AuthExecParse(_) => "its plugin printed no ExecCredential".to_owned(),
        AuthError::AuthExecStart(error) => format!("its plugin cannot be started: {error}"),
        AuthError::MissingCommand => "its plugin has no command".to_owned(),
        AuthError::ReadTokenFile(error, path) => {
            format!("its token cannot be read from {}: {error}", path.display())
        }
        _ => "they cannot be used".to_owned(),
    };
    Ok(AccountFault::NoCredentials(text))
}
