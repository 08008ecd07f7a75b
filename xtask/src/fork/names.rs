//! The words that carry the service's name, and what a name may be.

use std::{fs, path::Path};

/// What this repository is called.
pub const TEMPLATE: &str = "epro-notify";
/// What `starter/` is called, which becomes the service of a stripped fork.
pub const STARTER: &str = "starter-service";

/// A name as long as that leaves room for what stands after it in the uid of a dashboard, which has 40 characters at most.
const LONGEST: usize = 26;

/// A service's name in its spellings.
pub struct Names {
    pub kebab: String,
    /// What is replaced, in this order: where it stands alone as a word, with its new spelling. `ePRO` and the protocol
    /// `epro.v1` are words of the sample, not of the service's name, and stay.
    words: Vec<(&'static str, String)>,
    /// The same in dashboards only.
    titles: Vec<(&'static str, String)>,
}

impl Names {
    /// # Errors
    /// What is wrong with the name, and what to do about it.
    pub fn new(name: &str, root: &Path) -> Result<Self, String> {
        check(name, root).map_err(|(what, instead)| format!("NAME: {name:?} {what}: {instead}"))?;
        let (snake, upper) = (name.replace('-', "_"), name.replace('-', "_").to_uppercase());
        let words = vec![
            // Package, programs, images, service, jobs, keys, objectives, files and folders.
            (TEMPLATE, name.to_owned()),
            ("epro_notify", snake),
            ("EPRO_NOTIFY", upper.clone()),
            // Its settings' variables.
            ("APP_", format!("{upper}_")),
            // Dashboards, by their uids: those of several services meet in one Grafana.
            ("service-overview", format!("{name}-overview")),
            ("limits-resilience", format!("{name}-limits")),
            ("runtime-telemetry", format!("{name}-runtime")),
            ("epro-rpc", format!("{name}-rpc")),
            ("d/notifications", format!("d/{name}-notifications")),
            ("dashboards/notifications", format!("dashboards/{name}-notifications")),
            ("\"uid\": \"notifications\"", format!("\"uid\": \"{name}-notifications\"")),
        ];
        let title = title(name);
        let boards = [
            "Service overview",
            "Limits and resilience",
            "Runtime and telemetry",
            "Notifications",
            "ePRO and RPC",
            "Example",
        ];
        let titles = boards.map(|board| (board, format!("\"title\": \"{title}: {board}\"")));
        Ok(Self { kebab: name.to_owned(), words, titles: titles.into() })
    }

    /// A text, or a path, of `file` with the new name.
    pub fn rename(&self, file: &str, text: &str) -> String {
        let text = self.words.iter().fold(text.to_owned(), |text, (word, by)| replace(&text, word, by));
        if !file.starts_with("dashboards/") {
            return text;
        }
        self.titles
            .iter()
            .fold(text, |text, (board, by)| text.replace(&format!("\"title\": \"{board}\""), by))
    }

    /// The variable of a setting.
    pub fn variable(&self, key: &str) -> String {
        format!("{}_{key}", self.kebab.replace('-', "_").to_uppercase())
    }

    /// A text without the new name, which may well be made of the sample's words.
    pub fn without(&self, text: &str) -> String {
        self.words
            .iter()
            .fold(text.to_owned(), |text, (_, by)| text.replace(by, "").replace(&by.to_lowercase(), ""))
    }
}

/// `order-service` as `Order service`.
fn title(name: &str) -> String {
    let words = name.replace('-', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// Replaces a word where no letter, digit or `_` stands before it: `APP_` is not that of `MYAPP_`.
fn replace(text: &str, word: &str, by: &str) -> String {
    let mut parts = text.split(word);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let inside =
            replaced.ends_with(|before: char| before.is_alphanumeric() || before == '_') && word == "APP_";
        replaced += if inside { word } else { by };
        replaced += part;
    }
    replaced
}

/// Rust's own words and crates, Cargo's folders, and prefixes of variables that others read.
const TAKEN: &str = "abstract alloc as async await become box break const continue core crate do dyn else enum extern false final fn \
    for gen if impl in let loop macro match mod move mut override priv proc-macro proc_macro pub ref return self static std struct \
    super test trait true try type typeof union unsafe unsized use virtual where while yield build deps examples incremental cargo \
    rust otel";

/// What is wrong with a name, and what to do instead.
fn check(name: &str, root: &Path) -> Result<(), (String, String)> {
    let wrong = |what: &str, instead: &str| Err((what.to_owned(), instead.to_owned()));
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let is_kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(is_kebab) {
        return wrong("is not in kebab-case", "use lower-case letters, digits and '-', as order-service");
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return wrong("does not begin with a letter", "put one first: Cargo and Kubernetes want it");
    }
    if name.ends_with('-') || name.contains("--") {
        return wrong("has a '-' at its end or two in a row", "leave one out");
    }
    if name.len() > LONGEST {
        return wrong(
            &format!("has {} characters", name.len()),
            &format!("use at most {LONGEST}, so that names of dashboards fit into Grafana"),
        );
    }
    if TAKEN.split_whitespace().any(|taken| taken == name) {
        return wrong("is a word of Rust, Cargo or OpenTelemetry", "add a word, as in order-service");
    }
    let named = format!("name = \"{name}\"");
    let programs = [lock.as_str(), manifest.as_str()];
    if programs.iter().any(|text| text.lines().any(|line| line == named)) {
        return wrong("is a crate or program that the fork is made of", "choose another name");
    }
    if [TEMPLATE, STARTER].iter().any(|own| name.contains(own)) {
        return wrong("contains the template's own name", "choose another name");
    }
    Ok(())
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
            ("an-order-service-of-a-length", "has 28 characters: use at most 26"),
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
        for name in ["order", "order-service", "o2", "patient-sms-service"] {
            assert_eq!(refusal(name), "");
        }
    }

    #[test]
    fn each_spelling_of_the_name_is_replaced_and_words_of_others_are_not() {
        let names = Names::new("order-service", &workspace()).unwrap();
        for (text, renamed) in [
            ("epro-notify_abc epro_notify::app", "order-service_abc order_service::app"),
            ("$EPRO_NOTIFY_KEY APP_HTTP__LISTEN", "$ORDER_SERVICE_KEY ORDER_SERVICE_HTTP__LISTEN"),
            ("MYAPP_X ePRO epro.v1.EproService", "MYAPP_X ePRO epro.v1.EproService"),
            ("/d/service-overview?viewPanel=3", "/d/order-service-overview?viewPanel=3"),
            ("dashboards/notifications.json", "dashboards/order-service-notifications.json"),
            ("notifications are sent", "notifications are sent"),
        ] {
            assert_eq!(names.rename("x", text), renamed);
        }
        let title = names.rename("dashboards/x.json", r#""title": "Service overview""#);
        assert_eq!(title, r#""title": "Order service: Service overview""#);
        assert_eq!(names.without("order-service ORDER_SERVICE_X patient"), " X patient");
    }
}
