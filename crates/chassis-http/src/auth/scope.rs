//! What a key allows.

use std::{fmt, str::FromStr};

/// One kind of call. A key with a scope sees all data: there is no ownership by client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Creates, and cancels what was created.
    Send,
    /// Only reads.
    Read,
    /// What operators do, the admin listener's switches included.
    Operate,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Send, Self::Read, Self::Operate];

    /// Its word in the key file and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }
}

const NOT_SCOPES: &str = "scopes are some of send, read, operate, joined by commas, each once";

/// Written as in the key file: `send,read`; at least one, each once.
impl FromStr for Scopes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',').try_fold(Self::default(), |scopes, word| {
            let scope = Scope::ALL.into_iter().find(|scope| scope.as_str() == word).ok_or(NOT_SCOPES)?;
            if scopes.contains(scope) { Err(NOT_SCOPES) } else { Ok(Self(scopes.0 | 1 << scope as u8)) }
        })
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Scope::ALL.into_iter().filter(|scope| self.contains(*scope)).map(Scope::as_str);
        f.write_str(&words.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_as_they_are_read_and_in_any_order() {
        for (text, written) in
            [("send", "send"), ("operate,send", "send,operate"), ("read,send,operate", "send,read,operate")]
        {
            assert_eq!(text.parse::<Scopes>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn an_empty_a_repeated_and_an_unknown_scope_are_refused() {
        for text in ["", ",", "send,", "send,send", "send, read", "SEND", "admin", "*"] {
            assert_eq!(text.parse::<Scopes>(), Err(NOT_SCOPES), "{text}");
        }
    }
}
