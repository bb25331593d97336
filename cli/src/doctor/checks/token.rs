//! Whether a token of the user logs in, and if not, why.

use haulout_api::authenticator::JwtAuthenticatorSpec;
use k8s_openapi::jiff::Timestamp;

use super::Done;
use super::api_server::describe;
use super::authenticators::subject;
use super::{in_command, is_plain};
use crate::doctor::claims::Claims;
use crate::doctor::observations::{
    Answer, Authenticator, Body, Objects, Observations, Token, TokenLogin,
};
use crate::doctor::report::{Name, Outcome};

/// What the webhook leaves a token that is not valid yet, in seconds.
const NOT_BEFORE_LEEWAY: i64 = 60;

impl Claims {
    /// Why the token is not valid now.
    fn out_of_time(&self, now: Timestamp) -> Option<String> {
        if let Some(expires) = self.expires.filter(|expires| *expires <= now) {
            return Some(format!("it expired at {expires}"));
        }
        let begins = self.not_before?;
        let is_early = begins.as_second() > now.as_second() + NOT_BEFORE_LEEWAY;
        is_early.then(|| format!("it is valid from {begins} only"))
    }
}

impl Observations {
    /// Whether the token of the kubeconfig's user is known to get no certificate.
    pub(super) fn own_token_does_not_log_in(&self) -> bool {
        let Some(token) = self.token.as_ref().filter(|token| token.is_own) else {
            return false;
        };
        let claims = token.claims.as_ref().ok();
        let is_out_of_time = claims.is_some_and(|claims| claims.out_of_time(self.now).is_some());
        is_out_of_time || (!token.logins.is_empty() && token.certificate().is_none())
    }
}

impl Token {
    /// The login that got a certificate, and how long that lives.
    fn certificate(&self) -> Option<(&TokenLogin, &Timestamp)> {
        self.logins.iter().find_map(|login| match &login.answer {
            Ok(Answer {
                body: Body::Credential { until },
                ..
            }) => Some((login, until)),
            _ => None,
        })
    }
}

pub(super) fn logs_in(token: &Token, seen: &Observations, done: &Done) -> Outcome {
    if let Ok(claims) = &token.claims
        && let Some(why) = claims.out_of_time(seen.now)
    {
        return match done.failed(&[Name::Clock]) {
            Some(clock) => Outcome::Waits(clock),
            None => Outcome::failed(
                format!("the token ({claims}) is not valid: {why}"),
                "get a new one from its issuer",
            ),
        };
    }
    let Some(objects) = &seen.objects else {
        return by_logins(token, None).unwrap_or_else(|| {
            Outcome::Waits(done.obstacle(&[Name::Account]).unwrap_or(Name::Account))
        });
    };
    if let Some(outcome) = by_objects(token, objects, seen) {
        return outcome;
    }
    let ways = [
        Name::Webhook,
        Name::ApiService,
        Name::Agent,
        Name::SigningKey,
        Name::Signing,
    ];
    if let Some(obstacle) = done.obstacle(&ways) {
        return Outcome::Waits(obstacle);
    }
    if token.logins.is_empty()
        && !seen.direct_endpoint_is_open()
        && let Some(obstacle) = done.obstacle(&[Name::LoginPath])
    {
        return Outcome::Waits(obstacle);
    }
    let is_broken = |login: &TokenLogin| {
        let authenticator = subject(login.kind, &login.authenticator);
        done.has_failed(Name::Authenticator, &authenticator)
    };
    let mut logins = token.logins.iter();
    if token.certificate().is_none() && logins.len() > 0 && logins.all(is_broken) {
        return Outcome::Waits(Name::Authenticator);
    }
    by_logins(token, Some(objects)).unwrap_or_else(|| {
        Outcome::Unseen(if seen.verifies_server {
            "it is not sent: no place is open that logins of this kubeconfig go to, or it is for a WebhookAuthenticator that the \
             kubeconfig does not name"
                .to_owned()
        } else {
            "a token is not sent to a server whose certificate is not checked".to_owned()
        })
    })
}

/// What the logins with a token have shown; `None` where there was none.
fn by_logins(token: &Token, objects: Option<&Objects>) -> Option<Outcome> {
    if let Some((login, until)) = token.certificate() {
        return Some(Outcome::ok(format!(
            "the token logs in by {}; its certificate lives until {until}",
            subject(login.kind, &login.authenticator)
        )));
    }
    let first = token.logins.first()?;
    Some(refused(first, token, objects))
}

/// What the authenticators alone decide about a token.
fn by_objects(token: &Token, objects: &Objects, seen: &Observations) -> Option<Outcome> {
    // Where it was tried, it is known who may take it.
    if token.logins.is_empty() {
        let unseen = objects.jwt.as_ref().err();
        if let Some(unseen) = unseen.or_else(|| objects.webhook.as_ref().err()) {
            return Some(unseen.into());
        }
    }
    // Nobody would take it, whatever else is wrong.
    let has_no_webhook = matches!(objects.webhook.as_deref(), Ok([]));
    if !has_no_webhook || objects.jwt.is_err() {
        return None;
    }
    match &token.claims {
        Err(error) => Some(Outcome::failed(
            format!("the token is for no authenticator here: {error}"),
            "give the ID token, or a JWT access token, of the issuer",
        )),
        Ok(claims) => unfit(claims, objects, seen),
    }
}

/// What to tell where no JWTAuthenticator may take such a token.
fn unfit(claims: &Claims, objects: &Objects, seen: &Observations) -> Option<Outcome> {
    let all = objects.jwt.as_deref().unwrap_or_default();
    if all
        .iter()
        .any(|authenticator| claims.fit(&authenticator.spec))
    {
        return None;
    }
    let listed = |text: fn(&JwtAuthenticatorSpec) -> &str,
                  of: &[&Authenticator<JwtAuthenticatorSpec>]| {
        let each = of
            .iter()
            .map(|one| format!("{} has \"{}\"", one.name, text(&one.spec)));
        each.collect::<Vec<_>>().join(", ")
    };
    let same_issuer: Vec<_> = all
        .iter()
        .filter(|one| one.spec.issuer == claims.issuer)
        .collect();
    let resource = format!("jwtauthenticators.{}", seen.suffix.authentication_group());
    let Some(first) = same_issuer.first() else {
        let others = listed(|spec| &spec.issuer, &all.iter().collect::<Vec<_>>());
        return Some(Outcome::failed(
            format!("the token ({claims}) is of an issuer that no JWTAuthenticator has: {others}"),
            format!(
                "get the token from another issuer; or copy its issuer, as it is spelled there, into spec.issuer: `kubectl edit \
                 {resource}`"
            ),
        ));
    };
    let wanted = listed(|spec| &spec.audience, &same_issuer);
    let change = match claims.audiences.first() {
        Some(audience) if is_plain(audience) => format!(
            "`kubectl patch {resource} {} --type=merge -p '{}'`",
            in_command(&first.name),
            serde_json::json!({ "spec": { "audience": audience } })
        ),
        _ => format!("`kubectl edit {resource} {}`", in_command(&first.name)),
    };
    Some(Outcome::failed(
        format!(
            "the token ({claims}) has another audience than the JWTAuthenticator of its issuer: {wanted}"
        ),
        format!(
            "have the client ask for audience \"{}\"; or, if the token is meant for this cluster alone: {change}",
            first.spec.audience
        ),
    ))
}

fn refused(login: &TokenLogin, token: &Token, objects: Option<&Objects>) -> Outcome {
    let by = subject(login.kind, &login.authenticator);
    let what = match &token.claims {
        Ok(claims) => format!("the token ({claims})"),
        Err(_) => "the token".to_owned(),
    };
    match &login.answer {
        Ok(answer) => {
            let said = match &answer.body {
                Body::NoCredential(message) => message.clone(),
                _ => answer.text(),
            };
            let id = answer.audit_id.as_deref().unwrap_or("AUDIT-ID");
            let remedy = match objects {
                Some(objects) => {
                    let log = objects.webhook_log(Some(id));
                    format!("look for the reason: {log} (docs/authenticators.md)")
                }
                None => "ask an administrator for the reason, by that Audit-ID; with an administrator's kubeconfig, `haulout \
                         doctor --token-env VARIABLE` compares a token with the authenticators"
                    .to_owned(),
            };
            Outcome::failed(
                format!("{what} does not log in by {by}: {said} (Audit-ID {id})"),
                remedy,
            )
        }
        Err(fault) => Outcome::failed(
            format!("{what} cannot be tried by {by}: {}", describe(fault)),
            "run `haulout doctor` again; if it stays so, look at the webhook's log",
        ),
    }
}
