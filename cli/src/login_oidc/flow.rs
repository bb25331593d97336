//! A user's login, by the flow that fits.

use std::sync::Arc;
use std::time::Duration;

use haulout_https::foreign;
use secrecy::SecretString;
use tokio::sync::mpsc;
use url::Url;

use super::error::OidcLoginError;
use super::{Issuer, Session};
use crate::arguments::Flow;
use crate::oidc::authorization::{Attempt, RANDOM_BYTES, authorize_url};
use crate::oidc::callback::{Arrival, CallbackListener, judge_pasted};
use crate::oidc::password::{self, Login};
use crate::oidc::tokens::TokenAnswer;
use crate::oidc::{OidcError, device, identity_providers};
use crate::session_cache::Tokens;
use crate::terminal;

/// Longest time that a login may take.
const LIMIT: Duration = Duration::from_secs(90 * 60);

impl Session<'_> {
    /// Has the user log in.
    pub(super) async fn log_in(&mut self, issuer: &Issuer<'_>) -> Result<Tokens, OidcLoginError> {
        let flow = self.flow(issuer).await?;
        let caller = self.caller;
        let login = async {
            match flow {
                Flow::BrowserAuthcode => self.by_browser(issuer).await,
                Flow::CliPassword => self.by_password(issuer).await,
                Flow::DeviceCode => self.by_device(issuer).await,
                Flow::ClientCredentials => self.by_client_credentials(issuer).await,
            }
        };
        let login = async {
            tokio::select! {
                // First, so that no browser opens for somebody who has gone meanwhile.
                biased;
                () = caller.gone() => Err(OidcLoginError::CallerGone),
                tokens = login => tokens,
            }
        };
        let in_time = tokio::time::timeout(LIMIT, login).await;
        in_time.unwrap_or(Err(OidcLoginError::TimedOut {
            minutes: LIMIT.as_secs() / 60,
        }))
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
        let list = identity_providers::list(&issuer.https, &issuer.provider).await?;
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
        let attempt = Arc::new(attempt()?);
        let listener = self.listen().await?;
        let endpoint = issuer.authorization_endpoint()?;
        let port = listener
            .as_ref()
            .map_or(0, |listener| listener.address().port());
        let redirect_uri = format!("http://127.0.0.1:{port}/callback");
        let link = |form_post| {
            authorize_url(
                endpoint,
                &issuer.client,
                &attempt,
                &redirect_uri,
                form_post && issuer.provider.offers_form_post,
                self.settings.upstream.as_ref(),
            )
        };
        // A browser of this computer is redirected to the listener. A Supervisor's page that posts the code by a script would
        // have to be allowed to by the user in Chromium, and cannot in Safari; but elsewhere, it shows the code for pasting.
        let (to_open, to_print) = (link(listener.is_none()), link(true));
        let pasting = self.show(&to_open, &to_print);
        let mut work = async |arrivals: Option<mpsc::Receiver<Arrival>>| {
            let (code, arrival) = self.code(&attempt, arrivals, pasting).await?;
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

    async fn listen(&mut self) -> Result<Option<CallbackListener>, OidcLoginError> {
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
                self.tell(&format!(
                    "Port {port} of 127.0.0.1 cannot be listened on ({error}); paste the code instead."
                ));
                Ok(None)
            }
            Err(source) => Err(OidcLoginError::NoWay { port, source }),
        }
    }

    /// Shows the user where to log in, and says whether he is asked to paste what the browser shows.
    fn show(&mut self, to_open: &Url, to_print: &Url) -> bool {
        let opened = !self.settings.skip_browser && open_browser(to_open);
        let is_quiet = (self.environment)("PINNIPED_SKIP_PRINT_LOGIN_URL");
        if opened && is_quiet.is_some_and(|value| value == "true") {
            return false;
        }
        self.tell(&format!(
            "Log in by visiting this link:\n\n    {to_print}\n"
        ));
        if self.is_interactive {
            drop(write!(
                self.stderr,
                "    Optionally, paste your authorization code: "
            ));
            drop(self.stderr.flush());
        }
        self.is_interactive
    }

    /// The code, from whichever comes first.
    async fn code(
        &mut self,
        attempt: &Attempt,
        arrivals: Option<mpsc::Receiver<Arrival>>,
        pasting: bool,
    ) -> Result<(SecretString, Option<Arrival>), OidcLoginError> {
        let pasted = async {
            match pasting {
                true => tokio::task::spawn_blocking(terminal::read_line).await,
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
                    self.tell("[...]");
                }
                let arrival = arrival.ok_or(OidcLoginError::NoIdToken)?;
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
                let line = pasted.map_err(std::io::Error::from).flatten().map_err(OidcLoginError::Ask)?;
                Ok((judge_pasted(&line, attempt)?, None))
            }
        }
    }

    async fn by_password(&mut self, issuer: &Issuer<'_>) -> Result<Tokens, OidcLoginError> {
        let login = self.ask_login()?;
        let attempt = attempt()?;
        let redirect_uri = format!("http://127.0.0.1:{}/callback", self.settings.listen_port);
        let url = authorize_url(
            issuer.authorization_endpoint()?,
            &issuer.client,
            &attempt,
            &redirect_uri,
            false,
            self.settings.upstream.as_ref(),
        );
        let code = password::authorize(&issuer.https, url, &login, &attempt, &redirect_uri).await?;
        issuer
            .redeem(&code, &attempt, &redirect_uri, self.clock)
            .await
    }

    fn ask_login(&mut self) -> Result<Login, OidcLoginError> {
        let set = |name| (self.environment)(name).and_then(|value| value.into_string().ok());
        let (username, password) = (set("PINNIPED_USERNAME"), set("PINNIPED_PASSWORD"));
        if username.is_none() || password.is_none() {
            if !self.is_interactive {
                return Err(OidcLoginError::NoTerminal);
            }
            let upstream = self.settings.upstream.as_ref();
            let name = upstream.map_or(self.settings.issuer.as_str(), |upstream| &upstream.name);
            let headline = format!("Log in to {}\n", foreign(name));
            self.tell(&headline);
        }
        let username = match username {
            Some(username) => username,
            None => terminal::ask("Username: ", self.stderr).map_err(OidcLoginError::Ask)?,
        };
        let password = match password {
            Some(password) => password.into(),
            None => terminal::ask_secret("Password: ", self.stderr).map_err(OidcLoginError::Ask)?,
        };
        Ok(Login { username, password })
    }

    async fn by_device(&mut self, issuer: &Issuer<'_>) -> Result<Tokens, OidcLoginError> {
        let endpoint = issuer.endpoint();
        let code = device::begin(&endpoint, &attempt()?).await?;
        let complete = code.verification_uri_complete.as_deref();
        let link = foreign(complete.unwrap_or(&code.verification_uri));
        self.tell(&format!(
            "Log in with any browser by visiting this link:\n\n    {link}\n\nIt shows, or asks for, this code:\n\n    {}\n",
            foreign(&code.user_code)
        ));
        let answer = device::wait(&endpoint, &code).await?;
        issuer.tokens(&answer, None, self.clock).await
    }

    async fn by_client_credentials(&self, issuer: &Issuer<'_>) -> Result<Tokens, OidcLoginError> {
        let answer: TokenAnswer = issuer.endpoint().client_credentials().await?;
        issuer.client_tokens(&answer, self.clock).await
    }

    fn tell(&mut self, text: &str) {
        // Whoever does not listen has to be told nothing.
        drop(writeln!(self.stderr, "{text}"));
    }
}

fn attempt() -> Result<Attempt, OidcLoginError> {
    let mut random = [0; RANDOM_BYTES];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| OidcLoginError::Random)?;
    Ok(Attempt::new(&random))
}

/// Whether a browser could be started. What it prints goes nowhere: stdout is kubectl's.
fn open_browser(url: &Url) -> bool {
    webbrowser::open(url.as_str()).is_ok()
}
