//! The workers' places: how many deliveries are in flight at once, and how many of them may be bulk.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One place in so many is never given to bulk: deliveries that begin together end together, so an urgent
/// job would otherwise wait for a whole call to the gateway before a worker is free for it.
const KEPT: usize = 4;

/// All places.
pub(super) struct Places {
    all: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
}

/// A place that is taken until it is dropped.
pub(super) struct Place {
    #[expect(dead_code, reason = "held, not used")]
    worker: OwnedSemaphorePermit,
    bulk: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new(workers: usize) -> Self {
        let bulk = workers - workers / KEPT;
        Self { all: Arc::new(Semaphore::new(workers)), bulk: Arc::new(Semaphore::new(bulk)) }
    }

    pub(super) fn are_free(&self) -> bool {
        self.all.available_permits() > 0
    }

    /// A place, and with it one of bulk's if that is `wanted` and there is one.
    pub(super) fn take(&self, wanted: bool) -> Option<Place> {
        let worker = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let bulk = if wanted { Arc::clone(&self.bulk).try_acquire_owned().ok() } else { None };
        Some(Place { worker, bulk })
    }
}

impl Place {
    /// Whether a bulk job may have it.
    pub(super) fn is_for_bulk(&self) -> bool {
        self.bulk.is_some()
    }

    /// The same place for a job that is not bulk.
    pub(super) fn without_bulk(self) -> Self {
        Self { bulk: None, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_leaves_a_quarter_of_the_places_to_others() {
        let places = Places::new(8);
        let bulk: Vec<Place> = (0..6).filter_map(|_| places.take(true)).filter(Place::is_for_bulk).collect();
        assert_eq!(bulk.len(), 6);
        let others: Vec<Place> = (0..3).filter_map(|_| places.take(true)).collect();
        assert_eq!(others.len(), 2);
        assert!(!others.iter().any(Place::is_for_bulk) && !places.are_free());
    }

    #[test]
    fn what_others_take_of_bulk_they_give_back_at_once() {
        let places = Places::new(1);
        let place = places.take(true).map(Place::without_bulk);
        assert!(place.is_some_and(|place| !place.is_for_bulk()));
        assert!(places.take(true).is_some_and(|place| place.is_for_bulk()));
    }
}
