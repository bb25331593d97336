//! The program between who has started it and what it starts.

use std::io::Write as _;
use std::time::Duration;

use haulout_tests::fake_browser::FakeBrowser;
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

/// Such a browser is no child in the background: it has the terminal until the user leaves it.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_in_the_terminal_prints_nothing_into_the_credential_and_gets_its_page() {
    let mut site = Site::today(Behaviour::default()).await;
    let home = site.machine.home.path().to_owned();
    let left = home.join("left");
    let stay = format!(
        "echo 'text of a page'\nuntil test -e '{}'; do sleep 0.1; done",
        left.display()
    );
    let lynx = FakeBrowser::install_as(&home, "lynx", &stay).unwrap();
    site.machine
        .set("BROWSER", lynx.program().to_str().unwrap())
        .set("PATH", "/usr/bin:/bin");
    let mut flags = site.flags(&[]);
    flags.retain(|flag| flag != "--skip-browser");
    let child = start(&site, &flags);

    let mut screen = Screen::default();
    writeln!(screen, "{}", lynx.link(0).await.unwrap()).unwrap();
    let browser = Browser::new(&site.supervisor);
    let page = browser.log_in(&screen, "alice").await;
    assert_eq!(page.status(), 200);
    std::fs::write(left, "").unwrap();

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
