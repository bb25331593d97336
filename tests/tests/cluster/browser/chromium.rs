//! Chromium without a window, driven by chromedriver.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use haulout_tests::cluster::{Launch, Process, wait_for};
use rustix::process::geteuid;
use serde_json::json;

use super::webdriver::{Element, WebDriver};
use crate::running::Running;

/// On a machine that does much else.
const START_LIMIT: Duration = Duration::from_secs(60);
/// For a page that a provider on the same machine makes.
const PAGE_LIMIT: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(50);

/// A person with a browser. The programs end when it is dropped.
pub(super) struct Chromium {
    driver: WebDriver,
    _processes: [Process; 2],
}

impl Chromium {
    /// Starts one without history.
    pub(super) async fn start(running: &Running) -> Self {
        Self::start_with(running, None).await
    }

    /// The same, which takes pages of this host and port for those of a public address, not of this computer.
    pub(super) async fn start_far_from(running: &Running, host: &str) -> Self {
        let spaces = format!("--ip-address-space-overrides={host}=public");
        Self::start_with(running, Some(spaces)).await
    }

    async fn start_with(running: &Running, argument: Option<String>) -> Self {
        let started = Self::try_start(running.cluster.folder(), argument).await;
        started.unwrap()
    }

    /// Chromium is a child of ours and not of chromedriver's, so that it ends with the test however that ends.
    async fn try_start(folder: &Path, argument: Option<String>) -> anyhow::Result<Self> {
        let profile = folder.join("chromium-profile");
        let mut arguments = [
            "--headless",
            "--remote-debugging-port=0",
            // The page itself is 640 by 320.
            "--window-size=640,463",
            // The provider's CA is known to nobody, and Chromium takes no file of CAs.
            "--ignore-certificate-errors",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--hide-scrollbars",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        arguments.extend(argument);
        if geteuid().is_root() {
            arguments.push("--no-sandbox".to_owned());
        }
        let mut chromium = Process::start(launch(folder, "chromium", &arguments))?;
        let port = profile.join("DevToolsActivePort");
        let parts = &mut [&mut chromium];
        let port = wait_for("Chromium ready", START_LIMIT, parts, async || {
            let text = std::fs::read_to_string(&port)?;
            Ok(text.lines().next().context("empty")?.parse::<u16>()?)
        })
        .await?;

        let arguments = ["--port=0".to_owned()];
        let mut chromedriver = Process::start(launch(folder, "chromedriver", &arguments))?;
        let log = chromedriver.log();
        let parts = &mut [&mut chromium, &mut chromedriver];
        let own_port = wait_for("chromedriver ready", START_LIMIT, parts, async || {
            let text = std::fs::read_to_string(&log)?;
            let (_, rest) = text
                .split_once("started successfully on port ")
                .context("not yet")?;
            let digits = rest.split_once('.').context("not yet")?.0;
            Ok(digits.parse::<u16>()?)
        })
        .await?;
        let url = format!("http://127.0.0.1:{own_port}");
        let driver = WebDriver::connect(&url, &format!("127.0.0.1:{port}")).await?;
        Ok(Self {
            driver,
            _processes: [chromium, chromedriver],
        })
    }

    pub(super) async fn open(&self, link: &str) {
        self.driver.open(link).await.unwrap();
    }

    /// Logs in at oidc-provider, which takes any password, and consents.
    pub(super) async fn log_in(&self, name: &str) {
        self.type_into("login", name).await;
        self.type_into("password", "anything").await;
        self.click(".login-submit").await;
        self.click("input[value=consent] ~ .login-submit").await;
    }

    /// Types into the field of a form.
    pub(super) async fn type_into(&self, field: &str, text: &str) {
        let field = self.element(&format!("input[name={field}]")).await;
        self.driver.type_into(&field, text).await.unwrap();
    }

    /// Clicks on a button, or anything else.
    pub(super) async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.driver.click(&element).await.unwrap();
    }

    /// Waits for a page with this in it.
    pub(super) async fn sees(&self, text: &str) {
        let start = Instant::now();
        loop {
            // Between two pages there is none.
            let seen = self.page().await.unwrap_or_default();
            if seen.contains(text) {
                return;
            }
            assert!(start.elapsed() < PAGE_LIMIT, "{text} does not come: {seen}");
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Lets pages speak to programs of this computer, as the user does whom the browser asks.
    pub(super) async fn allow_loopback(&self) {
        self.driver.grant("loopback-network").await.unwrap();
    }

    /// A picture of the page for those who like it `light`, or `dark`.
    pub(super) async fn picture(&self, scheme: &str) -> Vec<u8> {
        let feature = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        let emulated = self.driver.devtools("Emulation.setEmulatedMedia", &feature);
        emulated.await.unwrap();
        self.driver.screenshot().await.unwrap()
    }

    async fn element(&self, selector: &str) -> Element {
        let start = Instant::now();
        loop {
            match self.driver.find(selector).await {
                Ok(element) => return element,
                Err(error) if start.elapsed() > PAGE_LIMIT => {
                    let seen = self.page().await.unwrap_or_default();
                    panic!("{selector} does not come: {error:#}; there is: {seen}")
                }
                Err(_) => tokio::time::sleep(INTERVAL).await,
            }
        }
    }

    /// The text of the page.
    async fn page(&self) -> anyhow::Result<String> {
        let body = self.driver.find("body").await?;
        self.driver.text(&body).await
    }
}

fn launch(folder: &Path, program: &str, arguments: &[String]) -> Launch {
    Launch {
        name: program.to_owned(),
        program: program.into(),
        arguments: arguments.iter().map(Into::into).collect(),
        environment: vec![("HOME".to_owned(), folder.to_string_lossy().into_owned())],
        user: None,
        detached: false,
        folder: folder.to_owned(),
    }
}
