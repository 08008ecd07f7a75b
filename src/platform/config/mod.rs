//! Reading the configuration: every key once, with its default and meaning, all faults at once.

mod reader;

pub use reader::{Parse, Reader};
