//! Sessions in a real keyring: GNOME's, on a session bus of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use super::processes::long_lived;
use super::{LDAP, Site, assert_fails};

/// A bus of a user's session, with an unlocked keyring on it. Both end when it is dropped.
struct Session(Child);

impl Session {
    /// Begins one, of which the programs of the site's machine know.
    fn begin(site: &mut Site) -> Self {
        let runtime = site.machine.home.path().join("run");
        std::fs::create_dir(&runtime).unwrap();
        std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o700)).unwrap();
        site.machine
            .set("XDG_RUNTIME_DIR", runtime.to_str().unwrap());
        site.machine.set("PATH", &std::env::var("PATH").unwrap());
        let variables = site.machine.variables.clone();
        let command = |program| {
            let mut command = Command::new(program);
            command.env_clear().envs(&variables).stderr(Stdio::null());
            command
        };
        let mut bus = command("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon has to be installed");
        let mut address = String::new();
        let stdout = bus.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut address).unwrap();
        let session = Self(bus);
        site.machine.set("DBUS_SESSION_BUS_ADDRESS", address.trim());
        let mut keyring = command("gnome-keyring-daemon")
            .args(["--unlock", "--components=secrets"])
            .env("DBUS_SESSION_BUS_ADDRESS", address.trim())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon has to be installed");
        // Its password; it goes on in the background, until the bus is gone.
        let mut stdin = keyring.stdin.take().unwrap();
        stdin.write_all(b"password of the user").unwrap();
        drop(stdin);
        assert!(keyring.wait().unwrap().success());
        session
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Site {
    /// All that the keyring has, as the program that opens it lists it.
    fn keyring_list(&self) -> String {
        let output = Command::new("docker-credential-secretservice")
            .arg("list")
            .env_clear()
            .envs(&self.machine.variables)
            .output();
        let output = output.expect("docker-credential-secretservice has to be installed");
        String::from_utf8(output.stdout).unwrap()
    }
}

const KEYRING: &[&str] = &[
    "--session-cache=keyring:secretservice",
    "--credential-cache=",
];

#[tokio::test(flavor = "multi_thread")]
async fn sessions_live_in_the_keyring_until_logout() {
    let mut site = Site::today(long_lived()).await;
    site.set_password("alice");
    let _session = Session::begin(&mut site);
    let flags = site.flags(&[LDAP, KEYRING].concat());
    for refreshes in 0..3 {
        let outcome = site.run_process(flags.clone()).await;
        outcome.credential();
        assert_eq!(outcome.stderr, "");
        let calls = site.supervisor.calls();
        let expected = (1, refreshes, 0);
        assert_eq!((calls.authorize, calls.refreshes, calls.reused), expected);
    }
    assert!(!site.sessions_file().exists());
    let list = site.keyring_list();
    assert_eq!(list.matches("/haulout-session/").count(), 1, "{list}");

    let others = ["logout", "--issuer=https://other.example.com", KEYRING[0]];
    let outcome = site.run_process(others.map(str::to_owned).into()).await;
    assert_eq!(outcome.stderr, "");
    assert_eq!(site.keyring_list(), list);
    let logout = ["logout", KEYRING[0], &site.ca_flag()].map(str::to_owned);
    let outcome = site.run_process(logout.into()).await;
    assert!(outcome.stdout.contains("revoked"), "{}", outcome.stderr);
    assert_eq!(site.supervisor.calls().revocations, 1);
    let list = site.keyring_list();
    assert!(!list.contains("/haulout-session/"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_that_does_not_open_stops_no_login_but_is_told_of() {
    let mut site = Site::today(long_lived()).await;
    site.set_password("alice");
    let flags = site.flags(&[LDAP, &["--session-cache=keyring:nowhere"]].concat());
    let outcome = site.run_process(flags).await;
    outcome.credential();
    let expected = "Warning: failed to use the keyring: \
                    failed to run docker-credential-nowhere";
    assert!(outcome.stderr.starts_with(expected), "{}", outcome.stderr);
    // No bus, and so no keyring on it.
    site.machine.set("PATH", &std::env::var("PATH").unwrap());
    site.machine
        .set("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere");
    let outcome = site
        .run_process(site.flags(&[LDAP, KEYRING].concat()))
        .await;
    outcome.credential();
    let expected = "docker-credential-secretservice get failed: ";
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn keyrings_without_a_good_name_are_refused() {
    let site = Site::new(long_lived()).await;
    for name in ["", "../x", "a b", "/bin/sh"] {
        let outcome = site
            .run(&[&format!("--session-cache=keyring:{name}")])
            .await;
        assert_fails(&outcome, 2, "name the keyring");
    }
}
