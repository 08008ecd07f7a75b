//! Compiles the protocols, without protoc, and tells the code what it is built of: the commit and the
//! compiler, for `build_info` and `/version`.

use std::{env, error::Error, fs, path::Path, process::Command};

/// Where the protocols lie.
const PROTOCOLS: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    compile("epro/v1/epro.proto", "epro.v1.bin", true)?;
    if env::var_os("CARGO_FEATURE_ETCD").is_some() {
        compile("etcd/rpc.proto", "etcd.bin", false)?;
    }
    tell_build();
    Ok(())
}

/// Makes code of a protocol, of its servers too if we are one, and its descriptor for reflection.
fn compile(file: &str, descriptor: &str, serves: bool) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTOCOLS}/{file}");
    let mut compiler = protox::Compiler::new([PROTOCOLS])?;
    compiler.include_imports(true).open_file(file)?;
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    fs::write(Path::new(&out).join(descriptor), compiler.encode_file_descriptor_set())?;
    // Comments become documentation.
    let set = compiler.include_source_info(true).file_descriptor_set();
    tonic_prost_build::configure().build_transport(false).build_server(serves).compile_fds(set)?;
    Ok(())
}

fn tell_build() {
    // An image is built without the repository's history, so the commit may be given.
    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    for path in ["HEAD", "logs/HEAD"] {
        // Only a file that is there: a missing one would have this run on every build.
        if let Some(path) =
            run("git", &["rev-parse", "--git-path", path]).filter(|path| fs::exists(path).unwrap_or(false))
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let given = env::var("BUILD_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(|| run("git", &["rev-parse", "--short=12", "HEAD"]));
    let rustc = run(&env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()), &["--version"]);
    // `rustc 1.95.0 (…)`: the number alone.
    let rustc = rustc.and_then(|text| text.split(' ').nth(1).map(str::to_owned));
    println!("cargo::rustc-env=BUILD_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=BUILD_RUSTC={}", rustc.as_deref().unwrap_or("unknown"));
}

/// What a command says on its one line, if it can be run and is content.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
