//! The programs that the stages need besides Rust, and where they are looked for. How they are
//! fetched is in `install.rs`.

use crate::{
    go::{self, Recipe},
    install,
};
use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A program of somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Alertmanager's.
    Amtool,
    CargoDeny,
    CargoMachete,
    /// Draws pages without a window.
    Chromium,
    /// OpenTelemetry's, of the parts that `deploy/otel-collector/builder.yaml` lists.
    Collector,
    /// Reads compose files as Docker's own command does.
    ComposeSpec,
    /// A C++ compiler: libFuzzer is built from source.
    Cxx,
    Curl,
    /// A name server.
    Dnsmasq,
    Etcd,
    Git,
    /// Judges Dockerfiles.
    Hadolint,
    /// Without its pages: its API is what tests ask.
    Jaeger,
    /// Grafana's load generator.
    K6,
    KubernetesValidate,
    Kustomize,
    /// Node and its package manager.
    Npm,
    Postgres,
    /// Reads and draws PDF: `pdftotext` and `pdftoppm` of poppler, and a font with Chinese and Latin.
    Pdf,
    Prometheus,
    Promtool,
    Schemathesis,
    Strace,
    /// With the right to make a mount namespace.
    Unshare,
}

impl Tool {
    pub const fn program(self) -> &'static str {
        match self {
            Self::Amtool => "amtool",
            Self::CargoDeny => "cargo-deny",
            Self::CargoMachete => "cargo-machete",
            Self::Chromium => "chromium",
            Self::Collector => "otelcol",
            Self::ComposeSpec => "compose-spec",
            Self::Curl => "curl",
            Self::Cxx => "c++",
            Self::Dnsmasq => "dnsmasq",
            Self::Etcd => "etcd",
            Self::Git => "git",
            Self::Hadolint => "hadolint",
            Self::Jaeger => "jaeger",
            Self::K6 => "k6",
            Self::KubernetesValidate => "kubernetes-validate",
            Self::Kustomize => "kustomize",
            Self::Npm => "npm",
            Self::Pdf => "pdftotext",
            Self::Postgres => "postgres",
            Self::Prometheus => "prometheus",
            Self::Promtool => "promtool",
            Self::Schemathesis => "schemathesis",
            Self::Strace => "strace",
            Self::Unshare => "unshare",
        }
    }

    /// The version that verdicts depend on; any will do for the others.
    pub const fn version(self) -> Option<&'static str> {
        match self {
            Self::CargoDeny => Some("0.20.2"),
            Self::CargoMachete => Some("0.9.2"),
            Self::K6 => Some("v1.1.0"),
            Self::Hadolint => Some("2.15.1"),
            Self::KubernetesValidate => Some("1.37.0"),
            Self::Schemathesis => Some("4.32.5"),
            _ => None,
        }
    }

    /// How it is built, if it is built from Go modules.
    const fn recipe(self) -> Option<Recipe> {
        match self {
            Self::Collector => Some(Recipe::COLLECTOR),
            Self::ComposeSpec => Some(Recipe::COMPOSE_SPEC),
            Self::Jaeger => Some(Recipe::JAEGER),
            Self::Kustomize => Some(Recipe::KUSTOMIZE),
            _ => None,
        }
    }

    /// A file that belongs to it.
    const fn file(self) -> Option<&'static str> {
        match self {
            Self::Pdf => Some("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),
            _ => None,
        }
    }

    /// What it is asked to do, to see whether it works here.
    const fn question(self) -> &'static [&'static str] {
        match self {
            Self::Unshare => &["--map-root-user", "--mount", "true"],
            Self::Pdf => &["-v"],
            Self::Jaeger | Self::K6 | Self::Kustomize => &["version"],
            Self::ComposeSpec => &["--help"],
            _ => &["--version"],
        }
    }
}

/// Where Debian puts servers, which not everybody's `PATH` has.
const SERVERS: &str = "/usr/sbin";

/// Where Debian puts PostgreSQL, each release in a folder of its own.
const POSTGRES: &str = "/usr/lib/postgresql";

/// Where the stages find their programs: a folder of ours in the target directory, what we built from Go
/// modules, then `PATH`, then servers.
pub struct Tools {
    workspace: PathBuf,
    folder: PathBuf,
}

/// Where the repository is. Asked of Cargo as the command runs: two clones may share what they build.
pub fn workspace() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    manifest.and_then(|folder| folder.parent().map(Path::to_owned)).unwrap_or_else(|| ".".into())
}

/// Where Cargo builds.
pub fn target() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    workspace().join(target)
}

impl Tools {
    pub fn new() -> Self {
        let workspace = workspace();
        Self { folder: target().join("tools"), workspace }
    }

    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// `PATH` for the stages' commands.
    pub fn path(&self) -> OsString {
        let outside = env::var_os("PATH").unwrap_or_default();
        let postgres =
            fs::read_dir(POSTGRES).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
        let folders = [self.folder.join("bin"), go::cache().join("bin")]
            .into_iter()
            .chain(env::split_paths(&outside))
            .chain([PathBuf::from(SERVERS)])
            .chain(postgres);
        env::join_paths(folders).unwrap_or(outside)
    }

    /// Finds the tool, or fetches it. The error says what is missing and what would help.
    pub fn provide(&self, tool: Tool, install: bool) -> Result<(), String> {
        if self.has(tool) {
            return Ok(());
        }
        let name = tool.program();
        if !install {
            return Err(format!("{name} is missing; --install fetches it"));
        }
        println!("installing {name}");
        let installed = match tool.recipe() {
            Some(recipe) => go::build(tool, &recipe),
            None => install::install(tool, &self.folder),
        };
        installed.map_err(|why| format!("{name} can't be had: {why}"))?;
        if self.has(tool) { Ok(()) } else { Err(format!("{name} was installed but does not run")) }
    }

    /// Asks the program, mostly for its version: a file of that name that does not start is no tool.
    fn has(&self, tool: Tool) -> bool {
        if tool.file().is_some_and(|file| !Path::new(file).is_file()) {
            return false;
        }
        if tool.recipe().is_some_and(|recipe| !go::is_fresh(tool, &recipe)) {
            return false;
        }
        let mut command = Command::new("env");
        let asked = command.env("PATH", self.path()).arg(tool.program()).args(tool.question()).output();
        asked.is_ok_and(|answer| {
            let said = String::from_utf8_lossy(&answer.stdout);
            answer.status.success() && tool.version().is_none_or(|version| names(&said, version))
        })
    }
}

/// Whether `version` is one of the words of what a program says of itself.
fn names(said: &str, version: &str) -> bool {
    said.split_whitespace().any(|word| word == version)
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn another_version_is_not_taken_for_the_pinned_one() {
        assert!(names("cargo-deny 0.20.2\n", "0.20.2"));
        assert!(!names("cargo-deny 0.20.20\n", "0.20.2"));
        assert!(!names("cargo-deny 0.14.2\n", "0.20.2"));
    }
}
