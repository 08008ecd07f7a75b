//! The key file: lines of `name:scopes:sha256-hex`. It holds hashes, no keys.

use super::{Key, key::Digest};
use crate::watch::read_file;
use data_encoding::HEXLOWER_PERMISSIVE;
use std::{collections::HashMap, hash::Hash, path::Path};

/// Each key is a label of metrics.
const MOST_KEYS: usize = 1000;
/// In bytes: room for all keys and as much comment.
const LARGEST: u64 = 512 * 1024;
/// One mistake made on every line, such as another format, needs no report for each.
const MOST_FAULTS: usize = 20;

/// Reads the file at `path`.
///
/// # Errors
/// All faults, as texts that name lines and say what is right, but never repeat a line.
pub fn read_keys(path: &Path) -> Result<Vec<Key>, Vec<String>> {
    let bytes = read_file(path, LARGEST).map_err(|what| vec![format!("the file {what}")])?;
    let text = String::from_utf8(bytes).map_err(|_| vec!["the file must be UTF-8 text".to_owned()])?;
    parse_keys(&text)
}

/// The keys of a file's text. Empty lines and those that begin with `#` are skipped, and so is the byte order mark
/// that some editors put first.
///
/// # Errors
/// As [`read_keys`].
pub fn parse_keys(text: &str) -> Result<Vec<Key>, Vec<String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = (1_usize..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let (mut keys, mut faults) = (Vec::new(), Vec::new());
    let (mut names, mut digests) = (HashMap::new(), HashMap::new());
    for (number, line) in lines {
        let mut fault = |what: String| faults.push(format!("line {number}: {what}"));
        match key(line) {
            Err(wrong) => wrong.into_iter().for_each(fault),
            Ok(key) => {
                if let Some(first) = repeats(&mut names, key.name.clone(), number) {
                    fault(format!("has the name of line {first}; give each key a name of its own"));
                }
                if let Some(first) = repeats(&mut digests, key.digest, number) {
                    fault(format!("has the hash of line {first}; make a key for each with new-key"));
                }
                keys.push(key);
            }
        }
    }
    if keys.is_empty() && faults.is_empty() {
        faults.push("the file holds no key, so nobody could call; make one with new-key".to_owned());
    }
    if keys.len() > MOST_KEYS {
        faults.push(format!("the file holds {} keys; {MOST_KEYS} are the most", keys.len()));
    }
    if faults.is_empty() {
        return Ok(keys);
    }
    let more = faults.len().saturating_sub(MOST_FAULTS);
    faults.truncate(MOST_FAULTS);
    faults.extend((more > 0).then(|| format!("{more} further faults")));
    Err(faults)
}

/// The first line with this value, if this is not it.
fn repeats<T: Eq + Hash>(seen: &mut HashMap<T, usize>, value: T, number: usize) -> Option<usize> {
    let first = *seen.entry(value).or_insert(number);
    (first != number).then_some(first)
}

fn key(line: &str) -> Result<Key, Vec<String>> {
    let parts: Vec<&str> = line.split(':').collect();
    let [name, scopes, digest] = *parts else {
        return Err(vec!["must be name:scopes:sha256-hex".to_owned()]);
    };
    let no_digest = "the hash is 64 hex digits, the SHA-256 of the key's text";
    let digest = HEXLOWER_PERMISSIVE.decode(digest.as_bytes()).ok();
    let digest: Option<Digest> = digest.and_then(|bytes| bytes.try_into().ok());
    match (name.parse(), scopes.parse(), digest.ok_or(no_digest)) {
        (Ok(name), Ok(scopes), Ok(digest)) => Ok(Key { name, scopes, digest }),
        (name, scopes, digest) => {
            let faults = [name.err(), scopes.err(), digest.err()].into_iter().flatten();
            Err(faults.map(str::to_owned).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn faults(text: &str) -> Vec<String> {
        parse_keys(text).err().unwrap_or_default()
    }

    #[test]
    fn lines_are_read_and_written_the_same_among_comments() {
        let line = format!("app.one-2_x:send,read:{HASH}");
        let text = format!(
            "\u{feff}# clients\r\n\r\n  {line}\t\r\n#{line}\nother:operate:{}",
            HASH.replace('b', "c")
        );
        let keys = parse_keys(&text).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].line(), line);
        assert_eq!(keys[0], Key::of("app.one-2_x".parse().unwrap(), "read,send".parse().unwrap(), "abc"));
    }

    #[test]
    fn every_fault_is_reported_at_once_with_its_line_number_and_without_its_content() {
        let text =
            format!("secret\nsecret:send:{HASH}:\n\nnone:secret,send:secret\na:send:{HASH}\na:read:{HASH}\n");
        let faults = faults(&text);
        let starts = [
            "line 1: must be name:scopes:sha256-hex", "line 2: must be name:scopes:sha256-hex",
            "line 4: a name is 1 to 64", "line 4: scopes are some of", "line 4: the hash is 64 hex digits",
            "line 6: has the name of line 5", "line 6: has the hash of line 5",
        ];
        assert_eq!(faults.len(), starts.len(), "{faults:#?}");
        for (fault, start) in faults.iter().zip(starts) {
            assert!(fault.starts_with(start) && !fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn a_file_without_a_key_or_with_too_many_or_far_too_wrong_is_refused_in_few_words() {
        assert_eq!(faults("# nothing\n\n").len(), 1);
        let line = |number: usize| format!("n{number}:send:{number:064x}\n");
        assert_eq!(parse_keys(&(0..MOST_KEYS).map(line).collect::<String>()).unwrap().len(), MOST_KEYS);
        assert_eq!(faults(&(0..=MOST_KEYS).map(line).collect::<String>()).len(), 1);
        assert_eq!(faults(&"wrong\n".repeat(100)).len(), MOST_FAULTS + 1);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_fault_whatever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        assert!(read_keys(&path).is_err());
        assert!(read_keys(folder.path()).is_err());
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(read_keys(&path).unwrap_err(), ["the file must be UTF-8 text"]);
        std::fs::write(&path, "#".repeat(600 * 1024)).unwrap();
        assert_eq!(read_keys(&path).unwrap_err(), ["the file is larger than 512 KiB"]);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_it_holds_keys_or_faults(
            text in "[\\s\\S]*|([a-z.:,#\\n]{0,9}(:(send|read|operate|,){0,3}:[0-9a-f]{63,65})?\r?\n){0,9}",
        ) {
            match parse_keys(&text) {
                Ok(keys) => {
                    let lines: Vec<String> = keys.iter().map(Key::line).collect();
                    prop_assert_eq!(parse_keys(&lines.join("\n")).unwrap(), keys);
                }
                Err(faults) => prop_assert!(!faults.is_empty()),
            }
        }
    }
}
