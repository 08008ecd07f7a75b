//! The manifests as kustomize renders them: kubernetes-validate judges each object, and what objects promise each other, the
//! services and the documents is compared here.

use crate::{deploy::collector::judged, program::shipped};
use chassis_test::TestApp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

const OVERLAYS: [&str; 2] = ["sqlite", "postgres"];
/// A key file's line, and as good as any other secret.
const KEY: &str = "ehr:send:66a0a95804a910bb5bfec653825b85352fb24a779b294d7818ef5cd6b40054d8";

fn rendered(overlay: &str) -> Vec<Value> {
    let mut command = Command::new("kustomize");
    command.arg("build").arg(shipped("deploy/k8s/overlays").join(overlay));
    let text = judged(command).unwrap();
    serde_yaml_ng::Deserializer::from_str(&text).map(|one| Value::deserialize(one).unwrap()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &Value) -> &'a Value {
    let found = of_kind(objects, kind).into_iter().find(|object| object["metadata"]["name"] == *name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn at<'a>(object: &'a Value, pointer: &str) -> &'a Value {
    object.pointer(pointer).unwrap_or(&Value::Null)
}

/// The settings of a container's program.
fn settings<'a>(objects: &'a [Value], container: &Value) -> &'a Value {
    &named(objects, "ConfigMap", at(container, "/envFrom/0/configMapRef/name"))["data"]
}

#[test]
fn kubernetes_takes_each_object_and_no_broken_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.yaml");
    let judge = |text: &str| {
        fs::write(&file, text).unwrap();
        let mut command = Command::new("kubernetes-validate");
        command.arg("--strict").arg(&file);
        judged(command)
    };
    for overlay in OVERLAYS {
        // Schemas of the Prometheus Operator are not among them.
        let known = |object: &Value| !object["apiVersion"].as_str().unwrap().contains("coreos.com");
        let objects: Vec<_> = rendered(overlay).into_iter().filter(known).collect();
        let text: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
        assert_eq!(judge(&text).unwrap().matches(" passed ").count(), objects.len());
        for (word, other) in [
            ("\"readOnlyRootFilesystem\":true", "\"readOnlyRoot\":true"),
            ("\"terminationGracePeriodSeconds\":35", "\"terminationGracePeriodSeconds\":\"35s\""),
            ("\"policyTypes\":[\"Ingress\",\"Egress\"]", "\"policyTypes\":\"Egress\""),
        ] {
            assert!(text.contains(word), "{word}");
            judge(&text.replacen(word, other, 1)).expect_err(other);
        }
    }
}

#[test]
fn each_pod_has_no_rights_is_probed_and_ends_in_time() {
    for (overlay, strategy) in OVERLAYS.into_iter().zip(["Recreate", "RollingUpdate"]) {
        let objects = rendered(overlay);
        let first = named(&objects, "Deployment", &json!("epro-notify"));
        assert_eq!(at(first, "/spec/strategy/type"), strategy);
        for deployment in of_kind(&objects, "Deployment") {
            let (pod, container) =
                (at(deployment, "/spec/template/spec"), at(deployment, "/spec/template/spec/containers/0"));
            for (part, pointer, value) in [
                (pod, "/automountServiceAccountToken", json!(false)),
                (pod, "/enableServiceLinks", json!(false)),
                (pod, "/securityContext/runAsNonRoot", json!(true)),
                (pod, "/securityContext/runAsUser", json!(10001)),
                (pod, "/securityContext/seccompProfile/type", json!("RuntimeDefault")),
                (container, "/securityContext/allowPrivilegeEscalation", json!(false)),
                (container, "/securityContext/readOnlyRootFilesystem", json!(true)),
                (container, "/securityContext/capabilities/drop", json!(["ALL"])),
                (container, "/startupProbe/httpGet", json!({"path": "/readyz", "port": "admin"})),
                (container, "/readinessProbe/httpGet", json!({"path": "/readyz", "port": "admin"})),
                (container, "/livenessProbe/httpGet", json!({"path": "/livez", "port": "admin"})),
            ] {
                assert_eq!(at(part, pointer), &value, "{pointer}");
            }
            assert!(
                container["resources"]["requests"].is_object()
                    && container["resources"]["limits"].is_object()
            );
            assert!(pod["topologySpreadConstraints"].is_array());
            let settings = settings(&objects, container);
            let seconds =
                |key: &str| settings[key].as_str().unwrap().trim_end_matches('s').parse::<u64>().unwrap();
            assert_eq!(seconds("APP_SHUTDOWN__NOT_READY_FOR"), 5);
            let stop = 5 + seconds("APP_SHUTDOWN__DRAIN_DEADLINE") + 2;
            assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > stop);
        }
    }
}

#[test]
fn whatever_an_object_names_is_there() {
    let page = fs::read_to_string(shipped("docs/operations.md")).unwrap();
    for objects in OVERLAYS.map(rendered) {
        for object in &objects {
            let labels = at(object, "/metadata/labels");
            let wanted = ["name", "part-of", "managed-by", "version"]
                .map(|label| &labels[format!("app.kubernetes.io/{label}")]);
            assert!(wanted.iter().all(|label| label.is_string()), "{}: {labels}", object["kind"]);
            assert_eq!(wanted[3], env!("CARGO_PKG_VERSION"));
        }
        let deployments = of_kind(&objects, "Deployment");
        for (kind, pointer) in [
            ("Service", "/spec/selector"),
            ("PodDisruptionBudget", "/spec/selector/matchLabels"),
            ("NetworkPolicy", "/spec/podSelector/matchLabels"),
        ] {
            assert!(of_kind(&objects, kind).len() >= 2);
            for object in of_kind(&objects, kind) {
                let selected = |one: &&&Value| at(one, "/spec/selector/matchLabels") == at(object, pointer);
                let deployment = deployments.iter().find(selected).unwrap();
                let ports = at(deployment, "/spec/template/spec/containers/0/ports");
                let given: Vec<_> = items(ports).map(|port| &port["name"]).collect();
                let ingress = items(&object["spec"]["ingress"]).flat_map(|rule| items(&rule["ports"]));
                let served = items(&object["spec"]["ports"]).map(|port| &port["targetPort"]);
                for port in served.chain(ingress.map(|port| &port["port"])) {
                    assert!(given.contains(&port), "{kind}: {port}");
                }
            }
        }
        for monitor in of_kind(&objects, "ServiceMonitor") {
            let (label, port) = ("app.kubernetes.io/name", at(monitor, "/spec/endpoints/0/port"));
            let name = &at(monitor, "/spec/selector/matchLabels")[label];
            let services = of_kind(&objects, "Service").into_iter();
            let scraped = services.filter(|service| {
                at(service, "/metadata/labels")[label] == *name
                    && items(at(service, "/spec/ports")).any(|served| served["name"] == *port)
            });
            assert_eq!(scraped.count(), 1, "each instance is scraped once");
        }
        for scaler in of_kind(&objects, "HorizontalPodAutoscaler") {
            let scaled = named(&objects, "Deployment", at(scaler, "/spec/scaleTargetRef/name"));
            assert!(scaled["spec"]["replicas"].is_null(), "each apply would undo what it has scaled");
        }
        for pod in deployments.iter().map(|deployment| at(deployment, "/spec/template/spec")) {
            named(&objects, "ServiceAccount", &pod["serviceAccountName"]);
            for volume in items(&pod["volumes"]) {
                match at(volume, "/secret/secretName").as_str() {
                    Some(secret) => assert!(page.contains(&format!("| `{secret}` |")), "{secret}"),
                    None => drop(named(
                        &objects,
                        "PersistentVolumeClaim",
                        at(volume, "/persistentVolumeClaim/claimName"),
                    )),
                }
            }
        }
        for board in crate::read::boards().unwrap() {
            let map = named(&objects, "ConfigMap", &json!(format!("dashboard-{}", board.uid())));
            assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
            let shown = map["data"][format!("{}.json", board.uid())].as_str().unwrap();
            assert_eq!(serde_json::from_str::<Value>(shown).unwrap(), board.json);
        }
    }
}

#[test]
fn the_services_take_the_settings_that_they_are_given() {
    for objects in OVERLAYS.map(rendered) {
        for deployment in of_kind(&objects, "Deployment") {
            let container = at(deployment, "/spec/template/spec/containers/0");
            let (first, second) = (env!("CARGO_BIN_EXE_epro-notify"), env!("CARGO_BIN_EXE_ctms"));
            let mut app = TestApp::new(if container["name"] == "ctms" { second } else { first }, "APP_");
            for (key, value) in settings(&objects, container).as_object().unwrap() {
                let value = value.as_str().unwrap();
                // What is mounted there is in the folder here.
                let (before, path) = value.split_at(value.find("/etc/").unwrap_or(value.len()));
                let file = Path::new(path).file_name().map(|name| app.file(name.to_str().unwrap(), KEY));
                app.set(key, &format!("{before}{}", file.unwrap_or_default()));
            }
            let checked = app.run(&["check-config"]);
            assert!(checked.status.success(), "{checked:?}");
        }
    }
}
