//! Idempotency keys, kept in the transaction of what they created.

/// A caller's key for one request, already scoped and hashed: neither the key nor the body is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    scope: [u8; 32],
    body: [u8; 32],
}

/// The answer that a repeat of the same request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// For the `Location` header.
    pub location: Option<String>,
}

impl IdempotencyKey {
    /// `key` as the caller sent it, scoped to `client`, `method` and `route` (the template).
    pub fn new(_client: &str, _method: &str, _route: &str, _key: &str, _body: &[u8]) -> Self {
        todo!()
    }
}
