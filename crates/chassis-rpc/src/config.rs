//! The settings of one client.

use crate::{KeyFile, Target};
use chassis_telemetry::settings::{between, duration};
use conf::Conf;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::{fmt, str::FromStr, time::Duration};

/// A client's settings, for a prefix of their own (`APP_SHOP__TARGET`). Files are read with them, so that
/// `check-config` reports one that can't be used.
#[derive(Clone, Debug, Conf)]
pub struct ClientConfig {
    /// The other service: static://host:port,host:port or dns://name:port or etcd://host:port/prefix.
    #[arg(env, default_value = "static://127.0.0.1:50051")]
    pub target: Target,
    /// File that holds the API key for the other service and nothing else; read again when it changes.
    #[arg(env)]
    pub api_key_file: Option<KeyFile>,
    /// How long a call may take with all its attempts.
    #[arg(env, default_value = "2s", value_parser = between("10ms", "5m", duration))]
    pub deadline: Duration,
    #[conf(flatten, env_prefix = "TLS__")]
    pub tls: TlsConfig,
}

/// How endpoints prove who they are.
#[derive(Clone, Debug, Default, Conf)]
#[conf(validation_predicate = TlsConfig::check)]
pub struct TlsConfig {
    /// Whether the endpoints speak TLS.
    #[arg(parameter, env, default_value = "false")]
    pub enabled: bool,
    /// PEM file of the authorities to trust instead of the system's.
    #[arg(env)]
    pub ca_file: Option<CaFile>,
    /// The name that certificates are for, if not the host's.
    #[arg(env, value_parser = host_name)]
    pub server_name: Option<String>,
}

impl TlsConfig {
    fn check(&self) -> Result<(), &'static str> {
        let useless = !self.enabled && (self.ca_file.is_some() || self.server_name.is_some());
        if useless {
            Err("ca_file and server_name have no effect without TLS: set enabled = true")
        } else {
            Ok(())
        }
    }
}

/// Authorities in PEM, read from a file.
#[derive(Clone)]
pub struct CaFile(String);

impl CaFile {
    /// The PEM text.
    pub fn pem(&self) -> &str {
        &self.0
    }
}

impl FromStr for CaFile {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        let pem = std::fs::read_to_string(path).map_err(|error| format!("{path} can't be read: {error}"))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => Err(format!("{path} holds no certificate in PEM")),
            Ok(_) => Ok(Self(pem)),
            Err(_) => Err(format!("{path} holds a broken certificate")),
        }
    }
}

impl fmt::Debug for CaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CaFile")
    }
}

fn host_name(text: &str) -> Result<String, &'static str> {
    let valid = ServerName::try_from(text).is_ok();
    if valid { Ok(text.to_owned()) } else { Err("must be the name of a host or an IP address") }
}
