//! Names of keys: what log lines, metrics and spans tell a caller by.

use std::{fmt, str::FromStr, sync::Arc};

/// Stands in metrics for a call without a known key, so that no key may have it.
pub(super) const NOBODY: &str = "none";
const LONGEST: usize = 64;

/// The name under which a key is configured: a label and a log field, no secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(Arc<str>);

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

/// The text is no name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to {LONGEST} of letters, digits, '.', '_' and '-', and not {NOBODY}")]
pub struct NotAName;

impl FromStr for KeyName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let of_it = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let good = (1..=LONGEST).contains(&text.len()) && text.bytes().all(of_it) && text != NOBODY;
        if good { Ok(Self(text.into())) } else { Err(NotAName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_key_is_named_as_callers_without_one_are_counted() {
        assert_eq!("none".parse::<KeyName>(), Err(NotAName));
        assert_eq!("None".parse::<KeyName>().unwrap().as_str(), "None");
    }

    proptest! {
        #[test]
        fn a_name_is_what_it_may_be(text in "[a-zA-Z0-9._-]{0,66}|\\PC{0,9}|none") {
            let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            let good = !text.is_empty() && text.len() <= 64 && text.chars().all(allowed) && text != "none";
            let read = text.parse::<KeyName>();
            prop_assert_eq!(read.as_ref().map(ToString::to_string).ok(), good.then_some(text));
        }
    }
}
