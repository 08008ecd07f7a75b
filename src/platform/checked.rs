//! Texts that cannot be invalid once they are there. Each is read by [`FromStr`](std::str::FromStr), says in
//! [`Invalid`] what would be right without repeating what it was given, and is not shown by `Debug`, so
//! that none reaches a log line or a span. Which there are is the domain's matter.

/// What a value has to look like; names the rule, never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub &'static str);

/// A newtype over a string that was checked, shown by `Debug` without its content.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::platform::checked::Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err($crate::platform::checked::Invalid($rule))
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        }
    };
}
pub(crate) use checked_text;

/// The most characters of an identifier that callers give.
pub const IDENTIFIER_MOST: usize = 64;

/// Whether it is an identifier as callers give them: 1 to 64 characters out of letters, digits, `.`, `_` and `-`.
pub fn is_identifier(text: &str) -> bool {
    (1..=IDENTIFIER_MOST).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
