//! The program `ctms`, the second service of the example.

use chassis::Program;
use epro_notify::ctms::{self, Config};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: ctms::NAME,
        version: env!("CARGO_PKG_VERSION"),
        about: "Trial management: shows the reports of the ePRO service, also while that cannot answer",
        key_prefix: "ctms_",
        admin: |config: &Config| config.admin.clone(),
        openapi: || ctms::document().to_pretty_json().unwrap_or_default(),
        serve: ctms::run,
        commands: Vec::new(),
    };
    program.main()
}
