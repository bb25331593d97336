//! Who may do what, asked of the API server (delegated authorization).
//!
//! Decisions are kept for [`DECISION_LIFE`], so that the anonymous logins of a whole cluster share
//! one question; identical questions that are asked at the same time are asked once.

mod attributes;
mod questions;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use haulout_api::identity::UserInfo;
use tokio::sync::Semaphore;

pub use self::attributes::Attributes;
use self::questions::{Question, Questions, SIZE_LIMIT};
use crate::status::ApiError;
use crate::throttle::Throttle;

/// How long an allowing or denying decision holds, as in Pinniped's Concierge.
pub const DECISION_LIFE: Duration = Duration::from_secs(10);

/// How many questions are asked at a time; others wait.
const REVIEWS_AT_A_TIME: usize = 64;

/// How often the log tells that nobody could decide: while the API server is away, that is every
/// request.
const FAILURE_INTERVAL: Duration = Duration::from_secs(10);

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

/// The question could not be put or was not answered; shared by all who have asked it. The text and
/// its causes go to the log only.
#[derive(Clone, Debug, thiserror::Error)]
#[error("failed to ask the API server for a SubjectAccessReview")]
pub struct ReviewError(#[source] Arc<dyn Error + Send + Sync>);

impl ReviewError {
    /// Wraps the cause: an error, or a text that says it.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(cause.into()))
    }
}

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
    questions: Mutex<Questions>,
    reviews: Semaphore,
    failures: Throttle,
}

impl<R: AccessReviewer> Authorizer<R> {
    /// An authorizer that has asked nothing yet.
    pub fn new(reviewer: R) -> Self {
        Self {
            reviewer,
            questions: Mutex::default(),
            reviews: Semaphore::new(REVIEWS_AT_A_TIME),
            failures: Throttle::new(FAILURE_INTERVAL),
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
        let decided = if question.size() > SIZE_LIMIT {
            self.review(&question).await
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
                if self.failures.lets_pass() {
                    let error: &(dyn Error + 'static) = &error;
                    tracing::error!(error, "failed to authorize a request");
                }
                Err(ApiError::internal(
                    "the request could not be authorized; try again",
                ))
            }
        }
    }

    async fn decide(&self, question: &Question, now: SystemTime) -> Result<Decision, ReviewError> {
        let answer = self
            .questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .answer_to(question);
        let generation = match answer.fresh(now) {
            Ok(decision) => return Ok(decision),
            Err(generation) => generation,
        };
        // One at a time asks; when its client hangs up, the next one does.
        let _turn = answer.turn.lock().await;
        if let Some(outcome) = answer.newer_than(generation) {
            return outcome;
        }
        let outcome = self.review(question).await;
        answer.set(outcome.clone(), now);
        outcome
    }

    async fn review(&self, question: &Question) -> Result<Decision, ReviewError> {
        // It is never closed.
        let _one_of_few = self.reviews.acquire().await;
        self.reviewer
            .review(&question.user, &question.attributes)
            .await
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
