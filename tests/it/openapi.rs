//! What the API's description promises: that it is complete, that it is true, and that it can be had.

use crate::support::{
    client::{Answer, Connection},
    json_schema::faults,
    process::{Process, ask},
    service::{ASYNC, MESSAGE, SYNC, Service, Site},
    sms_gateway::Gateway,
};
use epro_notify::{app, platform::admission::Needs};
use http::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, process::Command};

fn document() -> Value {
    serde_json::from_str(&app::document().to_json().unwrap()).unwrap()
}

/// Each operation with its path and method.
fn operations(document: &Value) -> Vec<(&str, String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (path.as_str(), method.to_uppercase(), operation))
        })
        .collect()
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|target| document.pointer(target.strip_prefix('#')?));
    target.unwrap_or(value)
}

#[test]
fn every_route_is_described_with_its_scope_and_nothing_else_is() {
    let listed = app::listed();
    // HEAD is where GET is, and is not described.
    let served: BTreeSet<_> = listed
        .iter()
        .filter(|listed| listed.method != Method::HEAD)
        .map(|listed| {
            let scope = match listed.needs {
                Needs::Scope(scope) => scope.as_str(),
                Needs::Key => "any",
                Needs::Nothing => "none",
            };
            (listed.path.to_owned(), listed.method.to_string(), scope.to_owned())
        })
        .collect();
    let document = document();
    let told: BTreeSet<_> = operations(&document)
        .into_iter()
        .map(|(path, method, told)| (path.to_owned(), method, told["x-scope"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(served, told);
    assert!(served.len() > 12);
}

#[test]
fn operations_have_names_of_their_own_a_group_and_words() {
    let document = document();
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
        assert!(tags.contains(&&operation["tags"][0]), "{method} {path}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
        for parameter in operation["parameters"].as_array().unwrap() {
            assert!(parameter["example"] != Value::Null, "{method} {path}: {parameter}");
            assert!(!parameter["description"].as_str().unwrap().is_empty(), "{method} {path}: {parameter}");
        }
    }
}

#[test]
fn every_example_of_the_document_is_one_of_its_schema() {
    let document = document();
    let mut examples = 0;
    let mut judge = |place: &str, of: &Value| {
        let named = of["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
        for example in of.get("example").into_iter().chain(named) {
            assert_eq!(faults(&document, &of["schema"], example), [""; 0], "{place}: {example}");
            examples += 1;
        }
    };
    for (path, method, operation) in operations(&document) {
        let place = format!("{method} {path}");
        operation["parameters"].as_array().unwrap().iter().for_each(|parameter| judge(&place, parameter));
        if let Some(content) = operation.pointer("/requestBody/content/application~1json") {
            assert!(!content["examples"].as_object().unwrap().is_empty(), "{place}");
            judge(&place, content);
        }
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let answer = resolved(&document, answer);
            for (kind, content) in answer["content"].as_object().into_iter().flatten() {
                let shown = content.get("example").or(content.get("examples"));
                assert!(shown.is_some() || content.get("schema").is_none(), "{place}: {status} {kind}");
                judge(&format!("{place}: {status}"), content);
            }
        }
    }
    for (name, header) in document["components"]["headers"].as_object().unwrap() {
        judge(name, header);
    }
    assert!(examples > 100, "{examples}");
}

#[test]
fn every_example_request_is_answered_as_documented_and_well() {
    let scene = Scene::new();
    let document = document();
    for (path, method, operation) in operations(&document) {
        let path = &scene.concrete(path, operation);
        let bodies = operation.pointer("/requestBody/content/application~1json/examples");
        let mut bodies: Vec<String> = bodies
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(_, example)| example["value"].to_string())
            .collect();
        if bodies.is_empty() {
            bodies.push(String::new());
        }
        for (at, body) in bodies.iter().enumerate() {
            // The example key is one for each example.
            let key = format!("visit-{at}");
            let headers = [
                ("idempotency-key", key.as_str()),
                ("traceparent", "00-44d1b382a0661d0fefc239c0bffbb70f-2aeb128055eabac0-01"),
            ];
            let mut connection = Connection::open(scene.service.http).unwrap();
            let answer = connection.send_with(&method, path, &headers, body).unwrap();
            // Without a font nothing is drawn.
            let undrawn = answer.status == 501 && operation["operationId"] == "previewReport";
            assert!(undrawn || (200..300).contains(&answer.status), "{method} {path}: {answer:?}");
            is_documented(&document, operation, &answer);
        }
    }
}

/// That the status is documented, that the headers are there, and that the body is one of the schema.
fn is_documented(document: &Value, operation: &Value, answer: &Answer) {
    let told = operation["responses"].get(answer.status.to_string());
    let told = resolved(document, told.unwrap_or_else(|| panic!("{answer:?} is not documented")));
    for (name, header) in told["headers"].as_object().unwrap() {
        let required = resolved(document, header)["required"] == true;
        let found = answer.header(&name.to_lowercase()).is_some();
        assert!(found || !required, "{name} is not in {answer:?}");
    }
    let Some(contents) = told["content"].as_object() else {
        assert_eq!(answer.body, "", "{answer:?}");
        return;
    };
    let kind = answer.header("content-type").unwrap().split(';').next().unwrap();
    let content = contents.get(kind).unwrap_or_else(|| panic!("{kind} is not documented"));
    if let Some(schema) = content.get("schema") {
        assert_eq!(faults(document, schema, &answer.json()), [""; 0], "{answer:?}");
    }
}

/// A service that has something of everything that the examples need.
struct Scene {
    service: Service,
    dead: String,
    unknown: String,
    planned: String,
    batch: String,
    report: String,
    _gateway: Gateway,
}

impl Scene {
    fn new() -> Self {
        let gateway = Gateway::behaving(r#"{"status":400}"#);
        let site = Site::sending_to(&gateway)
            .with("APP_SMS__HTTP__TIMEOUT", "200ms")
            .with("APP_RETRY__ON_UNKNOWN", "hold");
        let service = site.start_with_patient();
        let contact = r#"{"phone":"+4930901820","pushTokens":[{"platform":"fcm","token":"abc"}]}"#;
        assert_eq!(service.ask("PUT", "/api/v1/patients/p-17", contact).status, 201);
        let dead = service.ask("POST", SYNC, MESSAGE).text("id");
        gateway.behave(r#"{"blackHole":true}"#);
        let unknown = service.ask("POST", SYNC, MESSAGE).text("id");
        gateway.behave("{}");
        let later = json!({ "patientId": "p-1", "message": "later", "sendAt": a_day_ahead() });
        let planned = service.ask("POST", ASYNC, &later.to_string()).text("id");
        assert_eq!(service.ask("PUT", "/api/v1/studies/diary-2/patients/p-17", "").status, 201);
        let body = r#"{"channel":"sms","message":"to all"}"#;
        let batch = service.ask("POST", "/api/v1/studies/diary-2/notifications", body).text("batchId");
        let body = r#"{"patientId":"p-17","content":"slept well"}"#;
        let report = service.ask("POST", "/api/v1/reports", body).text("reportId");
        Self { service, dead, unknown, planned, batch, report, _gateway: gateway }
    }

    /// The path with its examples, and with ids that mean something.
    fn concrete(&self, path: &str, operation: &Value) -> String {
        if operation["operationId"] == "deletePatient" {
            return "/api/v1/patients/p-1".to_owned();
        }
        let id = match operation["operationId"].as_str().unwrap() {
            "replayDeadLetter" => &self.dead,
            "resolveNotification" => &self.unknown,
            _ => &self.planned,
        };
        let mut path =
            path.replace("{id}", id).replace("{batchId}", &self.batch).replace("{reportId}", &self.report);
        for parameter in operation["parameters"].as_array().unwrap() {
            let place = format!("{{{}}}", parameter["name"].as_str().unwrap());
            path = path.replace(&place, parameter["example"].as_str().unwrap_or_default());
        }
        path
    }
}

fn a_day_ahead() -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24)).to_string()
}

#[test]
fn the_program_prints_the_document_whatever_the_configuration() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_epro-notify"));
    let printed = program.arg("openapi").env("APP_QUEUE__WORKERS", "none at all").output().unwrap();
    assert_eq!(printed.status.code(), Some(0));
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).unwrap(), document());
}

#[test]
fn the_document_and_its_page_are_served_to_everybody_and_fetch_nothing() {
    let service = Process::start(&[]);
    let json = ask(service.http, "/api/v1/openapi.json").unwrap();
    assert_eq!((json.status, json.json()), (200, document()));
    assert_eq!(json.header("content-type"), Some("application/json"));
    let page = ask(service.http, "/api/v1/docs").unwrap();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    for answer in [&json, &page] {
        assert!(answer.header("etag").is_some() && answer.header("cache-control").is_some());
    }
    let document = document();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(page.body.contains(&format!("id=\"{id}\"")), "{method} {path}");
    }
    for loading in ["<script", "<link", "<img", "src=", "@import", "url(", "http://", "https://"] {
        assert!(!page.body.contains(loading), "{loading}");
    }
}

#[test]
fn a_wrong_value_is_found_by_its_place() {
    let document =
        json!({ "components": { "schemas": { "Id": { "type": "string", "pattern": "^[0-9]{2}$" } } } });
    let schema = json!({
        "type": "object",
        "required": ["id"],
        "additionalProperties": false,
        "properties": {
            "id": { "$ref": "#/components/schemas/Id" },
            "at": { "type": "string", "format": "date-time" },
            "count": { "type": ["integer", "null"], "minimum": 1, "maximum": 3 },
            "text": { "type": "string", "minLength": 2, "maxLength": 3 },
            "list": { "type": "array", "minItems": 1, "maxItems": 2, "items": { "enum": ["a", "b"] } },
            "one": { "oneOf": [{ "type": "null" }, { "type": "boolean" }] },
            "both": { "allOf": [{ "type": "string" }, { "enum": ["x"] }] },
        },
    });
    let good = json!({ "id": "17", "at": "2026-11-23T07:10:14Z", "count": null, "text": "äö", "list": ["a"], "one": true, "both": "x" });
    assert_eq!(faults(&document, &schema, &good), [""; 0]);
    for (pointer, wrong) in [
        ("/id", json!("1")),
        ("/id", json!(17)),
        ("/at", json!("today")),
        ("/count", json!(4)),
        ("/count", json!(0)),
        ("/count", json!(1.5)),
        ("/text", json!("ä")),
        ("/text", json!("äöüß")),
        ("/list", json!([])),
        ("/list", json!(["a", "b", "a"])),
        ("/list", json!(["c"])),
        ("/one", json!(1)),
        ("/both", json!("y")),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        let found = faults(&document, &schema, &bad);
        assert!(found.iter().any(|fault| fault.starts_with(pointer)), "{pointer}: {found:?}");
    }
    for bad in [json!({}), json!({ "id": "17", "more": 1 }), json!([])] {
        assert_eq!(faults(&document, &schema, &bad).len(), 1, "{bad}");
    }
}
