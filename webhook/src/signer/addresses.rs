//! Where the agents are.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use haulout_operate::error::chain;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::fault::LastingFault;

/// How often a service's name is looked up.
const INTERVAL: Duration = Duration::from_secs(10);
/// The least time between two look-ups, however much they are wanted.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one look-up may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What says where the agents are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentSource {
    /// These, each as `host:port`.
    Addresses(Vec<String>),
    /// Every address that the name of a headless service resolves to.
    Service {
        /// DNS name, for example `haulout-agent.haulout-agent.svc`.
        host: String,
        /// TCP port.
        port: u16,
    },
}

/// A service whose name is looked up.
pub(super) struct Service<'a> {
    pub(super) host: &'a str,
    /// Told when its addresses may be out of date.
    pub(super) wanted: &'a Notify,
    /// Why the last look-up gave none.
    pub(super) fault: &'a LastingFault,
}

/// Publishes the addresses behind a service's name, as `lookup` gives them, until `stop`: again
/// after a while, and soon when wanted. A look-up that fails or finds nothing leaves the former
/// addresses in place, since agents that are gone show by themselves.
pub(super) async fn follow<F>(
    lookup: impl Fn() -> F,
    service: Service<'_>,
    publish: watch::Sender<BTreeSet<String>>,
    stop: CancellationToken,
) where
    F: Future<Output = io::Result<Vec<SocketAddr>>>,
{
    let Service {
        host,
        wanted,
        fault,
    } = service;
    let follow = async {
        loop {
            match tokio::time::timeout(TIMEOUT, lookup()).await {
                Ok(Ok(found)) if !found.is_empty() => {
                    fault.clear();
                    let found: BTreeSet<_> = found.iter().map(ToString::to_string).collect();
                    publish.send_if_modified(|known| {
                        let changed = *known != found;
                        *known = found;
                        changed
                    });
                }
                Ok(Ok(_)) => note(fault, host, "the name has no address"),
                Ok(Err(error)) => note(fault, host, &chain(&error)),
                Err(_elapsed) => {
                    note(
                        fault,
                        host,
                        &format!("no answer within {} s", TIMEOUT.as_secs()),
                    );
                }
            }
            tokio::time::sleep(PAUSE).await;
            // Elapsed or wanted: either way it is time.
            drop(tokio::time::timeout(INTERVAL - PAUSE, wanted.notified()).await);
        }
    };
    stop.run_until_cancelled(follow).await;
}

/// Keeps why a look-up gave nothing; the log has it once.
fn note(fault: &LastingFault, host: &str, reason: &str) {
    let text =
        format!("failed to look up {host}: {reason}; check agent.service, or name agent.addresses");
    if fault.note(&text) {
        tracing::warn!(error = text, "no new addresses of signing agents");
    }
}

/// The look-up of the operating system.
pub(super) async fn system_lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn addresses_follow_the_name_and_outlive_failures() {
        let answers = Mutex::new(vec![
            Ok(vec![([10, 0, 0, 3], 9443).into()]),
            Err(io::Error::other("SERVFAIL")),
            Ok(vec![]),
            Ok(vec![
                ([10, 0, 0, 2], 9443).into(),
                ([10, 0, 0, 1], 9443).into(),
            ]),
        ]);
        let lookup = || {
            let next = answers.lock().unwrap().pop();
            async move {
                match next {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        };
        let (publish, mut addresses) = watch::channel(BTreeSet::new());
        let stop = CancellationToken::new();
        let check = async {
            let list = |addresses: &[&str]| {
                addresses
                    .iter()
                    .map(|a| (*a).to_owned())
                    .collect::<BTreeSet<_>>()
            };
            addresses.changed().await.unwrap();
            assert_eq!(
                *addresses.borrow_and_update(),
                list(&["10.0.0.1:9443", "10.0.0.2:9443"])
            );
            addresses.changed().await.unwrap();
            assert_eq!(*addresses.borrow_and_update(), list(&["10.0.0.3:9443"]));
            assert!(answers.lock().unwrap().is_empty());
            stop.cancel();
        };
        let service = Service {
            host: "agents",
            wanted: &Notify::new(),
            fault: &LastingFault::default(),
        };
        tokio::join!(follow(lookup, service, publish, stop.clone()), check);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_is_wanted_comes_soon_but_not_at_once() {
        let (publish, addresses) = watch::channel(BTreeSet::new());
        let (wanted, fault) = (Notify::new(), LastingFault::default());
        let times = Mutex::new(Vec::new());
        let start = tokio::time::Instant::now();
        let lookup = || {
            times.lock().unwrap().push(start.elapsed());
            wanted.notify_one();
            async { Ok(vec![]) }
        };
        let stop = CancellationToken::new();
        let end = async {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            stop.cancel();
        };
        let service = Service {
            host: "agents",
            wanted: &wanted,
            fault: &fault,
        };
        tokio::join!(follow(lookup, service, publish, stop.clone()), end);
        let seconds: Vec<_> = times
            .lock()
            .unwrap()
            .iter()
            .map(Duration::as_secs)
            .collect();
        assert_eq!(seconds, [0, 1, 2]);
        drop(addresses);
    }

    #[tokio::test(start_paused = true)]
    async fn why_a_look_up_gave_nothing_is_kept_until_one_succeeds() {
        type Answer = fn() -> Option<io::Result<Vec<SocketAddr>>>;
        let answers: [(Answer, Option<&str>); 4] = [
            (|| Some(Err(io::Error::other("SERVFAIL"))), Some("SERVFAIL")),
            (|| Some(Ok(vec![])), Some("the name has no address")),
            (|| None, Some("no answer within 5 s")),
            (|| Some(Ok(vec![([10, 0, 0, 1], 9443).into()])), None),
        ];
        let fault = LastingFault::default();
        for (answer, reason) in answers {
            let lookup = || async move {
                match answer() {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            };
            let service = Service {
                host: "a.b.svc",
                wanted: &Notify::new(),
                fault: &fault,
            };
            let (publish, _addresses) = watch::channel(BTreeSet::new());
            let stop = CancellationToken::new();
            let end = async {
                tokio::time::sleep(TIMEOUT + PAUSE).await;
                stop.cancel();
            };
            tokio::join!(follow(lookup, service, publish, stop.clone()), end);
            let text = reason.map(|reason| {
                format!("failed to look up a.b.svc: {reason}; check agent.service, or name agent.addresses")
            });
            assert_eq!(fault.text(), text);
        }
    }
}
