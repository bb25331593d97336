use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::mpsc;

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::*;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A resolver that knows no name and hangs for those that begin with `hangs` until it is told to go on.
struct Setup {
    resolver: Resolver,
    /// How often each name was looked up.
    begun: Arc<Mutex<BTreeMap<String, usize>>>,
    /// Lets one end that hangs, or would.
    finish: mpsc::Sender<()>,
}

impl Setup {
    fn new() -> Self {
        let begun = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let (finish, hang) = mpsc::channel();
        let (seen, hang) = (Arc::clone(&begun), Mutex::new(hang));
        let resolver = Resolver::new(move |host| {
            *seen.lock().unwrap().entry(host.to_owned()).or_default() += 1;
            if host.starts_with("hangs") {
                let _told = hang.lock().unwrap().recv();
            }
            match host {
                "good" => Ok(vec![ADDRESS]),
                _ => Err(io::Error::other(format!("{host} is unknown"))),
            }
        });
        Self {
            resolver,
            begun,
            finish,
        }
    }

    fn begun(&self, host: &str) -> usize {
        self.begun
            .lock()
            .unwrap()
            .get(host)
            .copied()
            .unwrap_or_default()
    }

    async fn until_begun(&self, host: &str) {
        while self.begun(host) == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Begins a look-up of `host` and waits no longer for it.
    async fn abandon(&self, host: &str) {
        let mut lookup = Box::pin(self.resolver.lookup(host));
        while self.begun(host) == 0 {
            assert!((&mut lookup).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }

    async fn good(&self) -> bool {
        self.resolver
            .lookup("good")
            .await
            .is_ok_and(|found| *found == [ADDRESS])
    }
}

#[tokio::test]
async fn an_outcome_reaches_all_who_wait_and_no_later_one() {
    let setup = Setup::new();
    let calls = join_all((0..1000).map(|_| setup.resolver.lookup("hangs")));
    let meanwhile = async {
        setup.until_begun("hangs").await;
        assert!(setup.good().await, "another name is not concerned");
        // Were there more than one, they should end too.
        for _ in 0..MAX_LOOKUPS {
            setup.finish.send(()).unwrap();
        }
    };
    let (outcomes, ()) = tokio::join!(calls, meanwhile);
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().to_string(), "hangs is unknown");
    }
    assert_eq!(setup.begun("hangs"), 1);
    assert!(setup.resolver.lookup("hangs").await.is_err());
    assert_eq!(setup.begun("hangs"), 2, "the next caller tries anew");
}

#[tokio::test]
async fn who_comes_after_all_have_gone_waits_for_the_same_lookup() {
    let setup = Setup::new();
    setup.abandon("hangs").await;
    let mut again = Box::pin(setup.resolver.lookup("hangs"));
    assert!((&mut again).now_or_never().is_none());
    for _ in 0..2 {
        setup.finish.send(()).unwrap();
    }
    assert!(again.await.is_err());
    assert_eq!(setup.begun("hangs"), 1);
    assert!(setup.good().await);
    assert_eq!(
        setup.resolver.0.lookups.lock().unwrap().len(),
        1,
        "what has ended is forgotten"
    );
}

#[tokio::test]
async fn an_outcome_that_somebody_has_yet_to_take_serves_no_later_one() {
    let setup = Setup::new();
    let mut late = Box::pin(setup.resolver.lookup("unknown"));
    assert!((&mut late).now_or_never().is_none());
    assert!(setup.resolver.lookup("unknown").await.is_err());
    assert!(setup.resolver.lookup("unknown").await.is_err());
    assert_eq!(setup.begun("unknown"), 2);
    assert!(late.await.is_err());
}

#[tokio::test]
async fn only_so_many_hang_and_the_next_is_told() {
    let setup = Setup::new();
    for number in 0..MAX_LOOKUPS {
        setup.abandon(&format!("hangs-{number}")).await;
    }
    for error in join_all((0..1000).map(|_| setup.resolver.lookup("good"))).await {
        let text = error.unwrap_err().to_string();
        assert!(
            text.starts_with("32 look-ups of other names hang"),
            "{text}"
        );
    }
    assert_eq!(setup.begun("good"), 0);
    // One that comes in time is begun when a turn is free.
    let (is_good, sent) = tokio::join!(setup.good(), async { setup.finish.send(()) });
    assert!(is_good && sent.is_ok());
}

#[tokio::test]
async fn many_names_at_once_are_all_found() {
    let resolver = Resolver::new(|_| {
        std::thread::sleep(Duration::from_millis(5));
        Ok(vec![ADDRESS])
    });
    let names: Vec<_> = (0..500).map(|number| number.to_string()).collect();
    for outcome in join_all(names.iter().map(|name| resolver.lookup(name))).await {
        assert_eq!(*outcome.unwrap(), [ADDRESS]);
    }
}

#[tokio::test]
async fn the_system_knows_this_machine() {
    let found = Resolver::of_process().lookup("localhost").await.unwrap();
    assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty());
}
