//! Where links lead: every panel to traces or log lines, and none into the void.

use crate::dashboards::linter;
use crate::read::{Board, boards};
use serde_json::Value;

/// Links of the panels and of their values, with the panel's title.
fn links(board: &Board) -> Vec<(String, String)> {
    let of_panels = board.panels().into_iter().flat_map(|panel| {
        panel
            .links()
            .map(move |link| (panel.title().to_owned(), link["url"].as_str().unwrap_or_default().to_owned()))
    });
    of_panels.collect()
}

pub fn to_traces_or_logs(board: &Board) -> Vec<String> {
    let links = links(board);
    let linked = |title: &str| {
        links.iter().any(|(of, url)| {
            of == title
                && panes(url).is_ok_and(|panes| {
                    let text = panes.to_string();
                    text.contains("${jaeger_datasource}") || text.contains("${loki_datasource}")
                })
        })
    };
    let lost = board.panels().into_iter().filter(|panel| !linked(panel.title()));
    lost.map(|panel| format!("{:?} leads to neither traces nor lines", panel.title())).collect()
}

pub fn lead_somewhere(board: &Board) -> Vec<String> {
    let uids: Vec<String> = boards().unwrap().iter().map(|board| board.uid().to_owned()).collect();
    let faults = links(board).into_iter().filter_map(|(title, url)| {
        let fault = if let Some(rest) = url.strip_prefix("/d/") {
            let uid = rest.split(['?', '/']).next().unwrap_or_default();
            (!uids.iter().any(|known| known == uid)).then(|| format!("no dashboard {uid}"))
        } else if url.starts_with("/explore?") {
            panes(&url).and_then(|panes| explored(board, &panes)).err()
        } else {
            // Runbooks and the like are checked where alerts link to them.
            (!url.starts_with("http")).then(|| "leads nowhere that is known".to_owned())
        };
        Some(format!("{title:?}: {}: {url}", fault?))
    });
    faults.collect()
}

/// The state that a link hands to Grafana's Explore.
fn panes(url: &str) -> Result<Value, String> {
    let query = url.strip_prefix("/explore?").ok_or("is no link into Explore")?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, panes) = pairs.find(|(key, _)| *key == "panes").ok_or("has no panes")?;
    serde_json::from_str(&decoded(panes)?).map_err(|error| format!("panes: {error}"))
}

fn decoded(text: &str) -> Result<String, String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.ok_or("is not percent-encoded")?);
        bytes.extend(part.bytes().skip(2));
    }
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// Each pane asks one data source of the dashboard in the dashboard's time range.
fn explored(board: &Board, panes: &Value) -> Result<(), String> {
    let panes = panes.as_object().filter(|panes| !panes.is_empty()).ok_or("has no pane")?;
    for pane in panes.values() {
        let source = pane["datasource"].as_str().unwrap_or_default();
        let name = source.strip_prefix("${").and_then(|name| name.strip_suffix('}')).unwrap_or_default();
        let kind = name.strip_suffix("_datasource").unwrap_or_default();
        // A log or trace source need not be asked by any panel, only be a variable.
        if !board
            .variables()
            .iter()
            .any(|variable| variable.kind() == "datasource" && variable.name() == name)
        {
            return Err(format!("{source:?} is no variable of the dashboard"));
        }
        if (pane["range"]["from"].as_str(), pane["range"]["to"].as_str())
            != (Some("${__from}"), Some("${__to}"))
        {
            return Err("does not keep the time range".into());
        }
        let queries =
            pane["queries"].as_array().filter(|queries| !queries.is_empty()).ok_or("asks nothing")?;
        for query in queries {
            if query["datasource"]["uid"] != source || query["datasource"]["type"] != kind {
                return Err("a query asks another data source than its pane".into());
            }
            match kind {
                "loki" => linter::logql(query["expr"].as_str().unwrap_or_default())?,
                "jaeger" if query["service"].as_str().is_none_or(str::is_empty) => {
                    return Err("searches traces of no service".into());
                }
                _ => {}
            }
        }
    }
    Ok(())
}
