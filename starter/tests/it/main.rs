//! Tests from outside: each starts the program on ports and files of its own, and speaks to it as its users do.

mod example;

use chassis_test::TestApp;

/// The service with a store of its own.
fn service() -> TestApp {
    TestApp::new(env!("CARGO_BIN_EXE_starter-service"), "APP_").with_store()
}
