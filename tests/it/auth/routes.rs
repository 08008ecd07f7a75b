//! What each scope opens: every route with every key.

use super::WRONG;
use crate::support::{
    keys::{ask_by, line, text, with_keys},
    prelude::*,
};
use std::collections::BTreeSet;

/// All methods of all templates, with the scope that each asks for.
pub const ROUTES: &[(&str, &str, &str)] = &[
    ("POST", "/api/v1/notifications/sms/async", "send"),
    ("POST", "/api/v1/notifications/sms", "send"),
    ("POST", "/api/v1/notifications/push/async", "send"),
    ("POST", "/api/v1/notifications/push", "send"),
    ("GET", "/api/v1/notifications/{id}", "read"),
    ("DELETE", "/api/v1/notifications/{id}", "send"),
    ("POST", "/api/v1/notifications/{id}/resolve", "operate"),
    ("GET", "/api/v1/dead-letters", "operate"),
    ("POST", "/api/v1/dead-letters/{id}/replay", "operate"),
    ("POST", "/api/v1/dead-letters/replay", "operate"),
    ("PUT", "/api/v1/patients/{patientId}", "operate"),
    ("GET", "/api/v1/patients/{patientId}", "read"),
    ("DELETE", "/api/v1/patients/{patientId}", "operate"),
    ("PUT", "/api/v1/studies/{studyId}/patients/{patientId}", "operate"),
    ("DELETE", "/api/v1/studies/{studyId}/patients/{patientId}", "operate"),
    ("POST", "/api/v1/studies/{studyId}/notifications", "send"),
    ("GET", "/api/v1/batches/{batchId}", "read"),
    ("POST", REPORTS, "send"),
    ("GET", "/api/v1/reports/{reportId}", "read"),
    ("GET", "/api/v1/reports/{reportId}/preview.pdf", "read"),
    ("GET", "/api/v1/patients/{patientId}/reports/latest", "read"),
];

/// The routes that are there: without the feature there is no preview.
fn routes() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    ROUTES.iter().filter(|(_, path, _)| cfg!(feature = "pdf") || !path.ends_with("preview.pdf"))
}

/// What holds no data of anybody, and is shown to everybody.
const PUBLIC: &[&str] = &["/api/v1/docs", "/api/v1/openapi.json"];

const SCOPES: [&str; 3] = ["send", "read", "operate"];

/// A path of a template, of nothing that is there.
fn path(template: &str) -> String {
    let parts = template.split('/').map(|part| if part.starts_with('{') { "none-there" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn each_scope_opens_its_routes_and_no_other_one() {
    let site = with_keys(Site::new(), &SCOPES.map(|scope| line(scope, scope)));
    let service = site.start();
    let document = service.get("/api/v1/openapi.json").json();
    for (method, template, needed) in routes() {
        let security = &document["paths"][*template][method.to_lowercase()]["security"];
        let scopes = security[0].as_object().and_then(|schemes| schemes.values().next());
        assert_eq!(scopes, Some(&json!([needed])), "{method} {template}: {security}");
        let path = path(template);
        let unknown = ask_by(service.http, WRONG, method, &path, "{}");
        unknown.problem(401, "unauthenticated");
        assert_eq!(unknown.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        let nobody = service.ask(method, &path, "{}");
        nobody.problem(401, "unauthenticated");
        assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
        for scope in SCOPES {
            let answer = ask_by(service.http, &text(scope), method, &path, "{}");
            if scope == *needed {
                assert!(!matches!(answer.status, 401 | 403 | 405), "{method} {path} {scope}: {answer:?}");
                continue;
            }
            answer.problem(403, "forbidden");
            let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{needed}\"");
            assert_eq!(answer.header("www-authenticate"), Some(&*challenge), "{method} {path} {scope}");
            assert!(answer.text("detail").contains(needed), "{answer:?}");
        }
    }
}

/// No route can be added without a row in the table.
#[test]
fn the_table_of_routes_is_what_is_served() {
    let document: Value = serde_json::from_slice(&Site::new().run(&["openapi"]).stdout).unwrap();
    let paths = document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    let served: BTreeSet<_> = paths.filter(|(_, path)| !PUBLIC.contains(&path.as_str())).collect();
    assert_eq!(
        served,
        routes().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect()
    );
}

#[test]
fn a_path_or_method_that_is_not_served_is_told_to_known_callers_alone_and_options_to_everybody() {
    let site = with_keys(Site::new(), &[line("app", "send")]);
    let service = site.start();
    let served = "/api/v1/patients/p-1";
    for (method, path, status) in [("GET", "/nowhere", 404), ("PATCH", served, 405)] {
        service.ask(method, path, "").problem(401, "unauthenticated");
        assert_eq!(ask_by(service.http, &text("app"), method, path, "").status, status);
    }
    assert_eq!(service.ask("OPTIONS", served, "").status, 204);
    for path in PUBLIC {
        assert!(matches!(service.get(path).status, 200 | 303), "{path}");
        assert!(matches!(ask_by(service.http, WRONG, "GET", path, "").status, 200 | 303), "{path}");
    }
}

fn with_headers(service: &Service, headers: &[(&str, &str)]) -> u16 {
    service.ask_with("GET", "/nowhere", headers, "").status
}

#[test]
fn a_key_counts_in_one_header_of_the_right_scheme_and_nowhere_else() {
    let site = with_keys(Site::new(), &[line("app", "send")]);
    let service = site.start();
    let key = text("app");
    let (right, basic) = (format!("bEARER {key}"), format!("Basic {key}"));
    assert_eq!(with_headers(&service, &[("authorization", &right)]), 404);
    let known = format!("Bearer {key}");
    for headers in [
        &[("authorization", &*known), ("authorization", &*known)][..],
        &[("authorization", &*known), ("authorization", "Bearer wrong")],
        &[("authorization", &*basic)],
        &[("authorization", &*key)],
        &[("proxy-authorization", &*known)],
        &[("x-api-key", &*key)],
        &[("authorization", &*line("app", "send"))],
    ] {
        assert_eq!(with_headers(&service, headers), 401, "{headers:?}");
    }
    assert_eq!(service.ask("GET", &format!("/nowhere?access_token={key}"), "").status, 401);
}
