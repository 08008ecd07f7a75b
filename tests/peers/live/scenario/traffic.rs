//! The everyday: a few calls a second of all services for as long as the scene lasts, whatever they are answered.

use super::super::{caller::message, keys::EVERYDAY, stack::Stack};
use chassis_test::Connection;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Between two rounds of a caller.
const PAUSE: Duration = Duration::from_millis(200);

/// Callers at work until they are told to stop, or are dropped.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    pub fn start(stack: &Stack) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ctms, path) = (stack.ctms.service().http, "/api/v1/patients/p-1/latest-report");
        let run = |round: Box<dyn Fn() + Send>| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    round();
                    thread::sleep(PAUSE);
                }
            })
        };
        let mut threads = vec![run(Box::new(move || ignore(ctms, "GET", path, "")))];
        for one in &stack.instances {
            let http = one.service().http;
            let sms = message("sms").to_string();
            threads.push(run(Box::new(move || {
                ignore(http, "POST", "/api/v1/notifications/sms/async", &sms);
                ignore(http, "GET", path, "");
            })));
        }
        Self { stop, threads }
    }

    pub fn stop(mut self) {
        self.stop.store(true, Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// A service may well be away.
fn ignore(http: SocketAddr, method: &str, path: &str, body: &str) {
    let authorization = format!("Bearer {}", EVERYDAY.text());
    let headers = [("authorization", authorization.as_str())];
    let _ = Connection::open(http).and_then(|mut one| one.send_with(method, path, &headers, body));
}
