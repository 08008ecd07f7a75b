//! The service from outside, as one test binary.

mod config;
