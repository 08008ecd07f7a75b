//! TLS of a listener: its two files, what is wrong with them, and a new certificate in place of the old one while
//! connections go on.

use crate::{
    metrics as names,
    watch::{Watch, Why, blocking},
};
use axum_server::tls_rustls::RustlsConfig;
use chassis_telemetry::names::{LABEL_LISTENER, LABEL_OUTCOME};
use conf::Conf;
use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::CryptoProvider,
    server::ParsedCertificate,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A chain and a key are some KiB.
const LARGEST: u64 = 1024 * 1024;

/// A listener's certificate chain and key; without them it speaks plain HTTP.
#[derive(Conf, Clone, Debug, Default)]
#[conf(validation_predicate = TlsConfig::both_or_neither)]
pub struct TlsConfig {
    /// PEM file of the listener's certificate, then those that lead to a root; read again when it changes.
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

    fn files(&self) -> Option<(&Path, &Path)> {
        Some((self.cert_file.as_deref()?, self.key_file.as_deref()?))
    }

    fn load(&self) -> Result<Option<Identity>, TlsFault> {
        self.files().map(|(cert, key)| Identity::load(cert, key)).transpose()
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

/// A chain with its key, fit to be served.
struct Identity {
    certified: Arc<CertifiedKey>,
    /// Of the listener's own certificate, in Unix seconds.
    valid: (i64, i64),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl Identity {
    fn load(cert_file: &Path, key_file: &Path) -> Result<Self, TlsFault> {
        let (chain, valid) = chain(cert_file).map_err(|what| TlsFault {
            setting: "cert_file",
            path: cert_file.to_owned(),
            what,
        })?;
        let in_key = |what: String| TlsFault { setting: "key_file", path: key_file.to_owned(), what };
        let key = private_key(key_file).map_err(in_key)?;
        let key = provider().key_provider.load_private_key(key).map_err(|_| {
            let kinds = "RSA from 2048 bits, ECDSA on P-256, P-384 or P-521, Ed25519";
            in_key(format!("holds a private key that is damaged or not supported ({kinds})"))
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self { certified: Arc::new(certified), valid })
            }
            Err(_) => Err(in_key(format!("is not the key of the certificate in {}", cert_file.display()))),
        }
    }

    fn server_config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.certified))));
        config.alpn_protocols = [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).into();
        // Sessions are resumed from tickets, which cost no memory here. Their key goes with the certificate, so that no
        // session outlives it.
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        Ok(Arc::new(config))
    }
}

fn chain(path: &Path) -> Result<(Vec<CertificateDer<'static>>, (i64, i64)), String> {
    let text = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| not_pem(&error).to_owned())?;
    let damaged = |nth: usize| format!("holds a damaged certificate, number {nth} of its chain");
    let mut valid = None;
    for (nth, certificate) in (1..).zip(&chain) {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| damaged(nth))?;
        let validity = parsed.validity();
        valid = valid.or(Some((validity.not_before.timestamp(), validity.not_after.timestamp())));
    }
    let (Some(first), Some(valid)) = (chain.first(), valid) else {
        return Err("holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned());
    };
    ParsedCertificate::try_from(first).map_err(|_| damaged(1))?;
    Ok((chain, valid))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
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

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("can't be read ({})", error.kind());
    let mut text = Vec::new();
    File::open(path).map_err(cannot)?.take(LARGEST + 1).read_to_end(&mut text).map_err(cannot)?;
    if text.len() as u64 > LARGEST { Err("is larger than 1 MiB".to_owned()) } else { Ok(text) }
}

/// The TLS of one listener, as it is served now.
pub(crate) struct Tls {
    listener: &'static str,
    config: TlsConfig,
    pub served: RustlsConfig,
    certificate: Vec<CertificateDer<'static>>,
    broken: bool,
}

impl Tls {
    /// Reads the files; `None` without any. The listener's series are there from here on, also without TLS.
    pub fn open(listener: &'static str, config: &TlsConfig) -> Result<Option<Self>, TlsFault> {
        for counter in [failed(listener), reloaded(listener, "ok"), reloaded(listener, "failed")] {
            counter.increment(0);
        }
        let Some(identity) = config.load()? else { return Ok(None) };
        let server = identity.server_config().map_err(|error| TlsFault {
            setting: "cert_file",
            path: config.cert_file.clone().unwrap_or_default(),
            what: format!("can't be served by the TLS library: {error}"),
        })?;
        publish(listener, &identity);
        Ok(Some(Self {
            listener,
            config: config.clone(),
            served: RustlsConfig::from_config(server),
            certificate: identity.certified.cert.clone(),
            broken: false,
        }))
    }

    /// Serves what the files hold each time that they change, and on SIGHUP, forever. What can't be served changes
    /// nothing.
    pub async fn follow(mut self) {
        let Some((cert, key)) = self.config.files() else { return std::future::pending().await };
        let mut watch = match Watch::new([cert.to_owned(), key.to_owned()]) {
            Ok(watch) => watch,
            Err(error) => {
                tracing::error!(listener = self.listener, %error, "certificates are not reloaded");
                return std::future::pending().await;
            }
        };
        loop {
            let why = watch.changed().await;
            let config = self.config.clone();
            let Some(loaded) = blocking(move || config.load()).await else { continue };
            self.reload(loaded, why);
        }
    }

    fn reload(&mut self, loaded: Result<Option<Identity>, TlsFault>, why: Why) {
        let listener = self.listener;
        let usable = loaded.map_err(|fault| fault.to_string()).and_then(|identity| {
            let Some(identity) = identity else { return Ok(None) };
            let server = identity.server_config().map_err(|error| error.to_string())?;
            Ok(Some((identity, server)))
        });
        match usable {
            Ok(None) => {}
            Ok(Some((identity, server))) => {
                let repaired = std::mem::take(&mut self.broken);
                // Files that were merely touched are no news, unless somebody asked.
                if self.certificate == identity.certified.cert && why == Why::Changed && !repaired {
                    return;
                }
                self.served.reload_from_config(server);
                self.certificate.clone_from(&identity.certified.cert);
                publish(listener, &identity);
                reloaded(listener, "ok").increment(1);
                tracing::info!(listener, expires = identity.valid.1, "certificate reloaded");
            }
            Err(error) => {
                self.broken = true;
                reloaded(listener, "failed").increment(1);
                tracing::error!(listener, error, "the certificate cannot be reloaded, the old one stays");
            }
        }
    }
}

fn publish(listener: &'static str, identity: &Identity) {
    let (from, until) = identity.valid;
    metrics::gauge!(names::TLS_CERTIFICATE_EXPIRES, LABEL_LISTENER => listener).set(until as f64);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    if !(from..=until).contains(&now) {
        tracing::warn!(listener, "the certificate has expired or is not valid yet");
    }
}

/// Handshakes that failed other than by time.
pub(crate) fn failed(listener: &'static str) -> metrics::Counter {
    metrics::counter!(names::TLS_HANDSHAKES_FAILED, LABEL_LISTENER => listener)
}

fn reloaded(listener: &'static str, outcome: &'static str) -> metrics::Counter {
    metrics::counter!(names::TLS_CERTIFICATE_RELOADS, LABEL_LISTENER => listener, LABEL_OUTCOME => outcome)
}
