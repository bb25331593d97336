//! `haulout logout`.

use std::process::ExitCode;
use std::time::Duration;

use haulout_tests::supervisor::Behaviour;
use serde_json::{Value, json};

use super::{LDAP, Outcome, Site, assert_fails};
use crate::Machine;

const CLUSTER: &[&str] = &["--request-audience=my-cluster"];

impl Site {
    async fn log_out(&self, more: &[&str]) -> Outcome {
        let ca = self.ca_flag();
        let flags = [&["logout", &ca][..], more].concat();
        let outcome = self.run_flags(&flags).await;
        assert_eq!(outcome.code, ExitCode::SUCCESS, "{}", outcome.stderr);
        outcome
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_here_and_at_the_issuer() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    let outcome = site.log_out(&[]).await;
    let expected = format!(
        "Logged out of {}, which has revoked the session.\n",
        site.supervisor.url()
    );
    assert_eq!(outcome.stdout, expected);
    assert_eq!(outcome.stderr, "");
    assert_eq!(site.supervisor.calls().revocations, 2, "both tokens");
    for file in [site.sessions_file(), site.machine.cache_file()] {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("token") && !text.contains("ey"), "{text}");
    }
    // Whoever wants in has to log in.
    site.wait(1);
    site.log_in(CLUSTER).await.credential();
    assert_eq!(site.supervisor.calls().authorize, 2);
}

impl Site {
    /// Changes the text of the sessions.
    fn change_sessions(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.sessions_file()).unwrap();
        let changed = change(text.clone());
        assert_ne!(changed, text);
        std::fs::write(self.sessions_file(), changed).unwrap();
    }

    fn has_session(&self) -> bool {
        let text = std::fs::read_to_string(self.sessions_file()).unwrap();
        text.contains("refresh")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_away_keeps_nobody_logged_in() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    site.change_sessions(|text| text.replace(site.supervisor.url(), "https://127.0.0.1:1"));
    let outcome = site.run_flags(&["logout", &site.ca_flag()]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    assert!(outcome.stdout.contains("here alone"), "{}", outcome.stdout);
    let warning = "Warning: https://127.0.0.1:1 did not revoke the session: ";
    assert!(outcome.stderr.starts_with(warning), "{}", outcome.stderr);
    let end = "Error: 1 of your sessions are forgotten here, but may go on";
    assert!(outcome.stderr.contains(end), "{}", outcome.stderr);
    assert!(!site.has_session());
}

/// Whoever the roots of this logout let pose as the issuer would get them.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_session_are_sent_to_nobody_that_its_login_does_not_trust() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    // Of a login that trusts the system's roots.
    let bound = site.session()["trustedRoots"].as_str().unwrap().to_owned();
    site.change_sessions(|text| text.replace(&bound, "system"));
    for flags in [vec!["logout", &site.ca_flag()], vec!["logout"]] {
        let is_private = flags.len() == 2;
        let outcome = site.run_flags(&flags).await;
        assert_eq!(outcome.code, ExitCode::FAILURE);
        let expected = format!(
            "Kept the session of {}, which is not revoked.\n",
            site.supervisor.url()
        );
        assert_eq!(outcome.stdout, expected);
        let why = outcome.stderr.contains("other CA certificates");
        assert_eq!(why, is_private, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("--kubeconfig FILE"));
        assert!(site.has_session());
    }
    assert_eq!(site.supervisor.calls().revocations, 0);
    // The reverse: this one is of a private CA.
    site.change_sessions(|text| text.replace("trustedRoots: system", "trustedRoots: other"));
    let outcome = site.run_flags(&["logout"]).await;
    assert!(
        outcome.stderr.contains("other CA certificates"),
        "{}",
        outcome.stderr
    );
    assert!(site.has_session());

    let outcome = site.run_flags(&["logout", "--forget"]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    assert!(outcome.stdout.contains("here alone"), "{}", outcome.stdout);
    assert!(!site.has_session());
    assert_eq!(site.supervisor.calls().revocations, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_a_flag_would_have_revoked_is_kept_for_it() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    // One of Pinniped's CLI, which is bound to no roots.
    let line = |line: &&str| !line.contains("trustedRoots");
    site.change_sessions(|text| text.lines().filter(line).collect::<Vec<_>>().join("\n"));
    let outcome = site.run_flags(&["logout"]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    assert!(outcome.stdout.starts_with("Kept"), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("--ca-bundle"), "{}", outcome.stderr);
    assert!(site.has_session());
    site.log_out(&[]).await;
    assert!(!site.has_session());
    assert_eq!(site.supervisor.calls().revocations, 2);
}

/// Nobody knows which issuers are to be asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_cache_is_emptied_and_told_of() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    site.change_sessions(|text| text.replace("tokens:", "tokens"));
    let outcome = site.run_flags(&["logout", &site.ca_flag()]).await;
    assert_fails(&outcome, 1, "was damaged: whatever sessions it held");
    assert!(!site.has_session());
    assert_eq!(site.supervisor.calls().revocations, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_to_be_forgotten_that_was_not_looked_at() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    let flags = ["logout", "--session-cache=none", "--credential-cache=none"];
    let outcome = site.run_flags(&flags).await;
    assert_eq!(outcome.stdout, "No session.\n");
    assert!(site.has_session());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_other_issuers_stay_if_one_is_named() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    let outcome = site.log_out(&["--issuer=https://other.example.com"]).await;
    let expected = format!(
        "No session of https://other.example.com in {}, which has others, of {}; all credentials are forgotten.\n",
        site.sessions_file().display(),
        site.supervisor.url()
    );
    assert_eq!(outcome.stdout, expected);
    assert_eq!(site.supervisor.calls().revocations, 0);
    assert!(site.has_session());
    for url in ["http://other.example.com", "other"] {
        let flag = format!("--issuer={url}");
        let outcome = site.run_flags(&["logout", &flag]).await;
        assert_fails(&outcome, 2, "invalid --issuer: ");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_cache_is_known_nobody_is_said_to_be_logged_out() {
    let mut site = Site::new(Behaviour::default()).await;
    site.machine.variables.remove("HOME");
    site.machine.variables.remove("XDG_CONFIG_HOME");
    let outcome = site.run_flags(&["logout"]).await;
    assert_fails(&outcome, 1, "neither XDG_CONFIG_HOME nor HOME is set");
    assert_eq!(outcome.stdout, "");
    let flags = ["logout", "--session-cache=none", "--credential-cache=none"];
    let outcome = site.run_flags(&flags).await;
    assert_eq!(outcome.code, ExitCode::SUCCESS);
}

/// What is wrong with one cache is no reason to leave the other.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_ended_where_credentials_cannot_be_forgotten() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    std::fs::write(site.machine.cache_file(), "dear: diary\n").unwrap();
    let ca = site.ca_flag();
    let outcome = site.run_flags(&["logout", &ca]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    assert!(outcome.stdout.contains("has revoked"), "{}", outcome.stdout);
    assert!(
        outcome.stderr.contains("holds something else"),
        "{}",
        outcome.stderr
    );
    assert!(!site.has_session());
    let outcome = site.run_flags(&["logout", &ca]).await;
    assert_eq!(outcome.stdout, "No session.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_secret_shows_it() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    site.supervisor.behaviour().revokes_for = Some("the secret");
    let issuer = format!("--issuer={}", site.supervisor.url());
    let flags = [&issuer, "--client-secret-env=SECRET"];
    let ca = site.ca_flag();
    let outcome = site.run_flags(&["logout", &ca, &issuer, flags[1]]).await;
    assert_fails(
        &outcome,
        1,
        "--client-secret-env variable \"SECRET\" is not set",
    );
    let without_issuer = site.run_flags(&["logout", &ca, flags[1]]).await;
    assert_fails(&without_issuer, 2, "--issuer");
    site.machine.set("SECRET", "the secret");
    site.log_out(&flags).await;
    assert_eq!(site.supervisor.calls().revocations, 2);

    site.wait(1);
    site.log_in(CLUSTER).await.credential();
    let outcome = site.run_flags(&["logout", &ca]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    assert!(
        outcome.stderr.contains("invalid_client"),
        "{}",
        outcome.stderr
    );
    assert!(site.has_session());
    site.log_out(&flags).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_there_until_it_is_revoked_and_what_failed_writers_left_goes_too() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    let remains: Vec<_> = [site.sessions_file(), site.machine.cache_file()]
        .into_iter()
        .flat_map(|file| {
            ["haulout-new", "haulout-damaged"]
                .map(|name| file.with_extension(format!("yaml.{name}")))
        })
        .collect();
    for file in &remains {
        std::fs::write(file, "refresh").unwrap();
    }
    let file = site.sessions_file();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let look = std::sync::Arc::clone(&seen);
    site.supervisor.on_revocation(move || {
        *look.lock().unwrap() = std::fs::read_to_string(&file).unwrap();
    });
    site.log_out(&[]).await;
    assert!(
        seen.lock().unwrap().contains("refresh"),
        "it is erased before"
    );
    for file in &remains {
        assert!(!file.exists(), "{}", file.display());
    }
}

/// Otherwise the login would bring the session back.
#[tokio::test(flavor = "multi_thread")]
async fn logout_waits_for_a_login_to_the_session() {
    let mut site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    site.wait(121);
    site.supervisor.behaviour().tokens_take = Duration::from_secs(1);
    let (login, logout) = tokio::join!(site.run(CLUSTER), async {
        while site.supervisor.calls().refreshes == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        site.log_out(&[]).await
    });
    login.credential();
    assert!(logout.stdout.contains("has revoked"), "{}", logout.stdout);
    let sessions = std::fs::read_to_string(site.sessions_file()).unwrap();
    assert!(!sessions.contains("refresh"), "{sessions}");
}

/// As for `login oidc`: an empty one is the default, as for Pinniped's CLI.
#[tokio::test(flavor = "multi_thread")]
async fn session_cache_is_named_as_at_login() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(&["--session-cache=none"]).await.credential();
    assert!(!site.sessions_file().exists());
    std::fs::remove_file(site.machine.cache_file()).unwrap();
    site.log_in(&["--session-cache="]).await.credential();
    let outcome = site.log_out(&["--session-cache=none"]).await;
    assert!(outcome.stdout.contains("No session"), "{}", outcome.stdout);
    let outcome = site.log_out(&["--session-cache="]).await;
    assert!(outcome.stdout.contains("has revoked"), "{}", outcome.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_named_and_not_there_is_warned_of() {
    let site = Site::new(Behaviour::default()).await;
    let home = site.machine.home.path();
    let (nope, gone) = (home.join("nope"), home.join("gone.yaml"));
    let flags = [
        format!("--session-cache={}", nope.display()),
        format!("--credential-cache={}", gone.display()),
    ];
    let outcome = site.log_out(&[&flags[0], &flags[1]]).await;
    let expected = format!(
        "Warning: there is no credential cache {}\nWarning: there is no session cache {}\n",
        gone.display(),
        nope.display()
    );
    assert_eq!(outcome.stderr, expected);
    assert!(!nope.exists() && !gone.exists());
    // Those that nobody has named, or that are no files.
    for flags in [
        &[][..],
        &["--session-cache=", "--credential-cache="],
        &["--session-cache=none", "--credential-cache=none"],
    ] {
        assert_eq!(site.log_out(flags).await.stderr, "", "{flags:?}");
    }
}

impl Site {
    /// A kubeconfig whose contexts are these users of one cluster; the first is the current one.
    fn kubeconfig(&self, users: &[(&str, Value)]) -> String {
        let contexts = users
            .iter()
            .map(|(name, _)| json!({"name": name, "context": {"cluster": "c", "user": name}}));
        let contexts: Vec<_> = contexts.collect();
        let named: Vec<_> = users
            .iter()
            .map(|(name, user)| json!({"name": name, "user": user}))
            .collect();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": users[0].0,
            "clusters": [{"name": "c", "cluster": {"server": "https://k.example.com"}}],
            "contexts": contexts, "users": named,
        });
        let path = self.machine.home.path().join("kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        format!("--kubeconfig={}", path.display())
    }
}

fn exec(command: &str, arguments: &[String], variables: &Value) -> Value {
    let version = "client.authentication.k8s.io/v1";
    json!({"exec": {"apiVersion": version, "command": command, "args": arguments, "env": variables}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_says_where_its_user_is_logged_in_and_how() {
    let mut site = Site::new(Behaviour::default()).await;
    let home = site.machine.home.path();
    let caches = ["sessions", "credentials"].map(|name| home.join(format!("{name}-too.yaml")));
    let caches = [
        format!("--session-cache={}", caches[0].display()),
        format!("--credential-cache={}", caches[1].display()),
    ];
    let named = [CLUSTER[0], &caches[0], &caches[1]];
    let secret = "--client-secret-env=SECRET";
    let arguments = site.flags(&[&named[..], &[secret]].concat());
    // What the stanza sets counts before what the user has.
    site.machine.set("SECRET", "another one");
    let set = json!([{"name": "SECRET", "value": "the secret"}]);
    let kubeconfig = site.kubeconfig(&[
        ("here", exec("haulout", &arguments, &set)),
        ("pinniped", exec("pinniped", &arguments, &json!(null))),
    ]);
    for (round, flags) in [
        vec![kubeconfig.as_str()],
        vec![kubeconfig.as_str(), "--context=here"],
        vec![kubeconfig.as_str(), "--context=pinniped"],
        vec!["--context=here"],
    ]
    .into_iter()
    .enumerate()
    {
        if round == 2 {
            site.machine.variables.remove("SECRET");
            let mut with_context = vec!["logout"];
            with_context.extend(&flags);
            let outcome = site.run_flags(&with_context).await;
            let expected = "--client-secret-env variable \"SECRET\" is not set";
            assert_fails(&outcome, 1, expected);
            site.machine.set("SECRET", "the secret");
        }
        if round == 3 {
            site.machine.variables.remove("SECRET");
            let path = kubeconfig.split_once('=').unwrap().1;
            site.machine.set("KUBECONFIG", path);
        }
        site.wait(1);
        site.supervisor.behaviour().revokes_for = None;
        site.log_in(&named).await.credential();
        site.supervisor.behaviour().revokes_for = Some("the secret");
        let all = [&["logout"][..], &flags].concat();
        let outcome = site.run_flags(&all).await;
        assert_eq!(outcome.stderr, "", "{flags:?}");
        assert!(outcome.stdout.contains("has revoked"), "{}", outcome.stdout);
    }
    assert_eq!(site.supervisor.calls().revocations, 8);
    assert!(!site.sessions_file().exists());
}

/// This logout has other roots than the login, whose `env` names its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_roots_a_kubeconfig_sets_is_kept_for_who_sets_them_too() {
    let mut site = Site::today(Behaviour::default()).await;
    site.set_password("alice");
    let mut arguments = site.flags(LDAP);
    arguments.retain(|flag| !flag.starts_with("--ca-bundle"));
    let roots = site.machine.home.path().join("roots.pem");
    std::fs::write(&roots, site.supervisor.ca_pem()).unwrap();
    let roots = roots.to_str().unwrap().to_owned();
    let set = json!([{"name": "SSL_CERT_FILE", "value": roots}]);
    let kubeconfig = site.kubeconfig(&[("c", exec("haulout", &arguments, &set))]);
    site.machine.set("SSL_CERT_FILE", &roots);
    site.run_process(arguments).await.credential();
    site.machine.variables.remove("SSL_CERT_FILE");
    let logout = ["logout", &kubeconfig].map(str::to_owned).to_vec();
    let outcome = site.run_process(logout.clone()).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    assert!(
        outcome.stderr.contains("other CA certificates"),
        "{}",
        outcome.stderr
    );
    assert!(site.has_session());
    site.machine.set("SSL_CERT_FILE", &roots);
    let outcome = site.run_process(logout).await;
    assert!(outcome.stdout.contains("has revoked"), "{}", outcome.stderr);
}

/// Its CA could pose as the issuer of a session that it has nothing to do with.
#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_trusts_others_ends_no_session() {
    let site = Site::new(Behaviour::default()).await;
    site.log_in(CLUSTER).await.credential();
    let mut arguments = site.flags(CLUSTER);
    arguments.retain(|flag| !flag.starts_with("--ca-bundle"));
    let kubeconfig = site.kubeconfig(&[("c", exec("haulout", &arguments, &json!([])))]);
    let outcome = site.run_flags(&["logout", &kubeconfig]).await;
    let url = site.supervisor.url();
    let expected = format!("No session that the kubeconfig's login at {url} would use");
    assert!(outcome.stdout.starts_with(&expected), "{}", outcome.stdout);
    assert_eq!(
        (outcome.code, outcome.stderr),
        (ExitCode::SUCCESS, String::new())
    );
    let sessions = std::fs::read_to_string(site.sessions_file()).unwrap();
    assert!(sessions.contains("refresh"), "{sessions}");
    // Whoever names the CA himself answers for it.
    let outcome = site.log_out(&[&kubeconfig]).await;
    assert!(outcome.stdout.contains("has revoked"), "{}", outcome.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_without_such_a_login_is_a_wrong_call() {
    let site = Site::new(Behaviour::default()).await;
    let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    let token = words("login static --token-env=T");
    let eks = words("eks get-token --cluster-name=c");
    let kubeconfig = site.kubeconfig(&[
        ("oidc", exec("haulout", &site.flags(&[]), &json!([]))),
        ("static", exec("haulout", &token, &json!([]))),
        ("aws", exec("aws", &eks, &json!([]))),
        ("bare", json!({"token": "very-secret"})),
    ]);
    let no_login = "does not log in by `haulout login oidc`, so there is no session of his; name another context";
    for (flags, code, expected) in [
        (&["--context=static"][..], 2, no_login),
        (&["--context=aws"], 2, no_login),
        (&["--context=bare"], 2, no_login),
        (
            &["--context=nowhere"],
            1,
            "failed to use the kubeconfig; name another by --kubeconfig or --context: no such context \"nowhere\"; there is oidc, static, aws, bare",
        ),
        (
            &["--kubeconfig=/nowhere"],
            1,
            "failed to use the kubeconfig",
        ),
        (
            &["--issuer=https://other.example.com"],
            2,
            "where the kubeconfig's user logs in; leave out --issuer",
        ),
    ] {
        let all = [&["logout", &kubeconfig][..], flags].concat();
        let outcome = match flags[0].starts_with("--kubeconfig") {
            true => site.run_flags(&["logout", flags[0]]).await,
            false => site.run_flags(&all).await,
        };
        assert_fails(&outcome, code, expected);
    }
}

#[test]
fn a_wrong_call_forgets_nothing() {
    let machine = Machine::new();
    let cache = machine.cache_file();
    std::fs::create_dir_all(cache.parent().unwrap()).unwrap();
    std::fs::write(&cache, "what there was").unwrap();
    for (flags, code, expected) in [
        (&["logout", "--ca-bundle=/nowhere"][..], 2, "--ca-bundle"),
        (
            &[
                "logout",
                "--issuer=https://l",
                "--client-secret-env=NOT_SET",
            ],
            1,
            "--client-secret-env variable",
        ),
    ] {
        let outcome = machine.run(flags);
        assert!(outcome.error(code).contains(expected), "{}", outcome.stderr);
        assert_eq!(std::fs::read_to_string(&cache).unwrap(), "what there was");
    }
}
