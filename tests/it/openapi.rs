//! What the API's description promises: that it is complete, that it is true, and that it can be had.

use crate::support::prelude::*;
use std::collections::BTreeSet;

fn document() -> Value {
    // Whatever the configuration.
    let printed = Site::new().with("APP_QUEUE__WORKERS", "none at all").run(&["openapi"]);
    assert_eq!(printed.status.code(), Some(0), "{printed:?}");
    serde_json::from_slice(&printed.stdout).unwrap()
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

#[test]
fn operations_have_names_of_their_own_a_group_words_and_what_callers_must_expect() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let place = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{place}");
        assert!(!operation["tags"][0].as_str().unwrap().is_empty(), "{place}");
        let words = [&operation["summary"], &operation["description"]];
        assert!(words.iter().any(|words| words.as_str().is_some_and(|words| !words.is_empty())), "{place}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(
                parameter["description"].as_str().is_some_and(|words| !words.is_empty()),
                "{place}: {parameter}"
            );
        }
        let responses = operation["responses"].as_object().unwrap();
        for status in ["401", "403", "429"] {
            assert!(responses.contains_key(status), "{place}: {status}");
        }
        assert!(responses.keys().any(|status| status.starts_with('2')), "{place}");
    }
    assert!(ids.len() >= 18, "{ids:?}");
}

/// What is referred to anywhere in a document.
fn references(value: &Value) -> Vec<&str> {
    let own = value["$ref"].as_str().into_iter();
    let inner = value.as_object().into_iter().flat_map(|object| object.values());
    let inner = inner.chain(value.as_array().into_iter().flatten());
    own.chain(inner.flat_map(references)).collect()
}

#[test]
fn every_reference_leads_to_a_schema() {
    let document = document();
    for reference in references(&document) {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    for (_, _, operation) in operations(&document) {
        for (scheme, _) in
            operation["security"].as_array().into_iter().flatten().flat_map(|one| one.as_object().unwrap())
        {
            assert!(document["components"]["securitySchemes"][scheme].is_object(), "{scheme}");
        }
    }
}

#[test]
fn the_document_and_its_page_are_served_to_everybody_and_load_nothing_from_elsewhere() {
    let service = Site::new().start();
    let json = service.get("/api/v1/openapi.json");
    assert_eq!((json.status, json.json()), (200, document()));
    assert_eq!(json.header("content-type"), Some("application/json"));
    let mut page = service.get("/api/v1/docs");
    if matches!(page.status, 301..=308) {
        page = service.get(page.header("location").unwrap());
    }
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.header("content-type").unwrap().starts_with("text/html"), "{page:?}");
    for loading in ["src=\"http", "href=\"http", "src=\"//", "@import", "url(http"] {
        assert!(!page.body.contains(loading), "{loading}");
    }
    service.stop();
}

/// A service that has something of everything that is asked for.
struct Scene {
    service: Service,
    ids: [(&'static str, String); 5],
    _gateway: Gateway,
}

impl Scene {
    fn new() -> Self {
        let gateway = Gateway::behaving(r#"{"status":400}"#);
        let site = Site::sending_to(&gateway)
            .with("APP_SMS__HTTP__TIMEOUT", "200ms")
            .with("APP_RETRY__ON_UNKNOWN", "hold");
        let service = site.start_with_patient();
        let dead = service.ask("POST", SYNC, MESSAGE).text("id");
        gateway.behave(r#"{"blackHole":true}"#);
        let unknown = service.ask("POST", SYNC, MESSAGE).text("id");
        gateway.behave("{}");
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
        let planned =
            service.accept_body(&json!({ "patientId": "p-1", "message": "later", "sendAt": at }).to_string());
        assert_eq!(service.ask("PUT", "/api/v1/studies/s-1/patients/p-1", "").status, 201);
        let to_all = r#"{"channel":"sms","message":"to all"}"#;
        let batch = service.ask("POST", "/api/v1/studies/s-1/notifications", to_all).text("batchId");
        let report =
            service.ask("POST", REPORTS, r#"{"patientId":"p-1","content":"slept well"}"#).text("reportId");
        let ids = [
            ("dead", dead),
            ("unknown", unknown),
            ("planned", planned),
            ("batch", batch),
            ("report", report),
        ];
        Self { service, ids, _gateway: gateway }
    }

    /// The path with ids that mean something for the operation, which goes well.
    fn concrete(&self, method: &str, path: &str) -> String {
        let of = |name: &str| self.ids.iter().find(|(of, _)| *of == name).unwrap().1.as_str();
        let id = match (method, path) {
            (_, path) if path.ends_with("/replay") => of("dead"),
            (_, path) if path.ends_with("/resolve") => of("unknown"),
            _ => of("planned"),
        };
        let path =
            path.replace("{id}", id).replace("{batchId}", of("batch")).replace("{reportId}", of("report"));
        path.replace("{patientId}", "p-1").replace("{studyId}", "s-1")
    }
}

/// Bodies that go well, by the end of the path.
fn body(method: &str, path: &str) -> &'static str {
    match path {
        _ if !matches!(method, "POST" | "PUT") => "",
        path if path.contains("/notifications/push") => r#"{"patientId":"p-1","title":"t","message":"x"}"#,
        path if path.contains("/notifications/sms") => MESSAGE,
        path if path.ends_with("/resolve") => r#"{"status":"delivered"}"#,
        path if path.ends_with("/notifications") => r#"{"channel":"sms","message":"to all"}"#,
        path if path.ends_with("/reports") => r#"{"patientId":"p-1","content":"slept well"}"#,
        "/api/v1/patients/{patientId}" => r#"{"phone":"+4930901820"}"#,
        _ => "{}",
    }
}

#[test]
fn every_operation_answers_as_documented() {
    let (scene, document) = (Scene::new(), document());
    let mut all = operations(&document);
    // What takes away comes last.
    all.sort_by_key(|(path, method, _)| method == "DELETE" || path.ends_with("/dead-letters/replay"));
    for (path, method, operation) in all {
        let answer = scene.service.ask(&method, &scene.concrete(&method, path), body(&method, path));
        // Without a font nothing is drawn.
        let fine = (200..300).contains(&answer.status) || answer.status == 501 && path.ends_with(".pdf");
        assert!(fine, "{method} {path}: {answer:?}");
        let told = &operation["responses"][answer.status.to_string()];
        assert!(told.is_object(), "{method} {path}: {} is not documented", answer.status);
        let Some(contents) = told["content"].as_object() else { continue };
        let kind = answer.header("content-type").unwrap().split(';').next().unwrap();
        assert!(contents.contains_key(kind), "{method} {path}: {kind} is not documented");
        let members = |schema: &Value| {
            let target =
                schema["$ref"].as_str().and_then(|target| document.pointer(target.strip_prefix('#')?));
            target.unwrap_or(schema)["properties"].as_object().cloned()
        };
        // Where the schema is of one object, each member of the answer is one of its properties.
        if let (Some(known), Ok(Value::Object(found))) =
            (members(&contents[kind]["schema"]), serde_json::from_str(&answer.body))
        {
            let strange: Vec<_> = found.keys().filter(|name| !known.contains_key(*name)).collect();
            assert!(strange.is_empty(), "{method} {path}: {strange:?}");
        }
    }
    scene.service.stop();
}
