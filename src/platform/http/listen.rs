//! Binding a listener, and the open files that its connections need.

use crate::platform::tls::Tls;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{io, net::SocketAddr};
use tokio::net::TcpListener;

/// A bound port, and what its connections have to speak.
pub struct Listener {
    pub(super) name: &'static str,
    pub(super) tcp: TcpListener,
    pub(super) tls: Option<Tls>,
}

impl Listener {
    /// Of this name in metrics and lines; in the clear without `tls`. Its series are there from here on.
    pub fn new(name: &'static str, tcp: TcpListener, tls: Option<Tls>) -> Self {
        Tls::register(name);
        Self { name, tcp, tls }
    }

    /// Where it listens: the port that was given for port 0.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A port that can't be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// Binds a listener; connections wait in its backlog until it is served.
///
/// # Errors
/// If the address is taken, not ours, or not allowed.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address, source })
}

/// Raises the soft limit on open files to the hard one, and returns what it is now (`None`: unlimited).
///
/// The usual soft limit of 1,024 is there for programs that use `select`; connections need more.
pub fn raise_open_files() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    if setrlimit(Resource::Nofile, limit).is_ok() { limit.current } else { before }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_on_open_files_becomes_the_hard_one() {
        let raised = raise_open_files();
        assert_eq!(raised, getrlimit(Resource::Nofile).maximum);
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = bind("127.0.0.1:0".parse().unwrap()).await.unwrap().local_addr().unwrap();
        let listener = bind(taken).await.unwrap();
        let error = bind(listener.local_addr().unwrap()).await.unwrap_err().to_string();
        assert!(error.contains(&taken.to_string()), "{error}");
    }
}
