//! A certificate chain and its key as their files hold them: read, understood, and checked against each
//! other. What is wrong is told without a byte of what the files hold.

use super::{TlsConfig, provider, validity::Validity};
use rustls::{
    Error, InconsistentKeys,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::rustls;

/// A chain and a key are some KiB.
const LARGEST: u64 = 1024 * 1024;

/// A chain with its key, fit to be served.
#[derive(Clone)]
pub(super) struct Identity {
    pub certified: Arc<CertifiedKey>,
    /// Of the listener's own certificate.
    pub validity: Validity,
}

/// Which of the two files a fault is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Certificate,
    Key,
}

/// A file that can't be served: which one, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {what}", path.display())]
pub struct TlsFault {
    pub part: Part,
    path: PathBuf,
    what: String,
}

impl TlsFault {
    /// What the TLS library refuses though both files are sound.
    pub(super) fn unusable(config: &TlsConfig) -> Self {
        Self {
            part: Part::Certificate,
            path: config.cert_file.clone(),
            what: "can't be served by the TLS library".to_owned(),
        }
    }
}

impl Identity {
    /// Reads both files. Blocks.
    ///
    /// # Errors
    /// A file can't be read, doesn't hold what it should, or the key is another certificate's.
    pub fn load(config: &TlsConfig) -> Result<Self, TlsFault> {
        let (chain, validity) = chain(&config.cert_file)?;
        let in_key = |what: String| TlsFault { part: Part::Key, path: config.key_file.clone(), what };
        let key = private_key(&config.key_file).map_err(in_key)?;
        let key = provider().key_provider.load_private_key(key).map_err(|_| {
            in_key(
                "holds a private key that is damaged or not supported (RSA from 2048 bits, ECDSA on P-256, P-384 or P-521, Ed25519)"
                    .to_owned(),
            )
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self { certified: Arc::new(certified), validity })
            }
            Err(_) => {
                Err(in_key(format!("is not the key of the certificate in {}", config.cert_file.display())))
            }
        }
    }
}

/// The chain in this file, and when its first certificate is valid.
pub(super) fn chain(path: &Path) -> Result<(Vec<CertificateDer<'static>>, Validity), TlsFault> {
    let fault = |what: String| TlsFault { part: Part::Certificate, path: path.to_owned(), what };
    let text = read(path).map_err(fault)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| fault(not_pem(&error).to_owned()))?;
    let damaged = |nth: usize| fault(format!("holds a damaged certificate, the {nth}. of its chain"));
    let mut validities = Vec::new();
    for (nth, certificate) in (1..).zip(&chain) {
        validities.push(Validity::of(certificate).ok_or_else(|| damaged(nth))?);
    }
    let (Some(first), Some(validity)) = (chain.first(), validities.first()) else {
        return Err(fault("holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned()));
    };
    ParsedCertificate::try_from(first).map_err(|_| damaged(1))?;
    let validity = *validity;
    Ok((chain, validity))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
        match error {
            pem::Error::NoItemsFound if encrypted => "holds an encrypted key: give it without a passphrase",
            pem::Error::NoItemsFound => {
                "holds no private key (-----BEGIN PRIVATE KEY-----, RSA PRIVATE KEY or EC PRIVATE KEY)"
            }
            error => not_pem(&error),
        }
        .to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_file_panics_and_no_fault_repeats_it(
            kind in "(RSA |EC |ENCRYPTED )?PRIVATE KEY|CERTIFICATE|\\PC{0,9}",
            body in "[A-Za-z0-9+/=\n]{0,200}|\\PC{0,99}",
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            std::fs::write(&path, format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")).unwrap();
            let config = TlsConfig { cert_file: path.clone(), key_file: path.clone() };
            let fault = Identity::load(&config).err().unwrap().to_string();
            prop_assert!(body.len() < 9 || !fault.contains(&body), "{fault}");
            let fault = private_key(&path).err().unwrap_or_default();
            prop_assert!(body.len() < 9 || !fault.contains(&body), "{fault}");
        }
    }
}
