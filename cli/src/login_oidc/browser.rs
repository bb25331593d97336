//! A user's login with a browser, on this computer or elsewhere.

use std::io;
use std::sync::Arc;

use haulout_https::place;
use secrecy::SecretString;
use tokio::sync::mpsc;
use url::Url;

use super::error::OidcLoginError;
use super::issuer::Issuer;
use super::paste;
use super::session::Session;
use super::whither::whither;
use crate::oidc::OidcError;
use crate::oidc::authorization::{Attempt, authorize_url};
use crate::oidc::callback::{self, Arrival, CallbackListener, judge_pasted};
use crate::session_cache::Tokens;

impl Session<'_> {
    pub(super) async fn by_browser(
        &mut self,
        issuer: &Issuer<'_>,
    ) -> Result<Tokens, OidcLoginError> {
        let attempt = Arc::new(issuer.attempt()?);
        let listener = self.listen().await?;
        let endpoint = issuer.authorization_endpoint()?;
        // Where the code is pasted, a port that was given stands in the link all the same: the issuer may know that one alone.
        let port = listener
            .as_ref()
            .map_or(self.settings.listen_port, |listener| {
                listener.address().port()
            });
        let redirect_uri = callback::redirect_uri(port);
        let provider = &issuer.provider;
        // A page that shows a code alone is of no use where the whole answer is wanted.
        let can_form_post =
            provider.offers_form_post && provider.is_supervisor() && !provider.has_foreign_page();
        let link = |form_post| {
            authorize_url(
                endpoint,
                &issuer.client,
                &attempt,
                &redirect_uri,
                // Browsers warn of forms that a page of others posts to this computer; a Supervisor's posts them by a script.
                form_post && can_form_post,
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
        let whither = whither(url, &self.settings.issuer);
        self.console.tell(&format!(
            "Log in by visiting this link:\n\n    {url}\n\n{whither}\n"
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
}

/// Whether a browser could be started. One in the terminal has it to itself until the user leaves it.
fn open_browser(url: &Url) -> bool {
    webbrowser::open(url.as_str()).is_ok()
}
