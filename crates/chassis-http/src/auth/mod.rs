//! Who calls, and what they may: API keys of 256 random bits, of which a file holds the SHA-256.

mod file;
mod key;
mod keys;
mod layer;
mod scope;

pub use file::{parse_keys, read_keys};
pub use key::{Key, KeyName, new_key};
pub use keys::Keys;
pub(crate) use layer::any_key;
pub use layer::{Caller, identify, require, require_key_to_change};
pub use scope::{Scope, Scopes};
