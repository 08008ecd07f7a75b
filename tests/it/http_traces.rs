//! One trace id from the caller through the line and the problem to the answer, whatever is answered.

use crate::{
    http_answers::cases,
    http_door,
    support::http::{Answer, Server, config},
};
use epro_notify::platform::{
    admission::Admission,
    config::Reader,
    telemetry::{Service, TelemetryConfig, TestTelemetry, init_for_tests},
};
use parking_lot::Mutex;
use serde_json::Value;
use std::{io, sync::Arc, time::Duration};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The service's own telemetry, its lines kept.
struct Lines {
    telemetry: TestTelemetry,
    written: Written,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn begin() -> Self {
        crate::support::subscribers::keep_apart();
        let written = Written::default();
        let config = TelemetryConfig::read(&mut Reader::for_tests(&[]));
        let service = Service { name: "test", version: "1" };
        let telemetry = init_for_tests(&config, service, Box::new(written.clone())).unwrap();
        Self { telemetry, written }
    }

    /// The lines of requests.
    fn end(self) -> Vec<Value> {
        self.telemetry.telemetry.shutdown(Duration::from_secs(10));
        let text = String::from_utf8(self.written.0.lock().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.filter(|line: &Value| line["message"] == "request").collect()
    }
}

/// Asks a server, and returns the answer and the request's one line.
async fn ask(request: &str, trusted: bool, door: Option<Admission>) -> (Answer, Value) {
    let lines = Lines::begin();
    let guard = tracing::dispatcher::set_default(&lines.telemetry.dispatch);
    let server = Server::start_with(config(), trusted, door).await;
    let answer = server.ask(request).await;
    server.stop().await;
    drop(guard);
    let lines = lines.end();
    assert_eq!(lines.len(), 1, "{lines:?}");
    (answer, lines[0].clone())
}

fn with_parent(request: &str, flags: &str) -> String {
    request.replacen("\r\n", &format!("\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-{flags}\r\n"), 1)
}

#[tokio::test]
async fn the_callers_trace_is_on_every_answer_problem_and_line() {
    let everybody = cases().into_iter().map(|case| (case, None));
    let at_the_door = http_door::cases().into_iter().map(|(case, door)| (case, Some(door)));
    for ((request, status, ..), door) in everybody.chain(at_the_door) {
        let (answer, line) = ask(&with_parent(&request, "01"), true, door).await;
        let told = answer.header("traceparent").unwrap();
        assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-01"), "{status}: {told}");
        assert_eq!(line["trace_id"], TRACE, "{status}");
        assert_eq!(told.split('-').nth(2), line["span_id"].as_str(), "{status}");
        assert_eq!(line["fields"]["status"], status);
        if status >= 400 {
            assert_eq!(answer.json()["traceId"], TRACE, "{status}");
        }
    }
}

#[tokio::test]
async fn a_request_without_a_trace_begins_one() {
    let (answer, line) = ask("GET /nowhere HTTP/1.1\r\n\r\n", true, None).await;
    let id = line["trace_id"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    assert_eq!(answer.header("traceparent").unwrap().split('-').nth(1), Some(id));
    assert_eq!(answer.json()["traceId"], id);
}

#[tokio::test]
async fn only_a_trusted_proxy_decides_what_is_sampled() {
    let unsampled = with_parent("GET /things/1 HTTP/1.1\r\n\r\n", "00");
    for (trusted, flags) in [(true, "-00"), (false, "-01")] {
        let (answer, line) = ask(&unsampled, trusted, None).await;
        assert!(answer.header("traceparent").unwrap().ends_with(flags), "{answer:?}");
        assert_eq!(line["trace_id"], TRACE);
    }
}
