//! A dashboard: rows of panels from symptom to cause, and what all dashboards have in common.

use crate::panel::{PROMETHEUS, Panel};
use serde_json::{Value, json};

const COLUMNS: u32 = 24;
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

    /// The file's text.
    pub fn text(&self) -> String {
        format!("{:#}\n", self.json())
    }

    fn json(&self) -> Value {
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["epro-notify"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": { "from": "now-1h", "to": "now" },
            "timezone": "utc",
            "links": [],
            "annotations": { "list": [] },
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

/// Where to ask, and of whom.
fn variables() -> Vec<Value> {
    let source = |kind: &str, label: &str| json!({ "type": "datasource", "name": format!("{kind}_datasource"), "label": label, "query": kind, "refresh": 1 });
    let choice = |name: &str, query: &str| {
        json!({
            "type": "query", "name": name, "label": name, "multi": true, "includeAll": true, "allValue": ".+",
            "current": { "text": "All", "value": "$__all" },
            "datasource": { "type": "prometheus", "uid": PROMETHEUS },
            "query": query, "refresh": 2, "sort": 1,
        })
    };
    vec![
        source("prometheus", "Metrics"),
        source("loki", "Logs"),
        source("jaeger", "Traces"),
        choice("job", "label_values(build_info, job)"),
        choice("instance", r#"label_values(build_info{job=~"$job"}, instance)"#),
    ]
}
