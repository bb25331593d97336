//! Judges what was seen: each check by itself, in an order in which one fault is found once. No I/O.

mod agent;
mod api_server;
mod authenticators;
mod endpoints;
mod login_path;
mod signing;
#[cfg(test)]
mod tests;
mod token;
mod webhook;

use haulout_api::group::is_dns1123_subdomain;

use super::observations::{Objects, Observations, Seen, Unseen};
use super::report::{Check, Name, Outcome, Report};

/// Makes every check.
pub(super) fn judge(observations: &Observations) -> Report {
    use Name::{
        AdvertisedEndpoint, Agent, AgentClocks, AnonymousAccess, ApiServer, ApiService,
        Authenticator, Clock, ControllerManager, DirectEndpoint, LoginPath, Namespaces, Signing,
        SigningKey, Webhook,
    };
    let seen = observations;
    let mut done = Done::default();
    done.check(ApiServer, &[], |_| api_server::answers(seen));
    done.check(Clock, &[ApiServer], |_| api_server::clock(seen));
    done.check(Name::Account, &[ApiServer], |done| {
        api_server::account(seen, done)
    });
    done.check_objects(Webhook, &[], seen, |objects, _| webhook::pods(objects));
    done.check_objects(ApiService, &[Webhook], seen, |objects, _| {
        webhook::api_services(objects, seen)
    });
    done.check(LoginPath, &[ApiServer], |done| {
        login_path::is_open(seen, done)
    });
    done.check(AnonymousAccess, &[ApiServer], |_| {
        login_path::opens_no_more(seen)
    });
    done.check_objects(Namespaces, &[], seen, |objects, _| {
        agent::namespaces(objects)
    });
    done.check_objects(ControllerManager, &[], seen, |objects, _| {
        agent::controller_manager(objects)
    });
    done.check_objects(Agent, &[], seen, |objects, _| agent::pods(objects));
    done.check_objects(SigningKey, &[], seen, agent::signing_key);
    let signs = [Webhook, ApiService, Agent, SigningKey];
    done.check_objects(Signing, &signs, seen, |objects, _| {
        signing::is_accepted(objects)
    });
    done.check_objects(AgentClocks, &[Webhook, Signing], seen, |objects, _| {
        signing::clocks(objects)
    });
    let told = [Webhook, ApiService, Signing];
    done.check_objects(AdvertisedEndpoint, &told, seen, |objects, _| {
        endpoints::advertised(objects, seen)
    });
    if seen.has_direct_endpoint() {
        done.check_objects(DirectEndpoint, &told, seen, |objects, _| {
            endpoints::direct(objects, seen)
        });
    }
    for (subject, outcome) in authenticators::all(seen) {
        done.check_subject(Authenticator, subject, &[Webhook], outcome);
    }
    if let Some(token) = &seen.token {
        done.check(Name::Token, &[ApiServer], |done| {
            token::logs_in(token, seen, done)
        });
    }
    Report {
        server: seen.server.clone(),
        api_group_suffix: seen.suffix.to_string(),
        checks: done.0,
    }
}

/// The checks so far.
#[derive(Debug, Default)]
struct Done(Vec<Check>);

impl Done {
    fn check(&mut self, name: Name, needs: &[Name], decide: impl FnOnce(&Self) -> Outcome) {
        let outcome = match self.obstacle(needs) {
            Some(obstacle) => Outcome::Waits(obstacle),
            None => decide(self),
        };
        self.push(name, None, outcome);
    }

    /// A check of what the kubeconfig's user can read.
    fn check_objects(
        &mut self,
        name: Name,
        needs: &[Name],
        seen: &Observations,
        decide: impl FnOnce(&Objects, &Self) -> Outcome,
    ) {
        let needs = [&[Name::Account], needs].concat();
        self.check(name, &needs, |done| match &seen.objects {
            Some(objects) => decide(objects, done),
            None => Outcome::Waits(Name::Account),
        });
    }

    fn check_subject(
        &mut self,
        name: Name,
        subject: Option<String>,
        needs: &[Name],
        outcome: Outcome,
    ) {
        let needs = [&[Name::Account], needs].concat();
        let obstacle = self.obstacle(&needs);
        self.push(name, subject, obstacle.map_or(outcome, Outcome::Waits));
    }

    fn push(&mut self, name: Name, subject: Option<String>, outcome: Outcome) {
        self.0.push(Check {
            name,
            subject,
            outcome,
        });
    }

    /// The check that failed and that one of these is, or waits for. What merely could not be seen is no obstacle.
    fn obstacle(&self, needs: &[Name]) -> Option<Name> {
        let mut checks = self.0.iter().filter(|check| needs.contains(&check.name));
        checks.find_map(|check| match check.outcome {
            Outcome::Failed(_) => Some(check.name),
            Outcome::Waits(root) => Some(root),
            Outcome::Ok(_) | Outcome::Warning(_) | Outcome::Unseen(_) => None,
        })
    }

    /// Which of these failed itself.
    fn failed(&self, names: &[Name]) -> Option<Name> {
        let mut checks = self.0.iter().filter(|check| names.contains(&check.name));
        let failed = checks.find(|check| matches!(check.outcome, Outcome::Failed(_)))?;
        Some(failed.name)
    }

    /// Whether this one of the things of a kind failed itself.
    fn has_failed(&self, name: Name, subject: &str) -> bool {
        let mut checks = self.0.iter().filter(|check| check.name == name);
        checks.any(|check| {
            check.subject.as_deref() == Some(subject) && matches!(check.outcome, Outcome::Failed(_))
        })
    }
}

/// Whether foreign text can stand in a command that is printed to be run.
fn is_plain(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._:-".contains(c))
}

/// The name of an object in a command. What is none does not come from an API server.
fn in_command(name: &str) -> &str {
    if is_dns1123_subdomain(name) {
        name
    } else {
        "NAME"
    }
}

/// Decides about what was seen.
fn judged<T>(seen: &Seen<T>, decide: impl FnOnce(&T) -> Outcome) -> Outcome {
    match seen {
        Ok(seen) => decide(seen),
        Err(unseen) => unseen.into(),
    }
}

impl From<&Unseen> for Outcome {
    fn from(unseen: &Unseen) -> Self {
        Self::Unseen(unseen.to_string())
    }
}
