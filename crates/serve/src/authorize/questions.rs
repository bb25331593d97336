//! What was asked, and the decisions that are kept.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use haulout_api::identity::UserInfo;

use super::{Attributes, DECISION_LIFE, Decision, ReviewError};

/// How many decisions are kept.
pub(super) const COUNT_LIMIT: usize = 4096;

/// How many bytes all that is kept may have.
const BYTES_LIMIT: usize = 16 * 1024 * 1024;

/// A question of more bytes than this is asked each time and its answer not kept. Enough for a
/// user of 500 groups.
pub(super) const SIZE_LIMIT: usize = 64 * 1024;

/// May this user do this?
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) user: Arc<UserInfo>,
    pub(super) attributes: Attributes,
}

impl Question {
    /// How much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let text = |text: &String| size_of::<String>() + text.len();
        let UserInfo {
            username,
            uid,
            groups,
            extra,
        } = &*self.user;
        let extra = extra.iter().map(|(key, values)| {
            let values = values.iter().map(text).sum::<usize>();
            text(key) + values
        });
        size_of::<Self>()
            + self.attributes.size()
            + text(username)
            + text(uid)
            + groups.iter().map(text).sum::<usize>()
            + extra.sum::<usize>()
    }
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

/// The questions whose answers are kept; the oldest makes room for a new one.
#[derive(Default)]
pub(super) struct Questions {
    answers: HashMap<Arc<Question>, Arc<Answer>>,
    /// Each key of `answers`, the oldest first.
    order: VecDeque<Arc<Question>>,
    bytes: usize,
}

impl Questions {
    /// The answer to `question`, which may be still to come.
    pub(super) fn answer_to(&mut self, question: &Question) -> Arc<Answer> {
        if let Some(answer) = self.answers.get(question) {
            return Arc::clone(answer);
        }
        self.bytes += question.size();
        while self.order.len() >= COUNT_LIMIT || self.bytes > BYTES_LIMIT {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.answers.remove(&oldest);
            self.bytes -= oldest.size();
        }
        let question = Arc::new(question.clone());
        self.order.push_back(Arc::clone(&question));
        Arc::clone(self.answers.entry(question).or_default())
    }
}

/// The answer to one question, and whose turn it is to ask.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) turn: tokio::sync::Mutex<()>,
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
    pub(super) fn fresh(&self, now: SystemTime) -> Result<Decision, u64> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        match &latest.outcome {
            // Requests overtake each other, so that one may be older than its answer.
            Some((Ok(decision), at)) if distance(now, *at) < DECISION_LIFE => Ok(decision.clone()),
            _ => Err(latest.generation),
        }
    }

    /// What was answered since, errors included: who waited for an answer shares it.
    pub(super) fn newer_than(&self, generation: u64) -> Option<Result<Decision, ReviewError>> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, _) = latest
            .outcome
            .as_ref()
            .filter(|_| latest.generation > generation)?;
        Some(outcome.clone())
    }

    pub(super) fn set(&self, outcome: Result<Decision, ReviewError>, now: SystemTime) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.generation += 1;
        latest.outcome = Some((outcome, now));
    }
}

fn distance(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|error| error.duration())
}
