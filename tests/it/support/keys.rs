//! API keys of tests.

use super::service::Site;
use chassis_test::{Answer, client::ask_with};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;

/// The text of the key of this name.
pub fn text(name: &str) -> String {
    format!("the-key-of-{name}")
}

/// A line for the key file.
pub fn line(name: &str, scopes: &str) -> String {
    let hash = HEXLOWER.encode(&Sha256::digest(text(name)));
    format!("{name}:{scopes}:{hash}")
}

/// The service with a key file `keys` of these lines in its folder.
pub fn with_keys(site: Site, lines: &[String]) -> Site {
    let file = site.file("keys", lines.join("\n"));
    site.with("APP_AUTH__API_KEYS_FILE", &file)
}

/// One request with this key.
pub fn ask_by(address: SocketAddr, key: &str, method: &str, path: &str, body: &str) -> Answer {
    ask_with(address, method, path, &[("authorization", &format!("Bearer {key}"))], body)
}
