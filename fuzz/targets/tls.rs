//! The files of a listener's TLS.

use epro_notify::platform::tls::{Tls, TlsConfig};
use std::{io::Write, path::PathBuf};

/// One file that is both chain and key: it is served, or its faults are told.
pub fn files(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let path = PathBuf::from(file.path());
    let config = TlsConfig { cert_file: path.clone(), key_file: path };
    if let Err(fault) = Tls::open("http", &config) {
        assert!(!fault.to_string().is_empty());
    }
}
