//! Limits on what one client may do: so far only their settings.

pub mod config;
