//! Room for connections, of which strangers get only a part.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::ListenerLimits;

/// What a connection's peer is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// One that others come through, such as the front proxy.
    Trusted,
    /// Anybody else.
    Stranger,
}

/// The places of one listener.
pub(super) struct Places {
    all: Semaphore,
    strangers: Semaphore,
}

/// The place of one connection, free again when this is dropped.
pub(super) struct Place<'a> {
    _one_of_all: SemaphorePermit<'a>,
    _one_of_the_strangers: Option<SemaphorePermit<'a>>,
}

impl Places {
    pub(super) fn new(limits: &ListenerLimits) -> Self {
        Self {
            all: Semaphore::new(limits.max_connections),
            strangers: Semaphore::new(limits.max_strangers),
        }
    }

    /// A place for such a peer, `None` where there is none.
    pub(super) fn take(&self, standing: Standing) -> Option<Place<'_>> {
        let one_of_the_strangers = match standing {
            Standing::Trusted => None,
            Standing::Stranger => Some(self.strangers.try_acquire().ok()?),
        };
        Some(Place {
            _one_of_all: self.all.try_acquire().ok()?,
            _one_of_the_strangers: one_of_the_strangers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Stranger, Trusted};
    use super::*;

    #[test]
    fn strangers_get_only_a_part() {
        let places = Places::new(&ListenerLimits {
            max_connections: 4,
            max_strangers: 3,
            ..ListenerLimits::default()
        });
        let mut strangers: Vec<_> = (0..3).map(|_| places.take(Stranger).unwrap()).collect();
        assert!(places.take(Stranger).is_none());
        let trusted = places.take(Trusted).unwrap();
        assert!(places.take(Trusted).is_none(), "all have an end as well");
        strangers.pop();
        let another = places.take(Trusted).unwrap();
        assert!(places.take(Stranger).is_none(), "there is no place at all");
        drop((trusted, another));
        assert!(places.take(Stranger).is_some());
    }
}
