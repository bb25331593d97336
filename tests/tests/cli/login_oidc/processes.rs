//! The program as many processes: at the same time, and killed while it writes.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use haulout_operate::clock::Clock;
use haulout_tests::fake_browser::FakeBrowser;
use haulout_tests::supervisor::Behaviour;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::browser::Browser;
use super::{LDAP, Outcome, Site, assert_fails};

/// Life of tokens that are good for the whole test, and are refreshed at each login all the same.
const TOKEN_LIFE: Duration = Duration::from_secs(500);

pub(super) fn long_lived() -> Behaviour {
    Behaviour {
        token_life: TOKEN_LIFE,
        ..Behaviour::default()
    }
}

impl Site {
    /// The program where nobody can be asked.
    pub(super) fn command(&self, flags: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haulout-test-cli"));
        command
            .args(flags)
            .env_clear()
            .envs(&self.machine.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(super) fn start(&self, flags: &[String]) -> Child {
        self.command(flags).spawn().unwrap()
    }

    pub(super) async fn run_process(&self, flags: Vec<String>) -> Outcome {
        let program = self.start(&flags);
        tokio::task::spawn_blocking(|| end(program)).await.unwrap()
    }
}

pub(super) fn end(program: Child) -> Outcome {
    let output = program.wait_with_output().unwrap();
    Outcome {
        code: match output.status.code() {
            Some(code) => ExitCode::from(u8::try_from(code).unwrap()),
            None => panic!("{}", output.status),
        },
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Starts thirty, and gives what became of them.
async fn thirty(
    site: &Site,
    flags: &[String],
    meanwhile: impl Future<Output = ()>,
) -> Vec<Outcome> {
    let programs: Vec<_> = (0..30).map(|_| site.start(flags)).collect();
    meanwhile.await;
    let ends = programs
        .into_iter()
        .map(|program| tokio::task::spawn_blocking(|| end(program)));
    let ends = futures_util::future::try_join_all(ends).await;
    ends.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_processes_spend_one_refresh_token() {
    let mut site = Site::today(long_lived()).await;
    site.set_password("alice");
    site.run(&[LDAP, &["--credential-cache="]].concat())
        .await
        .credential();
    let before = site.supervisor.calls();
    let outcomes = thirty(&site, &site.flags(LDAP), async {}).await;
    for outcome in &outcomes {
        assert_eq!(outcome.credential(), outcomes[0].credential());
    }
    let calls = site.supervisor.calls();
    assert_eq!(
        (calls.authorize, calls.refreshes, calls.reused),
        (before.authorize, 1, 0)
    );
}

/// A kubeconfig can set the variable, as it can name a CA.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_given_to_whomever_a_variable_trusts() {
    let mut site = Site::today(long_lived()).await;
    site.set_password("alice");
    let mut flags = site.flags(&[LDAP, &["--credential-cache="]].concat());
    let ca = site.ca_flag();
    flags.retain(|flag| *flag != ca);
    for (name, logins) in [("a.pem", 1), ("b.pem", 2), ("a.pem", 2)] {
        let path = site.machine.home.path().join(name);
        std::fs::write(&path, site.supervisor.ca_pem()).unwrap();
        site.machine.set("SSL_CERT_FILE", path.to_str().unwrap());
        site.run_process(flags.clone()).await.credential();
        assert_eq!(site.supervisor.calls().authorize, logins, "{name}");
    }
}

/// As when kubectl is killed.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_on_without_the_lock_whose_reader_is_gone() {
    let mut site = Site::today(long_lived()).await;
    site.set_password("alice");
    site.run(&[LDAP, &["--credential-cache="]].concat())
        .await
        .credential();
    let folder = site.sessions_file().parent().unwrap().to_owned();
    let mut locks: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    locks.retain(|path| path.extension().is_some_and(|end| end == "lock"));
    // The other one is that of the file.
    locks.retain(|path| !path.ends_with("sessions.yaml.lock"));
    let [lock] = &locks[..] else {
        panic!("{locks:?}");
    };
    let holder = std::fs::File::options().write(true).open(lock).unwrap();
    holder.try_lock().unwrap();
    let mut program = site.start(&site.flags(LDAP));
    drop(program.stdout.take());
    let outcome = tokio::task::spawn_blocking(|| end(program)).await.unwrap();
    assert_fails(
        &outcome,
        1,
        "could not complete Pinniped login: whoever asked for the credential is gone",
    );
    assert_eq!(site.supervisor.calls().refreshes, 0);
}

/// Their session is at its end; the browser writes down the link that it is given.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_processes_open_one_browser() {
    let mut site = Site::today(long_lived()).await;
    let home = site.machine.home.path().to_owned();
    let fake = FakeBrowser::install(&home).unwrap();
    site.machine
        .set("BROWSER", fake.program().to_str().unwrap());
    site.log_in(&["--credential-cache="]).await.credential();
    site.supervisor.behaviour().refuses_refresh = true;
    let mut flags = site.flags(&[]);
    flags.retain(|flag| flag != "--skip-browser");
    let outcomes = thirty(&site, &flags, async {
        let link = fake.link(0).await.unwrap();
        let browser = Browser::new(&site.supervisor);
        let answer = browser.submit(link.parse().unwrap(), "alice").await;
        let callback = answer.headers()["location"].to_str().unwrap();
        assert_eq!(browser.get(callback.parse().unwrap()).await.status(), 200);
    })
    .await;
    for outcome in &outcomes {
        assert_eq!(outcome.credential(), outcomes[0].credential());
    }
    assert_eq!(fake.links().len(), 1);
}

/// A cache file, and what of it is not touched by the logins of a test.
struct CacheFile {
    path: PathBuf,
    /// The field that holds the entries.
    entries: &'static str,
    others: Vec<Value>,
}

const OTHERS: usize = 8;

impl CacheFile {
    /// Has entries of other sessions and clusters, so that a write takes its time.
    fn fill(
        path: PathBuf,
        kind: &str,
        entries: &'static str,
        entry: impl Fn(usize) -> Value,
    ) -> Self {
        let others: Vec<_> = (0..OTHERS).map(entry).collect();
        let file = json!({
            "apiVersion": "config.supervisor.pinniped.dev/v1alpha1", "kind": kind, entries: others,
        });
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, file.to_string()).unwrap();
        Self {
            path,
            entries,
            others,
        }
    }

    /// Where the next one is written.
    fn new_file(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".haulout-new");
        name.into()
    }

    /// The entries of the test's own logins, after a check that the file is whole.
    fn own_entries(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.path).unwrap();
        let file: Value =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let entries = file[self.entries]
            .as_array()
            .unwrap_or_else(|| panic!("{text}"));
        let (others, own): (Vec<_>, Vec<_>) = entries
            .iter()
            .cloned()
            .partition(|entry| self.others.contains(entry));
        assert_eq!(others, self.others, "{text}");
        own
    }
}

/// Both files, each with entries of others.
fn filled_caches(site: &Site) -> [CacheFile; 2] {
    let now = Timestamp::try_from(Clock::system().now()).unwrap();
    let written = |time: Timestamp| time.strftime("%FT%TZ").to_string();
    let (now, later) = (written(now), written(now + Duration::from_secs(1800)));
    let filling = "x".repeat(500);
    let session = |n| {
        json!({
            "key": {"clientID": "pinniped-cli", "issuer": format!("https://{n}.example.com"),
                    "redirect_uri": "http://localhost:0/callback", "scopes": ["openid"]},
            "creationTimestamp": now, "lastUsedTimestamp": now,
            "tokens": {"refresh": {"token": filling}},
        })
    };
    let credential = |n| {
        json!({
            "key": format!("{n}"), "creationTimestamp": now, "lastUsedTimestamp": now,
            "credential": {"expirationTimestamp": later, "token": filling},
        })
    };
    let (sessions, credentials) = (site.sessions_file(), site.machine.cache_file());
    [
        CacheFile::fill(sessions, "SessionCache", "sessions", session),
        CacheFile::fill(credentials, "CredentialCache", "credentials", credential),
    ]
}

/// Whether there is nothing, or one entry with all that belongs to it.
fn is_whole(entries: &[Value]) -> bool {
    let token = match entries {
        [] => return true,
        [entry] => {
            (entry.pointer("/tokens/refresh/token")).or_else(|| entry.pointer("/credential/token"))
        }
        _ => None,
    };
    token.is_some_and(Value::is_string)
}

/// `SIGKILL` at any moment of a write leaves what was there, or what was to be there; it stops nobody, and leaves no litter.
#[tokio::test(flavor = "multi_thread")]
async fn killed_writers_leave_whole_caches() {
    let mut site = Site::today(long_lived()).await;
    site.set_password("alice");
    let caches = filled_caches(&site);
    let flags = site.flags(LDAP);
    let credentials = &caches[1].path;
    let no_credential = std::fs::read(credentials).unwrap();

    let mut random = fastrand::Rng::with_seed(7);
    let (mut midway, mut after_it) = (0, 0);
    // About as long as a write takes, as far as is known by then.
    let mut longest_pause = 1e-3;
    for tried in 0.. {
        if midway + after_it >= 200 && midway.min(after_it) >= 20 {
            break;
        }
        assert!(
            tried < 1000,
            "no random moments: {midway} within writes, {after_it} after them"
        );
        // As if the credential had expired.
        std::fs::write(credentials, &no_credential).unwrap();
        let which = random.usize(0..2);
        let pause = Duration::from_secs_f64(random.f64() * longest_pause);
        let (program, file) = (site.start(&flags), caches[which].path.clone());
        let new_file = caches[which].new_file();
        let killed = move || kill_at_write(program, &file, &new_file, pause);
        let was_midway = tokio::task::spawn_blocking(killed).await.unwrap();
        let after = caches.each_ref().map(CacheFile::own_entries);
        assert!(after.iter().all(|entries| is_whole(entries)), "{after:?}");
        match was_midway {
            Some(true) => {
                midway += 1;
                longest_pause *= 1.2;
            }
            Some(false) => {
                after_it += 1;
                longest_pause /= 1.2;
            }
            None => {}
        }
    }

    // A lock that was left would be told of.
    std::fs::write(credentials, &no_credential).unwrap();
    let flags = site.flags(&[LDAP, &["--debug-session-cache"]].concat());
    let last = end(site.start(&flags));
    last.credential();
    assert_eq!(last.stderr, "");
    let names = std::fs::read_dir(credentials.parent().unwrap()).unwrap();
    let names: BTreeSet<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let is_known = |name: &String| name.ends_with(".yaml") || name.ends_with(".lock");
    assert!(names.iter().all(is_known), "{names:?}");
    assert_eq!(
        names.len(),
        5,
        "a lock for each file and the session: {names:?}"
    );
}

/// Kills the program a while after it has begun to write, and says whether it was still at it; `None` if it ended before. As long
/// as it is, `file` must be what it was.
fn kill_at_write(
    mut program: Child,
    file: &Path,
    new_file: &Path,
    pause: Duration,
) -> Option<bool> {
    let inode = || std::fs::metadata(new_file).ok().map(|found| found.ino());
    // One that was killed before may have left its own.
    let left = inode();
    let written = loop {
        match inode() {
            Some(found) if Some(found) != left => break found,
            _ if program.try_wait().unwrap().is_some() => return None,
            _ => std::thread::yield_now(),
        }
    };
    let begun = Instant::now();
    let before = std::fs::read(file).unwrap();
    while begun.elapsed() < pause {
        std::hint::spin_loop();
    }
    program.kill().unwrap();
    program.wait().unwrap();
    // There is another if it was at its next write already.
    let is_midway = inode() == Some(written);
    if is_midway {
        assert!(std::fs::read(file).unwrap() == before, "it is written to");
    }
    Some(is_midway)
}
