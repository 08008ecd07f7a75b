//! The sample domain: notifications to patients.

pub mod config;
