//! API keys and scopes, with the real program: who is let in, to what, and how keys come and go.

mod callers;
mod listeners;
mod reload;
pub mod routes;

use crate::support::{keys::ask_by, prelude::*};

/// A text that is none of the keys.
const WRONG: &str = "wrong-key";

/// Whether the key is known.
fn knows(service: &Service, key: &str) -> bool {
    let answer = ask_by(service.http, key, "GET", "/api/v1/nowhere", "");
    assert!(matches!(answer.status, 401 | 404), "{answer:?}");
    answer.status == 404
}
