//! TLS of a listener: its two files, what is wrong with them, and a new certificate in place of the old one while
//! connections go on.

use crate::metrics as names;
use crate::watch::{Watch, follow, read_file};
use axum_server::tls_rustls::RustlsConfig;
use conf::Conf;
use rustls::{Error, ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, X509Certificate};

const UNUSABLE_KEY: &str = "holds a private key that is damaged or not supported (RSA from 2048 bits, ECDSA on P-256, \
                            P-384 or P-521, Ed25519)";
/// A chain and a key are some KiB.
const LARGEST: u64 = 1024 * 1024;

/// A listener's certificate chain and key; without them it speaks plain HTTP.
#[derive(Conf, Clone, Debug, Default)]
#[conf(validation_predicate = TlsConfig::both_or_neither)]
pub struct TlsConfig {
    /// PEM file of the listener's certificate chain, leaf first; read again when it changes.
    #[arg(env)]
    pub cert_file: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    #[arg(env)]
    pub key_file: Option<PathBuf>,
}

impl TlsConfig {
    fn both_or_neither(&self) -> Result<(), &'static str> {
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => Err("a certificate needs its key: set key_file too"),
            (None, Some(_)) => Err("a key needs its certificate: set cert_file too"),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }

    /// Whether the listener speaks TLS.
    pub fn is_set(&self) -> bool {
        self.cert_file.is_some()
    }

    /// Reads both files. Blocks.
    ///
    /// # Errors
    /// A file can't be read, does not hold what it should, or the key belongs to another certificate.
    pub fn check_files(&self) -> Result<(), TlsFault> {
        self.load().map(drop)
    }

    fn load(&self) -> Result<Option<Served>, TlsFault> {
        let (Some(cert), Some(key)) = (&self.cert_file, &self.key_file) else { return Ok(None) };
        let in_cert = |what| TlsFault { setting: "cert_file", path: cert.clone(), what };
        let in_key = |what| TlsFault { setting: "key_file", path: key.clone(), what };
        let (chain, valid) = chain(cert).map_err(in_cert)?;
        let server = server_config(chain.clone(), private_key(key).map_err(in_key)?);
        let server = server.map_err(|error| match error {
            Error::InvalidCertificate(_) => {
                in_cert("holds a damaged certificate, the first of its chain".to_owned())
            }
            Error::InconsistentKeys(_) => {
                in_key(format!("is not the key of the certificate in {}", cert.display()))
            }
            _ => in_key(UNUSABLE_KEY.to_owned()),
        })?;
        Ok(Some(Served { server: Arc::new(server), chain, valid }))
    }
}

/// A file that can't be served, and why; nothing of what it holds is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {what}", path.display())]
pub struct TlsFault {
    /// The setting whose file it is: `cert_file` or `key_file`.
    pub setting: &'static str,
    path: PathBuf,
    what: String,
}

/// What is served.
struct Served {
    server: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
    /// The validity of the listener's own certificate, in Unix seconds.
    valid: (i64, i64),
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).into();
    // Sessions are resumed from tickets, which cost no memory here. Their key goes with the certificate, so that no
    // session outlives it.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

fn chain(path: &Path) -> Result<(Vec<CertificateDer<'static>>, (i64, i64)), String> {
    let text = read_file(path, LARGEST)?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| not_pem(&error).to_owned())?;
    let mut validities = Vec::new();
    for (nth, certificate) in (1..).zip(&chain) {
        let parsed = X509Certificate::from_der(certificate);
        let (_, parsed) =
            parsed.map_err(|_| format!("holds a damaged certificate, number {nth} of its chain"))?;
        let validity = parsed.validity();
        validities.push((validity.not_before.timestamp(), validity.not_after.timestamp()));
    }
    let valid = *validities.first().ok_or("holds no certificate (-----BEGIN CERTIFICATE-----)")?;
    Ok((chain, valid))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read_file(path, LARGEST)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
        let what = match error {
            pem::Error::NoItemsFound if encrypted => "holds an encrypted key: give it without a passphrase",
            pem::Error::NoItemsFound => {
                "holds no private key (-----BEGIN PRIVATE KEY-----, RSA PRIVATE KEY or EC PRIVATE KEY)"
            }
            error => not_pem(&error),
        };
        what.to_owned()
    })
}

/// The error's own text may repeat a line of the file.
fn not_pem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "is cut off: a section of it has no end",
        _ => "is not PEM",
    }
}

/// The TLS of one listener.
pub(crate) struct Tls {
    listener: &'static str,
    config: TlsConfig,
    pub served: RustlsConfig,
    chain: Vec<CertificateDer<'static>>,
}

impl Tls {
    /// Reads the files; `None` without any. The listener's series are there from here on, also without TLS.
    pub fn open(listener: &'static str, config: &TlsConfig) -> Result<Option<Self>, TlsFault> {
        for counter in [failed(listener), reloaded(listener, "ok"), reloaded(listener, "failed")] {
            counter.increment(0);
        }
        Ok(config.load()?.map(|served| {
            publish(listener, &served);
            let (config, chain) = (config.clone(), served.chain);
            Self { listener, config, served: RustlsConfig::from_config(served.server), chain }
        }))
    }

    /// Serves what the files hold each time that they change, and on SIGHUP, forever. What can't be served changes
    /// nothing. Ends if the handler of SIGHUP can't be installed.
    pub async fn follow(mut self) -> io::Error {
        let files = [self.config.cert_file.clone(), self.config.key_file.clone()];
        let watch = match Watch::new(files.into_iter().flatten()) {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        let config = self.config.clone();
        follow(watch, move || config.load(), move |loaded, anyway| self.take(loaded, anyway)).await
    }

    fn take(&mut self, loaded: Result<Option<Served>, TlsFault>, anyway: bool) {
        let listener = self.listener;
        match loaded {
            // Files that were merely touched are no news.
            Ok(Some(new)) if anyway || self.chain != new.chain => {
                publish(listener, &new);
                self.served.reload_from_config(new.server);
                self.chain = new.chain;
                reloaded(listener, "ok").increment(1);
                tracing::info!(listener, expires = new.valid.1, "certificate reloaded");
            }
            Ok(_) => {}
            Err(fault) => {
                reloaded(listener, "failed").increment(1);
                let error = fault.to_string();
                tracing::error!(listener, error, "the certificate cannot be reloaded, the old one stays");
            }
        }
    }
}

fn publish(listener: &'static str, served: &Served) {
    let (from, until) = served.valid;
    metrics::gauge!(names::TLS_CERTIFICATE_EXPIRES, "listener" => listener).set(until as f64);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    if !(from..=until).contains(&now) {
        tracing::warn!(listener, "the certificate has expired or is not valid yet");
    }
}

/// Handshakes that failed other than by time.
pub(crate) fn failed(listener: &'static str) -> metrics::Counter {
    metrics::counter!(names::TLS_HANDSHAKES_FAILED, "listener" => listener)
}

fn reloaded(listener: &'static str, outcome: &'static str) -> metrics::Counter {
    metrics::counter!(names::TLS_CERTIFICATE_RELOADS, "listener" => listener, "outcome" => outcome)
}
