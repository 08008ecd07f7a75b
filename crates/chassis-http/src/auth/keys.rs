//! The keys that are known, and finding the one that a request presents.

use super::file::read_keys;
use super::key::{Digest, NOBODY};
use super::{Key, KeyName, Scopes};
use crate::metrics as names;
use crate::watch::{Watch, follow};
use http::{HeaderMap, header};
use metrics::Counter;
use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Longer presented texts are no key: one that `new_key` makes has 64 characters at most.
const LONGEST: usize = 256;

/// Who presented a known key.
#[derive(Debug)]
pub(crate) struct Holder {
    pub name: KeyName,
    pub scopes: Scopes,
    pub counts: Counts,
}

/// What a request's `Authorization` says.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// No key file is configured: everybody may do everything.
    Open,
    Holder(Arc<Holder>),
    /// A key that is not known, or a text that cannot be one.
    Unknown,
    /// No key.
    Nobody,
}

/// `auth_requests_total` of one key, or of all callers without one.
#[derive(Debug)]
pub(crate) struct Counts {
    /// The caller may do what it asked for. Whether the rate limit let it is counted there.
    pub ok: Counter,
    /// No known key where one is needed.
    pub unknown_key: Counter,
    /// The key lacks the scope.
    pub forbidden: Counter,
}

impl Counts {
    fn of(name: &str) -> Self {
        let counter = |outcome: &'static str| {
            let counter =
                metrics::counter!(names::AUTH_REQUESTS, "key" => name.to_owned(), "outcome" => outcome);
            counter.increment(0);
            counter
        };
        Self { ok: counter("ok"), unknown_key: counter("unknown_key"), forbidden: counter("forbidden") }
    }
}

/// The keys of the file as they are now. Cheap to clone; all clones see a reload.
///
/// Make it after the metrics recorder is installed, since handles are kept.
#[derive(Clone, Debug)]
pub struct Keys(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    /// `None` without a key file.
    known: Option<RwLock<Known>>,
    /// Of callers without a known key.
    pub nobody: Counts,
}

/// By the hash of a key's text: what a look-up's time reveals of a hash helps nobody to find the text.
type Known = HashMap<Digest, Arc<Holder>>;

impl Keys {
    /// No key file: everybody may do everything.
    pub fn open() -> Self {
        Self(Arc::new(Inner { known: None, nobody: Counts::of(NOBODY) }))
    }

    /// These keys, none of which shares its name or its hash with another.
    pub fn of(keys: Vec<Key>) -> Self {
        Self(Arc::new(Inner { known: Some(RwLock::new(known(keys))), nobody: Counts::of(NOBODY) }))
    }

    /// Whether no key file is configured.
    pub fn is_open(&self) -> bool {
        self.0.known.is_none()
    }

    pub(crate) fn identify(&self, headers: &HeaderMap) -> Identity {
        let Some(known) = &self.0.known else { return Identity::Open };
        match presented(headers) {
            Ok(None) => Identity::Nobody,
            Err(()) => Identity::Unknown,
            Ok(Some(text)) => {
                let digest: Digest = Sha256::digest(text).into();
                known.read().get(&digest).cloned().map_or(Identity::Unknown, Identity::Holder)
            }
        }
    }

    /// Watches the file from here on; the future reads it again on each change and on SIGHUP, forever. A broken file
    /// is logged and counted, and the old keys stay.
    ///
    /// # Errors
    /// The handler of SIGHUP can't be installed.
    pub fn follow(&self, path: PathBuf) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let (watch, keys) = (Watch::new([path.clone()])?, self.clone());
        let [ok, failed] = ["ok", "failed"]
            .map(|outcome| metrics::counter!(names::AUTH_KEY_FILE_RELOADS, "outcome" => outcome));
        let take = move |read: Result<Vec<Key>, Vec<String>>, anyway| match read {
            Ok(new) => ok.increment(keys.replace(new, anyway).into()),
            Err(faults) => {
                failed.increment(1);
                let faults = faults.join("; ");
                tracing::error!(faults, "the API key file is broken: the keys from before stay in use");
            }
        };
        Ok(async move { follow(watch, move || read_keys(&path), take).await })
    }

    /// Puts these keys in the place of the old ones. Says so if anything changed or `anyway`, and whether it did.
    fn replace(&self, keys: Vec<Key>, anyway: bool) -> bool {
        let Some(held) = &self.0.known else { return false };
        let new = known(keys);
        let old = std::mem::replace(&mut *held.write(), new.clone());
        let (old, new) = (by_name(&old), by_name(&new));
        let added = listed(new.keys().filter(|name| !old.contains_key(name)));
        let removed = listed(old.keys().filter(|name| !new.contains_key(name)));
        let changed =
            listed(new.keys().filter(|name| old.get(name).is_some_and(|was| Some(was) != new.get(name))));
        let news = anyway || [&added, &removed, &changed].iter().any(|names| !names.is_empty());
        if news {
            tracing::info!(keys = new.len(), added, removed, changed, "API keys are read again");
        }
        news
    }
}

fn known(keys: Vec<Key>) -> Known {
    let holder = |Key { name, scopes, digest }| {
        let counts = Counts::of(name.as_str());
        (digest, Arc::new(Holder { name, scopes, counts }))
    };
    keys.into_iter().map(holder).collect()
}

/// A key whose hash or scopes are others is a changed one.
fn by_name(known: &Known) -> BTreeMap<KeyName, (Digest, Scopes)> {
    known.iter().map(|(digest, holder)| (holder.name.clone(), (*digest, holder.scopes))).collect()
}

fn listed<'a>(names: impl Iterator<Item = &'a KeyName>) -> String {
    names.map(KeyName::as_str).collect::<Vec<_>>().join(",")
}

/// The text of 1 to 256 visible ASCII characters that `Authorization: Bearer KEY` (RFC 6750, section 2.1) presents; `None`
/// without a bearer's token, and an error for one that cannot be a key or more than one header: which one was meant is not
/// ours to guess.
fn presented(headers: &HeaderMap) -> Result<Option<&[u8]>, ()> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(());
    }
    let (scheme, rest) = value.as_bytes().split_at_checked(b"bearer".len()).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(b"bearer") || !matches!(rest.first(), None | Some(b' ')) {
        return Ok(None);
    }
    let key = rest.trim_ascii();
    let good = (1..=LONGEST).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    if good { Ok(Some(key)) } else { Err(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn found(values: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        match presented(&headers) {
            Ok(Some(key)) => String::from_utf8(key.to_vec()).unwrap(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_the_key_as_it_is() {
        for value in ["Bearer KEY", "bearer KEY", "BEARER KEY", "Bearer   KEY "] {
            assert_eq!(found(&[value.as_bytes()]), "KEY", "{value}");
        }
    }

    #[test]
    fn another_scheme_presents_nothing_and_a_token_that_is_no_key_presents_none() {
        for value in ["", "Basic a2V5", "KEY", "Bearers KEY", "Bearer\u{9}KEY"] {
            assert_eq!(found(&[value.as_bytes()]), "Ok(None)", "{value}");
        }
        let long = format!("Bearer {}", "x".repeat(257));
        for value in ["Bearer", "Bearer ", "Bearer KEY KEY", "Bearer KEY, Bearer KEY", "Bearer ké", &long] {
            assert_eq!(found(&[value.as_bytes()]), "Err(())", "{value}");
        }
        assert_eq!(found(&[]), "Ok(None)");
        assert_eq!(found(&[b"Bearer KEY", b"Bearer KEY"]), "Err(())");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = presented(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]));
            }
        }
    }
}
