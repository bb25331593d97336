//! A user's login, by the flow that fits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use haulout_https::foreign;
use secrecy::SecretString;
use tokio::sync::mpsc;
use url::Url;

use super::error::OidcLoginError;
use super::issuer::Issuer;
use super::paste;
use super::session::Session;
use crate::arguments::Flow;
use crate::oidc::authorization::{Attempt, RANDOM_BYTES, authorize_url};
use crate::oidc::callback::{self, Arrival, CallbackListener, judge_pasted};
use crate::oidc::password::{self, Login};
use crate::oidc::tokens::TokenAnswer;
use crate::oidc::{OidcError, device, identity_providers, place};
use crate::session_cache::Tokens;
use crate::{standard_output, terminal};

/// Longest time that a login may take where somebody sits at the terminal.
const LIMIT: Duration = Duration::from_secs(90 * 60);
/// The same elsewhere, where nobody may be there at all.
const LIMIT_WITHOUT_TERMINAL: Duration = Duration::from_secs(15 * 60);

impl Session<'_> {
    /// Has the user log in.
    pub(super) async fn log_in(&mut self, issuer: &Issuer<'_>) -> Result<Tokens, OidcLoginError> {
        let flow = self.flow(issuer).await?;
        self.console.debug(|| format!("flow: {flow}"));
        let is_interactive = self.is_interactive;
        let login = async {
            match flow {
                Flow::BrowserAuthcode => self.by_browser(issuer).await,
                Flow::CliPassword => self.by_password(issuer).await,
                Flow::DeviceCode => self.by_device(issuer).await,
                Flow::ClientCredentials => self.by_client_credentials(issuer).await,
            }
        };
        let limit = limit(is_interactive);
        let in_time = tokio::select! {
            // First, so that no browser opens for somebody who has gone meanwhile.
            biased;
            () = standard_output::reader_gone() => return Err(OidcLoginError::Abandoned),
            in_time = tokio::time::timeout(limit, login) => in_time,
        };
        let tokens = in_time.map_err(|_| OidcLoginError::TimedOut {
            minutes: limit.as_secs() / 60,
        })?;
        if let Ok(tokens) = &tokens {
            self.keep(tokens);
        }
        if let Some(browser) = self.browser.take() {
            // The terminal is the browser's until the user leaves it.
            let _ended = browser.await;
        }
        tokens
    }

    /// The flow to take: a Supervisor is asked what its identity provider offers.
    async fn flow(&self, issuer: &Issuer<'_>) -> Result<Flow, OidcLoginError> {
        let settings = self.settings;
        let wanted = settings.flow;
        let (Some(upstream), None | Some(Flow::BrowserAuthcode | Flow::CliPassword)) =
            (&settings.upstream, wanted)
        else {
            return Ok(wanted.unwrap_or(Flow::BrowserAuthcode));
        };
        let list = identity_providers::list(&issuer.http, &issuer.provider).await?;
        let name = wanted.map(|flow| match flow {
            Flow::CliPassword => "cli_password",
            _ => "browser_authcode",
        });
        let chosen = identity_providers::choose_flow(&list, upstream, name);
        Ok(match chosen.map_err(OidcError::from)?.as_str() {
            "cli_password" => Flow::CliPassword,
            _ => Flow::BrowserAuthcode,
        })
    }

    async fn by_browser(&mut self, issuer: &Issuer<'_>) -> Result<Tokens, OidcLoginError> {
        let attempt = Arc::new(attempt(issuer)?);
        let listener = self.listen().await?;
        let endpoint = issuer.authorization_endpoint()?;
        let port = listener
            .as_ref()
            .map_or(0, |listener| listener.address().port());
        let redirect_uri = callback::redirect_uri(port);
        let link = |form_post| {
            authorize_url(
                endpoint,
                &issuer.client,
                &attempt,
                &redirect_uri,
                // Browsers warn of forms that a page of others posts to this computer; a Supervisor's posts them by a script.
                form_post && issuer.provider.offers_form_post && issuer.provider.is_supervisor(),
                self.settings.upstream.as_ref(),
            )
        };
        // A browser of this computer is redirected to the listener. A Supervisor's page that posts the code by a script would
        // have to be allowed to by the user in Chromium, and cannot in Safari; but elsewhere, it shows the code for pasting.
        let (to_open, to_print) = (link(listener.is_none()), link(true));
        if !self.settings.skip_browser {
            let opening = tokio::task::spawn_blocking(move || open_browser(&to_open));
            self.browser = Some(opening);
        }
        let mut work = async |arrivals: Option<mpsc::Receiver<Arrival>>| {
            let (code, arrival) = self.code(&attempt, arrivals, &to_print).await?;
            let tokens = issuer
                .redeem(&code, &attempt, &redirect_uri, self.clock)
                .await;
            if let Some(arrival) = arrival {
                arrival.show(tokens.is_ok());
            }
            tokens
        };
        match listener {
            Some(listener) => {
                let attempt = Arc::clone(&attempt);
                let work = async |arrivals| work(Some(arrivals)).await;
                listener.serve(attempt, endpoint, work).await
            }
            None => work(None).await,
        }
    }

    async fn listen(&self) -> Result<Option<CallbackListener>, OidcLoginError> {
        if self.settings.skip_listen {
            return match self.is_interactive {
                true => Ok(None),
                false => Err(OidcLoginError::NoListener),
            };
        }
        let port = self.settings.listen_port;
        match CallbackListener::bind(port).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) if self.is_interactive => {
                self.console.tell(&format!(
                    "Port {port} of 127.0.0.1 cannot be listened on ({error}); paste the code instead."
                ));
                Ok(None)
            }
            Err(source) => Err(OidcLoginError::NoWay { port, source }),
        }
    }

    /// Shows the user where to log in, and says whether he is asked to paste what the browser shows.
    fn show(&self, url: &Url, opened: bool) -> bool {
        self.console
            .debug(|| format!("browser opened: {opened}; the login is at {}", place(url)));
        let is_quiet = (self.environment)("PINNIPED_SKIP_PRINT_LOGIN_URL");
        if opened && is_quiet.is_some_and(|value| value == "true") {
            return false;
        }
        let issuer = foreign(&self.settings.issuer);
        self.console.tell(&format!(
            "Log in by visiting this link:\n\n    {url}\n\nIt leads to the issuer {issuer}\n"
        ));
        self.is_interactive
    }

    fn ask_for_code(&self) -> io::Result<()> {
        let question = "    Optionally, paste your authorization code: ";
        self.console.prompt(question)
    }

    /// Whether a browser has been opened; of one in the terminal not before the user has left it.
    async fn opened(&mut self) -> bool {
        let Some(browser) = &mut self.browser else {
            return false;
        };
        let opened = browser.await.unwrap_or(false);
        self.browser = None;
        opened
    }

    /// The code, from whichever comes first.
    async fn code(
        &mut self,
        attempt: &Attempt,
        arrivals: Option<mpsc::Receiver<Arrival>>,
        url: &Url,
    ) -> Result<(SecretString, Option<Arrival>), OidcLoginError> {
        let mut pasting = false;
        let has_listener = arrivals.is_some();
        let pasted = async {
            let opened = self.opened().await;
            pasting = self.show(url, opened);
            match pasting {
                true => paste::code(has_listener, || self.ask_for_code()).await,
                false => std::future::pending().await,
            }
        };
        let arrived = async {
            match arrivals {
                Some(mut arrivals) => arrivals.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            arrival = arrived => {
                if pasting {
                    self.console.tell("[...]");
                }
                let arrival = arrival.ok_or(OidcLoginError::ListenerEnded)?;
                match &arrival.outcome {
                    Ok(code) => Ok((code.clone(), Some(arrival))),
                    Err(denied) => {
                        let denied = denied.clone();
                        arrival.show(false);
                        Err(OidcError::Denied(denied).into())
                    }
                }
            }
            pasted = pasted => {
                let line = pasted.map_err(OidcLoginError::Ask)?;
                Ok((judge_pasted(&line, attempt)?, None))
            }
        }
    }

    async fn by_password(&self, issuer: &Issuer<'_>) -> Result<Tokens, OidcLoginError> {
        if !issuer.provider.is_supervisor() {
            return Err(OidcError::NoPasswordFlow.into());
        }
        let login = self.ask_login().await?;
        let attempt = attempt(issuer)?;
        let redirect_uri = callback::redirect_uri(self.settings.listen_port);
        let url = authorize_url(
            issuer.authorization_endpoint()?,
            &issuer.client,
            &attempt,
            &redirect_uri,
            false,
            self.settings.upstream.as_ref(),
        );
        let code = password::authorize(&issuer.http, &url, &login, &attempt, &redirect_uri).await?;
        issuer
            .redeem(&code, &attempt, &redirect_uri, self.clock)
            .await
    }

    async fn ask_login(&self) -> Result<Login, OidcLoginError> {
        let set = |name| (self.environment)(name).and_then(|value| value.into_string().ok());
        let (username, password) = (set("PINNIPED_USERNAME"), set("PINNIPED_PASSWORD"));
        if username.is_none() || password.is_none() {
            if !self.is_interactive {
                return Err(OidcLoginError::NoTerminal);
            }
            let upstream = self.settings.upstream.as_ref();
            let name = upstream.map_or_else(String::new, |u| format!("{} at ", foreign(&u.name)));
            let headline = format!("Log in to {name}{}\n", foreign(&self.settings.issuer));
            self.console.tell(&headline);
        }
        let username = match username {
            Some(username) => username,
            None => {
                let asked = terminal::ask("Username: ", self.console).await;
                asked.map_err(OidcLoginError::Ask)?
            }
        };
        let password = match password {
            Some(password) => password.into(),
            None => {
                let asked = terminal::ask_secret("Password: ", self.console).await;
                asked.map_err(OidcLoginError::Ask)?
            }
        };
        Ok(Login { username, password })
    }

    async fn by_device(&self, issuer: &Issuer<'_>) -> Result<Tokens, OidcLoginError> {
        let endpoint = issuer.endpoint();
        let code = device::begin(&endpoint, &attempt(issuer)?).await?;
        let link = code.link()?;
        self.console.tell(&format!(
            "Log in with any browser by visiting this link:\n\n    {link}\n\nIt shows, or asks for, this code:\n\n    {}\n\nIt leads to the issuer {issuer}\n",
            foreign(&code.user_code),
            issuer = foreign(&self.settings.issuer)
        ));
        let answer = device::wait(&endpoint, &code).await?;
        issuer.tokens(&answer, None, self.clock).await
    }

    async fn by_client_credentials(&self, issuer: &Issuer<'_>) -> Result<Tokens, OidcLoginError> {
        let answer: TokenAnswer = issuer.endpoint().client_credentials().await?;
        issuer.client_tokens(&answer, self.clock).await
    }
}

fn limit(is_interactive: bool) -> Duration {
    match is_interactive {
        true => LIMIT,
        false => LIMIT_WITHOUT_TERMINAL,
    }
}

fn attempt(issuer: &Issuer<'_>) -> Result<Attempt, OidcLoginError> {
    let mut random = [0; RANDOM_BYTES];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| OidcLoginError::Random)?;
    let provider = &issuer.provider;
    Ok(Attempt::new(&random).at(&provider.issuer, provider.names_itself))
}

/// Whether a browser could be started. One in the terminal has it to itself until the user leaves it.
fn open_browser(url: &Url) -> bool {
    webbrowser::open(url.as_str()).is_ok()
}
