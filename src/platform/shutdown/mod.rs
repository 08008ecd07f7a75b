//! The way down, from the first signal to the exit.

pub mod config;
