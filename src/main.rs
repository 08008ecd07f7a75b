//! The program `epro-notify`. What its command line can do is the platform's, what it runs is `app`'s.

use epro_notify::{app, config::Config, platform::cli::Program};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        about: env!("CARGO_PKG_DESCRIPTION"),
        key_prefix: concat!(env!("CARGO_PKG_NAME"), "_"),
        load: Config::load,
        load_admin: Config::load_admin,
        document: app::document,
        run: app::run,
    };
    program.main()
}
