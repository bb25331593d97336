//! Authenticators in force, read without a lock by every login, and why others are not.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::{AuthenticatorKey, TokenAuthenticator};

type Authenticators = HashMap<AuthenticatorKey, Arc<dyn TokenAuthenticator>>;

/// Authenticators by key. Reads are lock-free; the controllers write.
#[derive(Default)]
pub struct AuthenticatorRegistry {
    authenticators: ArcSwap<Authenticators>,
    faults: Mutex<HashMap<AuthenticatorKey, String>>,
}

impl AuthenticatorRegistry {
    /// Puts `authenticator` in force, in place of an earlier one of the same key.
    pub fn insert(&self, key: &AuthenticatorKey, authenticator: &Arc<dyn TokenAuthenticator>) {
        let known = self.get(key);
        if known.is_some_and(|known| Arc::ptr_eq(&known, authenticator)) {
            return;
        }
        self.authenticators.rcu(|current| {
            let mut next = Authenticators::clone(current);
            next.insert(key.clone(), Arc::clone(authenticator));
            next
        });
    }

    /// Remembers why the object of `key` is not in force, for logins that ask for it; `None` forgets.
    pub(crate) fn explain(&self, key: &AuthenticatorKey, fault: Option<&str>) {
        match fault {
            Some(fault) => self.faults().insert(key.clone(), fault.to_owned()),
            None => self.faults().remove(key),
        };
    }

    /// Why the object of `key`, which exists, is not in force.
    pub(crate) fn fault(&self, key: &AuthenticatorKey) -> Option<String> {
        self.faults().get(key).cloned()
    }

    fn faults(&self) -> MutexGuard<'_, HashMap<AuthenticatorKey, String>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the authenticator of `key` out of force.
    pub fn remove(&self, key: &AuthenticatorKey) {
        self.authenticators.rcu(|current| {
            let mut next = Authenticators::clone(current);
            next.remove(key);
            next
        });
    }

    /// The authenticator of exactly this key.
    pub fn get(&self, key: &AuthenticatorKey) -> Option<Arc<dyn TokenAuthenticator>> {
        self.authenticators.load().get(key).map(Arc::clone)
    }
}

impl fmt::Debug for AuthenticatorRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.authenticators.load().keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use futures_util::{FutureExt, future::BoxFuture};
    use haulout_api::identity::UserInfo;
    use secrecy::SecretString;

    use super::*;
    use crate::authenticators::AuthenticationError;

    struct Always(&'static str);

    impl TokenAuthenticator for Always {
        fn authenticate<'a>(
            &'a self,
            _: &'a SecretString,
            _: SystemTime,
        ) -> BoxFuture<'a, Result<UserInfo, AuthenticationError>> {
            let username = self.0.to_owned();
            async {
                Ok(UserInfo {
                    username,
                    ..UserInfo::default()
                })
            }
            .boxed()
        }
    }

    fn username(registry: &AuthenticatorRegistry, key: &AuthenticatorKey) -> String {
        let token = SecretString::from("t");
        let authenticator = registry.get(key).unwrap();
        let answer = authenticator.authenticate(&token, SystemTime::UNIX_EPOCH);
        answer.now_or_never().unwrap().unwrap().username
    }

    #[test]
    fn only_the_exact_key_finds_an_authenticator() {
        let registry = AuthenticatorRegistry::default();
        let key = AuthenticatorKey::jwt("a");
        registry.insert(&key, &(Arc::new(Always("one")) as _));
        assert_eq!(username(&registry, &key), "one");
        for other in [
            AuthenticatorKey {
                name: "b".into(),
                ..key.clone()
            },
            AuthenticatorKey {
                kind: "WebhookAuthenticator".into(),
                ..key.clone()
            },
            AuthenticatorKey {
                api_group: String::new(),
                ..key
            },
        ] {
            assert!(registry.get(&other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_later_authenticator_replaces_and_a_removed_one_is_gone() {
        let registry = AuthenticatorRegistry::default();
        let key = AuthenticatorKey::jwt("a");
        registry.insert(&key, &(Arc::new(Always("one")) as _));
        registry.insert(&key, &(Arc::new(Always("two")) as _));
        assert_eq!(username(&registry, &key), "two");
        registry.remove(&key);
        assert!(registry.get(&key).is_none());
    }
}
