//! Endpoints by DNS, from a name server on loopback.

use crate::server::{Options, Server};
use crate::support::{Client, LONG};
use chassis_rpc::{Channel, ClientConfig};
use conf::Conf;
use parking_lot::Mutex;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Answers every question for an IPv4 address with these, which live for a second.
struct NameServer {
    address: SocketAddr,
    records: Arc<Mutex<Vec<Ipv4Addr>>>,
}

impl NameServer {
    fn start(records: &[[u8; 4]]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = Self { address: socket.local_addr().unwrap(), records: Arc::default() };
        server.set(records);
        let records = Arc::clone(&server.records);
        #[expect(clippy::disallowed_methods, reason = "the server belongs to no span")]
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let answer = answer(&buffer[..length], &records.lock());
                socket.send_to(&answer, from).unwrap();
            }
        });
        server
    }

    fn set(&self, records: &[[u8; 4]]) {
        *self.records.lock() = records.iter().map(|record| Ipv4Addr::from(*record)).collect();
    }
}

/// An answer to a question of one name (RFC 1035, section 4.1).
fn answer(question: &[u8], records: &[Ipv4Addr]) -> Vec<u8> {
    let name = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    // Type A, class IN.
    let records = if question[name..name + 4] == [0, 1, 0, 1] { records } else { &[] };
    let count = u8::try_from(records.len()).unwrap();
    let mut answer = question[..2].to_vec();
    // A recursive answer to one question, without an error.
    answer.extend([0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(&question[12..name + 4]);
    for record in records {
        // The name of the question, type, class, one second to live, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(record.octets());
    }
    answer
}

/// Servers on these addresses and one port, as the pods of a headless Service have it.
fn servers<const N: usize>(hosts: [u8; N]) -> ([Server; N], u16) {
    let port = crate::support::nobody().port();
    let at = |host| SocketAddr::new(IpAddr::from([127, 0, 0, host]), port);
    (hosts.map(|host| Server::start_at(at(host), Options::default(), None)), port)
}

async fn until_left(client: &Client, server: &Server) {
    let began = Instant::now();
    loop {
        let before = server.calls();
        for _ in 0..50 {
            client.write().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if server.calls() == before {
            return;
        }
        assert!(began.elapsed() < LONG, "still called");
    }
}

#[tokio::test]
async fn records_that_come_and_go_are_followed_and_a_lost_name_leaves_what_is_known() {
    let ([first, second], port) = servers([1, 2]);
    let names = NameServer::start(&[[127, 0, 0, 1]]);
    let client = Client::with(&format!("dns://{}/servers.test:{port}", names.address), &[]);
    client.until_called(&first, LONG).await;
    names.set(&[[127, 0, 0, 1], [127, 0, 0, 2]]);
    client.until_called(&second, LONG).await;
    client.until_called(&first, LONG).await;
    names.set(&[[127, 0, 0, 2]]);
    until_left(&client, &first).await;
    names.set(&[]);
    let failed = client.failures(Duration::from_secs(2)).await;
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test]
async fn a_discovery_of_ones_own_is_followed() {
    let server = Server::start();
    let config = ClientConfig::try_parse_from(["test"], [("", "")]).unwrap();
    let address = server.address.to_string();
    let (channel, driver) = Channel::open_with("own", &config, &[], |mut found| async move {
        found.failed("the registry is away");
        found.endpoints([address].into());
    })
    .unwrap();
    let client = Client::driven(channel, driver);
    client.until_called(&server, LONG).await;
}
