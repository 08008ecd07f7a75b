//! A panel: one question, and the queries that answer it.

use serde_json::{Value, json};

/// Where queries are asked: a variable of the dashboard, so that no file names anybody's server.
pub const PROMETHEUS: &str = "${prometheus_datasource}";

/// How a panel shows its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    TimeSeries,
    Stat,
    BarGauge,
    Table,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::TimeSeries => "timeseries",
            Self::Stat => "stat",
            Self::BarGauge => "bargauge",
            Self::Table => "table",
        }
    }
}

struct Target {
    expr: String,
    legend: String,
    instant: bool,
    exemplar: bool,
}

/// One panel. Widths count 24 to a row, heights about 38 pixels each.
pub struct Panel {
    kind: Kind,
    title: String,
    description: String,
    unit: &'static str,
    targets: Vec<Target>,
    /// From which value on which colour, rising; the first colour is for what lies below.
    thresholds: Vec<(Option<f64>, &'static str)>,
    stacked: bool,
    range: (Option<f64>, Option<f64>),
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Panel {
    /// `unit` is one of Grafana's, as `s`, `reqps` or `percentunit`.
    pub fn new(kind: Kind, title: &str, unit: &'static str, description: &str) -> Self {
        Self {
            kind,
            title: title.to_owned(),
            description: description.to_owned(),
            unit,
            targets: Vec::new(),
            thresholds: vec![(None, "green")],
            stacked: false,
            range: (Some(0.0), None),
            width: if kind == Kind::Stat { 4 } else { 8 },
            height: if kind == Kind::Stat { 4 } else { 8 },
        }
    }

    /// Adds a query; `legend` as `{{outcome}}`.
    pub fn query(self, expr: String, legend: &str) -> Self {
        let instant = matches!(self.kind, Kind::Table | Kind::BarGauge);
        self.target(Target { expr, legend: legend.to_owned(), instant, exemplar: false })
    }

    /// Adds a query of a histogram, with the traces that its buckets name.
    pub fn latency(self, expr: String, legend: &str) -> Self {
        self.target(Target { expr, legend: legend.to_owned(), instant: false, exemplar: true })
    }

    fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    pub fn warn_from(mut self, value: f64) -> Self {
        self.thresholds.push((Some(value), "orange"));
        self
    }

    pub fn bad_from(mut self, value: f64) -> Self {
        self.thresholds.push((Some(value), "red"));
        self
    }

    pub fn stacked(mut self) -> Self {
        self.stacked = true;
        self
    }

    pub fn range(mut self, least: Option<f64>, most: Option<f64>) -> Self {
        self.range = (least, most);
        self
    }

    pub fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    pub fn title(&self) -> &str {
        &self.title
    }

    /// Grafana's JSON of it at this place.
    pub(crate) fn json(&self, id: u32, x: u32, y: u32) -> Value {
        let targets: Vec<_> = self.targets.iter().enumerate().map(|(at, target)| target.json(at)).collect();
        json!({
            "id": id,
            "type": self.kind.name(),
            "title": self.title,
            "description": self.description,
            "datasource": { "type": "prometheus", "uid": PROMETHEUS },
            "gridPos": { "x": x, "y": y, "w": self.width, "h": self.height },
            "fieldConfig": { "defaults": self.defaults(), "overrides": [] },
            "options": self.options(),
            "targets": targets,
        })
    }

    fn defaults(&self) -> Value {
        let steps: Vec<_> =
            self.thresholds.iter().map(|(from, color)| json!({ "color": color, "value": from })).collect();
        let mut defaults = json!({ "unit": self.unit, "thresholds": { "mode": "absolute", "steps": steps } });
        if let (Some(least), _) = self.range {
            defaults["min"] = json!(least);
        }
        if let (_, Some(most)) = self.range {
            defaults["max"] = json!(most);
        }
        if self.kind == Kind::TimeSeries {
            let stacking = if self.stacked { "normal" } else { "none" };
            let fill = if self.stacked { 40 } else { 10 };
            defaults["custom"] =
                json!({ "fillOpacity": fill, "stacking": { "mode": stacking }, "showPoints": "never" });
        }
        defaults
    }

    fn options(&self) -> Value {
        match self.kind {
            Kind::TimeSeries => json!({
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Kind::Stat => {
                json!({ "colorMode": "value", "graphMode": "area", "reduceOptions": { "calcs": ["lastNotNull"] } })
            }
            Kind::BarGauge => {
                json!({ "orientation": "horizontal", "reduceOptions": { "calcs": ["lastNotNull"] } })
            }
            Kind::Table => json!({ "showHeader": true }),
        }
    }
}

impl Target {
    fn json(&self, at: usize) -> Value {
        let letter = char::from_u32('A' as u32 + u32::try_from(at).unwrap_or(25)).unwrap_or('Z');
        json!({
            "refId": letter.to_string(),
            "datasource": { "type": "prometheus", "uid": PROMETHEUS },
            "expr": self.expr,
            "legendFormat": self.legend,
            "instant": self.instant,
            "range": !self.instant,
            "exemplar": self.exemplar,
        })
    }
}
