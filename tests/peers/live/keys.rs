//! The API keys and certificates that the services of the stack are given.

use crate::support::keys;
use chassis_test::{Certificate, certificates};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// May do everything.
pub const APP: Key = Key { name: "app", scopes: "send,read,operate" };
/// May do everything: of those who call all the time.
pub const EVERYDAY: Key = Key { name: "everyday", scopes: "send,read" };
/// May look.
pub const READER: Key = Key { name: "reader", scopes: "read" };
/// May do everything, and asks too often.
pub const GREEDY: Key = Key { name: "greedy", scopes: "send,read" };
/// The trial management service's.
pub const CTMS: Key = Key { name: "ctms", scopes: "read" };
/// In no file.
pub const UNKNOWN: Key = Key { name: "unknown", scopes: "" };

/// One caller's key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    name: &'static str,
    scopes: &'static str,
}

impl Key {
    pub fn text(&self) -> String {
        keys::text(self.name)
    }

    /// Its line in the key file.
    fn line(&self) -> String {
        keys::line(self.name, self.scopes) + "\n"
    }
}

/// The files, and what belongs in them.
pub struct Files {
    /// The keys that are let in.
    pub keys: PathBuf,
    /// The one key that ctms shows.
    pub ctms: PathBuf,
    /// Of the gRPC listeners.
    pub tls: certificates::Files,
    /// What callers of gRPC believe: the certificate now and the one to come.
    pub authorities: PathBuf,
    next: Certificate,
}

impl Files {
    pub fn write(folder: &Path) -> Self {
        // The next one ends at another time.
        let (now, next) = (Certificate::new(), Certificate::of(&rcgen::PKCS_ECDSA_P256_SHA256, 3000));
        let tls = now.write(folder);
        let authorities = folder.join("authorities.pem");
        fs::write(&authorities, format!("{}{}", now.chain, next.chain)).unwrap();
        let files = Self { keys: folder.join("keys"), ctms: folder.join("ctms-key"), tls, authorities, next };
        files.write_keys();
        files.write_ctms_key(CTMS);
        files
    }

    pub fn write_keys(&self) {
        let lines: String = [APP, EVERYDAY, READER, GREEDY, CTMS].iter().map(Key::line).collect();
        fs::write(&self.keys, lines).unwrap();
    }

    pub fn break_keys(&self) {
        fs::write(&self.keys, "this is no key file\n").unwrap();
    }

    pub fn write_ctms_key(&self, key: Key) {
        fs::write(&self.ctms, key.text()).unwrap();
    }

    pub fn break_ctms_key(&self) {
        fs::write(&self.ctms, "this is no key\n").unwrap();
    }

    pub fn break_certificate(&self) {
        fs::write(&self.tls.cert, "this is no certificate\n").unwrap();
    }

    /// The second certificate takes the first one's place.
    pub fn renew_certificate(&self) {
        self.next.write(self.tls.cert.parent().unwrap());
    }
}
