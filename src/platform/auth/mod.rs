//! Who may call: so far only its settings.

pub mod config;
