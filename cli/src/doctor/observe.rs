//! Looks at a cluster: first without credentials, then with those of the kubeconfig.

mod objects;
mod server;
mod settling;

use haulout_api::group::ApiGroupSuffix;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Config};
use secrecy::{ExposeSecret, SecretString};

use self::server::Server;
use self::settling::settled;
use super::claims::Claims;
use super::observations::{AccountFault, Body, Objects, Observations, OwnDoor, Token, TokenLogin};
use super::stanza::Stanza;
use crate::authenticator_kind::AuthenticatorKind;
use crate::chain;
use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterError, shown_server};
use crate::exchange::{Parameters, Request};

/// Looks at everything that can be seen; no answer from the API server ends it.
pub(super) async fn observe(
    config: Config,
    suffix: ApiGroupSuffix,
    stanza: Option<&Stanza<'_>>,
    given: Option<&SecretString>,
    clock: Clock,
) -> Result<Observations, ClusterError> {
    let (door, version, date) = match Server::of_kubeconfig(&config).await {
        Ok(server) => match server.version().await {
            Ok((answer, date)) => (Some(server), Ok(answer), date),
            Err(fault) => (None, Err(fault), None),
        },
        Err(fault) => (None, Err(fault), None),
    };
    let mut observations = Observations {
        server: shown_server(&config.cluster_url),
        proxy: config.proxy_url.as_ref().map(shown_server),
        verifies_server: !config.accept_invalid_certs,
        now: timestamp(clock),
        clock_difference: date.map(|date| timestamp(clock).as_second() - date.as_second()),
        version,
        login: None,
        account: None,
        objects: None,
        advertised: None,
        direct: None,
        own: None,
        token: None,
        suffix,
    };
    if let Some(door) = door {
        observations
            .look_behind(&door, config, stanza, given, clock)
            .await?;
    }
    Ok(observations)
}

fn timestamp(clock: Clock) -> Timestamp {
    Timestamp::try_from(clock.now()).unwrap_or_default()
}

impl Observations {
    async fn look_behind(
        &mut self,
        door: &Server,
        config: Config,
        stanza: Option<&Stanza<'_>>,
        given: Option<&SecretString>,
        clock: Clock,
    ) -> Result<(), ClusterError> {
        self.login = Some(door.log_in_with_nothing(&self.suffix).await);
        let own_door = match stanza {
            Some(stanza) => {
                let lacks_token = stanza.lacks_token(clock.now());
                self.knock_at_own_door(&stanza.parameters, lacks_token)
                    .await
            }
            None => None,
        };
        match account(config).await? {
            Ok((cluster, name)) => {
                self.account = Some(Ok(name));
                // On the heap: it is large, and so would be all that wait for it.
                let read = Box::pin(Objects::read(&cluster, &self.suffix));
                self.objects = Some(Box::new(read.await));
            }
            Err(fault) => self.account = Some(Err(fault)),
        }
        // What a server says that may be anyone's is no reason to turn to others.
        let direct_door = if door.is_verified() {
            self.knock_where_clients_are_told().await
        } else {
            None
        };
        // The plugin may have waited for somebody to log in.
        self.now = timestamp(clock);
        let own = own_door.filter(|_| self.own_door_is_open());
        self.token = match (given, stanza) {
            (Some(token), _) => {
                let api_server = Some(door).filter(|_| self.login_path_is_open());
                let direct = direct_door.filter(|_| self.direct_endpoint_is_open());
                let door = own.as_ref().or(api_server).or(direct.as_ref());
                // The authenticators are those that the API server named.
                let door = door.filter(|_| self.verifies_server);
                let candidates = self.candidates(token.expose_secret(), stanza);
                let token = token.expose_secret();
                Some(try_token(token, false, door, &self.suffix, candidates).await)
            }
            // After the plugin has run, which may have got one.
            (None, Some(stanza)) => match stanza.token(clock.now()) {
                Some(token) => {
                    let Parameters {
                        suffix,
                        authenticator_kind,
                        authenticator_name,
                        ..
                    } = &stanza.parameters;
                    let only = vec![(*authenticator_kind, authenticator_name.clone())];
                    let token = token.expose_secret();
                    Some(try_token(token, true, own.as_ref(), suffix, only).await)
                }
                None => None,
            },
            (None, None) => None,
        };
        Ok(())
    }

    async fn knock_at_own_door(
        &mut self,
        parameters: &Parameters,
        lacks_token: bool,
    ) -> Option<Server> {
        let (door, answer) = match Server::of_login(parameters) {
            Ok(door) => {
                let answer = door.log_in_with_nothing(&parameters.suffix).await;
                (Some(door), answer)
            }
            Err(fault) => (None, Err(fault)),
        };
        let endpoint = parameters
            .endpoint
            .as_str()
            .trim_end_matches('/')
            .to_owned();
        self.own = Some(OwnDoor {
            lacks_token,
            endpoint,
            answer,
        });
        door
    }

    /// The door of the direct endpoint, if it has one.
    async fn knock_where_clients_are_told(&mut self) -> Option<Server> {
        if let Some(info) = self.advertised_info() {
            let ca = Some(info.certificate_authority_data.as_str());
            self.advertised = Some(match Server::advertised(&info.server, ca) {
                Ok(server) => server.version().await.map(|(answer, _)| answer),
                Err(fault) => Err(fault),
            });
        }
        let info = self.direct_info()?;
        let ca = info.certificate_authority_data.as_deref();
        match Server::advertised(&info.endpoint, ca) {
            Ok(server) => {
                let attempt = async || server.log_in_with_nothing(&self.suffix).await;
                self.direct = Some(settled(attempt).await);
                Some(server)
            }
            Err(fault) => {
                self.direct = Some(Err(fault));
                None
            }
        }
    }

    /// Who may take a token: whoever says so of its claims, and whom the user's logins already show it.
    fn candidates(
        &self,
        token: &str,
        stanza: Option<&Stanza<'_>>,
    ) -> Vec<(AuthenticatorKind, String)> {
        let claims = Claims::read(token);
        let objects = self.objects.iter();
        let jwt = objects.flat_map(|objects| objects.jwt.iter().flatten());
        let jwt = jwt.filter(|authenticator| {
            claims
                .as_ref()
                .is_ok_and(|claims| claims.fit(&authenticator.spec))
        });
        let jwt = jwt.map(|authenticator| (AuthenticatorKind::Jwt, authenticator.name.clone()));
        let webhook = stanza.map(|stanza| &stanza.parameters);
        let webhook =
            webhook.filter(|login| login.authenticator_kind == AuthenticatorKind::Webhook);
        let webhook =
            webhook.map(|login| (login.authenticator_kind, login.authenticator_name.clone()));
        jwt.chain(webhook).collect()
    }
}

/// Logs in at `door` by one authenticator after the other, until one lets the token in.
async fn try_token(
    token: &str,
    is_own: bool,
    door: Option<&Server>,
    suffix: &ApiGroupSuffix,
    candidates: Vec<(AuthenticatorKind, String)>,
) -> Token {
    let mut logins = Vec::new();
    if let Some(door) = door.filter(|door| door.is_verified()) {
        for (kind, authenticator) in candidates {
            let request = Request::new(suffix, kind, &authenticator, token);
            let answer = door.log_in(&request, suffix).await;
            let is_in =
                matches!(&answer, Ok(answer) if matches!(answer.body, Body::Credential { .. }));
            logins.push(TokenLogin {
                kind,
                authenticator,
                answer,
            });
            if is_in {
                break;
            }
        }
    }
    Token {
        is_own,
        claims: Claims::read(token),
        logins,
    }
}

/// Whom the API server takes the kubeconfig's user for, and a client that has his rights.
async fn account(config: Config) -> Result<Result<(Cluster, String), AccountFault>, ClusterError> {
    let cluster = match Cluster::connect(config) {
        Ok(cluster) => cluster,
        Err(ClusterError::Credentials(fault)) => {
            return Ok(Err(AccountFault::NoCredentials(fault)));
        }
        Err(error) => return Err(error),
    };
    let reviews: Api<SelfSubjectReview> = Api::all(cluster.client());
    let (parameters, review) = (PostParams::default(), SelfSubjectReview::default());
    let review = reviews.create(&parameters, &review);
    let review = cluster.call("your own name", review).await;
    let name = |review: SelfSubjectReview| review.status?.user_info?.username;
    Ok(match review {
        Ok(review) => Ok((cluster, name(review).unwrap_or_default())),
        Err(ClusterError::Refused { status, .. }) if status.code == 401 => {
            Err(AccountFault::NotAccepted)
        }
        Err(error) => Err(AccountFault::Other(chain(&error))),
    })
}
