//! As much of WebDriver (W3C, `https://www.w3.org/TR/webdriver2/`) as these tests need.
//!
//! The crates for it cannot be had without harm: one switches features of `serde_json` that the programs under test are not built
//! with, another brings a second version of many crates.

use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// Longer than a page takes, whose loading is waited for.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// Names the field of an answer that has an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A session with one window.
pub(super) struct WebDriver {
    http: Client,
    session: String,
}

/// An element of a page.
pub(super) struct Element(String);

impl WebDriver {
    /// Begins a session with the browser that listens for debuggers at `debugger`.
    pub(super) async fn connect(chromedriver: &str, debugger: &str) -> anyhow::Result<Self> {
        let http = Client::builder().timeout(CALL_LIMIT).no_proxy().build()?;
        let mut driver = Self {
            http,
            session: format!("{chromedriver}/session"),
        };
        let options = json!({"goog:chromeOptions": {"debuggerAddress": debugger}});
        let capabilities = json!({"capabilities": {"alwaysMatch": options}});
        let session = driver.post("", &capabilities).await?;
        let id = session["sessionId"].as_str().context("no session")?;
        driver.session = format!("{chromedriver}/session/{id}");
        Ok(driver)
    }

    /// Opens a page, and waits until it has loaded.
    pub(super) async fn open(&self, url: &str) -> anyhow::Result<()> {
        self.post("/url", &json!({"url": url})).await.map(drop)
    }

    /// The first element that a CSS selector finds.
    pub(super) async fn find(&self, selector: &str) -> anyhow::Result<Element> {
        let query = json!({"using": "css selector", "value": selector});
        let found = self.post("/element", &query).await?;
        let id = found[ELEMENT].as_str().context("no element")?;
        Ok(Element(id.to_owned()))
    }

    pub(super) async fn click(&self, element: &Element) -> anyhow::Result<()> {
        let path = format!("/element/{}/click", element.0);
        self.post(&path, &json!({})).await.map(drop)
    }

    pub(super) async fn type_into(&self, element: &Element, text: &str) -> anyhow::Result<()> {
        let path = format!("/element/{}/value", element.0);
        self.post(&path, &json!({"text": text})).await.map(drop)
    }

    /// The text of an element as it can be seen.
    pub(super) async fn text(&self, element: &Element) -> anyhow::Result<String> {
        let path = format!("/element/{}/text", element.0);
        let text = self.call(Method::GET, &path, None).await?;
        Ok(text.as_str().context("no text")?.to_owned())
    }

    /// The window as a PNG.
    pub(super) async fn screenshot(&self) -> anyhow::Result<Vec<u8>> {
        let picture = self.call(Method::GET, "/screenshot", None).await?;
        Ok(STANDARD.decode(picture.as_str().context("no picture")?)?)
    }

    /// Answers for the user what a page may do.
    pub(super) async fn grant(&self, permission: &str) -> anyhow::Result<()> {
        let body = json!({"descriptor": {"name": permission}, "state": "granted"});
        self.post("/permissions", &body).await.map(drop)
    }

    /// A command of Chromium's own DevTools protocol.
    pub(super) async fn devtools(&self, command: &str, parameters: &Value) -> anyhow::Result<()> {
        let body = json!({"cmd": command, "params": parameters});
        self.post("/goog/cdp/execute", &body).await.map(drop)
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let mut answer: Value = answer.json().await?;
        if !status.is_success() {
            bail!("{path}: {status}: {}", answer["value"]["message"]);
        }
        Ok(answer["value"].take())
    }
}
