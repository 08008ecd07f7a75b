//! What can be configured, as a list and as a commented TOML file.

use super::PREFIX;
use conf::{Conf, ParseType};
use std::fmt::Write as _;

/// One key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As `http.listen`.
    pub key: String,
    /// As `APP_HTTP__LISTEN`.
    pub variable: String,
    /// Where the field is in the struct, as `http.listen`.
    pub(super) field: String,
    pub default: Option<String>,
    /// The doc comment of the field.
    pub help: String,
    /// Whether it takes a list: an array in TOML, a text with commas elsewhere.
    pub list: bool,
    /// Whether its value must not be shown.
    pub secret: bool,
}

/// Every key of a configuration, in the order of its fields.
pub fn settings<C: Conf>() -> Vec<Setting> {
    // Hidden in the documentation of `conf`: the public `program_options` does not tell lists and secrets.
    let options = C::PROGRAM_OPTIONS.iter();
    let settings = options.filter_map(|option| {
        let variable = option.env_form.clone()?.into_owned();
        Some(Setting {
            key: variable.strip_prefix(PREFIX)?.to_lowercase().replace("__", "."),
            variable,
            default: option.default_help_str.map(|default| default.to_string()),
            help: option.description.clone().unwrap_or_default().into_owned(),
            list: option.parse_type == ParseType::Repeat,
            secret: option.is_secret(),
            field: option.id.into_owned(),
        })
    });
    settings.collect()
}

/// Renders `config.example.toml`: every key with its doc comment, its variable and its default, below `header`.
pub fn example<C: Conf>(header: &str) -> String {
    let mut sections: Vec<(String, String)> = Vec::new();
    for setting in settings::<C>() {
        let (section, name) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        let at = sections.iter().position(|(name, _)| name == section).unwrap_or_else(|| {
            sections.push((section.to_owned(), String::new()));
            sections.len() - 1
        });
        if let Some((_, text)) = sections.get_mut(at) {
            // Writing into a string does not fail.
            let _ = write!(
                text,
                "\n{}# {}\n{}\n",
                comment(&setting.help),
                setting.variable,
                line(name, &setting)
            );
        }
    }
    let mut document = comment(header);
    for (section, text) in sections {
        let _ = write!(document, "\n[{section}]{text}");
    }
    document
}

fn comment(text: &str) -> String {
    text.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect()
}

fn line(name: &str, setting: &Setting) -> String {
    let bare = |text: &str| text.parse::<i64>().is_ok() || text.parse::<bool>().is_ok();
    match &setting.default {
        Some(default) if bare(default) => format!("{name} = {default}"),
        Some(default) => format!("{name} = {}", toml::Value::from(default.as_str())),
        None if setting.list => format!("{name} = []"),
        None => format!("# {name} ="),
    }
}
