//! The keys that are known, and finding the one that a request presents. What its holder may is
//! [`crate::platform::admission`]'s matter.

use super::{
    Key, KeyName, Scopes,
    counts::{Counts, Reloads},
    digest::Digest,
    presented::Presented,
};
use http::HeaderMap;
use parking_lot::RwLock;
use std::{collections::BTreeMap, sync::Arc};
use subtle::{ConditionallySelectable, ConstantTimeEq};

/// Who presented a key that is known.
#[derive(Debug)]
pub struct Holder {
    pub name: KeyName,
    pub scopes: Scopes,
    counts: Counts,
}

/// What a request's `Authorization` says.
#[derive(Clone, Debug)]
pub enum Identified {
    /// No key file is configured: everybody on loopback may do everything.
    Open,
    /// A key that is known.
    Holder(Arc<Holder>),
    /// A key that is not known, or something that can be none.
    Unknown,
    /// No key.
    Nobody,
}

impl Identified {
    /// The name of the key, where it is known.
    pub fn name(&self) -> Option<&KeyName> {
        match self {
            Self::Holder(holder) => Some(&holder.name),
            Self::Open | Self::Unknown | Self::Nobody => None,
        }
    }
}

/// The keys of the file, as they are now. Cheap to clone; all clones see a reload.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` without a key file. Held to read for the time of a search, to write for that of a swap.
    known: Option<RwLock<Known>>,
    nobody: Counts,
    reloads: Reloads,
}

/// Digests apart from their holders: a search goes through all of them.
#[derive(Debug, Default)]
struct Known {
    digests: Vec<Digest>,
    holders: Vec<Arc<Holder>>,
}

/// What a reload changed, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub added: Vec<KeyName>,
    pub removed: Vec<KeyName>,
    /// With another hash or other scopes.
    pub changed: Vec<KeyName>,
}

impl Keys {
    /// No key file: see [`Identified::Open`]. Make it after the metrics recorder is installed, as
    /// [`Self::of`]: handles are kept.
    pub fn open() -> Self {
        Self::new(None)
    }

    /// These keys, none of which shares its name or its hash with another.
    pub fn of(keys: Vec<Key>) -> Self {
        Self::new(Some(RwLock::new(Known::from(keys))))
    }

    fn new(known: Option<RwLock<Known>>) -> Self {
        Self(Arc::new(Inner { known, nobody: Counts::of_nobody(), reloads: Reloads::new() }))
    }

    /// Whether no key file is configured.
    pub fn is_open(&self) -> bool {
        self.0.known.is_none()
    }

    /// Whose key `Authorization: Bearer KEY` presents. Takes the same time for every key of the file, and
    /// for one that is not there.
    pub fn identify(&self, headers: &HeaderMap) -> Identified {
        let Some(known) = &self.0.known else { return Identified::Open };
        match Presented::by(headers) {
            Presented::Nothing => Identified::Nobody,
            Presented::NoKey => Identified::Unknown,
            Presented::Key(text) => {
                let digest = Digest::of(text);
                known.read().find(&digest).map_or(Identified::Unknown, Identified::Holder)
            }
        }
    }

    /// What is counted of whom.
    pub(in crate::platform) fn counts<'a>(&'a self, identified: &'a Identified) -> &'a Counts {
        match identified {
            Identified::Holder(holder) => &holder.counts,
            Identified::Open | Identified::Unknown | Identified::Nobody => &self.0.nobody,
        }
    }

    pub(super) fn reloads(&self) -> &Reloads {
        &self.0.reloads
    }

    /// Puts these keys in the place of those before, for all requests that come from here on.
    pub(super) fn replace(&self, keys: Vec<Key>) -> Changes {
        let Some(known) = &self.0.known else { return Changes::default() };
        let new = Known::from(keys);
        let changes = known.read().changes(&new);
        *known.write() = new;
        changes
    }
}

impl From<Vec<Key>> for Known {
    fn from(keys: Vec<Key>) -> Self {
        let digests = keys.iter().map(|key| key.digest).collect();
        let holder = |key: Key| {
            let counts = Counts::of(&key.name);
            Arc::new(Holder { name: key.name, scopes: key.scopes, counts })
        };
        Self { digests, holders: keys.into_iter().map(holder).collect() }
    }
}

impl Known {
    /// Every digest is compared, wherever the right one stands.
    fn find(&self, presented: &Digest) -> Option<Arc<Holder>> {
        let mut found = u32::MAX;
        for (at, digest) in (0..).zip(&self.digests) {
            found.conditional_assign(&at, digest.ct_eq(presented));
        }
        self.holders.get(found as usize).cloned()
    }

    fn changes(&self, new: &Self) -> Changes {
        let (before, after) = (self.by_name(), new.by_name());
        let only = |these: &BTreeMap<KeyName, _>, others: &BTreeMap<KeyName, _>| {
            these.keys().filter(|name| !others.contains_key(*name)).cloned().collect()
        };
        let changed = before.iter().filter(|(name, key)| after.get(*name).is_some_and(|new| new != *key));
        Changes {
            added: only(&after, &before),
            removed: only(&before, &after),
            changed: changed.map(|(name, _)| name.clone()).collect(),
        }
    }

    fn by_name(&self) -> BTreeMap<KeyName, (Scopes, Digest)> {
        let pairs = self.holders.iter().zip(&self.digests);
        pairs.map(|(holder, digest)| (holder.name.clone(), (holder.scopes, *digest))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, header};
    use proptest::prelude::*;

    fn key(name: &str, scopes: &str, text: &str) -> Key {
        Key::of(name.parse().unwrap(), scopes.parse().unwrap(), text)
    }

    fn name_of(keys: &Keys, text: &str) -> Option<String> {
        let value = HeaderValue::try_from(format!("Bearer {text}")).unwrap();
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
        keys.identify(&headers).name().map(ToString::to_string)
    }

    #[test]
    fn each_key_is_found_wherever_it_stands_and_no_other_text_is() {
        let of = |number: usize| key(&format!("name-{number}"), "send", &format!("key-{number}"));
        let keys = Keys::of((0..100).map(of).collect());
        for number in 0..100 {
            assert_eq!(name_of(&keys, &format!("key-{number}")), Some(format!("name-{number}")));
        }
        for text in ["key-100", "key-", "KEY-1", "name-1", &Key::line(&of(1))] {
            assert_eq!(name_of(&keys, text), None, "{text}");
        }
    }

    #[test]
    fn without_a_file_everybody_is_let_in_and_with_one_a_missing_key_is_told_from_a_wrong_one() {
        let headers = HeaderMap::new();
        assert!(matches!(Keys::open().identify(&headers), Identified::Open));
        let keys = Keys::of(vec![key("a", "send", "right")]);
        assert!(matches!(keys.identify(&headers), Identified::Nobody));
        let wrong = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer wrong"))]);
        assert!(matches!(keys.identify(&wrong), Identified::Unknown));
    }

    #[test]
    fn all_clones_see_a_reload_which_tells_what_it_changed() {
        let keys =
            Keys::of(vec![key("stays", "send", "1"), key("goes", "send", "2"), key("turns", "send", "3")]);
        let clone = keys.clone();
        let new = vec![key("stays", "send", "1"), key("comes", "send", "4"), key("turns", "read", "3")];
        let changes = keys.replace(new.clone());
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<KeyName>>();
        assert_eq!(changes.added, names(&["comes"]));
        assert_eq!(changes.removed, names(&["goes"]));
        assert_eq!(changes.changed, names(&["turns"]));
        assert_eq!(name_of(&clone, "2"), None);
        assert_eq!(name_of(&clone, "4").as_deref(), Some("comes"));
        assert_eq!(keys.replace(new), Changes::default());
    }

    proptest! {
        #[test]
        fn a_key_is_found_by_its_text_alone(text in "[!-~]{1,256}", other in "[!-~]{1,256}") {
            let keys = Keys::of(vec![key("decoy", "read", "decoy"), key("a", "send", &text)]);
            prop_assert_eq!(name_of(&keys, &text), Some("a".to_owned()));
            prop_assert_eq!(name_of(&keys, &other).is_some(), other == text || other == "decoy");
        }
    }
}
