//! What is kept of a key: its SHA-256. Keys are random numbers of 256 bits, which nobody finds by trying, so
//! that a slow hash for passwords would add nothing but time.

use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 of a key's text, as words: few comparisons.
///
/// `==` is for the configuration alone; what a caller presents is compared by [`ConstantTimeEq`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u64; 4]);

impl Digest {
    pub fn of(text: &[u8]) -> Self {
        let bytes: [u8; 32] = Sha256::digest(text).into();
        let (words, _) = bytes.as_chunks::<8>();
        let mut digest = [0; 4];
        digest.iter_mut().zip(words).for_each(|(word, bytes)| *word = u64::from_be_bytes(*bytes));
        Self(digest)
    }

    /// Reads 64 hex digits of either case.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut digest = [0; 4];
        for (at, word) in digest.iter_mut().enumerate() {
            *word = u64::from_str_radix(text.get(at * 16..(at + 1) * 16)?, 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl ConstantTimeEq for Digest {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.as_slice().ct_eq(other.0.as_slice())
    }
}

/// 64 lower-case hex digits, as the key file has them.
impl fmt::LowerHex for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

/// Nothing of it: what is printed for debugging ends up anywhere.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_the_sha_256_of_the_standard() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(format!("{:x}", Digest::of(b"abc")), abc);
        assert_eq!(Digest::from_hex(&abc.to_uppercase()), Some(Digest::of(b"abc")));
    }

    proptest! {
        #[test]
        fn it_is_read_as_it_is_written_and_equal_to_itself_alone(one: Vec<u8>, other: Vec<u8>) {
            let (a, b) = (Digest::of(&one), Digest::of(&other));
            prop_assert_eq!(Digest::from_hex(&format!("{a:x}")), Some(a));
            prop_assert_eq!(bool::from(a.ct_eq(&b)), one == other);
        }

        #[test]
        fn no_text_panics(text in "[0-9a-fA-F+]{62,66}|\\PC{0,70}") {
            let good = text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
            prop_assert_eq!(Digest::from_hex(&text).is_some(), good);
        }
    }
}
