//! The README's pictures: every dashboard and one notification's trace, drawn out of the scene by Grafana's published
//! components in a browser without a window (`tests/peers/pictures`), and the service's own page of traces. `cargo xtask pictures` writes them into
//! `docs/pictures`; without `PICTURES` it is only tried whether everything can be drawn.

use super::{
    caller::until_told,
    prometheus::now,
    scenario::{self, Traffic, act},
    stack::Stack,
    telemetry::Telemetry,
};
use crate::{
    need,
    program::shipped,
    read, root,
    support::{gateway::Gateway, service::Site},
};
use chassis_test::{until, until_so};
use serde_json::json;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

/// What the page is built of.
const FILES: &[&str] = &["draw.mjs", "index.html", "package-lock.json", "package.json", "vite.config.js"];
const SOURCES: &[&str] =
    &["dashboard.jsx", "fields.js", "main.jsx", "panel.jsx", "prometheus.js", "trace.jsx"];
/// How long everything is well at the end, so that a picture shows trouble and its end.
const CALM: Duration = Duration::from_secs(20);
/// Spans of a notification that is delivered by its second attempt.
const SPANS: usize = 6;

#[test]
fn every_dashboard_and_a_trace_can_be_drawn() {
    ["npm", "node", "chromium"].into_iter().for_each(need);
    let place = tempfile::tempdir().unwrap();
    let page = act("the page", || page(place.path()));
    let telemetry = act("collector and Jaeger", Telemetry::start);
    let variables = telemetry.variables();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut stack = act("start", || Stack::start(&variables));
    let from = now();
    scenario::play(&mut stack);
    let traffic = Traffic::start(&stack);
    thread::sleep(CALM);
    let trace = act("a trace", || retried(&stack, &telemetry));
    let to = now();
    let boards = read::boards().unwrap();
    let mut names: Vec<String> = boards.iter().map(|board| board.uid().to_owned()).collect();
    names.push(format!("trace:{trace}"));
    let out = env::var_os("PICTURES").map_or_else(|| place.path().join("out"), |out| root().join(out));
    fs::create_dir_all(&out).unwrap();
    let mut draw = Command::new("node");
    draw.arg("draw.mjs").arg(&out).args([from, to].map(|at| at.to_string())).args(names).current_dir(&page);
    draw.env("PROMETHEUS", stack.prometheus.url()).env("JAEGER", telemetry.jaeger());
    draw.env("PICTURES_PUBLIC", place.path().join("public"));
    let status = act("drawing", || draw.status().unwrap());
    traffic.stop();
    assert!(status.success(), "a panel could not be drawn");
    act("the page of traces", || debug_traces(&out));
}

/// Of a service that nobody else calls.
fn debug_traces(out: &Path) {
    let gateway = Gateway::start();
    gateway.behave(r#"{"status":503,"latency":"15ms"}"#);
    let service = Site::sending_to(&gateway).with("APP_RETRY__BASE_DELAY", "200ms").start_with_patient();
    let id = service.accept();
    // No question to the API: the notification's trace is the latest, which the page unfolds.
    until_so("an attempt", || gateway.arrivals_of(&id) > 0);
    gateway.behave(r#"{"latency":"15ms"}"#);
    service.until_drained();
    let mut draw = Command::new(env::var_os("CHROMIUM").unwrap_or_else(|| "chromium".into()));
    draw.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1440,840"])
        .arg(format!("--screenshot={}", out.join("debug-traces.png").display()))
        .arg(format!("http://{}/debug/traces", service.admin));
    assert!(draw.status().unwrap().success() && out.join("debug-traces.png").exists());
    service.stop();
}

/// The page with all that it needs, in this folder.
fn page(folder: &Path) -> PathBuf {
    let (from, to) = (shipped("tests/peers/pictures"), folder.join("page"));
    fs::create_dir_all(to.join("src")).unwrap();
    fs::create_dir_all(folder.join("public/dashboards")).unwrap();
    let sources = SOURCES.iter().map(|name| format!("src/{name}"));
    for name in FILES.iter().map(|name| (*name).to_owned()).chain(sources) {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
    for board in read::boards().unwrap() {
        let path = folder.join(format!("public/dashboards/{}.json", board.uid()));
        fs::write(path, board.json.to_string()).unwrap();
    }
    // Not `ci`: the lock file has the optional parts of one platform alone.
    let mut install = Command::new("npm");
    install
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(&to);
    assert!(install.status().unwrap().success(), "the components could not be installed");
    to
}

/// The trace of a notification whose first attempt fails.
fn retried(stack: &Stack, telemetry: &Telemetry) -> String {
    let caller = stack.instances[0].caller();
    stack.gateway.behave(r#"{"status":503}"#);
    let id = caller.accept("sms", "urgent", &json!({}));
    let told = || caller.get(&format!("/notifications/{id}")).json();
    until_told("an attempt fails", || {
        told()["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty())
    });
    stack.gateway.behave(r#"{"latency":"10ms"}"#);
    until_told("it is delivered", || told()["status"] == "delivered");
    let id = told()["traceId"].as_str().unwrap().to_owned();
    until("its trace is whole", || {
        let trace = telemetry.trace(&id)?;
        (trace["spans"].as_array()?.len() >= SPANS).then_some(())
    });
    id
}
