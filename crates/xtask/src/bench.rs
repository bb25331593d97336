//! `cargo xtask bench`: what a login costs, against the budget and against what cryptography alone costs on this machine.
//!
//! CPU time is the figure that holds on noisy machines: user and system time of the process over many requests.

mod floor;
mod login;
mod plugin;
mod process;
mod rows;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use haulout_image::Archive;
use haulout_tests::cluster::{
    AUDIENCE, Cluster, ClusterOptions, HauloutStack, Products, Profile, StackOptions,
};
use haulout_tests::load::{self, Connection, Plan};
use haulout_tests::logins::{self, Answer, Door};
use serde_json::json;

use self::floor::Floor;
use self::login::{Login, MANY_STREAMS, STREAMS, Target, closely};
use self::process::{cpu_time, resident_bytes};
use self::rows::Row;
use crate::output::{say, step};
use crate::{image, products};

const MIB: f64 = 1024.0 * 1024.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Exit with an error when a row misses its budget
    #[arg(long)]
    enforce: bool,
    /// Take the resident memory after a million requests, not after 50,000
    #[arg(long)]
    full: bool,
    /// Few requests: shows that every row can be produced; the figures mean nothing
    #[arg(long, conflicts_with_all = ["enforce", "full"])]
    smoke: bool,
}

/// How much of each thing is done.
#[derive(Clone, Copy)]
struct Size {
    warm_up: usize,
    requests: usize,
    latency_requests: usize,
    many: usize,
    idle: Duration,
    runs: usize,
}

impl Arguments {
    fn size(&self) -> Size {
        if self.smoke {
            return Size {
                warm_up: 20,
                requests: 100,
                latency_requests: 50,
                many: 200,
                idle: Duration::from_secs(1),
                runs: 3,
            };
        }
        Size {
            warm_up: 500,
            requests: 20_000,
            latency_requests: 2_000,
            many: if self.full { 1_000_000 } else { 50_000 },
            idle: Duration::from_secs(20),
            runs: 100,
        }
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let size = arguments.size();
    let products = step("build the programs", products::build()).await?;
    let floor = step("measure the cryptography alone", async { Floor::measure() }).await?;
    let mut rows = vec![
        Row::figure("floor_verify_es256", micros(floor.verify_es256), "us"),
        Row::figure("floor_generate_p256", micros(floor.generate_p256), "us"),
        Row::figure("floor_sign_p256", micros(floor.sign_p256), "us"),
        Row::figure("floor_sign_rsa2048", micros(floor.sign_rsa2048), "us"),
    ];
    rows.extend(Box::pin(elliptic(&size, &floor)).await?);
    rows.extend(Box::pin(rsa(&size, &floor)).await?);
    rows.extend(step("write the images", images(&products)).await?);

    let file = Products::build_folder()
        .ancestors()
        .nth(2)
        .context("the build folder has no parent")?
        .join("bench.json");
    std::fs::write(&file, serde_json::to_string_pretty(&rows)? + "\n")
        .with_context(|| format!("failed to write {}", file.display()))?;
    say(&rows::table(&rows));
    say(&format!("written to {}", file.display()));
    let missed: Vec<&str> = rows
        .iter()
        .filter(|row| row.met == Some(false))
        .map(|row| row.name)
        .collect();
    ensure!(
        !arguments.enforce || missed.is_empty(),
        "over budget: {}",
        missed.join(", ")
    );
    Ok(())
}

/// A cluster with Haulout beside it, all limits off.
struct Bench {
    stack: HauloutStack,
    cluster: Cluster,
    token: String,
}

impl Bench {
    async fn start(profile: Profile) -> Result<Self> {
        let cluster = step(&format!("start a cluster, profile {profile}"), async {
            Cluster::start(ClusterOptions::new(profile)).await
        })
        .await?;
        let stack = step(
            "start issuer, agent and webhook",
            HauloutStack::start(&cluster, &StackOptions::unlimited()),
        )
        .await?;
        // Longer than the two minutes of a Supervisor's token, so that it outlives the bench.
        let expires = unix_now()? + 3600;
        let claims = json!({ "username": "alice", "groups": ["devs", "ops"], "aud": AUDIENCE, "exp": expires });
        let token = stack.token_with(&claims).await?;
        Ok(Self {
            stack,
            cluster,
            token,
        })
    }

    fn login(&self) -> Login<'_> {
        Login {
            token: &self.token,
            expected: Answer::Credential,
        }
    }

    async fn target(&mut self) -> Result<Target> {
        Ok(Target {
            webhook_pid: self.stack.webhook().id(),
            agent_pid: self.stack.agent().id(),
            door: Door::of(&self.cluster, &self.stack).await?,
            load: self.stack.products().program("haulout-test-load"),
        })
    }
}

/// The rows under a P-256 CA, as on Talos.
async fn elliptic(size: &Size, floor: &Floor) -> Result<Vec<Row>> {
    let mut bench = Bench::start(Profile::Talos).await?;
    let start_to_ready = step(
        "restart the webhook",
        start_to_ready(&mut bench, size.runs.min(5)),
    )
    .await?;
    let target = bench.target().await?;
    let idle_rss = resident_bytes(target.webhook_pid)?;
    let idle_cpu = step(
        "leave the webhook idle",
        idle_cpu(target.webhook_pid, size.idle),
    )
    .await?;

    let mut rows = step("log in under a P-256 CA", async {
        costs(&target, bench.login(), size, &P256, floor.login_p256()).await
    })
    .await?;
    let junk = step("refuse junk tokens", junk(&target, size)).await?;
    rows.push(junk);
    rows.push(Row::at_most(
        "webhook_rss_idle",
        mebibytes(idle_rss),
        "MiB",
        15.0,
    ));
    rows.push(
        Row::at_most("webhook_idle_cpu", idle_cpu, "ms/min", 20.0)
            .with_note(format!("over {} s", size.idle.as_secs())),
    );
    let after = step("log in many times", async {
        target.logins(bench.login(), closely(size.many)).await?;
        resident_bytes(target.webhook_pid)
    })
    .await?;
    rows.push(
        Row::at_most("webhook_rss_after_1m", mebibytes(after), "MiB", 25.0)
            .with_note(format!("after {} requests", size.many)),
    );
    let agent = resident_bytes(target.agent_pid)?;
    rows.push(Row::at_most("agent_rss", mebibytes(agent), "MiB", 6.0));
    rows.push(Row::at_most("start_to_ready", start_to_ready, "s", 0.3));
    let plugin = step(
        "log in with a cached credential",
        plugin::cached_logins(&bench, size.runs),
    );
    rows.extend(plugin.await?);
    Ok(rows)
}

/// The rows under an RSA-2048 CA, as kubeadm makes it.
async fn rsa(size: &Size, floor: &Floor) -> Result<Vec<Row>> {
    let mut bench = Bench::start(Profile::Kubeadm).await?;
    let target = bench.target().await?;
    step("log in under an RSA-2048 CA", async {
        costs(
            &target,
            bench.login(),
            size,
            &RSA_2048,
            floor.login_rsa2048(),
        )
        .await
    })
    .await
}

/// Names and budgets of the rows that each kind of CA has.
struct CaRows {
    cpu: (&'static str, f64),
    webhook: &'static str,
    agent: &'static str,
    generator: &'static str,
    throughput: (&'static str, f64),
    latency: Option<[(&'static str, f64); 2]>,
}

const P256: CaRows = CaRows {
    cpu: ("tcr_cpu_p256_es256", 155.0),
    webhook: "tcr_cpu_p256_es256_webhook",
    agent: "tcr_cpu_p256_es256_agent",
    generator: "generator_cpu_p256",
    throughput: ("tcr_throughput_p256", 8_000.0),
    latency: Some([("tcr_latency_p50", 0.3), ("tcr_latency_p99", 1.5)]),
};

const RSA_2048: CaRows = CaRows {
    cpu: ("tcr_cpu_rsa2048", 890.0),
    webhook: "tcr_cpu_rsa2048_webhook",
    agent: "tcr_cpu_rsa2048_agent",
    generator: "generator_cpu_rsa2048",
    throughput: ("tcr_throughput_rsa2048", 1_900.0),
    latency: None,
};

async fn costs(
    target: &Target,
    login: Login<'_>,
    size: &Size,
    names: &CaRows,
    floor: Duration,
) -> Result<Vec<Row>> {
    target.logins(login, closely(size.warm_up)).await?;
    let (cost, report) = target.cost_of_logins(login, size.requests).await?;
    let most = Plan {
        requests: 2 * size.requests,
        streams: MANY_STREAMS,
        rate: None,
    };
    let most = target.logins(login, most).await?.throughput;
    let mut rows = vec![
        Row::at_most(names.cpu.0, micros(cost.total()), "us", names.cpu.1)
            .with_floor(micros(floor)),
        Row::figure(names.webhook, micros(cost.webhook), "us"),
        Row::figure(names.agent, micros(cost.agent), "us"),
        Row::at_most(names.generator, report.own_cpu * 1e6, "us", 90.0),
        Row::at_least(names.throughput.0, most, "1/s", names.throughput.1)
            .with_note(format!("{MANY_STREAMS} streams")),
    ];
    if let Some([p50, p99]) = names.latency {
        let calm = Plan {
            requests: size.latency_requests,
            streams: STREAMS,
            rate: Some(most / 10.0),
        };
        let calm = target.logins(login, calm).await?;
        rows.push(Row::at_most(p50.0, calm.p50 * 1e3, "ms", p50.1));
        rows.push(Row::at_most(p99.0, calm.p99 * 1e3, "ms", p99.1));
    }
    Ok(rows)
}

/// What is refused without a look at any key.
async fn junk(target: &Target, size: &Size) -> Result<Row> {
    let login = Login {
        token: "no.t.oken",
        expected: Answer::AuthenticationFailed,
    };
    target.logins(login, closely(size.warm_up)).await?;
    let (cost, _) = target.cost_of_logins(login, size.requests).await?;
    Ok(Row::at_most("junk_cpu", micros(cost.total()), "us", 30.0))
}

/// What the images take unpacked.
async fn images(products: &Products) -> Result<[Row; 2]> {
    let images = image::write_all(products.folder(), &image::default_folder()).await?;
    let row = |name, archive: &Archive, budget| {
        Row::at_most(name, megabytes(archive.layer_bytes), "MB", budget)
    };
    Ok([
        row("image_webhook", &images.webhook, 15.0),
        row("image_agent", &images.agent, 6.0),
    ])
}

/// Median time from the start of the webhook's process to the first credential.
async fn start_to_ready(bench: &mut Bench, runs: usize) -> Result<f64> {
    const LIMIT: Duration = Duration::from_secs(20);
    let body = Bytes::from(logins::body(&bench.token).to_string());
    let mut seconds = Vec::with_capacity(runs);
    for _ in 0..runs {
        bench.stack.webhook().kill();
        let endpoint = Door::of(&bench.cluster, &bench.stack).await?.endpoint()?;
        let start = Instant::now();
        bench.stack.webhook().restart()?;
        loop {
            if first_login(&endpoint, &body).await.is_ok() {
                break;
            }
            ensure!(
                start.elapsed() < LIMIT,
                "no login within {LIMIT:?} of the webhook's start"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    bench.stack.wait_until_available().await?;
    median(seconds)
}

async fn first_login(endpoint: &load::Endpoint, body: &Bytes) -> Result<()> {
    let connection = Connection::open(endpoint).await?;
    let (status, answer) = connection.send(logins::request(body)).await?;
    let verdict = Answer::Credential.judge(status, &answer);
    verdict.map_err(anyhow::Error::msg)
}

async fn idle_cpu(pid: u32, period: Duration) -> Result<f64> {
    // Let the work of the start end first.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = cpu_time(pid)?;
    tokio::time::sleep(period).await;
    let spent = cpu_time(pid)?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1000.0 * 60.0 / period.as_secs_f64())
}

fn median(mut values: Vec<f64>) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len() / 2)
        .copied()
        .context("nothing was measured")
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn unix_now() -> Result<i64> {
    let now = haulout_operate::clock::Clock::system().now();
    Ok(i64::try_from(
        now.duration_since(std::time::UNIX_EPOCH)?.as_secs(),
    )?)
}
