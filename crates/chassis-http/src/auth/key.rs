//! A key: its name, what it allows, and the SHA-256 by which it is recognised. Keys are random numbers of 256 bits,
//! which nobody finds by trying, so a slow hash for passwords would only cost time.

use super::Scopes;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr, sync::Arc};

/// Stands in metrics for a call without a known key, so that no key may have it.
pub(crate) const NOBODY: &str = "none";
const LONGEST_NAME: usize = 64;

/// The name under which a key is configured: a label and a log field, no secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(pub(super) Arc<str>);

impl KeyName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let good = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(allowed) && text != NOBODY;
        let wrong = "a name is 1 to 64 letters, digits, '.', '_' and '-', and not none";
        good.then(|| Self(text.into())).ok_or(wrong)
    }
}

/// The SHA-256 of a key's text.
pub(super) type Digest = [u8; 32];

/// A configured key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    pub name: KeyName,
    pub scopes: Scopes,
    pub(super) digest: Digest,
}

impl Key {
    /// The key that is this text.
    pub fn of(name: KeyName, scopes: Scopes, text: &str) -> Self {
        Self { name, scopes, digest: Sha256::digest(text).into() }
    }

    /// Its line for the key file.
    pub fn line(&self) -> String {
        let Self { name, scopes, digest } = self;
        format!("{name}:{scopes}:{}", HEXLOWER.encode(digest))
    }
}

/// Without its hash: what is printed for debugging ends up anywhere.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}:{})", self.name, self.scopes)
    }
}

/// A new key: its text, which is shown once and kept nowhere, and its configuration.
///
/// The text is `prefix`, by which scanners find one that leaked, and 256 random bits in base32 (52 characters).
pub fn new_key(prefix: &str, name: KeyName, scopes: Scopes) -> (String, Key) {
    // Of a generator that is made for keys, with a seed from the system.
    let random: [u8; 32] = rand::random();
    // In lower case, so that a key is one word, to a double click and to a shell.
    let text = format!("{prefix}{}", BASE32_NOPAD.encode(&random).to_ascii_lowercase());
    (text.clone(), Key::of(name, scopes, &text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn every_key_is_another_one_of_256_bits_and_known_by_its_line() {
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            let (text, key) = new_key("a_", "name".parse().unwrap(), "send".parse().unwrap());
            assert_eq!(text.len(), 2 + 52);
            assert_eq!(key, Key::of(key.name.clone(), key.scopes, &text));
            assert!(!key.line().contains(&text) && seen.insert(text));
        }
    }

    #[test]
    fn no_key_has_the_name_by_which_callers_without_one_are_counted() {
        assert!("none".parse::<KeyName>().is_err());
        assert_eq!("None".parse::<KeyName>().unwrap().as_str(), "None");
    }

    proptest! {
        #[test]
        fn a_name_is_what_it_may_be(text in "[a-zA-Z0-9._-]{0,66}|\\PC{0,9}|none") {
            let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            let good = !text.is_empty() && text.len() <= 64 && text.chars().all(allowed) && text != "none";
            prop_assert_eq!(text.parse::<KeyName>().is_ok(), good);
        }
    }
}
