//! One client for all who trust the same roots.

use std::sync::{Mutex, PoisonError};

use crate::client::{HttpsClient, Limits};
use crate::error::ClientError;
use crate::tls::TrustRoots;

/// Most clients that are kept for the next who asks.
const MAX_CLIENTS: usize = 16;

/// Clients by whom they trust and how much a call may take. A client holds all its roots in memory, which for the system's
/// is a lot when each of many servers has its own.
#[derive(Debug, Default)]
pub struct HttpsClients {
    /// The one that was asked for last comes last.
    clients: Mutex<Vec<(TrustRoots, Limits, HttpsClient)>>,
}

impl HttpsClients {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            clients: Mutex::new(Vec::new()),
        }
    }

    /// A client that trusts `roots`, the same one as for others that are alike. Only so many are kept: those that are not
    /// asked for go first, and work on where they are in use.
    ///
    /// # Errors
    /// As those of [`HttpsClient::new`].
    pub fn client(&self, roots: &TrustRoots, limits: Limits) -> Result<HttpsClient, ClientError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let known = clients
            .iter()
            .position(|(trusted, allowed, _)| trusted == roots && *allowed == limits);
        let kept = match known {
            Some(position) => clients.remove(position),
            None => (roots.clone(), limits, HttpsClient::new(roots, limits)?),
        };
        let client = kept.2.clone();
        clients.push(kept);
        let surplus = clients.len().saturating_sub(MAX_CLIENTS);
        clients.drain(..surplus);
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits = Limits {
        time: Duration::from_secs(10),
        body: 1024,
    };

    fn roots() -> TrustRoots {
        let made = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
        TrustRoots::Only(vec![made.cert.der().to_vec()])
    }

    fn is_same(one: &HttpsClient, other: &HttpsClient) -> bool {
        Arc::ptr_eq(&one.tls, &other.tls)
    }

    #[test]
    fn who_trusts_the_same_roots_within_the_same_limits_has_the_same_client() {
        let (clients, roots) = (HttpsClients::new(), roots());
        let client = clients.client(&roots, LIMITS).unwrap();
        assert!(is_same(&client, &clients.client(&roots, LIMITS).unwrap()));
        let more_time = Limits {
            time: Duration::from_secs(20),
            ..LIMITS
        };
        let longer = Limits {
            body: 2048,
            ..LIMITS
        };
        for limits in [more_time, longer] {
            assert!(!is_same(&client, &clients.client(&roots, limits).unwrap()));
        }
        let others = self::roots();
        assert!(!is_same(&client, &clients.client(&others, LIMITS).unwrap()));
    }

    #[test]
    fn only_so_many_are_kept_and_those_in_demand_stay() {
        let (clients, wanted, forgotten) = (HttpsClients::new(), roots(), roots());
        let first = clients.client(&wanted, LIMITS).unwrap();
        let old = clients.client(&forgotten, LIMITS).unwrap();
        for _ in 0..2 * MAX_CLIENTS {
            clients.client(&roots(), LIMITS).unwrap();
            assert!(is_same(&first, &clients.client(&wanted, LIMITS).unwrap()));
        }
        assert!(!is_same(&old, &clients.client(&forgotten, LIMITS).unwrap()));
        assert_eq!(clients.clients.lock().unwrap().len(), MAX_CLIENTS);
    }

    #[test]
    fn roots_that_cannot_be_used_are_refused_each_time() {
        let (clients, bad) = (HttpsClients::new(), TrustRoots::Only(vec![vec![0]]));
        for _ in 0..2 {
            assert!(matches!(
                clients.client(&bad, LIMITS),
                Err(ClientError::Roots(_))
            ));
        }
    }
}
