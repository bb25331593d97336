//! When a fresh replica is ready to log people in: once what it found at its start has been judged, so that a login that
//! was good before a restart is good after it.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::controllers::Readiness;

/// How long judgements are waited for once all objects are known: an issuer that hangs must not hold the replica down.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Held by each object of the first list until it is judged or gone.
#[derive(Debug)]
pub(super) struct Unjudged {
    _held: mpsc::Sender<Infallible>,
}

/// The first list of all objects, from which readiness comes.
pub(super) struct FirstList {
    kind: &'static str,
    readiness: Readiness,
    /// None any more once the list is complete. Nothing is sent; the channel closes with the last that is unjudged.
    open: Option<(mpsc::Sender<Infallible>, mpsc::Receiver<Infallible>)>,
}

impl FirstList {
    pub(super) fn new(kind: &'static str, readiness: Readiness) -> Self {
        Self {
            kind,
            readiness,
            open: Some(mpsc::channel(1)),
        }
    }

    /// For one object of the list; `None` for those of later ones.
    pub(super) fn unjudged(&self) -> Option<Unjudged> {
        let (sender, _) = self.open.as_ref()?;
        Some(Unjudged {
            _held: sender.clone(),
        })
    }

    /// The objects cannot be listed, or not any more.
    pub(super) fn fail(&self, fault: &str) {
        if self.open.is_some() {
            self.readiness.report(Err(format!(
                "failed to list {}s; check that the CRDs and the RBAC of Haulout's manifests are applied: {fault}",
                self.kind
            )));
        }
    }

    /// The list is complete. The answer ends in time with readiness; there is one only for the first list.
    pub(super) fn complete(&mut self) -> Option<impl Future<Output = ()> + use<>> {
        let (own, mut judged) = self.open.take()?;
        drop(own);
        let readiness = self.readiness.clone();
        let kind = self.kind;
        readiness.report(Err(format!(
            "waiting for the peers of {kind}s, for ten seconds at most"
        )));
        Some(async move {
            let closed = tokio::time::timeout(LONGEST_WAIT, judged.recv()).await;
            if closed.is_err() {
                tracing::warn!("ready although the peer of a {kind} does not answer");
            }
            readiness.report(Ok(()));
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn first_list() -> (FirstList, Readiness) {
        let readiness = Readiness::pending("waiting for the API server");
        (
            FirstList::new("JWTAuthenticator", readiness.clone()),
            readiness,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn without_objects_the_list_is_enough() {
        let (mut list, readiness) = first_list();
        list.fail("forbidden");
        let text = readiness.check().unwrap_err();
        assert!(text.starts_with("failed to list") && text.ends_with(": forbidden"));
        let begun = Instant::now();
        list.complete().unwrap().await;
        assert_eq!(readiness.check(), Ok(()));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        list.fail("a watch that breaks later takes nothing out of force");
        assert_eq!(readiness.check(), Ok(()));
        assert!(list.unjudged().is_none() && list.complete().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn every_object_of_the_list_is_waited_for() {
        let (mut list, readiness) = first_list();
        let (one, other) = (list.unjudged(), list.unjudged());
        let begun = Instant::now();
        let judge = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(one);
            tokio::time::sleep(Duration::from_secs(8)).await;
            assert!(readiness.check().unwrap_err().starts_with("waiting"));
            drop(other);
        };
        tokio::join!(list.complete().unwrap(), judge);
        assert_eq!(readiness.check(), Ok(()));
        assert_eq!(begun.elapsed(), Duration::from_secs(9));
    }

    #[tokio::test(start_paused = true)]
    async fn an_issuer_that_hangs_is_not_waited_for_beyond_the_limit() {
        let (mut list, readiness) = first_list();
        let _hanging = list.unjudged();
        let begun = Instant::now();
        list.complete().unwrap().await;
        assert_eq!(readiness.check(), Ok(()));
        assert_eq!(begun.elapsed(), LONGEST_WAIT);
    }
}
