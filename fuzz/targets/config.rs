//! Settings: a file, the environment, and single values.

use super::text;
use chassis::config::{self, Sources};
use epro_notify::config::Config;
use std::{ffi::OsString, io::Write, os::unix::ffi::OsStringExt, path::PathBuf};

/// A TOML file is a configuration, or has faults that are told.
pub fn file(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    load(Sources { file: Some(PathBuf::from(file.path())), ..Sources::default() });
}

/// Lines of `NAME=VALUE`, of any bytes: the same.
pub fn environment(bytes: &[u8]) {
    let variable = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (line[..at].to_vec(), line[at + 1..].to_vec());
        Some((OsString::from_vec(name), OsString::from_vec(value)))
    };
    let environment = bytes.split(|byte| *byte == b'\n').filter_map(variable).collect();
    load(Sources { environment, ..Sources::default() });
}

fn load(sources: Sources) {
    if let Err(faults) = config::load::<Config>(sources) {
        assert!(!faults.to_string().is_empty());
    }
}

/// Durations, addresses, networks and URLs.
pub fn values(bytes: &[u8]) {
    let text = text(bytes);
    for name in [
        "APP_HTTP__HANDLER_TIMEOUT", "APP_HTTP__LISTEN", "APP_HTTP__CORS_ORIGINS",
        "APP_LIMITS__TRUSTED_PROXIES", "APP_SMS__HTTP__URL", "APP_STORE__URL", "APP_GRPC__REGISTER",
    ] {
        load(Sources { environment: vec![(name.into(), text.clone().into())], ..Sources::default() });
    }
}
