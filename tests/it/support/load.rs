//! Clients that submit one notification after the other to a service that may vanish under them.

use super::prelude::*;
use parking_lot::Mutex;
use rand::seq::IndexedRandom;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Between two looks for a service that is not there, and after a refusal.
const PAUSE: Duration = Duration::from_millis(5);

/// A 202.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub id: String,
    /// Of the request that was accepted; a repeat does not know it.
    pub trace_id: Option<String>,
}

/// The clients at work. Some never repeat what they sent; the others send a key and repeat until they know.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    services: Mutex<Vec<SocketAddr>>,
    stopped: AtomicBool,
    /// Different notifications that have been sent, answered or not.
    sent: AtomicUsize,
    refused: AtomicUsize,
    accepted: Mutex<Vec<Accepted>>,
}

impl Load {
    /// The first `unkeyed` of the clients send no key.
    pub fn start(clients: usize, unkeyed: usize) -> Self {
        let shared = Arc::<Shared>::default();
        let run = |number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || Client { shared, number, keyed: number >= unkeyed }.run())
        };
        let clients = (0..clients).map(run).collect();
        Self { shared, clients }
    }

    /// Where the service is now: its replicas, or `None` while it is gone.
    pub fn aim(&self, services: impl IntoIterator<Item = SocketAddr>) {
        *self.shared.services.lock() = services.into_iter().collect();
    }

    pub fn sent(&self) -> u64 {
        self.shared.sent.load(SeqCst) as u64
    }

    /// How often the answer was 503.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(SeqCst)
    }

    /// How many different notifications are known to be accepted.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.lock().len() as u64
    }

    pub fn until_accepted(&self, count: u64) {
        until_so("notifications are accepted", || self.accepted() >= count);
    }

    /// Lets every client finish what it has in hand. Returns what was accepted, and how many were sent.
    pub fn finish(self) -> (Vec<Accepted>, u64) {
        self.shared.stopped.store(true, SeqCst);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        let sent = self.shared.sent.load(SeqCst) as u64;
        (std::mem::take(&mut *self.shared.accepted.lock()), sent)
    }
}

struct Client {
    shared: Arc<Shared>,
    number: usize,
    keyed: bool,
}

impl Client {
    fn run(self) {
        let mut connection = None;
        for turn in 0.. {
            if self.shared.stopped.load(SeqCst) {
                return;
            }
            self.submit(&mut connection, turn);
        }
    }

    /// Sends one notification: once, or until there is an answer. Without a service it is given up when all stops.
    fn submit(&self, connection: &mut Option<Connection>, turn: usize) {
        let (priority, key) = (["urgent", "normal", "bulk"][turn % 3], format!("{}-{turn}", self.number));
        let body = format!(r#"{{"patientId":"p-1","message":"a reminder","priority":"{priority}"}}"#);
        let headers: &[(&str, &str)] = if self.keyed { &[("idempotency-key", &key)] } else { &[] };
        self.shared.sent.fetch_add(1, SeqCst);
        loop {
            let Some(open) = self.connected(connection) else { return };
            match open.send_with("POST", ASYNC, headers, &body) {
                Ok(answer) if answer.status == 202 => return self.note(&answer),
                Ok(answer) => {
                    assert_eq!(answer.status, 503, "{answer:?}");
                    self.shared.refused.fetch_add(1, SeqCst);
                    thread::sleep(PAUSE);
                }
                Err(_) => *connection = None,
            }
            if !self.keyed {
                return;
            }
        }
    }

    fn note(&self, answer: &Answer) {
        let trace_id = (!replayed(answer)).then(|| answer.trace_id());
        let accepted = Accepted { id: answer.text("id"), trace_id };
        self.shared.accepted.lock().push(accepted);
    }

    fn connected<'a>(&self, connection: &'a mut Option<Connection>) -> Option<&'a mut Connection> {
        while connection.is_none() {
            let service = self.shared.services.lock().choose(&mut rand::rng()).copied();
            *connection = service.and_then(|address| Connection::open(address).ok());
            if connection.is_none() {
                if self.shared.stopped.load(SeqCst) {
                    return None;
                }
                thread::sleep(PAUSE);
            }
        }
        connection.as_mut()
    }
}
