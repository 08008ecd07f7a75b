//! HTTP: the ordered layers, extractors and problems that every route shares.

pub mod config;
