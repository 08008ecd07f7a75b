//! Addresses that stay ours while nothing listens on them.

use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpSocket;

/// A free loopback address. Its socket is bound and never listens: connections are refused, nobody else gets the
/// port, and a program may still bind it.
pub struct Held {
    pub address: SocketAddr,
    _socket: TcpSocket,
}

impl Held {
    #[expect(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self { address: socket.local_addr().unwrap(), _socket: socket }
    }
}
