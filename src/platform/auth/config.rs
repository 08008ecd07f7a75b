//! Settings of authentication.

use super::{Key, read_keys};
use crate::platform::config::Reader;
use std::path::PathBuf;

/// Authentication's settings.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// Without it nobody is asked for a key.
    pub key_file: Option<KeyFile>,
}

/// A key file, and what it held when the configuration was read.
#[derive(Clone, Debug)]
pub struct KeyFile {
    pub path: PathBuf,
    pub keys: Vec<Key>,
}

impl AuthConfig {
    /// Reads `auth.*`, and the key file.
    pub fn read(reader: &mut Reader) -> Self {
        let key = "auth.api_keys_file";
        let path: Option<PathBuf> =
            reader.optional(key, "file of lines name:scopes:sha256-hex of API keys, made by new-key");
        let key_file = path.map(|path| {
            let keys = read_keys(&path).unwrap_or_else(|faults| {
                faults.into_iter().for_each(|fault| reader.fault(key, fault));
                Vec::new()
            });
            KeyFile { path, keys }
        });
        Self { key_file }
    }
}
