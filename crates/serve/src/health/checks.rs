//! `/healthz`, `/livez`, `/readyz`: the endpoints, parameters and text of Kubernetes
//! (`k8s.io/apiserver/pkg/server/healthz`), except that a failed check says why to those who may
//! know.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Path, Query};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use crate::front_proxy::Caller;

/// What Kubernetes says to everybody.
const WITHHELD: &str = "reason withheld";

/// Which endpoints a check counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `healthz`, `livez` and `readyz`: a failure that a restart may heal.
    Everywhere,
    /// `readyz` only: a failure that means "send requests elsewhere".
    Readiness,
}

/// Who is told why a check failed. The reasons name peers and their faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reasons {
    /// Everybody, because strangers do not get here.
    ForAll,
    /// Callers that the front proxy vouches for.
    ForVouchedCallers,
}

impl Reasons {
    fn are_for(self, caller: Option<&Caller>) -> bool {
        match self {
            Self::ForAll => true,
            Self::ForVouchedCallers => caller.is_some_and(|caller| caller.is_vouched_for),
        }
    }
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// All is well.
    Good,
    /// Something is wrong that no restart and no other replica would heal: it is shown, and does not
    /// count. One line for the administrator, without secrets.
    Degraded(String),
    /// The endpoint fails. One line as well.
    Failed(String),
}

impl From<Result<(), String>> for Finding {
    fn from(outcome: Result<(), String>) -> Self {
        outcome.map_or_else(Self::Failed, |()| Self::Good)
    }
}

/// The named checks of a process, asked at each request; `ping`, which never fails, comes first.
pub struct HealthRegistry {
    checks: Vec<Check>,
}

struct Check {
    name: &'static str,
    scope: Scope,
    run: Box<dyn Fn() -> Finding + Send + Sync>,
}

impl Check {
    fn run(&self, may_know: bool) -> Finding {
        let told = |reason| {
            if may_know {
                reason
            } else {
                WITHHELD.to_owned()
            }
        };
        match (self.run)() {
            Finding::Good => Finding::Good,
            Finding::Degraded(reason) => Finding::Degraded(told(reason)),
            Finding::Failed(reason) => Finding::Failed(told(reason)),
        }
    }
}

impl HealthRegistry {
    /// A registry that holds `ping` alone.
    pub fn new() -> Self {
        Self { checks: Vec::new() }.with_check("ping", Scope::Everywhere, || Finding::Good)
    }

    /// Adds a check. It runs on the request's thread, so it only looks at state that others keep.
    #[must_use]
    pub fn with_check<F: Into<Finding>>(
        mut self,
        name: &'static str,
        scope: Scope,
        run: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        self.checks.push(Check {
            name,
            scope,
            run: Box::new(move || run().into()),
        });
        self
    }
}

impl Default for HealthRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HealthRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.checks.iter().map(|check| check.name))
            .finish()
    }
}

#[derive(Clone, Copy)]
enum Endpoint {
    Healthz,
    Livez,
    Readyz,
}

impl Endpoint {
    fn name(self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
        }
    }

    fn asks(self, check: &Check) -> bool {
        match check.scope {
            Scope::Everywhere => true,
            Scope::Readiness => matches!(self, Self::Readyz),
        }
    }
}

/// The three endpoints with `?verbose`, `?exclude=NAME` (repeatable) and a path for each check.
pub fn router(registry: &Arc<HealthRegistry>, reasons: Reasons) -> Router {
    [Endpoint::Healthz, Endpoint::Livez, Endpoint::Readyz]
        .into_iter()
        .fold(Router::new(), |router, endpoint| {
            let name = endpoint.name();
            let (all, one) = (Arc::clone(registry), Arc::clone(registry));
            router
                .route(
                    &format!("/{name}"),
                    get(
                        move |caller: Option<Extension<Caller>>,
                              query: Query<Vec<(String, String)>>| async move {
                            let may_know = reasons.are_for(caller.as_deref());
                            all.report(endpoint, &query, may_know)
                        },
                    ),
                )
                .route(
                    &format!("/{name}/{{check}}"),
                    get(
                        move |caller: Option<Extension<Caller>>, Path(check): Path<String>| async move {
                            let may_know = reasons.are_for(caller.as_deref());
                            one.report_one(endpoint, &check, may_know)
                        },
                    ),
                )
        })
}

impl HealthRegistry {
    fn report(&self, endpoint: Endpoint, query: &[(String, String)], may_know: bool) -> Response {
        let verbose = query.iter().any(|(key, _)| key == "verbose");
        let mut unmatched: Vec<&str> = query
            .iter()
            .filter(|(key, _)| key == "exclude")
            .map(|(_, name)| &**name)
            .collect();
        let excluded = unmatched.clone();

        let mut lines = String::new();
        let mut failed = Vec::new();
        for check in self.checks.iter().filter(|check| endpoint.asks(check)) {
            let name = check.name;
            if excluded.contains(&name) {
                unmatched.retain(|other| *other != name);
                lines += &format!("[+]{name} excluded: ok\n");
                continue;
            }
            match check.run(may_know) {
                Finding::Good => lines += &format!("[+]{name} ok\n"),
                Finding::Degraded(reason) => {
                    lines += &format!("[+]{name} degraded, does not count: {reason}\n");
                }
                Finding::Failed(reason) => {
                    lines += &format!("[-]{name} failed: {reason}\n");
                    failed.push(name);
                }
            }
        }
        if !unmatched.is_empty() {
            let names: Vec<String> = unmatched.iter().map(|name| format!("{name:?}")).collect();
            lines += &format!(
                "warn: some health checks cannot be excluded: no matches for {}\n",
                names.join(",")
            );
        }

        let endpoint = endpoint.name();
        if !failed.is_empty() {
            tracing::debug!(endpoint, ?failed, "health checks failed");
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("{lines}{endpoint} check failed\n"),
            )
        } else if verbose {
            text(StatusCode::OK, format!("{lines}{endpoint} check passed\n"))
        } else {
            text(StatusCode::OK, "ok".to_owned())
        }
    }

    fn report_one(&self, endpoint: Endpoint, name: &str, may_know: bool) -> Response {
        let check = self
            .checks
            .iter()
            .find(|check| check.name == name && endpoint.asks(check));
        match check.map(|check| check.run(may_know)) {
            None => text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
            Some(Finding::Good) => text(StatusCode::OK, "ok".to_owned()),
            Some(Finding::Degraded(reason)) => {
                text(StatusCode::OK, format!("degraded: {reason}\n"))
            }
            Some(Finding::Failed(reason)) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("internal server error: {reason}\n"),
            ),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache, private"),
    ];
    (status, headers, body).into_response()
}
