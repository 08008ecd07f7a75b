//! The files that deploy the service, as the programs that read them judge them: the shipped configuration
//! itself, with nothing changed but addresses and folders. What needs no program is checked in `observability`.

mod backends;
mod collector;
mod files;
mod jaeger;
mod lines;
mod redaction;
mod sampling;
mod spool;
