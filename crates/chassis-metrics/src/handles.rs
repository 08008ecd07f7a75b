//! Handles of series that are kept: the macros build labels and look the series up on each call.

use std::{collections::HashMap, hash::Hash};

use parking_lot::RwLock;

/// Metric handles, keyed by the labels of their series.
#[derive(Debug)]
pub struct Handles<K, H>(RwLock<HashMap<K, H>>);

impl<K, H> Default for Handles<K, H> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, H: Clone> Handles<K, H> {
    /// The handle of `key`, which is made on first use.
    pub fn get(&self, key: K, make: impl FnOnce() -> H) -> H {
        if let Some(kept) = self.0.read().get(&key) {
            return kept.clone();
        }
        self.0.write().entry(key).or_insert_with(make).clone()
    }
}
