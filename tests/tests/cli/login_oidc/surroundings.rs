//! The program between who has started it and what it starts.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use haulout_tests::supervisor::Behaviour;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::browser::Browser;
use super::{Outcome, Screen, Site};

/// Starts the program with these flags on the machine of this site.
fn start(site: &Site, flags: &[String]) -> Child {
    Command::from(site.command(flags))
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn outcome(child: Child) -> Outcome {
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
    let output = output.expect("it goes on for ever").unwrap();
    Outcome {
        code: u8::try_from(output.status.code().unwrap()).unwrap().into(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Waits until the file holds a line.
async fn line_of(file: &Path) -> String {
    for _ in 0..1000 {
        match std::fs::read_to_string(file) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("{} does not come", file.display());
}

/// Such a browser is no child in the background: it has the terminal until the user leaves it.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_in_the_terminal_prints_nothing_into_the_credential_and_gets_its_page() {
    let mut site = Site::today(Behaviour::default()).await;
    let home = site.machine.home.path().to_owned();
    let program = home.join("lynx");
    let script = format!(
        "#!/bin/sh\necho 'text of a page'\necho \"$1\" > {home}/link\nuntil test -e {home}/left; do sleep 0.1; done\n",
        home = home.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    site.machine
        .set("BROWSER", program.to_str().unwrap())
        .set("PATH", "/usr/bin:/bin");
    let mut flags = site.flags(&[]);
    flags.retain(|flag| flag != "--skip-browser");
    let child = start(&site, &flags);

    let mut screen = Screen::default();
    let link = line_of(&home.join("link")).await;
    screen.write_all(link.as_bytes()).unwrap();
    let browser = Browser::new(&site.supervisor);
    let page = browser.log_in(&screen, "alice").await;
    assert_eq!(page.status(), 200);
    std::fs::write(home.join("left"), "").unwrap();

    let outcome = outcome(child).await;
    outcome.credential();
    assert_eq!(outcome.stderr, "text of a page\n");
}

/// As when kubectl is killed. Who goes on waiting for a user keeps all others of the session waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_nobody_waits_for_any_more_ends() {
    let site = Site::today(Behaviour::default()).await;
    let mut child = start(&site, &site.flags(&[]));
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    while !stderr
        .next_line()
        .await
        .unwrap()
        .unwrap()
        .contains("https://")
    {}
    drop(child.stdout.take());
    let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await;
    let status = status.expect("it waits on").unwrap();
    assert_eq!(status.code(), Some(1));
    let mut last = String::new();
    while let Some(line) = stderr.next_line().await.unwrap() {
        last = line;
    }
    assert!(
        last.contains("whoever asked for the credential is gone"),
        "{last}"
    );
}
