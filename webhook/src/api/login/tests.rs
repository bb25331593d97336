use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use haulout_api::group::ApiGroupSuffix;
use haulout_api::signing::SigningFailureReason;
use haulout_operate::clock::Clock;
use haulout_operate::rate::Rate;
use haulout_serve::front_proxy::{FrontProxy, FrontProxyConfig};
use haulout_serve::health::Metrics;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::*;
use crate::audit::PersonalInfo;
use crate::audit::tests::Memory;
use crate::authenticators::registry::AuthenticatorRegistry;
use crate::authenticators::{API_GROUP, JWT_KIND, TokenAuthenticator};
use crate::limits::{Limits, LoginLimits};
use crate::metrics::LoginMetrics;
use crate::signer::fake_agent::{Behaviour, FakeAgent, GOOD, TestNetwork};
use crate::signer::{AgentSource, Credentials, Signer, SignerSettings};
use crate::signing_ca::SigningCaGuard;

const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";

/// Everything that a login takes, with one authenticator called `main`.
pub(crate) struct Setup {
    /// There until a router takes it.
    pub(crate) logins: Option<Logins>,
    pub(crate) memory: Memory,
    pub(crate) metrics: Metrics,
    agent: Option<(FakeAgent, TempDir)>,
    _stop: DropGuard,
}

/// What the authenticator answers.
#[derive(Clone)]
pub(crate) enum Says {
    User(UserInfo),
    Rejection(&'static str),
    Error(&'static str),
    Nothing,
}

impl TokenAuthenticator for Says {
    fn authenticate<'a>(
        &'a self,
        _: &'a SecretString,
        _: SystemTime,
    ) -> BoxFuture<'a, Result<UserInfo, AuthenticationError>> {
        match self {
            Self::User(user) => futures_util::future::ready(Ok(user.clone())).boxed(),
            Self::Rejection(text) => {
                let error = AuthenticationError::rejection("TestRejection", *text);
                futures_util::future::ready(Err(error)).boxed()
            }
            Self::Error(text) => {
                let error = AuthenticationError::new("TestReason", *text);
                futures_util::future::ready(Err(error)).boxed()
            }
            Self::Nothing => futures_util::future::pending().boxed(),
        }
    }
}

/// An authenticator whose users' certificates live for fifteen minutes.
struct ForFifteenMinutes;

impl TokenAuthenticator for ForFifteenMinutes {
    fn authenticate<'a>(
        &'a self,
        _: &'a SecretString,
        _: SystemTime,
    ) -> BoxFuture<'a, Result<UserInfo, AuthenticationError>> {
        futures_util::future::ready(Ok(alice())).boxed()
    }

    fn certificate_lifetime_seconds(&self) -> Option<u32> {
        Some(900)
    }
}

pub(crate) fn alice() -> UserInfo {
    UserInfo {
        username: "alice".into(),
        groups: vec!["devs".into(), "ops".into()],
        extra: [("example.com/a".to_owned(), vec!["b".to_owned()])].into(),
        ..UserInfo::default()
    }
}

/// A setup with one fake agent.
pub(crate) async fn setup(says: Says, agent: Behaviour, suffix: &str) -> Setup {
    let network = TestNetwork::new();
    let agent = network.agent(agent).await;
    let folder = TempDir::new().unwrap();
    let settings = SignerSettings {
        agents: AgentSource::Addresses(vec![agent.address.to_string()]),
        credentials: Credentials::Files(network.write_credentials(folder.path())),
    };
    Setup {
        agent: Some((agent, folder)),
        ..Setup::new(says, settings, suffix)
    }
}

pub(crate) fn reference(api_group: Option<&str>, name: &str) -> AuthenticatorReference {
    AuthenticatorReference {
        api_group: api_group.map(str::to_owned),
        kind: JWT_KIND.to_owned(),
        name: name.to_owned(),
    }
}

impl Setup {
    pub(crate) fn new(says: Says, settings: SignerSettings, suffix: &str) -> Self {
        let (metrics, tasks, stop) = (Metrics::new(), TaskTracker::new(), CancellationToken::new());
        let signer = Signer::start(settings, Clock::system(), &metrics, &tasks, &stop);
        let authenticators = Arc::new(AuthenticatorRegistry::default());
        authenticators.insert(&AuthenticatorKey::jwt("main"), &(Arc::new(says) as _));
        let memory = Memory::default();
        let front_proxy = Arc::default();
        let logins = Logins {
            suffix: ApiGroupSuffix::parse(suffix).unwrap(),
            limits: Arc::new(LoginLimits::new(Limits {
                per_address: Rate::new(50, 1_000),
                total: Rate::new(3_000, 6_000),
            })),
            authenticators,
            signer,
            signing_ca: Arc::new(SigningCaGuard::new(Arc::clone(&front_proxy))),
            audit: memory.audit(PersonalInfo::Redacted),
            metrics: LoginMetrics::new(&metrics),
            clock: Clock::system(),
            lifetime_seconds: 300,
        };
        Self {
            logins: Some(logins),
            memory,
            metrics,
            agent: None,
            _stop: stop.drop_guard(),
        }
    }

    /// What the fake agent was asked.
    pub(crate) fn calls(&self) -> Vec<CertificateRequest> {
        self.agent
            .as_ref()
            .map(|(agent, _)| agent.calls())
            .unwrap_or_default()
    }

    async fn log_in(&self, authenticator: AuthenticatorReference) -> TokenCredentialRequestStatus {
        let ids = RequestIds {
            audit: "theirs".into(),
            request: "ours".into(),
            client: None,
        };
        let token = SecretString::from(TOKEN);
        log_in(
            self.logins.as_ref().unwrap(),
            &ids,
            &token,
            authenticator,
            Instant::now(),
        )
        .await
    }

    /// Asserts that there are exactly the two events, and gives the second.
    fn outcome(&self) -> Value {
        let events = self.memory.events();
        assert_eq!(events.len(), 2, "{events:?}");
        assert_eq!(
            events[0]["message"],
            "TokenCredentialRequest Token Received"
        );
        // SHA-256 of TOKEN, by sha256sum.
        assert_eq!(events[0]["tokenID"], TOKEN_ID);
        assert!(!self.memory.text().contains(TOKEN));
        events[1].clone()
    }

    fn counted(&self, result: &str, reason: &str) -> bool {
        let line = format!(
            "haulout_token_credential_requests_total{{result=\"{result}\",reason=\"{reason}\"}} 1\n"
        );
        self.metrics.encode().unwrap().contains(&line)
    }
}

const TOKEN_ID: &str = "85b939183d67bfd08384dc54f1d3f58789cf917cad01e9e600a8533e77528af8";

#[tokio::test]
async fn a_good_token_gives_a_credential_for_what_the_authenticator_said() {
    let setup = setup(Says::User(alice()), GOOD, "pinniped.dev").await;
    let status = setup.log_in(reference(Some(API_GROUP), "main")).await;
    assert_eq!(status.message, None);
    let credential = status.credential.unwrap();
    assert!(
        credential
            .client_certificate_data
            .starts_with("-----BEGIN CERTIFICATE-----\n")
    );
    assert!(
        credential
            .client_key_data
            .starts_with("-----BEGIN PRIVATE KEY-----\n")
    );
    assert_eq!(credential.token, "");

    let [asked] = &setup.calls()[..] else {
        panic!("the agent was asked once")
    };
    assert_eq!(asked.username, "alice");
    assert_eq!(asked.groups, ["devs", "ops"]);
    assert_eq!(asked.extra, alice().extra);
    assert_eq!((asked.lifetime_seconds, &asked.evidence), (300, &None));
    assert_eq!(asked.audit_id, "ours");

    let outcome = setup.outcome();
    assert_eq!(
        outcome["message"],
        "TokenCredentialRequest Authenticated User"
    );
    assert_eq!(
        outcome["personalInfo"]["groups"],
        json!(["redacted 2 values"])
    );
    let not_after = outcome["issuedClientCert"]["notAfter"].as_str().unwrap();
    assert_eq!(not_after, credential.expiration_timestamp.0.to_string());
    assert!(setup.counted("success", "Authenticated"));
}

#[tokio::test]
async fn an_authenticator_may_say_how_long_certificates_live() {
    let setup = setup(Says::Nothing, GOOD, "pinniped.dev").await;
    let key = AuthenticatorKey::jwt("main");
    let authenticators = &setup.logins.as_ref().unwrap().authenticators;
    authenticators.insert(&key, &(Arc::new(ForFifteenMinutes) as _));
    setup.log_in(reference(Some(API_GROUP), "main")).await;
    let calls = setup.calls();
    assert_eq!(calls.first().unwrap().lifetime_seconds, 900);
}

/// An authenticator that is edited while it judges a token.
struct Edited(Arc<AuthenticatorRegistry>);

impl TokenAuthenticator for Edited {
    fn authenticate<'a>(
        &'a self,
        _: &'a SecretString,
        _: SystemTime,
    ) -> BoxFuture<'a, Result<UserInfo, AuthenticationError>> {
        let key = AuthenticatorKey::jwt("main");
        self.0.insert(&key, &(Arc::new(ForFifteenMinutes) as _));
        futures_util::future::ready(Ok(alice())).boxed()
    }
}

#[tokio::test]
async fn nobody_logs_in_by_what_an_authenticator_was_before_an_edit() {
    let setup = setup(Says::Nothing, GOOD, "pinniped.dev").await;
    let authenticators = &setup.logins.as_ref().unwrap().authenticators;
    let edited = Edited(Arc::clone(authenticators));
    authenticators.insert(&AuthenticatorKey::jwt("main"), &(Arc::new(edited) as _));
    let status = setup.log_in(reference(Some(API_GROUP), "main")).await;
    assert_eq!(status.credential, None);
    assert!(setup.calls().is_empty() && setup.counted("failure", "AuthenticatorChanged"));
    let status = setup.log_in(reference(Some(API_GROUP), "main")).await;
    assert!(status.credential.is_some(), "the edit itself is good");
}

#[tokio::test]
async fn every_failure_is_the_same_to_the_client_and_leaves_two_events() {
    let user = |change: fn(&mut UserInfo)| {
        let mut user = alice();
        change(&mut user);
        Says::User(user)
    };
    const ERROR: &str = "TokenCredentialRequest Unexpected Error";
    const UNSUPPORTED: &str = "TokenCredentialRequest Unsupported UserInfo";
    let cases = [
        (
            Says::Error("expired"),
            GOOD,
            ERROR,
            "authenticator returned an error",
            "TestReason",
        ),
        (
            Says::Rejection("of another issuer"),
            GOOD,
            "TokenCredentialRequest Authentication Failed",
            "auth rejected by authenticator",
            "TestRejection",
        ),
        (
            user(|user| user.username.clear()),
            GOOD,
            UNSUPPORTED,
            "unsupported value in userInfo returned by authenticator",
            "UnsupportedUserInfo",
        ),
        (
            user(|user| user.uid.push('7')),
            GOOD,
            UNSUPPORTED,
            "unsupported value in userInfo returned by authenticator",
            "UnsupportedUserInfo",
        ),
        (
            user(|user| drop(user.extra.insert("k8s.io/x".into(), vec![]))),
            GOOD,
            UNSUPPORTED,
            "unsupported value in userInfo returned by authenticator",
            "UnsupportedUserInfo",
        ),
        (
            Says::User(alice()),
            Behaviour::Refuse(SigningFailureReason::RefusedByPolicy),
            ERROR,
            "cert issuer returned an error",
            "RefusedByPolicy",
        ),
        (
            Says::User(alice()),
            Behaviour::Say(http::StatusCode::OK, "garbage"),
            ERROR,
            "cert issuer returned an error",
            "InvalidAgentAnswer",
        ),
    ];
    for (says, agent, message, reason, label) in cases {
        let setup = setup(says, agent, "pinniped.dev").await;
        let status = setup.log_in(reference(Some(API_GROUP), "main")).await;
        assert_eq!(status.credential, None);
        assert_eq!(status.message.as_deref(), Some("authentication failed"));
        let outcome = setup.outcome();
        assert_eq!(outcome["message"], message);
        assert_eq!(outcome["reason"], reason);
        assert_eq!(outcome["authenticator"]["name"], "main");
        assert!(
            setup.counted("failure", label),
            "{label}: {}",
            setup.metrics.encode().unwrap()
        );
    }
}

#[tokio::test]
async fn without_its_event_no_credential_is_handed_out() {
    let setup = setup(Says::User(alice()), GOOD, "pinniped.dev").await;
    setup.memory.is_full.store(true, Ordering::Relaxed);
    let status = setup.log_in(reference(Some(API_GROUP), "main")).await;
    assert_eq!(setup.calls().len(), 1, "the agent has signed");
    assert_eq!(status.credential, None);
    assert_eq!(status.message.as_deref(), Some("authentication failed"));
    assert!(setup.counted("failure", "AuditEventFailed"));
    setup.memory.is_full.store(false, Ordering::Relaxed);
    let status = setup.log_in(reference(Some(API_GROUP), "main")).await;
    assert!(status.credential.is_some());
}

#[tokio::test]
async fn users_that_no_certificate_can_describe_never_reach_the_agent() {
    let user = UserInfo {
        uid: "7".into(),
        ..alice()
    };
    let setup = setup(Says::User(user), GOOD, "pinniped.dev").await;
    setup.log_in(reference(Some(API_GROUP), "main")).await;
    assert!(setup.calls().is_empty());
}

#[tokio::test]
async fn authenticators_are_found_by_exact_group_kind_and_name() {
    let custom = "authentication.concierge.walrus.example.com";
    let kind = |kind: &str| AuthenticatorReference {
        kind: kind.to_owned(),
        ..reference(Some(API_GROUP), "main")
    };
    let (found, missing) = (
        "",
        "there is no JWTAuthenticator of that name, or it is not judged yet",
    );
    let webhook = "there is no WebhookAuthenticator of that name, or it is not judged yet";
    let no_kind = "that kind is no authenticator's; use JWTAuthenticator or WebhookAuthenticator";
    let group = "that API group is no authenticator's; use authentication.concierge.pinniped.dev";
    let custom_group =
        "that API group is no authenticator's; use authentication.concierge.walrus.example.com";
    let [default, walrus] = ["pinniped.dev", "walrus.example.com"];
    for (suffix, reference, hint, shown_group) in [
        (
            default,
            reference(Some(API_GROUP), "main"),
            found,
            API_GROUP,
        ),
        (
            default,
            reference(Some(API_GROUP), "Main"),
            missing,
            API_GROUP,
        ),
        (default, reference(None, "main"), group, ""),
        (default, reference(Some(custom), "main"), group, custom),
        (walrus, reference(Some(custom), "main"), found, API_GROUP),
        (
            walrus,
            reference(Some(API_GROUP), "main"),
            custom_group,
            API_GROUP,
        ),
        (walrus, reference(None, "main"), custom_group, ""),
        (default, kind("WebhookAuthenticator"), webhook, API_GROUP),
        (default, kind("jwtauthenticator"), no_kind, API_GROUP),
    ] {
        let setup = setup(Says::User(alice()), GOOD, suffix).await;
        let status = setup.log_in(reference.clone()).await;
        let case = format!("{suffix} {reference:?}");
        assert_eq!(status.credential.is_some(), hint == found, "{case}");
        let outcome = setup.outcome();
        assert_eq!(outcome["authenticator"]["apiGroup"], shown_group, "{case}");
        if hint != found {
            // The acceptance tests of Pinniped match the whole text.
            assert_eq!(outcome["err"], "no such authenticator");
            assert_eq!(outcome["hint"], hint, "{case}");
            assert!(setup.counted("failure", "NoSuchAuthenticator"));
        }
    }
}

#[tokio::test]
async fn who_asks_for_a_broken_authenticator_leaves_its_fault_in_the_log() {
    let setup = setup(Says::User(alice()), GOOD, "pinniped.dev").await;
    let key = AuthenticatorKey::jwt("main");
    let authenticators = &setup.logins.as_ref().unwrap().authenticators;
    authenticators.remove(&key);
    authenticators.explain(&key, Some("could not fetch keys: no answer"));
    setup.log_in(reference(Some(API_GROUP), "main")).await;
    assert_eq!(
        setup.outcome()["hint"],
        "the JWTAuthenticator is not in force: could not fetch keys: no answer"
    );
}

#[tokio::test]
async fn a_login_that_nobody_waits_for_any_more_is_reported_too() {
    for (says, agent, reason) in [
        (Says::Nothing, GOOD, "authenticator returned an error"),
        (
            Says::User(alice()),
            Behaviour::Hang,
            "cert issuer returned an error",
        ),
    ] {
        let setup = setup(says, agent, "pinniped.dev").await;
        let log_in = setup.log_in(reference(Some(API_GROUP), "main"));
        assert!(
            tokio::time::timeout(Duration::from_millis(200), log_in)
                .await
                .is_err()
        );
        let outcome = setup.outcome();
        assert_eq!(outcome["reason"], reason);
        assert_eq!(outcome["err"], "the request ended before its answer");
        assert!(setup.counted("failure", "RequestEnded"));
    }
}

/// With such a certificate anybody could be anybody.
#[tokio::test]
async fn what_the_front_proxys_key_has_signed_is_not_handed_out() {
    let mut setup = setup(Says::User(alice()), GOOD, "pinniped.dev").await;
    let (agent, _folder) = setup.agent.as_ref().unwrap();
    let ca = agent.authority.certificate_pem().to_owned();
    let data = [("requestheader-client-ca-file".to_owned(), ca)].into();
    let front_proxy = Arc::new(FrontProxy::default());
    front_proxy.replace(FrontProxyConfig::from_config_map(&data).unwrap());
    setup.logins.as_mut().unwrap().signing_ca = Arc::new(SigningCaGuard::new(front_proxy));

    let status = setup.log_in(reference(Some(API_GROUP), "main")).await;
    assert_eq!(status.credential, None);
    assert_eq!(status.message.as_deref(), Some("authentication failed"));
    let outcome = setup.outcome().to_string();
    assert!(
        outcome.contains("the key of the front proxy's CA"),
        "{outcome}"
    );
    assert!(setup.counted("failure", "FrontProxyKeySigns"));
}
