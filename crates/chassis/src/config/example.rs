//! What can be configured, as a list and as a commented TOML file.

use super::Settings;
use conf::ParseType;

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
pub fn settings<C: Settings>() -> Vec<Setting> {
    // Hidden in the documentation of `conf`: the public `program_options` does not tell lists and secrets.
    let options = C::PROGRAM_OPTIONS.iter();
    let settings = options.filter_map(|option| {
        let variable = option.env_form.clone()?.into_owned();
        let key = variable.strip_prefix(C::PREFIX)?.to_lowercase().replace("__", ".");
        let own = C::DEFAULTS.iter().find(|(name, _)| *name == key).map(|(_, default)| (*default).to_owned());
        Some(Setting {
            key,
            variable,
            default: own.or_else(|| option.default_help_str.map(|default| default.to_string())),
            help: option.description.clone().unwrap_or_default().into_owned(),
            list: option.parse_type == ParseType::Repeat,
            secret: option.is_secret(),
            field: option.id.into_owned(),
        })
    });
    settings.collect()
}

/// Renders `config.example.toml`: every key with its doc comment, its variable and its default, below `header`.
pub fn example<C: Settings>(header: &str) -> String {
    let mut settings = settings::<C>();
    let split = |setting: &Setting| {
        let (section, name) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        (section.to_owned(), name.to_owned())
    };
    let sections: Vec<_> = settings.iter().map(|setting| split(setting).0).collect();
    // A table stands once, where its first key does.
    settings.sort_by_key(|setting| sections.iter().position(|section| *section == split(setting).0));
    let (mut document, mut table) = (comment(header), String::new());
    for setting in &settings {
        let (section, name) = split(setting);
        if section != table {
            document += &format!("\n[{section}]");
            table = section;
        }
        let (help, variable, line) = (comment(&setting.help), &setting.variable, line(&name, setting));
        document += &format!("\n{help}# {variable}\n{line}\n");
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
