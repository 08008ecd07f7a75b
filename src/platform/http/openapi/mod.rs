//! The API described in OpenAPI 3.1: what every operation has in common is said here, once, where the
//! layers are. What a domain offers it says itself, by an [`Operation`] for each of its routes.

mod answers;
mod document;
mod headers;
mod operation;
mod page;
mod publish;

pub use document::Document;
pub use operation::{Operation, text};
