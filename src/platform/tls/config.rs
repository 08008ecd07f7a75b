//! The two files of a listener's TLS, and their faults as faults of the configuration.

use super::identity::{Identity, Part};
use crate::platform::config::Reader;
use std::path::PathBuf;

/// A listener's certificate chain and key, both PEM files.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The listener's own certificate first, then those that lead to a root.
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

impl TlsConfig {
    /// Reads a listener's two keys; one without the other is a fault, and so are files that can't be served.
    pub fn read(reader: &mut Reader, cert_key: &'static str, key_key: &'static str) -> Option<Self> {
        let cert_file = reader.optional(cert_key, "PEM file of the listener's certificate chain");
        let key_file = reader.optional(key_key, "PEM file of the certificate's private key");
        match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => {
                let config = Self { cert_file, key_file };
                if reader.reads_files()
                    && let Err(fault) = Identity::load(&config)
                {
                    let key = if fault.part == Part::Certificate { cert_key } else { key_key };
                    reader.fault(key, fault.to_string());
                }
                return Some(config);
            }
            (Some(_), None) => {
                reader.fault(cert_key, format!("a certificate needs its key; set {key_key} too"))
            }
            (None, Some(_)) => {
                reader.fault(key_key, format!("a key needs its certificate; set {cert_key} too"))
            }
            (None, None) => {}
        }
        None
    }
}
