//! Who may import whom, and what may stand where: the rules that keep `platform` free of the domain
//! and every database, protocol and telemetry library in its room. See CONTRIBUTING.md.

use crate::source::{Name, Source, rust_files};

#[test]
fn every_source_keeps_to_its_room() {
    let files = rust_files(&["src"]);
    assert!(!files.is_empty(), "no source was found");
    let faults: Vec<String> =
        files.iter().flat_map(|(path, text)| faults(&Source::read(path, text))).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Each room of the crate, and the rooms that it may import besides itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["app", "config", "ctms", "platform"]),
    ("app", &["config", "notify", "reports", "platform"]),
    ("config", &["notify", "reports", "platform"]),
    ("notify", &["platform"]),
    ("reports", &["platform", "proto"]),
    // Another service: what it shares with this one is the protocol between them.
    ("ctms", &["platform", "proto"]),
    ("platform", &[]),
    ("proto", &[]),
];

const DATABASES: &[&str] = &["rusqlite", "libsqlite3_sys", "tokio_postgres", "deadpool_postgres"];

/// What a model knows nothing of, besides OpenTelemetry and databases.
const PROTOCOLS: &[&str] = &["axum", "tonic", "hyper", "tower"];

/// Words of the sample domain that have no second, general meaning.
const DOMAIN_WORDS: &[&str] =
    &["patient", "patients", "sms", "study", "studies", "phone", "enrolment", "epro"];

fn faults(source: &Source) -> Vec<String> {
    let judged = source.names.iter().filter_map(|(line, name)| {
        let fault = match name {
            Name::Path(path) => fault_of_path(&source.path, path),
            Name::Ident(ident) => fault_of_ident(&source.path, ident),
            Name::Text(text) => fault_of_text(&source.path, text),
        };
        fault.map(|fault| format!("{}:{line}: {fault}", source.path))
    });
    judged.collect()
}

fn room_of(path: &str) -> &str {
    let inside = path.trim_start_matches("src/");
    let first = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if first == "bin" { "main" } else { first }
}

fn fault_of_path(file: &str, path: &[String]) -> Option<String> {
    let room = room_of(file);
    if room == "lib" {
        return None;
    }
    let Some(target) = path.first() else { return Some("names the whole crate".into()) };
    let known = ROOMS.iter().any(|(name, _)| name == target);
    // The binaries are crates of their own, with nothing but functions at their roots.
    if room == "main" && !known {
        return None;
    }
    if !known {
        return Some(format!("`{target}` is no room of this crate"));
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return Some(format!("`{room}` is no room of this crate"));
    };
    let fine = target == room || allowed.contains(&target.as_str());
    (!fine).then(|| format!("`{room}` must not import `{target}`"))
}

fn fault_of_ident(file: &str, ident: &str) -> Option<String> {
    let telemetry = ident.starts_with("opentelemetry") || ident == "tracing_opentelemetry";
    let database = DATABASES.contains(&ident);
    if is_model(file) && (telemetry || database || PROTOCOLS.contains(&ident)) {
        return Some(format!("a model must not know `{ident}`"));
    }
    if telemetry && !is_under(file, &["src/platform/telemetry"]) {
        return Some(format!("only platform/telemetry names `{ident}`"));
    }
    if database && !is_under(file, &["src/platform/store"]) {
        return Some(format!("only platform/store names `{ident}`"));
    }
    if room_of(file) == "platform" && file != "src/platform/telemetry/names.rs" {
        let word = words(ident).into_iter().find(|word| DOMAIN_WORDS.contains(&word.as_str()))?;
        return Some(format!("platform must not name the domain: `{word}` in `{ident}`"));
    }
    None
}

fn fault_of_text(file: &str, text: &str) -> Option<String> {
    if !is_sql(text) {
        return None;
    }
    let rooms = ["src/platform/store", "src/platform/queue", "src/notify/store", "src/reports/store"];
    (is_model(file) || !is_under(file, &rooms)).then(|| "SQL stands only in a store or the queue".into())
}

fn is_model(file: &str) -> bool {
    file.ends_with("/model.rs")
}

/// Whether the file is one of these modules or lies under it.
fn is_under(file: &str, modules: &[&str]) -> bool {
    modules.iter().any(|module| file.strip_prefix(module).is_some_and(|rest| rest.starts_with(['/', '.'])))
}

/// The words of a snake_case or CamelCase name, in lower case.
fn words(ident: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous_is_lower = false;
    for character in ident.chars() {
        if character == '_' || (character.is_uppercase() && previous_is_lower) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (character != '_', words.last_mut()) {
            word.extend(character.to_lowercase());
        }
        previous_is_lower = character.is_lowercase();
    }
    words
}

/// Whether a literal holds a statement, judged by the keywords that open one.
fn is_sql(literal: &str) -> bool {
    let text = literal.trim_start_matches(['b', 'c', 'r', '#', '"']).to_lowercase().replace("\\n", "\n");
    // A statement may follow a comment, so that every line is asked whether one begins there.
    let begins = text.match_indices('\n').map(|(at, _)| at).chain([0]);
    begins.filter_map(|at| text.get(at..)).flat_map(|rest| rest.split(';')).any(begins_as_sql)
}

fn begins_as_sql(statement: &str) -> bool {
    let words: Vec<&str> = statement.split_whitespace().collect();
    match words.as_slice() {
        ["select", rest @ ..] => rest.contains(&"from"),
        ["insert" | "replace", "into", ..] | ["insert", "or", ..] | ["delete", "from", ..] => true,
        ["update", _, "set", ..] | ["alter" | "create" | "drop", "table", ..] => true,
        ["create" | "drop", "index" | "trigger" | "unique" | "view", ..] | ["pragma", ..] => true,
        _ => false,
    }
}

mod each_rule_can_fail {
    use super::{Source, faults, words};

    fn is_refused(path: &str, text: &str) {
        assert_eq!(faults(&Source::read(path, text)).len(), 1, "{path}: {text}");
    }

    fn is_fine(path: &str, text: &str) {
        assert_eq!(faults(&Source::read(path, text)), [""; 0], "{path}: {text}");
    }

    #[test]
    fn platform_must_not_import_the_domain_by_any_way_of_writing_it() {
        let file = "src/platform/queue/mod.rs";
        is_refused(file, "use crate::notify::Message;");
        is_refused(file, "use crate::{platform::store::Tx, notify};");
        is_refused(file, "use crate::{platform::{store::Tx}, notify::{self as n}};");
        is_refused(file, "use super::super::notify::Message;");
        is_refused(file, "fn f() { let _ = crate::reports::latest(); }");
        is_refused(file, "fn f() { info!(x = crate::ctms::X) }");
        is_refused(file, "mod tests { use super::super::super::app::run; }");
        is_refused(file, "use crate::app;");
        is_refused(file, "use crate::*;");
        is_refused(file, "use crate::errors::Error;");
        is_fine(file, "/// As [`crate::notify`] does.\nuse super::store::Tx; mod tests { use super::*; }");
        is_fine(file, "use crate::{platform::{store::{self, Tx}, telemetry}}; use self::model::Job;");
    }

    #[test]
    fn the_halves_of_the_domain_do_not_know_each_other_nor_what_is_above_them() {
        is_refused("src/notify/api.rs", "use crate::reports::model::Report;");
        is_refused("src/notify/api.rs", "use crate::config::Config;");
        is_refused("src/reports/mod.rs", "use crate::notify;");
        is_refused("src/config.rs", "use crate::app::run;");
        is_refused("src/main.rs", "use epro_notify::notify;");
        is_refused("src/bin/ctms.rs", "use epro_notify::notify;");
        is_fine("src/main.rs", "use epro_notify::{app, config::Config}; fn f() { self::main(); }");
        is_fine("src/app.rs", "use crate::{config::Config, notify, platform::store};");
        is_fine("src/notify/api.rs", "use crate::platform::http; use super::model::Message;");
    }

    #[test]
    fn a_library_stands_only_in_its_room() {
        is_refused("src/platform/http/stack.rs", "use opentelemetry::trace::Span;");
        is_refused("src/notify/api.rs", "use tracing_opentelemetry::OpenTelemetrySpanExt as _;");
        is_refused("src/platform/queue/sql.rs", "fn f(_: &rusqlite::Connection) {}");
        is_fine("src/platform/telemetry/spans/mod.rs", "use opentelemetry_sdk::trace::SpanData;");
        is_fine("src/platform/store/sqlite.rs", "use rusqlite::Connection;");
        is_refused("src/platform/store_other.rs", "use rusqlite::Connection;");
    }

    #[test]
    fn a_model_knows_neither_protocols_nor_databases_nor_telemetry() {
        for library in ["axum", "tonic", "rusqlite", "opentelemetry_sdk"] {
            is_refused("src/notify/model.rs", &format!("use {library}::X;"));
        }
        is_refused("src/platform/queue/model.rs", r#"const Q: &str = "SELECT id FROM jobs";"#);
        is_refused("src/platform/telemetry/model.rs", "use opentelemetry::X;");
    }

    #[test]
    fn sql_stands_only_in_a_store_or_the_queue() {
        let statements = [
            r#""SELECT id\n FROM jobs""#,
            r##"r#"insert into jobs values ($1)"#"##,
            r#""PRAGMA synchronous""#,
            r#""update jobs set status = $1""#,
            r#""BEGIN; DELETE FROM jobs""#,
            r#""CREATE UNIQUE INDEX x ON y(z)""#,
            r#""-- jobs\n  CREATE TABLE jobs (id)""#,
        ];
        for statement in statements {
            let text = format!("const Q: &str = {statement};");
            is_refused("src/notify/api.rs", &text);
            is_refused("src/platform/http/stack.rs", &text);
            is_fine("src/notify/store.rs", &text);
            is_fine("src/notify/store/patients.rs", &text);
            is_fine("src/platform/queue/sql.rs", &text);
        }
        is_fine("src/notify/api.rs", r#"const S: &str = "select a provider, then update its key";"#);
    }

    #[test]
    fn platform_has_no_word_of_the_domain_in_its_names() {
        is_refused("src/platform/http/fields.rs", "struct PatientId;");
        is_refused("src/platform/queue/mod.rs", "fn f() { send_sms() }");
        is_fine("src/platform/telemetry/names.rs", "const EPRO_REPORT_SUBMISSION_TOTAL: u8 = 0;");
        is_fine("src/platform/queue/mod.rs", "fn f(notify: tokio::sync::Notify) { v.push(notify) }");
        assert_eq!(words("PatientId_SMS"), ["patient", "id", "sms"]);
    }
}
