//! A dashboard: rows of panels from symptom to cause, and what all dashboards have in common.

use crate::{
    names,
    panel::{PROMETHEUS, Panel},
    query::series,
    site,
};
use serde_json::{Value, json};

const COLUMNS: u32 = 24;
/// What the dashboards find each other by.
const TAG: &str = crate::services::SERVICE;
/// The form of Grafana's classic JSON that is written.
const SCHEMA_VERSION: u32 = 39;

/// A titled group of panels, laid out from left to right.
pub struct Row {
    pub title: &'static str,
    pub panels: Vec<Panel>,
}

/// One dashboard. The `uid` is for ever: links and alerts name it.
pub struct Dashboard {
    pub uid: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    pub rows: Vec<Row>,
}

impl Dashboard {
    /// The name of its file, without the ending.
    pub fn file(&self) -> &'static str {
        self.uid
    }

    /// The id of the panel of this title: rows have one each as well.
    pub fn panel_id(&self, title: &str) -> Option<u32> {
        let titles = |row: &Row| {
            let panels = row.panels.iter().map(|panel| panel.title().to_owned());
            std::iter::once(None).chain(panels.map(Some)).collect::<Vec<_>>()
        };
        let found =
            (1..).zip(self.rows.iter().flat_map(titles)).find(|(_, found)| found.as_deref() == Some(title));
        found.map(|(id, _)| id)
    }

    /// The file's text.
    pub fn text(&self) -> String {
        format!("{:#}\n", self.json())
    }

    fn json(&self) -> Value {
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": { "from": "now-1h", "to": "now" },
            "timezone": "utc",
            "links": [
                {
                    "type": "dashboards", "title": "Dashboards", "tags": [TAG], "asDropdown": false,
                    "includeVars": true, "keepTime": true, "targetBlank": false, "icon": "external link",
                    "tooltip": "", "url": "",
                },
                {
                    "type": "link", "title": "Runbooks", "url": site::RUNBOOKS, "tags": [], "asDropdown": false,
                    "includeVars": false, "keepTime": false, "targetBlank": true, "icon": "doc",
                    "tooltip": "What each alert means, what to do, and how to tell that it is over",
                },
            ],
            "annotations": { "list": annotations() },
            "templating": { "list": variables() },
            "panels": self.panels(),
        })
    }

    fn panels(&self) -> Vec<Value> {
        let (mut panels, mut id, mut y) = (Vec::new(), 0, 0);
        for row in &self.rows {
            id += 1;
            panels.push(json!({
                "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
                "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
            }));
            y += 1;
            let (mut x, mut tallest) = (0, 0);
            for panel in &row.panels {
                if x + panel.width > COLUMNS {
                    (x, y, tallest) = (0, y + tallest, 0);
                }
                id += 1;
                panels.push(panel.json(id, x, y));
                (x, tallest) = (x + panel.width, tallest.max(panel.height));
            }
            y += tallest;
        }
        panels
    }
}

/// What happened: new builds that came up, and alerts while they fire.
fn annotations() -> Vec<Value> {
    let annotation = |name: &str, colour: &str, title: &str, text: &str, expr: String| {
        json!({
            "name": name, "enable": true, "hide": false, "iconColor": colour,
            "datasource": { "type": "prometheus", "uid": PROMETHEUS },
            "expr": expr, "step": "60s", "titleFormat": title, "textFormat": text, "useValueForTime": false,
        })
    };
    let builds = format!("count by (job, version, commit) ({})", series(names::BUILD_INFO, ""));
    let before = format!("count by (job, version, commit) ({} offset 2m)", series(names::BUILD_INFO, ""));
    vec![
        annotation(
            "Deploys",
            "blue",
            "{{job}} {{version}}",
            "Build {{commit}} came up.",
            format!("{builds} unless {before}"),
        ),
        annotation(
            "Alerts",
            "red",
            "{{alertname}}",
            "Fires with severity {{severity}}.",
            r#"max by (alertname, severity) (ALERTS{alertstate="firing"})"#.to_owned(),
        ),
    ]
}

/// Where to ask, and of whom. Names and labels are those that `grafana/dashboard-linter` asks for.
fn variables() -> Vec<Value> {
    let source = |kind: &str, label: &str| {
        json!({
            "type": "datasource", "name": format!("{kind}_datasource"), "label": format!("{label} data source"),
            "query": kind, "refresh": 1, "hide": 0, "multi": false, "includeAll": false,
        })
    };
    let choice = |name: &str, label: &str, query: &str| {
        json!({
            "type": "query", "name": name, "label": label, "multi": true, "includeAll": true, "allValue": ".+",
            "current": { "text": ["All"], "value": ["$__all"] },
            "datasource": { "type": "prometheus", "uid": PROMETHEUS },
            "query": query, "refresh": 2, "sort": 1, "hide": 0,
        })
    };
    let builds = names::BUILD_INFO;
    vec![
        source("prometheus", "Prometheus"),
        source("loki", "Loki"),
        source("jaeger", "Jaeger"),
        choice("job", "Job", &format!("label_values({builds}, job)")),
        choice("instance", "Instance", &format!(r#"label_values({builds}{{job=~"$job"}}, instance)"#)),
    ]
}
