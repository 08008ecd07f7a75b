//! Who calls: API keys, their scopes, and the file they stand in. How much a caller may is [`super::limits`]'s
//! matter; when both are asked, [`super::admission`]'s.

pub mod config;
mod counts;
mod digest;
mod file;
mod keys;
mod name;
mod new_key;
mod presented;
mod reload;
mod scope;

pub use file::{Key, parse_keys, read_keys};
pub use keys::{Holder, Identified, Keys};
pub use name::{KeyName, NotAName};
pub use new_key::{NoRandomness, new_key};
pub use reload::follow_key_file;
pub use scope::{NotAScope, NotScopes, Scope, Scopes};
