//! Settings of the store.

use crate::platform::config::{Parse, Reader};
use secrecy::SecretString;
use std::path::PathBuf;

/// The store's settings.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    pub url: StoreUrl,
}

/// Where everything durable is.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// An SQLite file: `sqlite://data/x.db` is relative to the working directory, `sqlite:///data/x.db` absolute.
    /// `?synchronous=off` is for measuring only: a power cut then loses what was acknowledged.
    Sqlite { path: PathBuf, synchronous: bool },
    /// A PostgreSQL URL, which may hold a password.
    Postgres(SecretString),
}

impl StoreConfig {
    /// Reads `store.*`.
    pub fn read(reader: &mut Reader) -> Self {
        let url =
            reader.value("store.url", "sqlite://data/epro-notify.db", "where everything durable is kept");
        if matches!(url, StoreUrl::Postgres(_)) {
            reader.fault("store.url", "PostgreSQL is not built yet; use sqlite://path/to/file.db".to_owned());
        }
        Self { url }
    }
}

impl Parse for StoreUrl {
    fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.into()));
        }
        let rest = text.strip_prefix("sqlite://");
        let (path, synchronous) = match rest.and_then(|rest| rest.strip_suffix("?synchronous=off")) {
            Some(path) => (Some(path), false),
            None => (rest, true),
        };
        match path.filter(|path| !path.is_empty() && !path.ends_with('/')) {
            Some(path) if path.contains(['?', '#', '\0']) => {
                Err("must be a plain path after sqlite://; its one parameter is ?synchronous=off".to_owned())
            }
            Some(path) => Ok(Self::Sqlite { path: path.into(), synchronous }),
            None => {
                Err("must be sqlite://relative/file.db, sqlite:///absolute/file.db or postgres://…"
                    .to_owned())
            }
        }
    }

    /// Any other text may be a misspelled address with a password.
    fn is_secret(text: &str) -> bool {
        !text.starts_with("sqlite://")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sqlite(text: &str) -> Option<PathBuf> {
        match StoreUrl::parse(text) {
            Ok(StoreUrl::Sqlite { path, synchronous: true }) => Some(path),
            _ => None,
        }
    }

    #[test]
    fn two_slashes_are_relative_and_three_absolute() {
        assert_eq!(sqlite("sqlite://data/x.db"), Some("data/x.db".into()));
        assert_eq!(sqlite("sqlite:///var/x.db"), Some("/var/x.db".into()));
        for text in
            ["", "sqlite://", "sqlite://data/", "sqlite::memory:", "data/x.db", "sqlite://x.db?mode=ro"]
        {
            assert_eq!(sqlite(text), None, "{text}");
        }
    }

    #[test]
    fn only_an_explicit_parameter_turns_syncing_off() {
        let off = StoreUrl::parse("sqlite://x.db?synchronous=off");
        assert!(matches!(off, Ok(StoreUrl::Sqlite { synchronous: false, .. })));
        assert!(StoreUrl::parse("sqlite://x.db?synchronous=normal").is_err());
    }

    #[test]
    fn a_postgres_password_is_never_shown() {
        let mut reader = Reader::for_tests(&[("store.url", "postgres://user:canary@host/db")]);
        let config = StoreConfig::read(&mut reader);
        assert!(!format!("{config:?}").contains("canary"));
        let faults = reader.finish().expect_err("PostgreSQL is not built").to_string();
        assert!(
            faults.starts_with("APP_STORE__URL (environment): PostgreSQL") && !faults.contains("canary"),
            "{faults}"
        );
    }

    proptest! {
        #[test]
        fn no_address_panics(text in "\\PC*|sqlite://\\PC*|postgres://\\PC*") {
            let _ = StoreUrl::parse(&text);
        }
    }
}
