//! The compose file: what it mounts and builds exists, images are pinned, nothing is published beyond
//! loopback, and no container has rights that it does not need.

use super::{keys, read_yaml, repository, text, texts};
use serde_yaml_ng::Value;

const FILE: &str = "deploy/compose.yaml";
/// Whose programs have neither a shell nor a way to ask their own health.
const WITHOUT_HEALTH: &[&str] = &["jaeger", "loki", "otel-collector", "sms-gateway"];
/// Rights that containers get back, and why: see the file.
const RIGHTS: [(&str, &str); 2] = [("otel-collector", "DAC_READ_SEARCH"), ("runbooks", "NET_BIND_SERVICE")];

/// Everything that is wrong with a compose file of this repository.
fn faults(file: &str) -> Vec<String> {
    let stack = read_yaml(file);
    let mut found = Vec::new();
    for name in keys(&stack["services"]) {
        let service = &stack["services"][name.as_str()];
        let mut fault = |what: String| found.push(format!("{name}: {what}"));
        mounts(&stack, service).into_iter().for_each(&mut fault);
        origin(service).into_iter().for_each(&mut fault);
        rights(&name, service).into_iter().for_each(&mut fault);
        for port in texts(&service["ports"]) {
            if !port.starts_with("127.0.0.1:") {
                fault(format!("{port} is published beyond loopback"));
            }
        }
        if service["healthcheck"]["test"].is_null() && !WITHOUT_HEALTH.contains(&name.as_str()) {
            fault("nobody asks whether it is well".to_owned());
        }
        for network in texts(&service["networks"]) {
            if !keys(&stack["networks"]).contains(&network) {
                fault(format!("no network {network}"));
            }
        }
    }
    found
}

/// Each `from:to[:ro]` comes from a file or folder that exists, or from a declared volume.
fn mounts(stack: &Value, service: &Value) -> Vec<String> {
    let check = |mount: &String| {
        let (from, rest) = mount.split_once(':')?;
        if let Some(relative) = from
            .strip_prefix("./")
            .map(|rest| format!("deploy/{rest}"))
            .or_else(|| from.strip_prefix("../").map(str::to_owned))
        {
            let missing = !repository(&relative).exists();
            let writable = !rest.ends_with(":ro");
            return (missing || writable).then(|| format!("{mount}: missing or writable"));
        }
        let declared = from.starts_with('/') || keys(&stack["volumes"]).iter().any(|volume| volume == from);
        (!declared).then(|| format!("{mount}: no such volume"))
    };
    texts(&service["volumes"]).iter().filter_map(check).collect()
}

/// Built from a stage of our Dockerfile, or an image of one exact version.
fn origin(service: &Value) -> Option<String> {
    let build = &service["build"];
    if let Some(target) = build["target"].as_str() {
        let file = repository(build["context"].as_str()?.strip_prefix("../").unwrap_or(""));
        let dockerfile = std::fs::read_to_string(file.join(build["dockerfile"].as_str()?)).ok();
        let stage = format!(" AS {target}\n");
        return (!dockerfile.is_some_and(|text| text.contains(&stage))).then(|| format!("no stage {target}"));
    }
    let image = service["image"].as_str().unwrap_or_default();
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag).trim_start_matches('v');
    let numbers: Vec<&str> = tag.split('-').next().unwrap_or_default().split('.').collect();
    let exact = numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok());
    (!exact).then(|| format!("{image:?} is no exact version"))
}

fn rights(name: &str, service: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut need = |so: bool, what: &str| {
        if !so {
            found.push(what.to_owned());
        }
    };
    need(service["read_only"] == true, "its root can be written to");
    need(texts(&service["cap_drop"]) == ["ALL"], "it keeps capabilities");
    need(texts(&service["security_opt"]) == ["no-new-privileges:true"], "it may gain privileges");
    need(service["mem_limit"].is_string() && !service["cpus"].is_null(), "it has no limits");
    need(service["pids_limit"].is_number(), "it may start any number of processes");
    need(service["restart"] == "unless-stopped", "it does not come back");
    need(service["logging"]["options"]["max-size"].is_string(), "its lines fill the disk");
    let given = texts(&service["cap_add"]);
    need(given.iter().all(|right| RIGHTS.contains(&(name, right))), "it has rights that nobody explained");
    found
}

#[test]
fn the_stack_is_pinned_bound_to_loopback_and_made_of_what_is_there() {
    assert_eq!(faults(&text(FILE)), [""; 0]);
}

#[test]
fn what_would_be_wrong_is_found() {
    let right = text(FILE);
    for (word, other, fault) in [
        ("- 127.0.0.1:3000:3000", "- 3000:3000", "grafana: 3000:3000 is published beyond loopback"),
        ("prom/prometheus:v3.5.0", "prom/prometheus:latest", "is no exact version"),
        ("caddy:2.10.0-alpine", "caddy:2.10-alpine", "is no exact version"),
        ("./loki/config.yaml", "./loki/none.yaml", "loki: ./loki/none.yaml"),
        ("target: epro-notify", "target: none", "epro-notify: no stage none"),
        ("read_only: true", "read_only: false", "its root can be written to"),
        ("cap_add: [DAC_READ_SEARCH]", "cap_add: [SYS_ADMIN]", "nobody explained"),
        ("- loki-data:/loki", "- lok-data:/loki", "no such volume"),
        ("networks: [telemetry]", "networks: [telemetri]", "no network telemetri"),
        ("test: [CMD, epro-notify, healthcheck]", "disable: true", "epro-notify: nobody asks"),
        (
            "./dev/api-keys:/etc/epro-notify/api-keys:ro",
            "./dev/api-keys:/etc/epro-notify/api-keys",
            "writable",
        ),
    ] {
        assert!(right.contains(word), "{word}");
        let found = faults(&right.replacen(word, other, 1)).join("\n");
        assert!(found.contains(fault), "{other}: {found}");
    }
}

#[test]
fn the_tested_collector_is_of_the_release_whose_image_runs() {
    let version =
        super::yaml("deploy/otel-collector/builder.yaml")["dist"]["version"].as_str().unwrap().to_owned();
    let image = format!("image: otel/opentelemetry-collector-contrib:{version}\n");
    assert!(text(FILE).contains(&image), "{image}");
    let manifest = text("deploy/otel-collector/builder.yaml");
    let parts = manifest.lines().filter(|line| line.contains("gomod:") && !line.contains("confmap/"));
    let others: Vec<&str> = parts.filter(|line| !line.ends_with(&format!(" v{version}"))).collect();
    assert_eq!(others, [""; 0]);
}
