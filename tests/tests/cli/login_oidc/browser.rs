//! A browser with a user before it.

use std::collections::HashMap;
use std::time::Duration;

use haulout_tests::supervisor::{PASSWORD, Supervisor};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use url::Url;

use haulout_tests::terminal::Screen;

pub(super) struct Browser {
    http: Client,
}

impl Browser {
    pub(super) fn new(supervisor: &Supervisor) -> Self {
        let ca = reqwest::Certificate::from_pem(supervisor.ca_pem().as_bytes()).unwrap();
        let http = Client::builder()
            .tls_certs_only([ca])
            .redirect(Policy::none())
            .timeout(Duration::from_secs(10))
            .no_proxy()
            .build()
            .unwrap();
        Self { http }
    }

    /// The link that the program shows.
    pub(super) async fn link(screen: &Screen) -> Url {
        let link = screen.line_that("a link", |line| line.starts_with("https://"));
        Url::parse(&link.await.unwrap()).unwrap()
    }

    /// Follows the link, types, and goes where the issuer sends it.
    pub(super) async fn log_in(&self, screen: &Screen, username: &str) -> Response {
        let callback = self.callback(screen, username).await;
        self.get(callback).await
    }

    /// The same as far as the address that the issuer sends it to.
    pub(super) async fn callback(&self, screen: &Screen, username: &str) -> Url {
        let answer = self.submit(Self::link(screen).await, username).await;
        let location = answer.headers().get("location");
        let location = location.unwrap_or_else(|| panic!("{answer:?}"));
        Url::parse(location.to_str().unwrap()).unwrap()
    }

    pub(super) async fn submit(&self, link: Url, username: &str) -> Response {
        let page = self.get(link.clone()).await;
        assert!(page.text().await.unwrap().contains("<form"));
        let typed = HashMap::from([("username", username), ("password", PASSWORD)]);
        self.http.post(link).form(&typed).send().await.unwrap()
    }

    pub(super) async fn get(&self, url: Url) -> Response {
        let request = self.http.get(url).header("accept", "text/html");
        request.send().await.unwrap()
    }

    pub(super) async fn post(&self, url: Url, form: &[(&str, &str)]) -> Response {
        self.http.post(url).form(form).send().await.unwrap()
    }
}
