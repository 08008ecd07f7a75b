//! Reading the configuration: every key once, with its default and meaning, all faults at once.
//!
//! The mechanism lives here; the settings themselves stand beside the code they are for, in each
//! room's `config.rs`, and are put together by the crate's own `config`.

mod document;
mod entry;
mod reader;
mod sources;
mod toml_file;
mod unknown;
mod values;

pub use reader::{Faults, Parse, Reader};
pub use sources::{Kind, Sources};
pub use values::List;
