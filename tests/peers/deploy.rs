//! The files that deploy the service, as the programs that read them judge them: the shipped configuration
//! itself, with nothing changed but addresses, folders and, for a backend in this process, how spans are packed.
//! What needs no program is checked in `tests/files`.

pub mod backends;
pub mod collector;
mod files;
pub mod lines;
mod redaction;
mod sampling;
mod spool;
