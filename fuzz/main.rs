//! libFuzzer's entry point: one program for all targets, of which `FUZZ_TARGET` names one.

#![no_main]

mod targets;

use libfuzzer_sys::fuzz_target;
use std::{process, sync::OnceLock};
use targets::Target;

static TARGET: OnceLock<&Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(chosen);
    (target.run)(bytes);
});

fn chosen() -> &'static Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    targets::ALL.iter().chain([&targets::PLANTED]).find(|target| target.name == name).unwrap_or_else(|| {
        eprintln!("FUZZ_TARGET names no target: {name:?}");
        process::exit(64);
    })
}
