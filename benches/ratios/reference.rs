//! Building and starting the Go service that the accept call is compared with.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::bench::Bench;
use crate::child::{Child, Environment};

const SOURCE: &str = "benches/go-reference";

/// Starts the reference, its spans going to the same sink.
///
/// # Errors
/// When there is no Go, or its modules can't be had; the message says which.
pub fn start(bench: &Bench, target: &Path) -> Result<(Child, SocketAddr)> {
    let program = target.join("go-reference");
    let output = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(SOURCE).output();
    let output = output.map_err(|_| "no Go")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("go build failed: {}", said.lines().last().unwrap_or("silently")).into());
    }
    let environment = Environment::from([("OTEL_EXPORTER_OTLP_ENDPOINT", bench.sink.endpoint())]);
    Child::announced("go", &program, &[], &environment)
}
