//! The manifests as kustomize renders them: kubernetes-validate judges each object, and what objects promise each other, the
//! services and the documents is compared here.

use crate::{deploy::collector::judged, program::shipped};
use chassis_test::{Certificate, TestApp};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

const OVERLAYS: [&str; 2] = ["sqlite", "postgres"];

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

/// The settings of a Deployment's program.
fn settings<'a>(objects: &'a [Value], container: &Value) -> &'a Value {
    &named(objects, "ConfigMap", &container["envFrom"][0]["configMapRef"]["name"])["data"]
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
    for objects in OVERLAYS.map(rendered) {
        assert_eq!(of_kind(&objects, "Deployment").len(), 2);
        for deployment in of_kind(&objects, "Deployment") {
            let pod = &deployment["spec"]["template"]["spec"];
            let container = &pod["containers"][0];
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
                assert_eq!(part.pointer(pointer), Some(&value), "{pointer}");
            }
            assert!(
                !container["resources"]["requests"].is_null() && !container["resources"]["limits"].is_null()
            );
            assert_eq!(items(&pod["topologySpreadConstraints"]).count(), 2);
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
            let labels = &object["metadata"]["labels"];
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
                let selected = |one: &&&Value| {
                    one["spec"]["selector"]["matchLabels"] == *object.pointer(pointer).unwrap()
                };
                let deployment = deployments.iter().find(selected).unwrap();
                let ports = &deployment["spec"]["template"]["spec"]["containers"][0]["ports"];
                let given: BTreeSet<_> = items(ports).map(|port| port["name"].to_string()).collect();
                let ingress = items(&object["spec"]["ingress"]).flat_map(|rule| items(&rule["ports"]));
                let asked = items(&object["spec"]["ports"]).map(|port| &port["targetPort"]);
                let asked: BTreeSet<_> =
                    asked.chain(ingress.map(|port| &port["port"])).map(Value::to_string).collect();
                assert!(asked.is_subset(&given), "{kind}: {asked:?}");
            }
        }
        for monitor in of_kind(&objects, "ServiceMonitor") {
            let services = of_kind(&objects, "Service").into_iter();
            let scraped = services.filter(|service| {
                let label = "app.kubernetes.io/name";
                service["metadata"]["labels"][label] == monitor["spec"]["selector"]["matchLabels"][label]
                    && items(&service["spec"]["ports"])
                        .any(|port| port["name"] == monitor["spec"]["endpoints"][0]["port"])
            });
            assert_eq!(scraped.count(), 1, "each instance is scraped once");
        }
        for scaler in of_kind(&objects, "HorizontalPodAutoscaler") {
            let scaled = named(&objects, "Deployment", &scaler["spec"]["scaleTargetRef"]["name"]);
            assert!(scaled["spec"]["replicas"].is_null(), "each apply would undo what it has scaled");
        }
        for pod in deployments.iter().map(|deployment| &deployment["spec"]["template"]["spec"]) {
            named(&objects, "ServiceAccount", &pod["serviceAccountName"]);
            for volume in items(&pod["volumes"]) {
                match (volume["secret"]["secretName"].as_str(), &volume["persistentVolumeClaim"]["claimName"])
                {
                    (Some(secret), _) => assert!(page.contains(&format!("| `{secret}` |")), "{secret}"),
                    (None, claim) => drop(named(&objects, "PersistentVolumeClaim", claim)),
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
            let container = &deployment["spec"]["template"]["spec"]["containers"][0];
            let programs = [env!("CARGO_BIN_EXE_epro-notify"), env!("CARGO_BIN_EXE_ctms")];
            let name = Path::new(container["name"].as_str().unwrap());
            let program =
                programs.into_iter().find(|program| Path::new(program).file_name() == Some(name.as_os_str()));
            let mut app = TestApp::new(program.unwrap());
            let keys = fs::read(shipped("deploy/dev/api-keys")).unwrap();
            let ca = Certificate::new().chain.into_bytes();
            for (file, text) in [("api-keys", keys), ("ca.crt", ca), ("password", b"p".to_vec())] {
                app.file(file, text);
            }
            for file in ["epro-api-key", "sms-authorization", "push-authorization"] {
                app.file(file, "Bearer-1");
            }
            for (key, value) in settings(&objects, container).as_object().unwrap() {
                let value = value.as_str().unwrap();
                // What is mounted there is in the folder here.
                let begin = value.find("/etc/").unwrap_or(value.len());
                let (before, path) = value.split_at(begin);
                let file =
                    Path::new(path).file_name().map(|file| app.folder().join(file).display().to_string());
                app.set(key, &format!("{before}{}", file.unwrap_or_default()));
            }
            let checked = app.run(&["check-config"]);
            assert!(checked.status.success(), "{checked:?}");
        }
    }
}
