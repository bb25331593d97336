//! What the kubeconfig's user logs in by.

use std::time::SystemTime;

use kube::config::ExecConfig;
use secrecy::{ExposeSecret, SecretString};

use crate::Environment;
use crate::arguments::Login;
use crate::exchange::Parameters;
use crate::exec_stanza::ExecStanza;
use crate::login_oidc;

/// What a user exchanges, and where.
pub(super) struct Stanza<'a> {
    pub(super) parameters: Parameters,
    exec: ExecStanza,
    environment: Environment<'a>,
}

impl<'a> Stanza<'a> {
    /// That of an exec stanza, if it is one of `login static` or `login oidc` that exchanges a token.
    pub(super) fn read(exec: &ExecConfig, environment: Environment<'a>) -> Option<Self> {
        let exec = ExecStanza::read(exec)?;
        let concierge = match &exec.login {
            Login::Static(login) => &login.concierge,
            Login::Oidc(login) => &login.concierge,
        };
        Some(Self {
            parameters: Parameters::of_login(concierge).ok()??,
            exec,
            environment,
        })
    }

    /// The token that the login would send, wherever it finds that: `None` where it is not set, or would have to come from an issuer.
    pub(super) fn token(&self, now: SystemTime) -> Option<SecretString> {
        let variable = |name: &str| self.exec.variable(name, self.environment);
        let token = match &self.exec.login {
            Login::Static(login) => login.given_token(&variable).ok(),
            Login::Oidc(login) => login_oidc::token_of_session(login, &variable, now),
        };
        token.filter(|token| !token.expose_secret().is_empty())
    }

    /// Whether the login finds no token to send, and asks no issuer for one.
    pub(super) fn lacks_token(&self, now: SystemTime) -> bool {
        matches!(self.exec.login, Login::Static(_)) && self.token(now).is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use serde_json::{Value, json};

    use super::*;
    use crate::authenticator_kind::AuthenticatorKind;

    const EXCHANGE: [&str; 4] = [
        "--enable-concierge",
        "--concierge-endpoint=https://k",
        "--concierge-authenticator-type=webhook",
        "--concierge-authenticator-name=n",
    ];

    fn exec(program: &str, login: &[&str], exchange: &[&str], env: &Value) -> ExecConfig {
        let args = [&["login"], login, exchange].concat();
        serde_json::from_value(json!({ "command": program, "args": args, "env": env })).unwrap()
    }

    fn of_user(name: &str) -> Option<OsString> {
        (name == "T").then(|| OsString::from("secret"))
    }

    #[test]
    fn stanzas_tell_what_they_exchange_and_where() {
        let oidc = ["oidc", "--issuer=https://i"];
        let cases: [(&[&str], Option<&str>, bool); 5] = [
            (&["static", "--token-env=T"], Some("secret"), false),
            (&["static", "--token=other"], Some("other"), false),
            (&["static", "--token-env=NOT_SET"], None, true),
            (&["static"], None, true),
            (&oidc, None, false),
        ];
        let now = SystemTime::UNIX_EPOCH;
        for (login, expected, lacks_token) in cases {
            let exec = exec("haulout", login, &EXCHANGE, &json!(null));
            let stanza = Stanza::read(&exec, &of_user).unwrap();
            let token = stanza.token(now);
            let token = token.as_ref().map(ExposeSecret::expose_secret);
            assert_eq!(token, expected, "{login:?}");
            assert_eq!(stanza.lacks_token(now), lacks_token, "{login:?}");
            assert_eq!(stanza.parameters.endpoint.as_str(), "https://k/");
            let kind = stanza.parameters.authenticator_kind;
            assert_eq!(kind, AuthenticatorKind::Webhook);
        }
        // The token itself is then the credential, and goes to no login.
        let static_ = ["static", "--token-env=T"];
        for (login, exchange) in [
            (static_.as_slice(), &EXCHANGE[1..]),
            (&static_, &["--enable-concierge"]),
            (&oidc, &[]),
            (&["version"], &[]),
        ] {
            let exec = exec("haulout", login, exchange, &json!(null));
            assert!(Stanza::read(&exec, &of_user).is_none(), "{login:?}");
        }
    }

    #[test]
    fn a_stanza_s_own_variables_come_first() {
        let env = json!([{ "name": "T", "value": "of the kubeconfig" }]);
        let exec = exec("haulout", &["static", "--token-env=T"], &EXCHANGE, &env);
        let stanza = Stanza::read(&exec, &of_user).unwrap();
        let token = stanza.token(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(token.expose_secret(), "of the kubeconfig");
    }

    #[test]
    fn arguments_of_another_program_mean_nothing() {
        for (program, is_ours) in [
            ("/usr/local/bin/haulout", true),
            ("kubectl-haulout", true),
            ("pinniped", true),
            ("haulout.exe", true),
            ("/bin/false", false),
            ("", false),
        ] {
            let exec = exec(
                program,
                &["static", "--token-env=T"],
                &EXCHANGE,
                &json!(null),
            );
            let stanza = Stanza::read(&exec, &of_user);
            assert_eq!(stanza.is_some(), is_ours, "{program}");
        }
    }
}
