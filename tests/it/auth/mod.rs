//! API keys and scopes, with the real program: who is let in, to what, and how keys come and go.

mod callers;
mod listeners;
mod reload;
mod routes;

use crate::support::{
    client::{Answer, Connection},
    service::{Service, Site},
};
use epro_notify::platform::auth::Key;
use std::{fs, net::SocketAddr, path::PathBuf};

/// A text that is none of the keys.
const WRONG: &str = "wrong-key";

/// The text of the key of this name.
fn text(name: &str) -> String {
    format!("the-key-of-{name}")
}

/// A line for the key file.
fn line(name: &str, scopes: &str) -> String {
    Key::of(name.parse().unwrap(), scopes.parse().unwrap(), &text(name)).line()
}

/// A site whose key file holds these lines.
fn site(lines: &[String]) -> (Site, PathBuf) {
    with_keys(Site::new(), lines)
}

/// The same for a site with settings of its own.
fn with_keys(site: Site, lines: &[String]) -> (Site, PathBuf) {
    let file = site.folder().join("keys");
    fs::write(&file, lines.join("\n")).unwrap();
    let site = site.with("APP_AUTH__API_KEYS_FILE", file.to_str().unwrap());
    (site, file)
}

/// One request with this key's text.
fn ask(address: SocketAddr, key: &str, method: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    let mut connection = Connection::open(address).unwrap();
    connection.send_with(method, path, &[("authorization", &bearer)], body).unwrap()
}

/// Whether the key is known.
fn knows(service: &Service, key: &str) -> bool {
    let answer = ask(service.http, key, "GET", "/api/v1/nowhere", "");
    assert!(matches!(answer.status, 401 | 404), "{answer:?}");
    answer.status == 404
}
