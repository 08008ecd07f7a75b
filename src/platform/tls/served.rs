//! The certificate that a listener serves: handshakes with it, and a new one in its place while connections
//! that were made with the old one go on.

use super::{
    TlsConfig, VERSIONS,
    identity::{Identity, TlsFault},
    provider,
};
use crate::platform::{
    task,
    telemetry::names,
    watch::{Watch, Why},
};
use metrics::Counter;
use parking_lot::RwLock;
use rustls::{ServerConfig, sign::SingleCertAndKey};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, rustls, server::TlsStream};

/// What may be spoken inside, the better one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A listener's TLS. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    listener: &'static str,
    config: TlsConfig,
    served: RwLock<Served>,
    failed: Counter,
    /// Whether the files could not be served when they were last read.
    broken: AtomicBool,
}

struct Served {
    identity: Identity,
    acceptor: TlsAcceptor,
}

/// How a handshake ended.
pub enum Handshake {
    Done(Box<TlsStream<TcpStream>>),
    /// The other end was too slow.
    TimedOut,
    /// It spoke no TLS, or none that we do, or went away; counted here.
    Failed,
}

impl Tls {
    /// Reads the files and serves them from here on. Blocks; its lines and metrics name this listener.
    ///
    /// # Errors
    /// If the files can't be served.
    pub fn open(listener: &'static str, config: &TlsConfig) -> Result<Self, TlsFault> {
        let served = Served::new(Identity::load(config)?, config)?;
        served.tell(listener);
        let failed = failed(listener);
        Ok(Self(Arc::new(Inner {
            listener,
            config: config.clone(),
            served: RwLock::new(served),
            failed,
            broken: AtomicBool::new(false),
        })))
    }

    /// Registers a listener's series, so that they are there with 0 also where it has no TLS.
    pub fn register(listener: &'static str) {
        for counter in [failed(listener), reloaded(listener, true), reloaded(listener, false)] {
            counter.increment(0);
        }
    }

    /// Makes a connection an encrypted one, within this time.
    pub async fn accept(&self, stream: TcpStream, within: Duration) -> Handshake {
        let handshake = async {
            // Nothing is set aside for a connection that says nothing; one that just goes away, as a
            // balancer's probe, has not failed.
            let mut first = [0];
            if !matches!(stream.peek(&mut first).await, Ok(1)) {
                return None;
            }
            let acceptor = self.0.served.read().acceptor.clone();
            Some(acceptor.accept(stream).await)
        };
        match timeout(within, handshake).await {
            Ok(Some(Ok(stream))) => Handshake::Done(Box::new(stream)),
            Ok(Some(Err(error))) => {
                self.0.failed.increment(1);
                tracing::debug!(
                    listener = self.0.listener,
                    error_kind = reason(&error),
                    "TLS handshake failed"
                );
                Handshake::Failed
            }
            Ok(None) => Handshake::Failed,
            Err(_) => Handshake::TimedOut,
        }
    }

    /// Serves what the files hold from now on each time that they change, and on SIGHUP. Ends never.
    ///
    /// # Errors
    /// If SIGHUP can't be listened to.
    pub fn follow(self) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let TlsConfig { cert_file, key_file } = self.0.config.clone();
        let mut watch = Watch::new([cert_file, key_file])?;
        Ok(async move {
            loop {
                let why = watch.changed().await;
                let tls = self.clone();
                // A panic was logged by the panic hook.
                let _ = task::spawn_blocking(move || tls.reload(why)).await;
            }
        })
    }

    /// Reads the files; what can't be served changes nothing. Blocks.
    fn reload(&self, why: Why) {
        let Inner { listener, config, served, broken, .. } = &*self.0;
        let read = Identity::load(config).and_then(|identity| {
            let same = identity.certified.cert == served.read().identity.certified.cert;
            // Asked for, or repaired, it is told of too; else the files were merely touched.
            let is_news = !same || why == Why::Asked || broken.load(Relaxed);
            if !is_news { Ok(None) } else { Served::new(identity, config).map(Some) }
        });
        broken.store(read.is_err(), Relaxed);
        match read {
            Ok(None) => {}
            Ok(Some(new)) => {
                new.tell(listener);
                let expires = jiff::Timestamp::from_second(new.identity.validity.not_after).ok();
                *served.write() = new;
                reloaded(listener, true).increment(1);
                tracing::info!(
                    listener,
                    expires = expires.map(tracing::field::display),
                    "certificate reloaded"
                );
            }
            Err(fault) => {
                reloaded(listener, false).increment(1);
                tracing::error!(listener, error = %fault, "the certificate cannot be reloaded, the old one stays");
            }
        }
    }
}

impl Served {
    fn new(identity: Identity, config: &TlsConfig) -> Result<Self, TlsFault> {
        let resolver = SingleCertAndKey::from(Arc::clone(&identity.certified));
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .map_err(|_| TlsFault::unusable(config))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        // Sessions are resumed from tickets, which cost no memory here; their key goes with the
        // certificate, so that none outlives it.
        server.ticketer =
            rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|_| TlsFault::unusable(config))?;
        Ok(Self { identity, acceptor: Arc::new(server).into() })
    }

    /// Tells how long it will do.
    fn tell(&self, listener: &'static str) {
        let validity = self.identity.validity;
        metrics::gauge!(names::TLS_CERTIFICATE_EXPIRES, names::LABEL_LISTENER => listener)
            .set(validity.not_after as f64);
        if !validity.holds(jiff::Timestamp::now().as_second()) {
            tracing::warn!(listener, "the certificate has expired or is not valid yet");
        }
    }
}

fn failed(listener: &'static str) -> Counter {
    metrics::counter!(names::TLS_HANDSHAKES_FAILED, names::LABEL_LISTENER => listener)
}

fn reloaded(listener: &'static str, well: bool) -> Counter {
    let outcome = if well { "ok" } else { "failed" };
    metrics::counter!(
        names::TLS_CERTIFICATE_RELOADS,
        names::LABEL_LISTENER => listener,
        names::LABEL_OUTCOME => outcome
    )
}

/// The kind of a failure; its text may hold what the other end sent.
fn reason(error: &io::Error) -> &'static str {
    use rustls::Error;
    let error = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    match error {
        Some(Error::AlertReceived(_)) => "alert_received",
        Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => "not_tls",
        Some(Error::NoApplicationProtocol) => "no_application_protocol",
        Some(Error::PeerIncompatible(_)) => "peer_incompatible",
        Some(Error::PeerMisbehaved(_)) => "peer_misbehaved",
        Some(_) => "other",
        None => "broken_off",
    }
}
