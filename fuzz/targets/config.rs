//! Settings: a file, the environment, and single values.

use super::text;
use epro_notify::{
    config::Config,
    platform::{
        config::{List, Parse, Sources},
        http::Origin,
    },
};
use std::{ffi::OsString, io::Write, os::unix::ffi::OsStringExt, path::PathBuf, time::Duration};

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
    match Config::load(sources) {
        Ok((_, document)) => assert!(!document.is_empty()),
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
}

/// Durations, addresses, networks and origins, and the lists of OpenTelemetry's variables.
pub fn values(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(duration) = Duration::parse(&text) {
        assert!(text.starts_with(|first: char| first.is_ascii_digit()), "{duration:?}");
    }
    let _ = (List::<Origin>::parse(&text), List::<String>::parse(&text), std::net::SocketAddr::parse(&text));
    for name in [
        "APP_LIMITS__TRUSTED_PROXIES",
        "APP_SMS__HTTP__URL",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "RUST_LOG",
    ] {
        load(Sources { environment: vec![(name.into(), text.clone().into())], ..Sources::default() });
    }
}
