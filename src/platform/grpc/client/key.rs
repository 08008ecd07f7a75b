//! The key that the client presents: read from a file, and taken in again when that changes. It is never
//! shown. Where the file is, is the service's configuration.

use super::Client;
use crate::platform::{
    task,
    telemetry::names,
    watch::{Watch, Why},
};
use metrics::counter;
use parking_lot::RwLock;
use secrecy::{ExposeSecret, SecretString};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};
use tonic::metadata::{Ascii, MetadataValue};

/// As the other side holds it: longer ones are nobody's.
const LONGEST: usize = 256;
/// A file of more than this holds something else.
const MOST_BYTES: u64 = 4096;

/// What is presented now.
pub(super) struct Key(RwLock<Option<MetadataValue<Ascii>>>);

impl Key {
    pub fn new(key: Option<&SecretString>) -> Self {
        Self(RwLock::new(key.and_then(bearer)))
    }

    /// The value of `authorization`.
    pub fn presented(&self) -> Option<MetadataValue<Ascii>> {
        self.0.read().clone()
    }

    /// Whether it is another one than before.
    fn replace(&self, key: &SecretString) -> bool {
        let new = bearer(key);
        let mut presented = self.0.write();
        let changed = *presented != new;
        *presented = new;
        changed
    }
}

/// Marked, so that nothing shows it. `None` for what is no header's value.
fn bearer(key: &SecretString) -> Option<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", key.expose_secret()).parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Reads a file that holds one key and nothing else but white space around it.
///
/// # Errors
/// Says what is wrong, and never what was read.
pub fn read_key_file(path: &Path) -> Result<SecretString, String> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut text));
    read.map_err(|error| format!("can't be read: {error}"))?;
    key_in(&text).ok_or_else(|| format!("must hold one key: 1 to {LONGEST} visible ASCII characters"))
}

fn key_in(text: &[u8]) -> Option<SecretString> {
    let key = text.trim_ascii();
    let good = (1..=LONGEST).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    good.then(|| std::str::from_utf8(key).ok().map(SecretString::from)).flatten()
}

impl Client {
    /// Watches the key's file from here on; the future takes it in for ever. A broken file changes nothing:
    /// the key from before stays, and it is told.
    ///
    /// # Errors
    /// If the handler of SIGHUP can't be installed.
    pub fn follow_key_file(
        &self,
        path: PathBuf,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static + use<>> {
        let mut watch = Watch::new([path.clone()])?;
        let (key, target) = (self.key(), self.name());
        let [taken, failed] = ["ok", "failed"].map(|outcome| {
            counter!(
                names::RPC_CLIENT_KEY_RELOADS,
                names::LABEL_TARGET => target,
                names::LABEL_OUTCOME => outcome,
            )
        });
        Ok(async move {
            let path: Arc<Path> = path.into();
            loop {
                let why = watch.changed().await;
                let file = Arc::clone(&path);
                // A panic was logged by the panic hook; the key stays as it is.
                let Ok(read) = task::spawn_blocking(move || read_key_file(&file)).await else { continue };
                match read.map(|read| key.replace(&read)) {
                    Ok(changed) if changed || why == Why::Asked => {
                        taken.increment(1);
                        tracing::info!(target, changed, "the key for another service is read again");
                    }
                    Ok(_) => {}
                    Err(fault) => {
                        failed.increment(1);
                        tracing::error!(
                            target,
                            fault,
                            "the key file is broken: the key from before stays in use"
                        );
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_one_word_with_white_space_around_it() {
        let key = |text: &[u8]| key_in(text).map(|key| key.expose_secret().to_owned());
        assert_eq!(key(b" a-service_x \r\n").as_deref(), Some("a-service_x"));
        let (long, longest) = ("x".repeat(257), "x".repeat(256));
        assert_eq!(key(longest.as_bytes()), Some(longest.clone()));
        for none in ["", "\n", "a b", "a\nb", "k\u{e9}y", &long] {
            assert_eq!(key(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn a_file_that_is_none_is_told_without_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read_key_file(&path).unwrap_err().starts_with("can't be read"));
        std::fs::write(&path, "not a key").unwrap();
        assert!(!read_key_file(&path).unwrap_err().contains("not a key"));
        std::fs::write(&path, "a-key\n").unwrap();
        assert_eq!(read_key_file(&path).unwrap().expose_secret(), "a-key");
    }

    proptest! {
        #[test]
        fn whatever_is_read_can_be_presented_and_is_not_shown(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(read) = key_in(&text) {
                let value = bearer(&read).unwrap();
                prop_assert!(value.is_sensitive());
                prop_assert_eq!(value.to_str().unwrap(), format!("Bearer {}", read.expose_secret()));
                prop_assert_eq!(format!("{value:?}"), "Sensitive");
            }
        }
    }
}
