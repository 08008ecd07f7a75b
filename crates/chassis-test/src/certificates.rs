//! Certificates for tests, and callers that trust them and nothing else.

use crate::{client::Connection, raw};
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A self-signed certificate for `localhost` and its key.
pub struct Certificate {
    pub chain: String,
    pub key: KeyPair,
}

impl Certificate {
    #[expect(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Self {
        Self::of(&rcgen::PKCS_ECDSA_P256_SHA256, 4000)
    }

    /// With this kind of key, valid until the end of that year.
    pub fn of(kind: &'static SignatureAlgorithm, until: i32) -> Self {
        let key = KeyPair::generate_for(kind).unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 12, 31);
        Self { chain: params.self_signed(&key).unwrap().pem(), key }
    }

    /// Writes `cert.pem` and `key.pem`, the certificate last, and returns their paths.
    pub fn write(&self, folder: &Path) -> Files {
        let files = Files { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        fs::write(&files.key, self.key.serialize_pem()).unwrap();
        fs::write(&files.cert, &self.chain).unwrap();
        files
    }

    /// The settings of a caller that speaks this protocol.
    pub fn client(&self, protocol: &str) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut client = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        client
    }

    /// A stream to a server that has this certificate. The handshake is made with the first byte.
    pub fn stream(&self, address: SocketAddr, protocol: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let client = Arc::new(self.client(protocol));
        let connection = ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap();
        StreamOwned::new(connection, raw::connect(address))
    }

    /// An HTTP/1.1 connection to a server that has this certificate.
    pub fn connect(&self, address: SocketAddr) -> Connection<StreamOwned<ClientConnection, TcpStream>> {
        Connection::new(self.stream(address, "http/1.1"))
    }

    /// The address of a server that answers every JSON request with 200, one a connection, until the process ends.
    pub fn answering(&self) -> SocketAddr {
        let chain = CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap();
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let server = builder.unwrap().with_no_client_auth().with_single_cert(vec![chain], key).unwrap();
        let server = Arc::new(server);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = ServerConnection::new(Arc::clone(&server)).unwrap();
                let mut stream = BufReader::new(StreamOwned::new(connection, stream));
                if stream.read_until(b'}', &mut Vec::new()).is_ok() {
                    let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                    let _ = stream.get_mut().write_all(answer);
                }
            }
        });
        address
    }
}

/// Where a certificate and its key are.
#[derive(Clone, Debug)]
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// A key in the form from before PKCS#8, which PKCS#8 holds as its last part.
pub fn old_form(key: &KeyPair, title: &str) -> String {
    let der = key.serialize_der();
    // SEQUENCE { INTEGER 0, SEQUENCE { algorithm }, OCTET STRING { the old form } }
    let (whole, _) = element(&der);
    let (_, rest) = element(whole);
    let (_, rest) = element(rest);
    let (inner, _) = element(rest);
    format!("-----BEGIN {title}-----\n{}\n-----END {title}-----\n", base64(inner))
}

/// The content of the first DER element, and what follows it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, begin) = match der[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        long => {
            let begin = 2 + usize::from(long & 0x7f);
            (der[2..begin].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), begin)
        }
    };
    der[begin..].split_at(length)
}

/// RFC 4648, section 4.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = (0..3).fold(0, |bits, nth| bits << 8 | usize::from(*three.get(nth).unwrap_or(&0)));
        let digit = |nth: usize| match nth <= three.len() {
            true => char::from(DIGITS[bits >> (18 - 6 * nth) & 63]),
            false => '=',
        };
        String::from_iter([0, 1, 2, 3].map(digit))
    };
    bytes.chunks(3).map(group).collect()
}
