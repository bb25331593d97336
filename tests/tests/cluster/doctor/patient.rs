//! A cluster with Haulout in it that is made ill and well, and the program that examines it.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haulout_operate::clock::Clock;
use haulout_tests::cluster::{AUDIENCE, Component, Profile, TOKEN_VARIABLE};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::diagnosis::Diagnosis;
use super::faults::{Cause, Fault};
use crate::installed::Installed;

/// For a fault to show, and for its end to show.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Patient {
    pub(super) installed: Installed,
    /// What kube-apiserver runs with while it is well.
    arguments: Vec<OsString>,
    /// Alice's.
    pub(super) token: String,
}

impl Patient {
    pub(super) async fn start() -> Self {
        let mut installed = Installed::start(Profile::Talos, 1, &[]).await;
        let api_server = installed.cluster.process(Component::ApiServer).unwrap();
        let arguments = api_server.arguments_mut().clone();
        let patient = Self {
            token: installed.token(),
            arguments,
            installed,
        };
        let ca = patient.installed.cluster.ca_certificate();
        patient.tell_clients(&ca).await;
        patient
    }

    pub(super) fn admin(&self) -> &Path {
        self.installed.kubectl().kubeconfig()
    }

    /// By an administrator who has a token of alice's.
    async fn examine_all(&self) -> Diagnosis {
        self.examine(self.admin(), &[&format!("--token-env={TOKEN_VARIABLE}")])
            .await
    }

    /// By alice, who has only her own kubeconfig, and this token.
    pub(super) async fn examine_as_alice(&self, token: &str) -> Diagnosis {
        Diagnosis::make(&self.installed.kubeconfig(), token, &[]).await
    }

    /// By alice, whose kubeconfig logs in by OIDC; her session has the token.
    pub(super) async fn examine_by_session(&self) -> Diagnosis {
        let folder = self.installed.cluster.folder();
        let sessions = folder.join("sessions.yaml");
        let issuer = self.installed.issuer.url();
        let now = Timestamp::try_from(Clock::system().now()).unwrap();
        let session = json!({
            "key": {
                "clientID": AUDIENCE, "issuer": issuer, "scopes": ["openid"],
                "redirect_uri": "http://localhost:0/callback",
            },
            "creationTimestamp": now,
            "lastUsedTimestamp": now,
            "tokens": {"id": {"token": self.token, "expiryTimestamp": now + SignedDuration::from_hours(1)}},
        });
        let header = "apiVersion: config.supervisor.pinniped.dev/v1alpha1\nkind: SessionCache";
        let cache = format!("{header}\nsessions: {}\n", json!([session]));
        std::fs::write(&sessions, cache).unwrap();
        let login = [
            "oidc",
            &format!("--issuer={issuer}"),
            &format!("--client-id={AUDIENCE}"),
            "--scopes=openid",
            &format!("--session-cache={}", sessions.display()),
            "--skip-browser",
            "--skip-listen",
        ];
        let kubeconfig = self.installed.kubeconfig_by("alice-by-session", &login);
        Diagnosis::make(&kubeconfig, &self.token, &[]).await
    }

    pub(super) fn expired_token(&self) -> String {
        let claims = json!({
            "iss": self.installed.issuer.url(), "sub": "1", "aud": AUDIENCE, "username": "alice", "exp": 1,
        });
        self.installed.issuer.sign(&claims).unwrap()
    }

    pub(super) async fn examine(&self, kubeconfig: &Path, arguments: &[&str]) -> Diagnosis {
        Diagnosis::make(kubeconfig, &self.token, arguments).await
    }

    /// Runs the library, by a clock that is so many minutes ahead.
    pub(super) async fn examine_at(&self, minutes: i64) -> Diagnosis {
        let kubeconfig = self.admin().to_owned();
        let token = self.token.clone();
        let seconds = Duration::from_secs(minutes.unsigned_abs() * 60);
        let now = Clock::system().now();
        let now = if minutes < 0 {
            now - seconds
        } else {
            now + seconds
        };
        let run = move || {
            let arguments = [
                "haulout",
                "doctor",
                "-o",
                "json",
                "--token-env",
                TOKEN_VARIABLE,
                "--kubeconfig",
            ];
            let mut arguments: Vec<OsString> = arguments.map(OsString::from).into();
            arguments.push(kubeconfig.into());
            let environment = |name: &str| (name == TOKEN_VARIABLE).then(|| OsString::from(&token));
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            let code = haulout::run(
                &arguments,
                &environment,
                now,
                &mut std::io::empty(),
                &mut stdout,
                &mut stderr,
            );
            let code = i32::from(code != ExitCode::SUCCESS);
            (stdout, stderr, code)
        };
        let (stdout, stderr, code) = tokio::task::spawn_blocking(run).await.unwrap();
        Diagnosis::read(&stdout, &stderr, code, &self.token)
    }

    /// Examines until nothing is wrong.
    pub(super) async fn until_healthy(&self, after: &str) -> Diagnosis {
        let diagnosis = self
            .until(|diagnosis| diagnosis.code == 0 && diagnosis.is_healthy())
            .await;
        assert!(diagnosis.is_healthy(), "{after}: {diagnosis:#?}");
        assert_eq!(diagnosis.code, 0, "{after}: {diagnosis:?}");
        diagnosis
    }

    /// Examines until the fault is found, and nothing else.
    pub(super) async fn until_found(&self, fault: &Fault) -> Diagnosis {
        self.until(|diagnosis| diagnosis.names_only(fault)).await
    }

    async fn until(&self, is_it: impl Fn(&Diagnosis) -> bool) -> Diagnosis {
        let begun = Instant::now();
        loop {
            let diagnosis = self.examine_all().await;
            if is_it(&diagnosis) || begun.elapsed() > LIMIT {
                return diagnosis;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(super) async fn inject(&mut self, fault: &Fault) {
        match fault.cause {
            Cause::Anonymous(arguments) => self.restart_api_server(Some(arguments)).await,
            Cause::Commands(commands) => self.follow(commands).await,
            Cause::ForeignClusterInfo => {
                let foreign = self.installed.cluster.pki().foreign_authority().unwrap();
                self.tell_clients(&foreign.certificate).await;
            }
            Cause::UnreachableIssuer => self.apply(&self.away()).await,
        }
    }

    /// Follows the remedy of the one check that has found something.
    pub(super) async fn heal(&mut self, fault: &Fault, diagnosis: &Diagnosis) {
        match fault.cause {
            Cause::Anonymous(_) => self.restart_api_server(None).await,
            Cause::Commands(_) => {
                let commands = diagnosis.found()[0].commands();
                self.follow(&commands.replace("NODE", "node-1")).await;
            }
            Cause::ForeignClusterInfo => {
                let ca = self.installed.cluster.ca_certificate();
                self.tell_clients(&ca).await;
            }
            Cause::UnreachableIssuer => self.follow("kubectl delete jwtauthenticator away").await,
        }
    }

    /// As an administrator, in a checkout.
    async fn follow(&self, commands: &str) {
        self.installed.shell().run(commands).await.unwrap();
    }

    /// With these arguments in place of the one for anonymous requests; `None`: as it was.
    async fn restart_api_server(&mut self, anonymous: Option<&[&str]>) {
        let mut arguments = self.arguments.clone();
        if let Some(anonymous) = anonymous {
            let file = "--authentication-config=";
            arguments.retain(|argument| !argument.to_string_lossy().starts_with(file));
            assert!(arguments.len() < self.arguments.len());
            arguments.extend(anonymous.iter().map(OsString::from));
        }
        let cluster = &mut self.installed.cluster;
        let api_server = cluster.process(Component::ApiServer).unwrap();
        *api_server.arguments_mut() = arguments;
        cluster.restart(Component::ApiServer).await.unwrap();
    }

    async fn apply(&self, object: &Value) {
        self.installed
            .kubectl()
            .apply(&object.to_string())
            .await
            .unwrap();
    }

    /// As an administrator of Talos does it, where nobody else makes that ConfigMap.
    async fn tell_clients(&self, ca: &Path) {
        let cluster = json!({
            "server": self.installed.cluster.server(),
            "certificate-authority-data": base64_of(ca),
        });
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "", "cluster": cluster }],
        });
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "cluster-info", "namespace": "kube-public" },
            "data": { "kubeconfig": kubeconfig.to_string() },
        }))
        .await;
    }

    /// An authenticator at whose issuer's address nothing listens.
    fn away(&self) -> Value {
        let (host, _) = self.installed.issuer.url().rsplit_once(':').unwrap();
        json!({
            "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1",
            "kind": "JWTAuthenticator",
            "metadata": { "name": "away" },
            "spec": { "issuer": format!("{host}:1"), "audience": AUDIENCE },
        })
    }
}

pub(super) fn base64_of(file: &Path) -> String {
    STANDARD.encode(std::fs::read(file).unwrap())
}
