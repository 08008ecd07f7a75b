//! What the API's description promises: that it is complete, and that it can be had. That it is true, schemathesis proves in
//! `tests/peers`.

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
    service.get("/api/v1/docs/nowhere.js").problem(404, "not-found");
    assert!(page.header("content-type").unwrap().starts_with("text/html"), "{page:?}");
    for loading in ["src=\"http", "href=\"http", "src=\"//", "@import", "url(http"] {
        assert!(!page.body.contains(loading), "{loading}");
    }
}
