//! Where to look next: links from a panel to traces, log lines, other dashboards and runbooks.
//!
//! They are relative, and name data sources by the dashboard's variables. In what is passed to Grafana's
//! Explore, `${…}` is left as it is, so that Grafana fills it in: the time range, and the label of the
//! series that was clicked (`${__field.labels.route}`).

use serde_json::{Value, json};

const LOKI: &str = "${loki_datasource}";
const JAEGER: &str = "${jaeger_datasource}";

/// A link of a panel.
#[derive(Clone, Debug)]
pub struct Link {
    title: String,
    url: String,
}

/// Which traces are looked for; all of a service where nothing else is said.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    service: String,
    operation: String,
    tags: Vec<String>,
    at_least: String,
}

impl Traces {
    /// Of a service by its name, or by `${__field.labels.job}`.
    pub fn of(service: &str) -> Self {
        Self { service: service.to_owned(), ..Self::default() }
    }

    /// Those with a span of this name, as `POST /api/v1/reports`.
    pub fn operation(mut self, name: &str) -> Self {
        name.clone_into(&mut self.operation);
        self
    }

    /// Those with a span that failed.
    pub fn failed(self) -> Self {
        self.tag("error", "true")
    }

    /// Those with a span that has this attribute.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.push(format!("{key}={value}"));
        self
    }

    /// Those with a span of this duration or longer, as `100ms`.
    pub fn at_least(mut self, duration: &str) -> Self {
        duration.clone_into(&mut self.at_least);
        self
    }

    pub fn link(self, title: &str) -> Link {
        let mut query = json!({ "queryType": "search", "service": self.service, "limit": 50 });
        for (key, value) in
            [("operation", self.operation), ("tags", self.tags.join(" ")), ("minDuration", self.at_least)]
        {
            if !value.is_empty() {
                query[key] = json!(value);
            }
        }
        explore(title, "jaeger", JAEGER, query)
    }
}

/// Log lines of these services that pass the stages of LogQL, as `| json | level="ERROR"`.
pub fn logs(title: &str, services: &[&str], stages: &str) -> Link {
    let selector = format!(r#"{{service_name=~"{}"}}"#, services.join("|"));
    let expr = [selector.as_str(), stages].join(" ");
    explore(title, "loki", LOKI, json!({ "expr": expr.trim_end(), "queryType": "range" }))
}

/// Another dashboard, with the same time range and the same choice of variables.
pub fn dashboard(title: &str, uid: &str) -> Link {
    Link { title: title.to_owned(), url: format!("/d/{uid}?${{__url_time_range}}&${{__all_variables}}") }
}

/// Any page, as a runbook's section.
pub fn page(title: &str, url: &str) -> Link {
    Link { title: title.to_owned(), url: url.to_owned() }
}

fn explore(title: &str, kind: &str, source: &str, mut query: Value) -> Link {
    query["refId"] = json!("A");
    query["datasource"] = json!({ "type": kind, "uid": source });
    let panes = json!({ "a": {
        "datasource": source,
        "queries": [query],
        "range": { "from": "${__from}", "to": "${__to}" },
    } });
    let panes = encoded(&panes.to_string());
    Link { title: title.to_owned(), url: format!("/explore?schemaVersion=1&orgId=1&panes={panes}") }
}

impl Link {
    /// Whether it is about the series that is clicked on, and so makes no sense above the panel.
    pub(crate) fn of_a_series(&self) -> bool {
        self.url.contains("${__field") || self.url.contains("${__data")
    }

    /// As a panel's head has it: with all that Grafana's type of dashboards demands.
    pub(crate) fn above(&self) -> Value {
        json!({
            "title": self.title, "url": self.url, "targetBlank": true, "type": "link", "asDropdown": false,
            "icon": "", "includeVars": false, "keepTime": false, "tags": [], "tooltip": "",
        })
    }

    /// As a value has it.
    pub(crate) fn json(&self) -> Value {
        json!({ "title": self.title, "url": self.url, "targetBlank": true })
    }
}

/// Percent-encoded as in RFC 3986, all but Grafana's `${…}`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("${") {
        let (variable, after) = from.split_once('}').unwrap_or((from, ""));
        out.extend(before.bytes().map(byte));
        out.push_str(&format!("${{{variable}}}"));
        rest = after;
    }
    out.extend(rest.bytes().map(byte));
    out
}

fn byte(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_encoded_but_what_grafana_fills_in() {
        assert_eq!(encoded(r#"{"a": "${x} +"}"#), "%7B%22a%22%3A%20%22${x}%20%2B%22%7D");
        assert_eq!(encoded("ä"), "%C3%A4");
    }

    #[test]
    fn what_explore_is_given_is_json() {
        let link = logs("t", &["a"], r#"| json | fields_route="${__field.labels.route}""#);
        let panes = link.url.split_once("panes=").unwrap().1;
        let mut bytes = Vec::new();
        let mut rest = panes.bytes();
        while let Some(byte) = rest.next() {
            let [high, low] = match byte {
                b'%' => [rest.next().unwrap(), rest.next().unwrap()],
                _ => {
                    bytes.push(byte);
                    continue;
                }
            };
            bytes.push(u8::from_str_radix(std::str::from_utf8(&[high, low]).unwrap(), 16).unwrap());
        }
        let pane: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(
            pane["a"]["queries"][0]["expr"],
            r#"{service_name=~"a"} | json | fields_route="${__field.labels.route}""#
        );
        assert_eq!(pane["a"]["range"]["from"], "${__from}");
    }

    #[test]
    fn a_link_of_a_series_is_known_as_one() {
        assert!(Traces::of("${__field.labels.job}").link("t").of_a_series());
        assert!(!logs("t", &["a", "b"], "").of_a_series());
    }
}
