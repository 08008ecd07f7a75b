//! The reader that each concern's settings are taken from.

/// Where the settings of one concern are read from: defaults, TOML file, environment, command line.
///
/// A fault is collected, and the default returned in its place, so that one run names them all.
pub struct Reader {}

/// A value that can be read from its text.
pub trait Parse: Sized {
    /// Says what is wrong and what would be right, without repeating a secret.
    fn parse(text: &str) -> Result<Self, String>;
}

impl Reader {
    /// The value of `key` (as `http.listen`); `default` and `meaning` are printed by `--print-config`.
    pub fn value<T: Parse>(
        &mut self,
        _key: &'static str,
        _default: &'static str,
        _meaning: &'static str,
    ) -> T {
        todo!()
    }

    /// The value of a key that has no default.
    pub fn optional<T: Parse>(&mut self, _key: &'static str, _meaning: &'static str) -> Option<T> {
        todo!()
    }

    /// Collects a fault on `key` that concerns several keys together; `fault` says what and the fix.
    pub fn fault(&mut self, _key: &'static str, _fault: String) {
        todo!()
    }
}
