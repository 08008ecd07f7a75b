//! Lines, spans and metrics of the real program, with a real gateway and an OTLP collector: what they tell as a
//! whole, what they must never tell, and that no receiver of theirs can hold the service up.

mod canaries;
mod canary_calls;
mod canary_scene;
mod collectors;
mod correlation;
mod exemplars;
mod metric_rules;
mod metrics_page;
mod scene;
mod span_rules;
mod spans;
mod stdout;
mod traces;

use crate::support::prelude::*;
use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

const CLIENTS: usize = 8;
/// An answer that waits for a receiver of telemetry takes longer, an answer on a busy machine does not.
const AT_ONCE: Duration = Duration::from_secs(8);

/// Asks for something that is answered at once, and panics if it is not.
fn ask_at_once(connection: &mut Connection, (method, path, body, status): (&str, &str, &str, u16)) {
    let begun = Instant::now();
    let answer = connection.send(method, path, body).unwrap();
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(begun.elapsed() < AT_ONCE, "an answer took {:?}", begun.elapsed());
}

/// Has so many notifications accepted, and panics if one of them waits.
fn burst(http: SocketAddr, count: usize) {
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut connection = Connection::open(http).unwrap();
                (0..count / CLIENTS)
                    .for_each(|_| ask_at_once(&mut connection, ("POST", ASYNC, MESSAGE, 202)));
            });
        }
    });
}
