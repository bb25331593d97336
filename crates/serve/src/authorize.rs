//! Who may do what, asked of the API server (delegated authorization).
//!
//! Decisions are kept for [`DECISION_LIFE`], so that the anonymous logins of a whole cluster share
//! one question; identical questions that are asked at the same time are asked once.

mod attributes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use haulout_api::identity::UserInfo;

pub use self::attributes::Attributes;
use crate::status::ApiError;

/// How long an allowing or denying decision holds, as in the reference.
pub const DECISION_LIFE: Duration = Duration::from_secs(10);

/// How many decisions are kept.
const CACHE_LIMIT: usize = 4096;

/// A question of more text than this is asked each time and its answer not kept, in bytes.
const KEPT_SIZE_LIMIT: usize = 10_000;

/// Members may do everything, as in Kubernetes.
const SUPERUSERS: &str = "system:masters";

/// What a reviewer decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the user may.
    pub allowed: bool,
    /// Why; shown to the user when denied. May be empty.
    pub reason: String,
}

/// The question could not be put or was not answered. The text goes to the log only.
#[derive(Clone, Debug, thiserror::Error)]
#[error("failed to ask the API server for a SubjectAccessReview: {0}")]
pub struct ReviewError(pub String);

/// Who decides: the API server, by SubjectAccessReview.
pub trait AccessReviewer: Send + Sync {
    /// Decides whether `user` may. The implementation has a timeout.
    fn review<'a>(
        &'a self,
        user: &'a UserInfo,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<Decision, ReviewError>>;
}

/// Asks an [`AccessReviewer`] and keeps its decisions.
pub struct Authorizer<R> {
    reviewer: R,
    questions: Mutex<HashMap<Question, Arc<Answer>>>,
}

impl<R: AccessReviewer> Authorizer<R> {
    /// An authorizer that has asked nothing yet.
    pub fn new(reviewer: R) -> Self {
        Self {
            reviewer,
            questions: Mutex::default(),
        }
    }

    /// Lets the request pass or says why not. Health checks and members of `system:masters` pass
    /// without a question.
    ///
    /// # Errors
    /// 403 with the text of Kubernetes; 500 when nobody could decide.
    pub async fn authorize(
        &self,
        user: &Arc<UserInfo>,
        attributes: Attributes,
        now: SystemTime,
    ) -> Result<(), ApiError> {
        if is_exempt(user, &attributes) {
            return Ok(());
        }
        let question = Question {
            user: Arc::clone(user),
            attributes,
        };
        let decided = if question.attributes.size() + user.username.len() > KEPT_SIZE_LIMIT {
            self.reviewer
                .review(&question.user, &question.attributes)
                .await
        } else {
            self.decide(&question, now).await
        };
        match decided {
            Ok(Decision { allowed: true, .. }) => Ok(()),
            Ok(Decision {
                allowed: false,
                reason,
            }) => Err(question.attributes.forbidden(&user.username, &reason)),
            Err(error) => {
                tracing::error!(error = %error, "failed to authorize a request");
                Err(ApiError::internal(
                    "the request could not be authorized; try again",
                ))
            }
        }
    }

    async fn decide(&self, question: &Question, now: SystemTime) -> Result<Decision, ReviewError> {
        let answer = self.answer_to(question, now);
        let generation = match answer.fresh(now) {
            Ok(decision) => return Ok(decision),
            Err(generation) => generation,
        };
        // One at a time asks; when its client hangs up, the next one does.
        let _turn = answer.turn.lock().await;
        if let Some(outcome) = answer.newer_than(generation) {
            return outcome;
        }
        let outcome = self
            .reviewer
            .review(&question.user, &question.attributes)
            .await;
        answer.set(outcome.clone(), now);
        outcome
    }

    fn answer_to(&self, question: &Question, now: SystemTime) -> Arc<Answer> {
        let mut questions = self
            .questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = questions.get(question) {
            return Arc::clone(answer);
        }
        if questions.len() >= CACHE_LIMIT {
            questions.retain(|_, answer| answer.fresh(now).is_ok());
        }
        if questions.len() >= CACHE_LIMIT {
            questions.clear();
        }
        Arc::clone(questions.entry(question.clone()).or_default())
    }
}

impl<R> fmt::Debug for Authorizer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").finish_non_exhaustive()
    }
}

/// Health checks, which kubelets make without credentials, and superusers.
fn is_exempt(user: &UserInfo, attributes: &Attributes) -> bool {
    if let Attributes::Path { path, .. } = attributes {
        let first = path.trim_start_matches('/').split('/').next();
        if matches!(first, Some("healthz" | "livez" | "readyz")) {
            return true;
        }
    }
    user.groups.iter().any(|group| group == SUPERUSERS)
}

#[derive(Clone, PartialEq, Eq)]
struct Question {
    user: Arc<UserInfo>,
    attributes: Attributes,
}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let UserInfo {
            username,
            uid,
            groups,
            extra,
        } = &*self.user;
        username.hash(state);
        uid.hash(state);
        groups.hash(state);
        extra.hash(state);
        self.attributes.hash(state);
    }
}

/// The answer to one question, and whose turn it is to ask.
#[derive(Default)]
struct Answer {
    turn: tokio::sync::Mutex<()>,
    latest: Mutex<Latest>,
}

#[derive(Default)]
struct Latest {
    /// Counts the answers.
    generation: u64,
    outcome: Option<(Result<Decision, ReviewError>, SystemTime)>,
}

impl Answer {
    /// The decision if it still holds, else how many answers there were. Errors never hold.
    fn fresh(&self, now: SystemTime) -> Result<Decision, u64> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        match &latest.outcome {
            // Requests overtake each other, so that one may be older than its answer.
            Some((Ok(decision), at)) if distance(now, *at) < DECISION_LIFE => Ok(decision.clone()),
            _ => Err(latest.generation),
        }
    }

    /// What was answered since, errors included: who waited for an answer shares it.
    fn newer_than(&self, generation: u64) -> Option<Result<Decision, ReviewError>> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, _) = latest
            .outcome
            .as_ref()
            .filter(|_| latest.generation > generation)?;
        Some(outcome.clone())
    }

    fn set(&self, outcome: Result<Decision, ReviewError>, now: SystemTime) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.generation += 1;
        latest.outcome = Some((outcome, now));
    }
}

fn distance(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|error| error.duration())
}
