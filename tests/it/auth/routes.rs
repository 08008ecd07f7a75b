//! What each scope opens: every route with every key.

use super::{WRONG, ask, line, site, text};
use crate::{
    source::rust_files,
    support::{client::Connection, service::Service},
};
use std::collections::BTreeSet;

/// All methods of all templates, with the scope that each asks for.
const ROUTES: &[(&str, &str, &str)] = &[
    ("POST", "/api/v1/notifications/sms/async", "send"),
    ("POST", "/api/v1/notifications/sms", "send"),
    ("POST", "/api/v1/notifications/push/async", "send"),
    ("POST", "/api/v1/notifications/push", "send"),
    ("GET", "/api/v1/notifications/{id}", "read"),
    ("DELETE", "/api/v1/notifications/{id}", "send"),
    ("POST", "/api/v1/notifications/{id}/resolve", "operate"),
    ("GET", "/api/v1/dead-letters", "operate"),
    ("POST", "/api/v1/dead-letters/{id}/replay", "operate"),
    ("PUT", "/api/v1/patients/{patientId}", "operate"),
    ("GET", "/api/v1/patients/{patientId}", "read"),
    ("DELETE", "/api/v1/patients/{patientId}", "operate"),
];

const SCOPES: [&str; 3] = ["send", "read", "operate"];

/// A path of a template, of nothing that is there.
fn path(template: &str) -> String {
    let parts = template.split('/').map(|part| if part.starts_with('{') { "none-there" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn each_scope_opens_its_routes_and_no_other_one() {
    let (site, _) = site(&SCOPES.map(|scope| line(scope, scope)));
    let service = site.start();
    for (method, template, needed) in ROUTES {
        let path = path(template);
        let unknown = ask(service.http, WRONG, method, &path, "{}");
        unknown.problem(401, "unauthenticated");
        assert_eq!(unknown.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        let nobody = service.ask(method, &path, "{}");
        nobody.problem(401, "unauthenticated");
        assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
        for scope in SCOPES {
            let answer = ask(service.http, &text(scope), method, &path, "{}");
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
    service.stop();
}

/// So that no route can be added without its scope being asked for here.
#[test]
fn the_table_of_routes_has_every_method_of_every_template_in_the_sources() {
    let service = crate::support::service::Site::new().start();
    let mut told = BTreeSet::new();
    for (method, template, _) in ROUTES {
        told.insert(*template);
        let allow = service.ask("OPTIONS", &path(template), "");
        let allow = allow.header("allow").unwrap_or_else(|| panic!("{template} is no route"));
        assert!(allow.split(", ").any(|allowed| allowed == *method), "{method} {template}: {allow}");
        for allowed in allow.split(", ").filter(|allowed| !matches!(*allowed, "HEAD" | "OPTIONS")) {
            let known = ROUTES.iter().any(|(method, other, _)| (*method, other) == (allowed, template));
            assert!(known, "{allowed} {template} is missing");
        }
    }
    for (file, source) in rust_files(&["src"]) {
        let code = source.split("#[cfg(test)]").next().unwrap();
        let literals = code.split('"').skip(1).step_by(2);
        for template in literals.filter(|literal| literal.starts_with("/api/v1/")) {
            assert!(told.contains(template), "{file}: {template} is missing");
        }
    }
}

#[test]
fn a_path_or_method_that_is_not_served_is_told_to_known_callers_alone_and_options_to_everybody() {
    let (site, _) = site(&[line("app", "send")]);
    let service = site.start();
    let served = "/api/v1/patients/p-1";
    for (method, path, status) in [("GET", "/nowhere", 404), ("PATCH", served, 405)] {
        service.ask(method, path, "").problem(401, "unauthenticated");
        assert_eq!(ask(service.http, &text("app"), method, path, "").status, status);
    }
    assert_eq!(service.ask("OPTIONS", served, "").status, 204);
    // What holds no data is shown to everybody, whatever is presented.
    assert_eq!(service.ask("GET", "/problems/unauthenticated", "").status, 200);
    assert_eq!(ask(service.http, WRONG, "GET", "/problems/unauthenticated", "").status, 200);
    service.stop();
}

fn with_headers(service: &Service, headers: &[(&str, &str)]) -> u16 {
    let mut connection = Connection::open(service.http).unwrap();
    connection.send_with("GET", "/nowhere", headers, "").unwrap().status
}

#[test]
fn a_key_counts_in_one_header_of_the_right_scheme_and_nowhere_else() {
    let (site, _) = site(&[line("app", "send")]);
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
    service.stop();
}
