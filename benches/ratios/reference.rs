//! Building and starting the Go service that the accept call is compared with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::bench::Bench;
use crate::child::Child;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/go-reference");

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
    let endpoint = format!("http://{}", bench.sink_address);
    let environment = BTreeMap::from([("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
    Child::announced("go", &program, &[], &environment)
}
