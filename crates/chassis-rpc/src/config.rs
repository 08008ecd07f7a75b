//! The settings of one client, and the connections that follow from them.

use crate::{KeyFile, Target};
use chassis_telemetry::settings::{between, duration};
use conf::Conf;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::time::Duration;
use tonic::transport::{self, Certificate, ClientTlsConfig, Endpoint};

/// For a TCP connection. With a probe's time-out this is below the second within which traffic leaves a dead
/// endpoint.
const CONNECT: Duration = Duration::from_millis(500);
/// A connection that has been silent for this long is pinged. Probes keep a working one from being silent, so no
/// server counts the pings as abuse.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(1);

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
#[derive(Clone, Debug, Conf)]
#[conf(validation_predicate = TlsConfig::check)]
pub struct TlsConfig {
    /// Whether the endpoints speak TLS.
    #[arg(parameter, env, default_value = "false")]
    pub enabled: bool,
    /// PEM file of the authorities to trust instead of the system's.
    #[arg(env, value_parser = pem_file)]
    pub ca_file: Option<String>,
    /// The name that certificates are for, if not the host's.
    #[arg(env, value_parser = host_name)]
    pub server_name: Option<String>,
}

impl TlsConfig {
    fn check(&self) -> Result<(), &'static str> {
        let useless = !self.enabled && (self.ca_file.is_some() || self.server_name.is_some());
        if useless { Err("ca_file and server_name have no effect without enabled = true") } else { Ok(()) }
    }
}

fn pem_file(path: &str) -> Result<String, String> {
    let pem = std::fs::read_to_string(path).map_err(|error| format!("{path} can't be read: {error}"))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let usable = certificates.is_ok_and(|certificates| !certificates.is_empty());
    if usable { Ok(pem) } else { Err(format!("{path} must hold certificates in PEM")) }
}

fn host_name(text: &str) -> Result<String, &'static str> {
    let valid = ServerName::try_from(text).is_ok();
    if valid { Ok(text.to_owned()) } else { Err("must be the name of a host or an IP address") }
}

impl ClientConfig {
    /// A channel to `address` that connects with its first call, and again after a connection broke or was
    /// closed by the server. Certificates are checked for the configured name, else for the DNS name of the
    /// target, else for the endpoint's own host.
    pub(crate) fn channel(&self, address: &str) -> Result<transport::Channel, transport::Error> {
        let scheme = if self.tls.enabled { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        if self.tls.enabled {
            let tls = match &self.tls.ca_file {
                Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                None => ClientTlsConfig::new().with_native_roots(),
            };
            endpoint = endpoint.tls_config(match (&self.tls.server_name, &self.target) {
                (Some(name), _) => tls.domain_name(name),
                (None, Target::Dns { name, .. }) => tls.domain_name(name.trim_end_matches('.')),
                (None, Target::Static(_) | Target::Etcd { .. }) => tls,
            })?;
        }
        Ok(endpoint.connect_lazy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&'static str, &str)]) -> Result<ClientConfig, String> {
        ClientConfig::try_parse_from(["test"], env.iter().copied()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn files_and_names_are_checked_with_the_settings() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let with = |pem: &str| {
            std::fs::write(path, pem).unwrap();
            read(&[("TLS__ENABLED", "true"), ("TLS__CA_FILE", path), ("TLS__SERVER_NAME", "a.test")])
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let good =
            rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        assert!(with(&good.pem()).unwrap().channel("localhost:1").is_ok());
        for broken in ["", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            assert!(with(broken).unwrap_err().contains("certificates in PEM"));
        }
        assert!(read(&[("TLS__SERVER_NAME", "a.test")]).unwrap_err().contains("no effect"));
        assert!(read(&[("TLS__ENABLED", "true"), ("TLS__SERVER_NAME", "a b")]).is_err());
        assert!(read(&[("API_KEY_FILE", "/no/such/file")]).unwrap_err().contains("can't be read"));
        assert!(read(&[]).is_ok());
    }
}
