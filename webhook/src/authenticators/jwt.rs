//! Authenticator for the tokens of one OIDC issuer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use haulout_api::identity::UserInfo;
use haulout_jwt::claims::{ClaimError, ClaimRules};
use haulout_jwt::expression::Budget;
use haulout_jwt::verify::{Claims, Verifier};
use haulout_operate::error::chain;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use super::{AuthenticationError, TokenAuthenticator};

/// Logins whose expressions are evaluated on a thread of their own, at a time. Each takes up to a tenth of a second of a
/// processor, which other logins need too. Of each authenticator only one waits here, so that none can fill the queue.
static LONG_EVALUATIONS: Semaphore = Semaphore::const_new(1);

/// How long a login waits for that thread.
const LONG_EVALUATION_WAIT: Duration = Duration::from_secs(1);

/// Accepts what a [`Verifier`] accepts, and reads the user by [`ClaimRules`].
#[derive(Debug)]
pub struct JwtAuthenticator {
    verifier: Verifier,
    rules: Arc<ClaimRules>,
    certificate_lifetime_seconds: Option<u32>,
    /// Held by the one login that may evaluate at length.
    long_evaluation: Semaphore,
}

/// Why a long evaluation came to no end.
#[derive(Debug, thiserror::Error)]
enum LongEvaluationError {
    #[error(
        "oidc: the expressions take long, and so many logins wait for theirs that this one was given up; simplify them"
    )]
    Busy,
    #[error("oidc: evaluation failed unexpectedly")]
    Thread(#[source] tokio::task::JoinError),
}

impl JwtAuthenticator {
    /// An authenticator out of its two halves, and how long certificates live for its users.
    pub fn new(
        verifier: Verifier,
        rules: Arc<ClaimRules>,
        certificate_lifetime_seconds: Option<u32>,
    ) -> Self {
        Self {
            verifier,
            rules,
            certificate_lifetime_seconds,
            long_evaluation: Semaphore::new(1),
        }
    }

    async fn user(
        &self,
        token: &SecretString,
        now: SystemTime,
    ) -> Result<UserInfo, AuthenticationError> {
        match self.verifier.verify(token.expose_secret(), now).await {
            Ok(claims) => read(&self.rules, claims, &self.long_evaluation).await,
            Err(error) if error.is_foreign() => {
                Err(AuthenticationError::rejection(error.reason(), error))
            }
            Err(error) => {
                let cause = match self.verifier.last_fetch_error() {
                    Some(fetch) if error.may_pass_with_newer_keys() => {
                        format!(
                            "{error}; the latest call for its keys failed: {}",
                            chain(&fetch)
                        )
                    }
                    _ => error.to_string(),
                };
                Err(AuthenticationError::new(error.reason(), cause))
            }
        }
    }
}

/// Reads the user from the claims: here, or, where that takes longer than others can wait, on another thread.
async fn read(
    rules: &Arc<ClaimRules>,
    claims: Claims,
    turn: &Semaphore,
) -> Result<UserInfo, AuthenticationError> {
    let refuse = |error: ClaimError| AuthenticationError::new(error.reason(), error);
    match rules.user(&claims, Budget::quick()) {
        Err(error) if error.is_over_budget() => {
            let outcome = read_at_length(rules, claims, turn).await;
            outcome
                .map_err(|error| AuthenticationError::new("LongEvaluation", error))?
                .map_err(refuse)
        }
        outcome => outcome.map_err(refuse),
    }
}

async fn read_at_length(
    rules: &Arc<ClaimRules>,
    claims: Claims,
    turn: &Semaphore,
) -> Result<Result<UserInfo, ClaimError>, LongEvaluationError> {
    let permits = async { (turn.acquire().await, LONG_EVALUATIONS.acquire().await) };
    let Ok((Ok(_turn), Ok(permit))) = tokio::time::timeout(LONG_EVALUATION_WAIT, permits).await
    else {
        return Err(LongEvaluationError::Busy);
    };
    let rules = Arc::clone(rules);
    let evaluate = move || {
        // Kept until the work is done, also where the caller has gone.
        let _permit = permit;
        rules.user(&claims, Budget::full())
    };
    tokio::task::spawn_blocking(evaluate)
        .await
        .map_err(LongEvaluationError::Thread)
}

impl TokenAuthenticator for JwtAuthenticator {
    fn authenticate<'a>(
        &'a self,
        token: &'a SecretString,
        now: SystemTime,
    ) -> BoxFuture<'a, Result<UserInfo, AuthenticationError>> {
        self.user(token, now).boxed()
    }

    fn certificate_lifetime_seconds(&self) -> Option<u32> {
        self.certificate_lifetime_seconds
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use haulout_api::authenticator::{ClaimValidationRule, JwtAuthenticatorSpec};
    use serde_json::json;

    use super::*;

    /// Rules that take long, the more claims there are.
    fn rules() -> Arc<ClaimRules> {
        let rule = "claims.o.l.all(a, claims.o.l.exists(b, a == b))";
        let spec = JwtAuthenticatorSpec {
            claim_validation_rules: vec![ClaimValidationRule {
                expression: rule.to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        Arc::new(ClaimRules::compile(&spec).unwrap())
    }

    fn claims(count: usize) -> Claims {
        let list: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        let claims = json!({"username": "u", "o": {"l": list}});
        Claims::from(claims.as_object().unwrap().clone())
    }

    #[tokio::test]
    async fn a_long_evaluation_leaves_this_thread_to_others() {
        let (turns, has_ended) = (Cell::new(0), Cell::new(false));
        let login = async {
            let user = read(&rules(), claims(300), &Semaphore::new(1)).await;
            has_ended.set(true);
            user
        };
        let others = async {
            while !has_ended.get() {
                turns.set(turns.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        let (user, ()) = tokio::join!(login, others);
        assert_eq!(user.unwrap().username, "u");
        assert!(turns.get() > 1, "others had their turns");
    }

    #[tokio::test]
    async fn an_evaluation_has_an_end() {
        let error = read(&rules(), claims(10_000), &Semaphore::new(1))
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "Expression");
        assert!(
            error
                .to_string()
                .ends_with("more steps than one login may take")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn logins_do_not_wait_for_ever_for_long_evaluations_of_others() {
        let _others = LONG_EVALUATIONS.acquire().await.unwrap();
        let error = read(&rules(), claims(300), &Semaphore::new(1))
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "LongEvaluation");
        assert!(
            read(&rules(), claims(3), &Semaphore::new(1)).await.is_ok(),
            "others are not concerned"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_authenticator_s_long_evaluations_do_not_fill_the_queue_of_others() {
        let _others = LONG_EVALUATIONS.acquire().await.unwrap();
        let turn = Semaphore::new(1);
        let (rules, claims) = (rules(), claims(300));
        let wait = || read_at_length(&rules, claims.clone(), &turn);
        let (first, second) = tokio::join!(wait(), async {
            tokio::task::yield_now().await;
            assert_eq!(turn.available_permits(), 0, "the first has the only place");
            wait().await
        });
        assert!(first.is_err() && second.is_err());
    }
}
