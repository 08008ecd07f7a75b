//! The program `starter-service`.

use chassis::Program;
use starter_service::{app, backup, config::Config, http};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Program::<Config> {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        about: env!("CARGO_PKG_DESCRIPTION"),
        key_prefix: concat!(env!("CARGO_PKG_NAME"), "_"),
        admin: |config| config.admin.clone(),
        openapi: || http::document().to_pretty_json().unwrap_or_default(),
        serve: app::run,
        commands: vec![backup::command()],
    }
    .main()
}
