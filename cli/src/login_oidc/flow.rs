//! A user's login, by the flow that fits.

use std::time::Duration;

use haulout_https::foreign;

use super::error::OidcLoginError;
use super::issuer::Issuer;
use super::session::Session;
use super::whither::whither;
use crate::arguments::Flow;
use crate::oidc::authorization::authorize_url;
use crate::oidc::password::{self, Login};
use crate::oidc::{OidcError, callback, device, identity_providers};
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
        let name = wanted.map(|flow| flow.to_string());
        let chosen = identity_providers::choose_flow(&list, upstream, name.as_deref());
        Ok(match chosen.map_err(OidcError::from)?.as_str() {
            "cli_password" => Flow::CliPassword,
            _ => Flow::BrowserAuthcode,
        })
    }

    async fn by_password(&self, issuer: &Issuer<'_>) -> Result<Tokens, OidcLoginError> {
        if !issuer.provider.is_supervisor() {
            return Err(OidcError::NoPasswordFlow.into());
        }
        let login = self.ask_login().await?;
        let attempt = issuer.attempt()?;
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
        let code = device::begin(&endpoint, &issuer.attempt()?).await?;
        let link = code.link()?;
        self.console.tell(&format!(
            "Log in with any browser by visiting this link:\n\n    {link}\n\nIt shows, or asks for, this code:\n\n    {}\n\n{}\n",
            foreign(&code.user_code),
            whither(&link, &self.settings.issuer)
        ));
        let answer = device::wait(&endpoint, &code).await?;
        issuer.tokens(&answer, None, self.clock).await
    }

    async fn by_client_credentials(&self, issuer: &Issuer<'_>) -> Result<Tokens, OidcLoginError> {
        let answer = issuer.endpoint().client_credentials().await?;
        let token = issuer.client_token(&answer, self.clock).await?;
        Ok(Tokens {
            id: Some(token),
            ..Tokens::default()
        })
    }
}

/// Longest time for a login, or for that of another which is waited for.
pub(super) fn limit(is_interactive: bool) -> Duration {
    match is_interactive {
        true => LIMIT,
        false => LIMIT_WITHOUT_TERMINAL,
    }
}
