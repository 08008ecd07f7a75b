//! The program `ctms`, the second service of the example. What its command line can do is the platform's,
//! what it runs stands in the library's room of the same name.

use epro_notify::{ctms, platform::cli::Program};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: ctms::NAME,
        version: env!("CARGO_PKG_VERSION"),
        about: "Trial management: shows the reports of the ePRO service, also while that cannot answer",
        key_prefix: "ctms_",
        load: ctms::Config::load,
        load_admin: ctms::Config::load_admin,
        document: ctms::document,
        run: ctms::run,
    };
    program.main()
}
