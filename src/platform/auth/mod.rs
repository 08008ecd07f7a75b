//! Who calls: API keys, their scopes, and the file they stand in. How much a caller may is [`super::limits`]'s
//! matter; when both are asked, [`super::admission`]'s.

pub mod config;
mod keys;
mod scope;

pub use keys::{Holder, Identified, KeyName, Keys};
pub use scope::{Scope, Scopes};
