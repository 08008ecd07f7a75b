//! Settings of authentication.

use crate::platform::config::Reader;
use std::path::PathBuf;

/// Authentication's settings.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// Lines of `name:scopes:sha256-hex`.
    pub api_keys_file: Option<PathBuf>,
}

impl AuthConfig {
    /// Reads `auth.*`.
    pub fn read(reader: &mut Reader) -> Self {
        let config = Self {
            api_keys_file: reader
                .optional("auth.api_keys_file", "file of lines name:scopes:sha256-hex of API keys"),
        };
        reader.not_built_yet("auth.");
        config
    }
}
