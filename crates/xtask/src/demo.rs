//! `cargo xtask demo`: the whole of a login, for real.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use haulout_operate::clock::Clock;
use haulout_pki::bundle::{self, CertificateBundle};
use haulout_tests::cluster::{
    AUDIENCE, Anonymous, Cluster, ClusterOptions, Credential, HauloutStack, KubernetesBinaries,
    LOGIN_PATH, Profile, StackOptions, TOKEN_VARIABLE, admin_kubeconfig,
};
use serde_json::{Value, json};

use crate::output::{say, seconds, step};
use crate::products;

const USERNAME: &str = "alice@example.com";
/// The last one shows that a group comes through whatever characters it holds.
const GROUPS: [&str; 3] = ["developers", "on-call", "equipe: côte, nord"];
const KEPT_TOKEN_LIFE: Duration = Duration::from_secs(12 * 60 * 60);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// kubeadm or talos
    #[arg(long, default_value_t)]
    profile: Profile,
    /// Leave everything up and print the KUBECONFIG to use
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(Arguments { profile, keep }: Arguments) -> anyhow::Result<()> {
    let start = Instant::now();
    step(
        "build haulout-webhook, haulout-agent, haulout and the test issuer",
        products::build(),
    )
    .await?;
    step(
        "find or build Kubernetes",
        KubernetesBinaries::find_or_build(),
    )
    .await?;
    let options = ClusterOptions {
        keep_as: keep.then(|| format!("demo-{profile}")),
        ..ClusterOptions::new(profile)
    };
    let cluster = step(
        &format!("start etcd, kube-apiserver, kube-controller-manager and kube-scheduler, profile {profile}"),
        Cluster::start(options),
    )
    .await?;
    explain_agent_user();
    let stack = step(
        "start issuer, agent and webhook; install CRDs, RBAC and APIServices; wait until all are ready",
        HauloutStack::start(&cluster, &StackOptions::default()),
    )
    .await?;
    if let Profile::Talos = profile {
        step(
            "call kube-apiserver without credentials",
            anonymous_calls(&cluster),
        )
        .await?;
    }
    let token = step(
        "get a token from the issuer (ES256, no `kid`, two minutes)",
        stack.token(USERNAME, &GROUPS),
    )
    .await?;
    let cache = cluster.folder().join("credentials.yaml");
    let kubeconfig = cluster.kubeconfig(
        "user",
        &Credential::Exec(stack.exec_stanza(&cluster, Some(&cache))?),
    )?;
    let login = Login {
        cluster: &cluster,
        stack: &stack,
        kubeconfig: &kubeconfig,
        token: &token,
    };
    let whoami = step(
        &format!("log in: kubectl runs `haulout login static --token-env={TOKEN_VARIABLE}`"),
        login.kubectl(&["auth", "whoami"]),
    )
    .await?;
    let remaining = step("check user, groups and certificate", login.check(&cache)).await?;

    if keep {
        leave_up(cluster, stack).await?;
    } else {
        step("clean up", async {
            drop(stack);
            drop(cluster);
            Ok(())
        })
        .await?;
    }
    say(&format!(
        "\ndemo finished in {}\n",
        seconds(start.elapsed())
    ));
    say("$ kubectl auth whoami");
    say(whoami.trim_end());
    let whole = remaining.as_secs();
    say(&format!(
        "\nthe certificate lives {} min {} s more; then the plugin gets another",
        whole / 60,
        whole % 60
    ));
    Ok(())
}

fn explain_agent_user() {
    if rustix::process::geteuid().is_root() {
        say(
            "    the agent runs as user 65535 without capabilities; its copy of the key is 0400 of that user",
        );
    } else {
        say(
            "    not root: the agent runs as this user, to whom its copy of the key (0400) belongs",
        );
    }
}

struct Login<'a> {
    cluster: &'a Cluster,
    stack: &'a HauloutStack,
    kubeconfig: &'a Path,
    token: &'a str,
}

impl Login<'_> {
    async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let kubectl = self.cluster.kubectl().with_kubeconfig(self.kubeconfig);
        kubectl
            .run_with(arguments, &[(TOKEN_VARIABLE, self.token)])
            .await
    }

    /// Compares what the API server says with what the token said, and gives the certificate's remaining life.
    async fn check(&self, cache: &Path) -> anyhow::Result<Duration> {
        let review: Value =
            serde_json::from_str(&self.kubectl(&["auth", "whoami", "-o", "json"]).await?)?;
        let user = review.pointer("/status/userInfo").context("no userInfo")?;
        // The order is not the token's: DER sorts the members of a SET.
        let groups = user.get("groups").and_then(Value::as_array);
        let seen: BTreeSet<&str> = groups
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let expected: BTreeSet<&str> = GROUPS.into_iter().chain(["system:authenticated"]).collect();
        ensure!(
            user.get("username") == Some(&json!(USERNAME)) && seen == expected,
            "the API server sees another user than the token names: {user}"
        );

        // The plugin gives from its cache what kubectl has just used.
        let credential = self
            .stack
            .login(self.cluster, self.token, Some(cache))
            .await?;
        let certificate = credential
            .pointer("/status/clientCertificateData")
            .and_then(Value::as_str)
            .context("the plugin gave no certificate")?;
        let bundle = CertificateBundle::parse_pem(certificate.as_bytes())?;
        let leaf = bundle
            .certificates()
            .first()
            .context("the plugin gave no certificate")?;
        let remaining = bundle::validity(leaf)?
            .not_after
            .duration_since(Clock::system().now());
        remaining.context("the certificate has expired")
    }
}

/// Shows that no path but those of the patch is open.
async fn anonymous_calls(cluster: &Cluster) -> anyhow::Result<()> {
    let Anonymous::Paths(open) = cluster.profile().anonymous() else {
        return Ok(());
    };
    for path in ["/version", "/api"] {
        let status = cluster.anonymous_status(path).await?;
        say(&format!("    GET {path}: {status}"));
        ensure!(status == 401, "{path} is open to anonymous callers");
    }
    say(&format!("    open: {}", open.join(" ")));
    ensure!(
        open.iter().any(|path| path == LOGIN_PATH),
        "the login path is not open"
    );
    Ok(())
}

/// Writes a kubeconfig that works without an environment variable, and says how to use and end what is up.
async fn leave_up(cluster: Cluster, stack: HauloutStack) -> anyhow::Result<()> {
    let expires = Clock::system().now() + KEPT_TOKEN_LIFE;
    let expires = expires
        .duration_since(std::time::SystemTime::UNIX_EPOCH)?
        .as_secs();
    let token = stack
        .token_with(&json!({
            "username": USERNAME,
            "groups": GROUPS,
            "aud": AUDIENCE,
            "exp": expires,
        }))
        .await?;
    let kubeconfig = stack.kubeconfig_with_token_file(&cluster, &token)?;
    stack.keep();
    let folder = cluster.keep()?;
    say("\nleft up; end it with `cargo xtask cluster down`");
    say(&format!(
        "  as {USERNAME}, by the plugin:  export KUBECONFIG={}",
        kubeconfig.display()
    ));
    say(&format!(
        "  as administrator:                 export KUBECONFIG={}",
        admin_kubeconfig(&folder).display()
    ));
    Ok(())
}
