//! How an endpoint is connected to: time-outs, keep-alive, TLS. When it is, is the probe's matter.

use crate::platform::config::Reader;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::{path::PathBuf, time::Duration};
use tokio_rustls::rustls;
use tonic::transport::{self, Certificate, ClientTlsConfig, Endpoint};

/// For the TCP connection; with the time of a probe's answer below the second within which a dead endpoint
/// has to be out.
const CONNECT: Duration = Duration::from_millis(500);
/// A connection that has been silent for so long is asked for a sign of life. Probes see to it that only a
/// broken one ever is, so that no server counts it as a nuisance.
const SILENCE: Duration = Duration::from_secs(2);
/// How long it may then take, before its calls fail and the next one connects anew.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// How endpoints prove who they are.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// PEM of the authorities that are believed, and no others; without it the system's are.
    authorities: Option<String>,
    /// The name that the certificate is for, if not the host's.
    server_name: Option<String>,
}

impl ClientTls {
    /// Reads its keys: whether TLS is spoken, and optionally a PEM file of authorities and the name that
    /// certificates are for.
    pub fn read(
        reader: &mut Reader,
        enabled_key: &'static str,
        ca_key: &'static str,
        name_key: &'static str,
    ) -> Option<Self> {
        let enabled: bool = reader.value(enabled_key, "false", "whether the endpoints speak TLS");
        let file: Option<PathBuf> = reader.optional(ca_key, "PEM file of the authorities to believe");
        let name: Option<String> = reader.optional(name_key, "the name that certificates are for");
        for (key, given) in [(ca_key, file.is_some()), (name_key, name.is_some())] {
            if given && !enabled {
                reader.fault(key, format!("has no effect without TLS; set {enabled_key} to true"));
            }
        }
        if let Some(name) = &name
            && ServerName::try_from(name.as_str()).is_err()
        {
            reader.fault(name_key, "must be the name of a host or an IP address".to_owned());
        }
        let read = file.filter(|_| reader.reads_files()).map(|file| {
            let text = std::fs::read_to_string(&file).map_err(|error| error.kind().to_string());
            text.and_then(checked).map_err(|why| format!("{} can't be used: {why}", file.display()))
        });
        let authorities = read.and_then(|read| read.map_err(|fault| reader.fault(ca_key, fault)).ok());
        enabled.then_some(Self { authorities, server_name: name })
    }

    /// Believing these authorities (PEM), or the system's.
    pub fn new(authorities: Option<String>, server_name: Option<String>) -> Self {
        Self { authorities, server_name }
    }
}

/// The text, if it holds certificates and nothing broken.
fn checked(pem: String) -> Result<String, String> {
    let count = CertificateDer::pem_slice_iter(pem.as_bytes())
        .try_fold(0, |count, certificate| certificate.map(|_| count + 1));
    match count {
        Ok(1..) => Ok(pem),
        Ok(_) => Err("it holds no certificate in PEM".to_owned()),
        Err(_) => Err("a certificate in it is broken".to_owned()),
    }
}

/// Makes connections to a target's endpoints.
#[derive(Clone)]
pub(super) struct Connector {
    tls: Option<ClientTlsConfig>,
}

impl Connector {
    /// `host` is what the target calls its endpoints, where their own addresses are not what certificates name.
    pub fn new(tls: Option<&ClientTls>, host: Option<&str>) -> Self {
        let tls = tls.map(|tls| {
            let mut config = ClientTlsConfig::new();
            config = match &tls.authorities {
                Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
                None => config.with_native_roots(),
            };
            match tls.server_name.as_deref().or(host) {
                Some(name) => config.domain_name(name),
                None => config,
            }
        });
        Self { tls }
    }

    /// How `address` (`host:port`) is connected to.
    ///
    /// # Errors
    /// It is no address, or the authorities can't be used.
    pub fn endpoint(&self, address: &str) -> Result<Endpoint, transport::Error> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(SILENCE)
            .keep_alive_timeout(SIGN_OF_LIFE)
            .keep_alive_while_idle(true);
        match &self.tls {
            Some(tls) => endpoint.tls_config(tls.clone()),
            None => Ok(endpoint),
        }
    }

    /// Connects; from then on a broken connection is made anew by the next call.
    ///
    /// # Errors
    /// There is no connection.
    pub async fn connect(&self, address: &str) -> Result<transport::Channel, transport::Error> {
        self.endpoint(address)?.connect().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> (Option<ClientTls>, String) {
        let mut reader = Reader::for_tests(values);
        let tls = ClientTls::read(&mut reader, "a.tls.enabled", "a.tls.ca_file", "a.tls.server_name");
        (tls, reader.finish().err().map(|faults| faults.to_string()).unwrap_or_default())
    }

    #[test]
    fn authorities_and_name_are_checked_before_anything_is_connected_to() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let with = |pem: &str| {
            std::fs::write(path, pem).unwrap();
            read(&[("a.tls.enabled", "true"), ("a.tls.ca_file", path), ("a.tls.server_name", "a.test")])
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let good =
            rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let (tls, faults) = with(&good.pem());
        assert!(faults.is_empty() && tls.is_some_and(|tls| tls.authorities.is_some()), "{faults}");
        assert!(with("").1.contains("no certificate"));
        assert!(with("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").1.contains("broken"));
        assert!(read(&[("a.tls.ca_file", path)]).1.contains("without TLS"));
        assert!(
            read(&[("a.tls.enabled", "true"), ("a.tls.server_name", "a b")]).1.contains("name of a host")
        );
        assert!(read(&[]).0.is_none() && read(&[("a.tls.enabled", "true")]).0.is_some());
    }

    #[test]
    fn every_address_that_a_target_takes_can_be_connected_to() {
        let connector = Connector::new(None, None);
        for address in ["127.0.0.1:1", "[::1]:1", "under_score.example:65535"] {
            assert!(connector.endpoint(address).is_ok(), "{address}");
        }
    }
}
