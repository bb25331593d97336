//! What the kubeconfig's user logs in by.

use std::time::SystemTime;

use secrecy::{ExposeSecret, SecretString};

use crate::Environment;
use crate::arguments::Login;
use crate::exchange::Parameters;
use crate::exec_stanza::login_of;
use crate::login_oidc;

/// What a user exchanges, and where.
pub(super) struct Stanza<'a> {
    pub(super) parameters: Parameters,
    login: Login,
    environment: Environment<'a>,
}

impl<'a> Stanza<'a> {
    /// That of an exec stanza with these arguments, if it is one of `login static` or `login oidc` that exchanges a token.
    pub(super) fn read(arguments: &[String], environment: Environment<'a>) -> Option<Self> {
        let login = login_of(arguments)?;
        let concierge = match &login {
            Login::Static(login) => &login.concierge,
            Login::Oidc(login) => &login.concierge,
        };
        if !concierge.enable_concierge {
            return None;
        }
        Some(Self {
            parameters: Parameters::parse(concierge).ok()?,
            login,
            environment,
        })
    }

    /// `None` where it is not set here, or would have to come from an issuer.
    pub(super) fn token(&self, now: SystemTime) -> Option<SecretString> {
        let token = match &self.login {
            Login::Static(login) => login.given_token(self.environment).ok(),
            Login::Oidc(login) => login_oidc::token_of_session(login, self.environment, now),
        };
        token.filter(|token| !token.expose_secret().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn stanzas_tell_what_they_exchange_and_where() {
        let environment = |name: &str| (name == "T").then(|| OsString::from("secret"));
        let exchange = [
            "--enable-concierge",
            "--concierge-endpoint=https://k",
            "--concierge-authenticator-type=webhook",
            "--concierge-authenticator-name=n",
        ];
        let read = |first: &[&str], rest: &[&str]| {
            let arguments: Vec<_> = [first, rest]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect();
            Stanza::read(&arguments, &environment)
        };
        let oidc = ["login", "oidc", "--issuer=https://i"];
        let cases: [(&[&str], Option<&str>); 5] = [
            (&["login", "static", "--token-env=T"], Some("secret")),
            (&["login", "static", "--token=other"], Some("other")),
            (&["login", "static", "--token-env=NOT_SET"], None),
            (&["login", "static"], None),
            (&oidc, None),
        ];
        for (arguments, expected) in cases {
            let stanza = read(arguments, &exchange).unwrap();
            let token = stanza.token(SystemTime::UNIX_EPOCH);
            let token = token.as_ref().map(ExposeSecret::expose_secret);
            assert_eq!(token, expected, "{arguments:?}");
            assert_eq!(stanza.parameters.endpoint.as_str(), "https://k/");
            assert_eq!(stanza.parameters.authenticator_kind, "WebhookAuthenticator");
        }
        // The token itself is then the credential, and goes to no login.
        let static_ = ["login", "static", "--token-env=T"];
        assert!(read(&static_, &exchange[1..]).is_none());
        assert!(read(&static_, &["--enable-concierge"]).is_none());
        assert!(read(&oidc, &[]).is_none());
        assert!(read(&["version"], &[]).is_none());
    }
}
