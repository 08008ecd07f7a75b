//! The words that carry the service's name, and what a name may be.

use std::{fs, path::Path};

/// What this repository is called.
pub const TEMPLATE: &str = "epro-notify";
/// What the package in `starter/` is called, which becomes the service of a stripped fork.
pub const STARTER: &str = "starter-service";
/// What no file of a fork names any more.
pub const OLD: [&str; 2] = [TEMPLATE, "epro_notify"];

/// A service's name in its spellings.
pub struct Names {
    pub kebab: String,
    /// What is replaced, in this order, and by what. `ePRO` and the protocol `epro.v1` are words of the sample, not of the service's
    /// name, and stay.
    words: Vec<(&'static str, String)>,
    /// How titles of dashboards begin.
    title: String,
}

impl Names {
    /// # Errors
    /// What is wrong with the name, and what to do about it.
    pub fn new(name: &str, root: &Path) -> Result<Self, String> {
        check(name, root).map_err(|why| format!("NAME: {name:?} {why}"))?;
        let snake = name.replace('-', "_");
        let (upper, words) = (snake.to_uppercase(), name.replace('-', " "));
        let words_of_name = vec![
            // Package, programs, images, service, jobs, keys, objectives, files and folders.
            (TEMPLATE, name.to_owned()),
            ("epro_notify", snake),
            ("EPRO_NOTIFY", upper.clone()),
            // Variables of its settings.
            ("APP_", upper + "_"),
            // Dashboards, by their uids: those of several services meet in one Grafana.
            ("service-overview", format!("{name}-overview")),
            ("limits-resilience", format!("{name}-limits")),
            ("runtime-telemetry", format!("{name}-runtime")),
            ("epro-rpc", format!("{name}-rpc")),
            ("d/notifications", format!("d/{name}-notifications")),
            ("dashboard-notifications", format!("dashboard-{name}-notifications")),
            ("[notifications.json]", format!("[{name}-notifications.json]")),
            ("dashboards/notifications", format!("dashboards/{name}-notifications")),
            ("\"uid\": \"notifications\"", format!("\"uid\": \"{name}-notifications\"")),
        ];
        let title = words.get(..1).unwrap_or_default().to_uppercase() + words.get(1..).unwrap_or_default();
        Ok(Self { kebab: name.to_owned(), words: words_of_name, title })
    }

    /// A text of `file`, or its path, with the new name.
    pub fn rename(&self, file: &str, text: &str) -> String {
        let text = self.words.iter().fold(text.to_owned(), |text, (word, by)| replace(&text, word, by));
        if file.starts_with("dashboards/") {
            // That of the dashboard itself is the least indented.
            return text.replace("\n  \"title\": \"", &format!("\n  \"title\": \"{}: ", self.title));
        }
        text
    }

    /// A text without the new name, which may well be made of the sample's words.
    pub fn without(&self, text: &str) -> String {
        let spelled = self.words.iter().map(|(_, by)| by).chain([&self.title]);
        spelled.fold(text.to_owned(), |text, by| text.replace(by, ""))
    }
}

/// Replaces a word; `APP_` only where it is not the end of a longer one.
fn replace(text: &str, word: &str, by: &str) -> String {
    let mut parts = text.split(word);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let inside =
            word == "APP_" && replaced.ends_with(|before: char| before.is_alphanumeric() || before == '_');
        replaced += if inside { word } else { by };
        replaced += part;
    }
    replaced
}

/// Rust's own words and crates, Cargo's folders, and prefixes of variables that others read.
const TAKEN: &str = "abstract alloc as async await become box break const continue core crate do dyn else enum extern false final fn \
    for gen if impl in let loop macro match mod move mut override priv proc-macro pub ref return self static std struct super test \
    trait true try type typeof union unsafe unsized use virtual where while yield build deps examples incremental cargo rust otel";

/// What is wrong with a name, and what to do about it.
fn check(name: &str, root: &Path) -> Result<(), &'static str> {
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
    let named = format!("name = \"{name}\"");
    let faults = [
        (
            name.is_empty()
                || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
            "is not in kebab-case: use lower-case letters, digits and '-', as order-service",
        ),
        (!name.starts_with(|c: char| c.is_ascii_lowercase()), "does not begin with a letter: put one first"),
        (name.ends_with('-') || name.contains("--"), "has a '-' at its end or two in a row: leave one out"),
        (
            name.len() > 26,
            "is longer than 26 characters: shorten it, so that uids of dashboards fit into Grafana's 40",
        ),
        (
            TAKEN.split_whitespace().any(|taken| taken == name),
            "is a word of Rust, Cargo or OpenTelemetry: add a word to it",
        ),
        (
            [read("Cargo.lock"), read("Cargo.toml")]
                .iter()
                .any(|text| text.lines().any(|line| line == named)),
            "is a crate or program that the fork is made of: choose another",
        ),
        (
            name.contains(TEMPLATE) || name.contains(STARTER),
            "contains the template's own name: choose another",
        ),
    ];
    faults.iter().find(|(is_so, _)| *is_so).map_or(Ok(()), |(_, why)| Err(*why))
}

#[cfg(test)]
mod tests {
    use super::Names;
    use crate::tools::workspace;

    fn refusal(name: &str) -> String {
        Names::new(name, &workspace()).err().unwrap_or_default()
    }

    #[test]
    fn a_name_that_cannot_be_one_is_refused_with_the_reason_and_what_to_do() {
        for (name, reason) in [
            ("", "is not in kebab-case: use"),
            ("Order", "is not in kebab-case: use"),
            ("order_service", "is not in kebab-case: use"),
            ("../order", "is not in kebab-case: use"),
            ("1order", "does not begin with a letter: put"),
            ("-order", "does not begin with a letter: put"),
            ("order-", "has a '-' at its end"),
            ("order--service", "or two in a row: leave"),
            ("an-order-service-of-a-length", "is longer than 26 characters: shorten"),
            ("async", "is a word of Rust"),
            ("otel", "is a word of Rust, Cargo or OpenTelemetry"),
            ("tokio", "is a crate or program"),
            ("chassis-queue", "is a crate or program"),
            ("ctms", "is a crate or program"),
            ("xtask", "is a crate or program"),
        ] {
            let refusal = refusal(name);
            assert!(
                refusal.starts_with(&format!("NAME: {name:?} ")) && refusal.contains(reason),
                "{refusal}"
            );
        }
        for name in ["parcel", "parcel-desk", "o2", "patient-sms-service"] {
            assert_eq!(refusal(name), "");
        }
    }

    #[test]
    fn each_spelling_of_the_name_is_replaced_and_words_of_others_are_not() {
        let names = Names::new("parcel-desk", &workspace()).unwrap();
        for (text, renamed) in [
            ("epro-notify_abc epro_notify::app", "parcel-desk_abc parcel_desk::app"),
            ("$EPRO_NOTIFY_KEY APP_HTTP__LISTEN", "$PARCEL_DESK_KEY PARCEL_DESK_HTTP__LISTEN"),
            ("MYAPP_X ePRO epro.v1.EproService", "MYAPP_X ePRO epro.v1.EproService"),
            ("/d/service-overview?viewPanel=3", "/d/parcel-desk-overview?viewPanel=3"),
            ("dashboards/notifications.json", "dashboards/parcel-desk-notifications.json"),
            ("notifications are sent", "notifications are sent"),
        ] {
            assert_eq!(names.rename("x", text), renamed);
        }
        let title = names.rename("dashboards/x.json", "{\n  \"title\": \"Limits\"");
        assert_eq!(title, "{\n  \"title\": \"Parcel desk: Limits\"");
        assert_eq!(names.without("parcel-desk PARCEL_DESK_X patient").trim(), "_X patient");
    }
}
