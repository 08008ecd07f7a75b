//! What is fuzzed: one function over bytes for each parser of outside input that is our own. It panics if a promise
//! is broken. libFuzzer (`../main.rs`) and the hermetic tests (`../seeds.rs`) run the same functions.

mod config;
mod door;
mod gateway;
mod model;
mod telemetry;

/// A function over bytes, whose seeds are in `fuzz/corpus/<name>`.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

/// All of them.
pub const ALL: &[Target] = &[
    // Headers.
    Target { name: "authorization", run: door::authorization },
    Target { name: "forwarded_for", run: door::forwarded_for },
    Target { name: "idempotency_key", run: door::idempotency_key },
    Target { name: "traceparent", run: telemetry::traceparent },
    // The domain's texts and bodies.
    Target { name: "texts", run: model::texts },
    Target { name: "sms_body", run: model::sms_body },
    Target { name: "push_body", run: model::push_body },
    Target { name: "patient_body", run: model::patient_body },
    Target { name: "study_body", run: model::study_body },
    // What gateways answer.
    Target { name: "gateway_answer", run: gateway::answer },
    // Files and settings.
    Target { name: "key_file", run: door::key_file },
    Target { name: "config_file", run: config::file },
    Target { name: "config_environment", run: config::environment },
    Target { name: "config_values", run: config::values },
    Target { name: "log_filter", run: telemetry::log_filter },
];

/// A bug that only somebody finds who is told which branches were taken, or who is very patient: it is what
/// shows that fuzzing finds any.
pub const PLANTED: Target = Target { name: "planted", run: planted };

fn planted(bytes: &[u8]) {
    if let [b'f', rest @ ..] = bytes
        && let [b'u', rest @ ..] = rest
        && let [b'z', rest @ ..] = rest
    {
        assert!(!rest.starts_with(b"z"), "found");
    }
}

/// The bytes as text, so that one that is not UTF-8 is near one that is.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The bytes up to the first line's end, and what comes after it.
fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}
