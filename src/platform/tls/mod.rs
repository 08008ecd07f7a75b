//! TLS of any listener: its two files, the certificate that new handshakes get, and the encrypted stream.
//! Which listener has it, and what is spoken inside, is the listeners' matter.

pub mod config;
mod identity;
mod pinned;
mod served;
mod stream;
mod validity;

pub use config::TlsConfig;
pub use identity::{Part, TlsFault};
pub use pinned::client;
pub use served::{Handshake, Tls};
pub use stream::Stream;

use rustls::{crypto::CryptoProvider, version};
use std::sync::Arc;
use tokio_rustls::rustls;

/// TLS 1.3, and 1.2 for callers that are older.
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// The one crypto library, with its own choice of suites and curves.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
