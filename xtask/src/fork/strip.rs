//! A fork without the sample: what is left out, and what of the rest would still name it. In its place stands `starter/`, a package of
//! this workspace with one endpoint and one job, which becomes the service.

use super::names::{Names, STARTER, TEMPLATE};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Files and folders that show the sample, or that only it needs.
const GONE: &str = "CHANGELOG.md CONTRIBUTING.md benches/ build.rs dashboards/epro-rpc.json dashboards/notifications.json \
    deploy/k8s/base/ctms.yaml deploy/prometheus/rules/domain.yml deploy/prometheus/rules/slo.yml deploy/prometheus/tests/domain.yml \
    deploy/prometheus/tests/slo- deploy/runbooks/deliveries.md deploy/runbooks/gateways.md deploy/runbooks/partners.md \
    deploy/runbooks/slo.md docs/api.md docs/architecture.md docs/capacity.md docs/load/ docs/observability.md \
    docs/operations.md docs/performance.md docs/pictures/ examples/ fuzz/ proto/ src/ tests/it/ tests/load/ tests/peers/ \
    xtask/src/fork/ xtask/src/fuzz.rs";

/// Blocks of YAML by the beginning of their first line; what is indented below it goes as well.
const BLOCKS: &[&str] = &[
    "  ctms:", "  sms-gateway:", "  # Stands for a gateway:", "  - job_name: ctms",
    "      - series: \"up{job=\\\"ctms\\\"",
];

/// What else names the sample: a text, and what stands in its place.
const WORDS: &[(&str, &str)] = &[
    (STARTER, TEMPLATE),
    ("starter_service", "epro_notify"),
    // Cargo.toml
    ("\"fuzz\", \"starter\", ", ""),
    ("path = \"../tests/", "path = \"tests/"),
    // The second service, in queries as they are and as links have them.
    ("epro-notify|ctms", "epro-notify"),
    ("epro-notify%7Cctms", "epro-notify"),
    ("[\"epro-notify\", \"ctms\"]", "[\"epro-notify\"]"),
    (" or absent(up{job=\"ctms\"})", ""),
    // compose.yaml
    ("    depends_on:\n      sms-gateway:\n        condition: service_started\n", ""),
    ("      APP_GRPC__LISTEN: 0.0.0.0:50051\n", ""),
    ("      APP_SMS__PROVIDER: http\n      APP_SMS__HTTP__URL: http://sms-gateway:9100/messages\n", ""),
    ("      APP_PUSH__PROVIDER: http\n      APP_PUSH__HTTP__URL: http://sms-gateway:9100/messages\n", ""),
    ("      - 127.0.0.1:50051:50051\n", ""),
    (", \"sms-gateway\"];", "];"),
    // Links to documents that are left out.
    ("; *Runbooks on Kubernetes* in `docs/operations.md` says more", ""),
    (" ([performance](../performance.md))", ""),
    // Only tests with real peers need more rights.
    (" Some tests make mount namespaces of their own.", ""),
    ("      options: --privileged\n", ""),
    // The collector's list of fields.
    ("      - grpc\n", ""),
    ("      - push\n", ""),
    ("      - sms\n", ""),
    ("      - to\n    redact_all_types", "      - to\n      - words\n    redact_all_types"),
];

/// What no file of a stripped fork names.
pub const SAMPLE: [&str; 8] = ["epro", "notif", "patient", "sms", "ctms", "clinical", "study", "studies"];

/// Words of libraries, SQL and English in which these stand.
pub const ELSEWHERE: [&str; 7] =
    ["Notify", "notified", "notify_", "Propagator", "fileprovider", "reproduc", "Protocols"];

/// Which file becomes which: what is kept of this repository, and `starter/` above all.
pub fn plan<'a>(files: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let starter = files.iter().filter_map(|file| Some((*file, file.strip_prefix("starter/")?)));
    let starter: Vec<_> = starter.filter(|(_, to)| *to != "Cargo.toml").collect();
    let kept = files.iter().filter(|file| {
        let gone = GONE.split(' ').chain(["starter/"]).any(|prefix| file.starts_with(prefix));
        !gone && !starter.iter().any(|(_, to)| to == *file)
    });
    kept.map(|file| (*file, *file)).chain(starter.iter().copied()).collect()
}

/// A file's text without the sample.
pub fn text(file: &str, text: &str) -> String {
    if file == "Cargo.lock" {
        // The starter takes the service's place.
        let service = format!("name = \"{TEMPLATE}\"\n");
        let packages = text.split("[[package]]\n").filter(|package| !package.starts_with(&service));
        return packages.collect::<Vec<_>>().join("[[package]]\n").replace(STARTER, TEMPLATE);
    }
    let text = BLOCKS.iter().fold(text.to_owned(), |text, block| without_block(&text, block));
    let text = WORDS.iter().fold(text, |text, (word, by)| text.replace(word, by));
    if file.starts_with("dashboards/") { without_links(&text) } else { text }
}

fn without_block(text: &str, begin: &str) -> String {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let (mut kept, mut inside) = (String::with_capacity(text.len()), false);
    for line in text.split_inclusive('\n') {
        let deeper = line.trim().is_empty() || depth(line) > depth(begin);
        inside = line.starts_with(begin) || inside && deeper;
        if !inside {
            kept += line;
        }
    }
    kept
}

/// A dashboard without links to what is gone.
fn without_links(text: &str) -> String {
    let Ok(mut board) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    prune(&mut board);
    serde_json::to_string_pretty(&board).map_or_else(|_| text.to_owned(), |text| text + "\n")
}

fn prune(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.retain(|item| !(item["url"].is_string() && leads_nowhere(&item.to_string())));
            items.iter_mut().for_each(prune);
        }
        Value::Object(fields) => fields.values_mut().for_each(prune),
        _ => {}
    }
}

fn leads_nowhere(link: &str) -> bool {
    ["/d/notifications", "/d/epro-rpc", ": ctms\"", "%22ctms%22"].iter().any(|word| link.contains(word))
}

/// Writes the manifest: this workspace, around the package of `starter/`. Dependencies that nothing names any more go.
pub fn manifest(names: &Names, root: &Path, folder: &Path, files: &[PathBuf]) -> Result<(), String> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let (ours, package) = (read(&root.join("Cargo.toml"))?, read(&root.join("starter/Cargo.toml"))?);
    let (workspace, _) = ours.split_once("[package]\n").ok_or("Cargo.toml has no [package]")?;
    let (_, profiles) = ours.split_once("[profile.").ok_or("Cargo.toml has no [profile]")?;
    let manifests = files.iter().filter(|path| path.ends_with("Cargo.toml") && path.parent() != Some(folder));
    let needing: String = manifests.filter_map(|path| read(path).ok()).chain([package.clone()]).collect();
    let is_needed = |line: &&str| {
        let dependency =
            line.split_once(" = ").filter(|_| line.contains("version = ") || line.ends_with('"'));
        dependency.is_none_or(|(name, _)| {
            ["{name}.workspace = true", "{name} = { workspace"]
                .iter()
                .any(|form| needing.contains(&form.replace("{name}", name)))
        })
    };
    let (head, dependencies) =
        workspace.split_once("[workspace.dependencies]\n").ok_or("no [workspace.dependencies]")?;
    let (dependencies, lints) =
        dependencies.split_once("\n# ").ok_or("no comment after [workspace.dependencies]")?;
    let dependencies: Vec<&str> = dependencies.lines().filter(is_needed).collect();
    let dependencies = dependencies.join("\n");
    let text =
        format!("{head}[workspace.dependencies]\n{dependencies}\n\n# {lints}{package}\n[profile.{profiles}");
    let text = names.rename("Cargo.toml", &self::text("Cargo.toml", &text));
    fs::write(folder.join("Cargo.toml"), text).map_err(|error| format!("Cargo.toml: {error}"))
}
