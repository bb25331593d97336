//! Whether a token of the user logs in, and if not, why.

use haulout_api::authenticator::JwtAuthenticatorSpec;
use k8s_openapi::jiff::Timestamp;

use super::Done;
use super::api_server::describe;
use super::authenticators::subject;
use super::is_plain;
use crate::doctor::claims::Claims;
use crate::doctor::observations::{Authenticator, Body, Objects, Observations, Token, TokenLogin};
use crate::doctor::report::{Name, Outcome};

/// What the webhook leaves a token that is not valid yet, in seconds.
const NOT_BEFORE_LEEWAY: i64 = 60;

impl Claims {
    /// Whether an authenticator may take a token that says this.
    pub(in crate::doctor) fn fit(&self, spec: &JwtAuthenticatorSpec) -> bool {
        self.issuer == spec.issuer && self.audiences.contains(&spec.audience)
    }

    /// Why the token is not valid now, and whether a clock may be to blame.
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
    pub(super) fn token_is_out_of_time(&self) -> bool {
        let claims = self
            .token
            .as_ref()
            .and_then(|token| token.claims.as_ref().ok());
        claims.is_some_and(|claims| claims.out_of_time(self.now).is_some())
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
    if let Some(obstacle) = done.obstacle(&[Name::Account]) {
        return Outcome::Waits(obstacle);
    }
    let Some(objects) = &seen.objects else {
        return Outcome::Waits(Name::Account);
    };
    if let Some(unseen) = objects.jwt.as_ref().err() {
        return unseen.into();
    }
    // Nobody would take it, whatever else is wrong.
    let webhooks = objects.webhook.as_deref().unwrap_or_default();
    if webhooks.is_empty() {
        match &token.claims {
            Err(error) => {
                return Outcome::failed(
                    format!("the token is for no authenticator here: {error}"),
                    "give the ID token, or a JWT access token, of the issuer",
                );
            }
            Ok(claims) => {
                if let Some(outcome) = unfit(claims, objects, seen) {
                    return outcome;
                }
            }
        }
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
    if !seen.direct_endpoint_is_open()
        && let Some(obstacle) = done.obstacle(&[Name::LoginPath])
    {
        return Outcome::Waits(obstacle);
    }
    let logged_in = token.logins.iter().find_map(|login| match &login.answer {
        Ok(answer) => match &answer.body {
            Body::Credential { until } => Some((login, until)),
            _ => None,
        },
        Err(_) => None,
    });
    if let Some((login, until)) = logged_in {
        return Outcome::ok(format!(
            "the token logs in by {}; its certificate lives until {until}",
            subject(login.kind, &login.authenticator)
        ));
    }
    let broken = token.logins.iter().all(|login| {
        done.has_failed(
            Name::Authenticator,
            &subject(login.kind, &login.authenticator),
        )
    });
    match token.logins.first() {
        Some(_) if broken => Outcome::Waits(Name::Authenticator),
        Some(login) => refused(login, token, objects),
        None => Outcome::Unseen(
            "a token is not sent to a server whose certificate is not checked".to_owned(),
        ),
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
            first.name,
            serde_json::json!({ "spec": { "audience": audience } })
        ),
        _ => format!("`kubectl edit {resource} {}`", first.name),
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

fn refused(login: &TokenLogin, token: &Token, objects: &Objects) -> Outcome {
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
            Outcome::failed(
                format!("{what} does not log in by {by}: {said} (Audit-ID {id})"),
                format!(
                    "look for the reason: `kubectl -n {} logs -l app.kubernetes.io/component=webhook --tail=-1 | grep {id}` \
                     (docs/authenticators.md)",
                    objects.namespace
                ),
            )
        }
        Err(fault) => Outcome::failed(
            format!("{what} cannot be tried by {by}: {}", describe(fault)),
            "run `haulout doctor` again; if it stays so, look at the webhook's log",
        ),
    }
}
