//! The API key that the client presents: read from a file, and again when the file changes. It is never shown.

use crate::catalogue::KEY_RELOADS;
use http::HeaderValue;
use parking_lot::RwLock;
use std::str::FromStr;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// How often the file is read: it is short, and mounted secrets give no reliable notice of a change.
const INTERVAL: Duration = Duration::from_secs(1);

/// A file that holds one key with white space around it, and the header that presents the key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyFile {
    path: String,
    /// Marked as sensitive, so that nothing prints it.
    header: HeaderValue,
}

/// Reads the file. An error never shows what was read.
impl FromStr for KeyFile {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| format!("{path} can't be read: {error}"))?;
        let key = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text).trim_ascii();
        let valid = (1..=256).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        match HeaderValue::from_bytes(&[b"Bearer ", key].concat()) {
            Ok(mut header) if valid => {
                header.set_sensitive(true);
                Ok(Self { path: path.to_owned(), header })
            }
            _ => Err(format!("{path} must hold one key: 1 to 256 visible ASCII characters")),
        }
    }
}

/// The key in use.
pub(crate) struct Key(pub RwLock<Option<KeyFile>>);

impl Key {
    /// The value of `authorization`.
    pub fn header(&self) -> Option<HeaderValue> {
        self.0.read().as_ref().map(|file| file.header.clone())
    }

    /// Follows the file for ever. A broken file changes nothing and is reported once.
    #[expect(clippy::disallowed_methods, reason = "reading the key belongs to no span")]
    pub async fn follow(&self, target: &'static str) {
        let Some(file) = self.0.read().clone() else { return std::future::pending().await };
        let count = |outcome, by| {
            metrics::counter!(KEY_RELOADS.name, "target" => target, "outcome" => outcome).increment(by);
        };
        ["ok", "failed"].iter().for_each(|outcome| count(*outcome, 0));
        let (path, mut last) = (file.path.clone(), Ok(file));
        loop {
            tokio::time::sleep(INTERVAL).await;
            let path = path.clone();
            // The key stays as it is if the runtime is shutting down.
            let Ok(read) = spawn_blocking(move || path.parse::<KeyFile>()).await else { continue };
            match &read {
                _ if read == last => {}
                Ok(file) => {
                    *self.0.write() = Some(file.clone());
                    count("ok", 1);
                    tracing::info!(target, "API key for another service reloaded");
                }
                Err(fault) => {
                    count("failed", 1);
                    tracing::error!(target, fault, "API key file is broken: the old key stays in use");
                }
            }
            last = read;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> Result<HeaderValue, String> {
        let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        std::fs::write(file.path(), text).map_err(|error| error.to_string())?;
        file.path().display().to_string().parse().map(|file: KeyFile| file.header)
    }

    #[test]
    fn a_key_is_one_word_with_white_space_around_it() {
        assert_eq!(read(b" a-service_x \r\n").unwrap(), "Bearer a-service_x");
        assert!(read("x".repeat(256).as_bytes()).is_ok());
        for none in ["", "\n", "a b", "a\nb", "k\u{e9}y", &"x".repeat(257)] {
            assert!(read(none.as_bytes()).is_err(), "{none}");
        }
        assert!(!read(b"not a key").unwrap_err().contains("not a key"));
        assert!("/no/such/file".parse::<KeyFile>().unwrap_err().contains("can't be read"));
    }

    proptest! {
        #[test]
        fn what_is_read_is_never_shown(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(header) = read(&text) {
                prop_assert_eq!(format!("{header:?}"), "Sensitive");
            }
        }
    }
}
