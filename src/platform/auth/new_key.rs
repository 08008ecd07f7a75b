//! Making a key.

use super::{Key, KeyName, Scopes};
use rand::{TryRngCore, rngs::OsRng};

/// RFC 4648's base32 in lower case: a key is one word, to a double click and to a shell.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The system has no random bytes to give.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(String);

/// A new key: its text, which is told once and kept nowhere, and what is configured of it.
///
/// The text is `prefix`, by which scanners find one that leaked, and 256 bits of the system's randomness
/// in base32 (52 characters).
///
/// # Errors
/// If the system has no random bytes to give.
pub fn new_key(prefix: &str, name: KeyName, scopes: Scopes) -> Result<(String, Key), NoRandomness> {
    let mut random = [0; 32];
    OsRng.try_fill_bytes(&mut random).map_err(|error| NoRandomness(error.to_string()))?;
    let text = format!("{prefix}{}", base32(&random));
    let key = Key::of(name, scopes, &text);
    Ok((text, key))
}

/// Five bits a character, the last one filled up with zeros.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in bytes.iter().map(|byte| u32::from(*byte)) {
        (bits, count) = (bits << 8 | byte, count + 8);
        while count >= 5 {
            count -= 5;
            text.push(character(bits >> count));
        }
    }
    if count > 0 {
        text.push(character(bits << (5 - count)));
    }
    text
}

fn character(bits: u32) -> char {
    char::from(ALPHABET[(bits & 31) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn it_is_the_base32_of_the_standard() {
        let cases =
            [("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"), ("foobar", "mzxw6ytboi")];
        for (text, written) in cases {
            assert_eq!(base32(text.as_bytes()), written);
        }
    }

    #[test]
    fn every_key_is_another_one_of_256_bits_and_known_by_its_line() {
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            let (text, key) = new_key("a_", "name".parse().unwrap(), "send".parse().unwrap()).unwrap();
            assert_eq!(text.len(), 2 + 52);
            assert_eq!(key, Key::of(key.name.clone(), key.scopes, &text));
            assert!(!key.line().contains(&text) && seen.insert(text));
        }
    }
}
