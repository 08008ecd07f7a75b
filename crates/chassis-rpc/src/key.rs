//! The API key that the client presents: read from a file, and again when the file changes. It is never shown.

use crate::catalogue::KEY_RELOADS;
use http::HeaderValue;
use parking_lot::RwLock;
use secrecy::{ExposeSecret, SecretString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Longer keys are nobody's.
const KEY_MAX: usize = 256;
/// A longer file holds something else.
const FILE_MAX: u64 = 4096;
/// How often the file is read: it is short, and mounted secrets give no reliable notice of a change.
const INTERVAL: Duration = Duration::from_secs(1);

/// A file that holds one key, with white space around it, and the key in it.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
    key: SecretString,
}

impl FromStr for KeyFile {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        let key = read(Path::new(path)).map_err(|fault| format!("{path} {fault}"))?;
        Ok(Self { path: path.into(), key })
    }
}

/// Reads a key. An error never shows what was read.
fn read(path: &Path) -> Result<SecretString, String> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut text));
    read.map_err(|error| format!("can't be read: {error}"))?;
    let key = text.trim_ascii();
    let valid = (1..=KEY_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    let key = std::str::from_utf8(key).ok().filter(|_| valid);
    key.map(SecretString::from)
        .ok_or_else(|| format!("must hold one key: 1 to {KEY_MAX} visible ASCII characters"))
}

/// The key in use.
pub(crate) struct Key {
    file: Option<PathBuf>,
    header: RwLock<Option<HeaderValue>>,
}

impl Key {
    pub fn new(file: Option<&KeyFile>) -> Self {
        let header = file.and_then(|file| bearer(&file.key));
        Self { file: file.map(|file| file.path.clone()), header: RwLock::new(header) }
    }

    /// The value of `authorization`.
    pub fn header(&self) -> Option<HeaderValue> {
        self.header.read().clone()
    }

    /// Follows the file for ever. A broken file changes nothing and is reported once.
    #[expect(clippy::disallowed_methods, reason = "reading the key belongs to no span")]
    pub async fn follow(&self, target: &'static str) {
        let Some(path) = &self.file else { return std::future::pending().await };
        let count = |outcome, by| {
            metrics::counter!(KEY_RELOADS.name, "target" => target, "outcome" => outcome).increment(by);
        };
        ["ok", "failed"].iter().for_each(|outcome| count(*outcome, 0));
        let mut broken = false;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let file = path.clone();
            // The key stays as it is if the runtime is shutting down.
            let Ok(read) = tokio::task::spawn_blocking(move || read(&file)).await else { continue };
            let was_broken = std::mem::replace(&mut broken, read.is_err());
            match read {
                Ok(key) if self.replace(&key) => {
                    count("ok", 1);
                    tracing::info!(target, "API key for another service reloaded");
                }
                Err(fault) if !was_broken => {
                    count("failed", 1);
                    tracing::error!(
                        target,
                        fault,
                        "API key file is broken: the key from before stays in use"
                    );
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Whether the key is another one than before.
    fn replace(&self, key: &SecretString) -> bool {
        let new = bearer(key);
        std::mem::replace(&mut *self.header.write(), new.clone()) != new
    }
}

/// Marked as sensitive, so that nothing prints it.
fn bearer(key: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_text(text: &[u8]) -> Result<SecretString, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn a_key_is_one_word_with_white_space_around_it() {
        let key = |text: &[u8]| read_text(text).ok().map(|key| key.expose_secret().to_owned());
        assert_eq!(key(b" a-service_x \r\n").as_deref(), Some("a-service_x"));
        let (long, longest) = ("x".repeat(257), "x".repeat(256));
        assert_eq!(key(longest.as_bytes()), Some(longest.clone()));
        for none in ["", "\n", "a b", "a\nb", "k\u{e9}y", &long] {
            assert_eq!(key(none.as_bytes()), None, "{none}");
        }
        assert!(!read_text(b"not a key").unwrap_err().contains("not a key"));
        assert!(read(Path::new("/no/such/file")).unwrap_err().starts_with("can't be read"));
    }

    proptest! {
        #[test]
        fn what_is_read_can_be_presented_and_is_not_shown(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(read) = read_text(&text) {
                let value = bearer(&read).unwrap();
                prop_assert!(value.is_sensitive());
                prop_assert_eq!(format!("{value:?}"), "Sensitive");
            }
        }
    }
}
