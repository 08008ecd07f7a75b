//! Tests from outside: each starts the program on ports and files of its own, and speaks to it as its users do.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod example;

use chassis_test::{Answer, Running, TestApp};

/// The service with a store of its own.
fn service() -> TestApp {
    TestApp::new(env!("CARGO_BIN_EXE_starter-service"), "APP_").with_store()
}

/// Calls the example endpoint.
fn accept(service: &Running, text: &str) -> Answer {
    service.ask("POST", "/api/v1/examples", &serde_json::json!({ "text": text }).to_string())
}
