//! A panel as Grafana's classic JSON.

use super::{Kind, Legend, PROMETHEUS, Panel, Target};
use crate::palette::{self, Colour};
use serde_json::{Map, Value, json};

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

impl Panel {
    /// Grafana's JSON of it at this place.
    pub(crate) fn json(&self, id: u32, x: u32, y: u32) -> Value {
        let targets: Vec<_> =
            self.targets.iter().enumerate().map(|(at, target)| self.target_json(at, target)).collect();
        let links: Vec<_> =
            self.links.iter().filter(|link| !link.of_a_series()).map(crate::links::Link::above).collect();
        json!({
            "id": id,
            "type": self.kind.name(),
            "title": self.title,
            "description": self.description,
            "datasource": { "type": "prometheus", "uid": PROMETHEUS },
            "gridPos": { "x": x, "y": y, "w": self.width, "h": self.height },
            "fieldConfig": { "defaults": self.defaults(), "overrides": self.overrides() },
            "options": self.options(),
            "links": links,
            "targets": targets,
            "transformations": self.transformations(),
        })
    }

    /// The order of a table's columns is all that is changed after the query.
    fn transformations(&self) -> Vec<Value> {
        if self.order.is_empty() {
            return Vec::new();
        }
        let places: Map<_, _> =
            self.order.iter().enumerate().map(|(at, label)| ((*label).to_owned(), json!(at))).collect();
        vec![
            json!({ "id": "organize", "options": { "indexByName": places, "excludeByName": {}, "renameByName": {} } }),
        ]
    }

    fn target_json(&self, at: usize, target: &Target) -> Value {
        let letter = char::from_u32('A' as u32 + u32::try_from(at).unwrap_or(25)).unwrap_or('Z');
        let instant = match self.kind {
            Kind::Table | Kind::BarGauge => true,
            Kind::Stat => !self.trend,
            Kind::TimeSeries => false,
        };
        json!({
            "refId": letter.to_string(),
            "datasource": { "type": "prometheus", "uid": PROMETHEUS },
            "editorMode": "code",
            "expr": target.expr,
            "legendFormat": target.legend,
            "format": if self.kind == Kind::Table { "table" } else { "time_series" },
            "instant": instant,
            "range": !instant,
            "exemplar": target.exemplar,
        })
    }

    fn defaults(&self) -> Value {
        let mut defaults = json!({
            "unit": self.unit,
            "color": self.colour_mode(),
            "thresholds": { "mode": "absolute", "steps": self.steps() },
            "mappings": self.mappings(),
            // a table's cells all alike: its links are above it
            "links": if self.kind == Kind::Table { Vec::new() } else { self.links.iter().map(crate::links::Link::json).collect() },
        });
        let optional = [
            ("min", self.range.0.map(|least| json!(least))),
            ("max", self.range.1.map(|most| json!(most))),
            ("decimals", self.decimals.map(|digits| json!(digits))),
            ("noValue", self.nothing.map(|text| json!(text))),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                defaults[key] = value;
            }
        }
        match self.kind {
            Kind::TimeSeries => defaults["custom"] = self.drawing(),
            Kind::Table => defaults["custom"] = json!({ "align": "auto", "minWidth": 70, "inspect": false }),
            Kind::Stat | Kind::BarGauge => {}
        }
        defaults
    }

    fn colour_mode(&self) -> Value {
        match (self.kind, self.hue) {
            (Kind::TimeSeries, Some(hue)) => json!({ "mode": "shades", "fixedColor": hue.name() }),
            (Kind::TimeSeries, None) => json!({ "mode": "palette-classic" }),
            (Kind::Stat | Kind::BarGauge | Kind::Table, _) => json!({ "mode": "thresholds" }),
        }
    }

    /// From which value on which colour, rising; the first is for what lies below.
    ///
    /// In a time series they are only lines, each in the colour of the side that it warns of.
    fn steps(&self) -> Vec<Value> {
        if self.kind == Kind::TimeSeries {
            let mut lines: Vec<_> = self.below.iter().chain(&self.above).copied().collect();
            lines.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            let lines = lines.iter().map(|(value, colour)| json!({ "color": colour.name(), "value": value }));
            return std::iter::once(json!({ "color": "transparent", "value": null })).chain(lines).collect();
        }
        let (mut below, mut above) = (self.below.clone(), self.above.clone());
        below.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        above.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let fine = if below.is_empty() && above.is_empty() { "text" } else { Colour::Good.name() };
        let mut steps: Vec<(Option<f64>, &str)> = Vec::new();
        let mut from = None;
        for (until, colour) in &below {
            steps.push((from, colour.name()));
            from = Some(*until);
        }
        steps.push((from, fine));
        steps.extend(above.iter().map(|(value, colour)| (Some(*value), colour.name())));
        steps.into_iter().map(|(value, color)| json!({ "color": color, "value": value })).collect()
    }

    fn mappings(&self) -> Vec<Value> {
        if self.texts.is_empty() {
            return Vec::new();
        }
        let texts = self.texts.iter().enumerate();
        let options: Map<_, _> = texts
            .map(|(index, (value, text, colour))| {
                (value.to_string(), json!({ "text": text, "color": colour.name(), "index": index }))
            })
            .collect();
        vec![json!({ "type": "value", "options": options })]
    }

    /// How a time series is drawn.
    fn drawing(&self) -> Value {
        let judged = !self.below.is_empty() || !self.above.is_empty();
        let mut drawing = json!({
            "drawStyle": "line",
            "lineInterpolation": if self.stepped { "stepAfter" } else { "linear" },
            "lineWidth": 1,
            "fillOpacity": if self.stacked { 40 } else { 8 },
            "gradientMode": "none",
            "showPoints": "never",
            "spanNulls": false,
            "axisBorderShow": false,
            "stacking": { "mode": if self.stacked { "normal" } else { "none" }, "group": "A" },
            "thresholdsStyle": { "mode": if judged { "dashed" } else { "off" } },
        });
        if self.logarithmic {
            drawing["scaleDistribution"] = json!({ "type": "log", "log": 10 });
        }
        if let Some(value) = self.soft_max {
            drawing["axisSoftMax"] = json!(value);
        }
        drawing
    }

    fn overrides(&self) -> Vec<Value> {
        let mut colours: Vec<(String, &str)> = Vec::new();
        for Target { legend, .. } in &self.targets {
            match legend.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
                Some(label) => colours.extend(
                    palette::of_label(label).iter().map(|(value, colour)| ((*value).to_owned(), *colour)),
                ),
                None => {
                    colours.extend(palette::of_word(legend).map(|colour| (legend.clone(), colour)));
                }
            }
        }
        // what is said for this panel alone wins: Grafana takes the last
        colours.extend(self.colours.iter().map(|(series, colour)| (series.clone(), colour.name())));
        let mut seen = std::collections::BTreeSet::new();
        colours.retain(|found| seen.insert(found.clone()));
        let fixed = |(series, colour): &(String, &str)| {
            let properties = json!([{ "id": "color", "value": { "mode": "fixed", "fixedColor": colour } }]);
            json!({ "matcher": matcher(series), "properties": properties })
        };
        let mut overrides: Vec<_> =
            if self.kind == Kind::TimeSeries { colours.iter().map(fixed).collect() } else { Vec::new() };
        overrides.extend(self.dashed.iter().map(|series| dashed(series)));
        overrides.extend(self.right.iter().map(|(series, unit)| right(series, unit)));
        if self.kind == Kind::Table {
            overrides.push(column("Time", None));
            overrides.extend(self.columns.iter().map(|(label, title)| column(label, *title)));
        }
        overrides
    }

    fn options(&self) -> Value {
        let reduce = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
        match self.kind {
            Kind::TimeSeries => {
                json!({ "legend": self.legend_json(), "tooltip": { "mode": "multi", "sort": "desc" } })
            }
            Kind::Stat => json!({
                "colorMode": "value",
                "graphMode": if self.trend { "area" } else { "none" },
                "justifyMode": "auto",
                "orientation": "auto",
                "textMode": "auto",
                "wideLayout": true,
                "reduceOptions": reduce,
            }),
            Kind::BarGauge => json!({
                "displayMode": "basic",
                "orientation": "horizontal",
                "valueMode": "color",
                "showUnfilled": true,
                "reduceOptions": reduce,
            }),
            Kind::Table => json!({ "showHeader": true, "cellHeight": "sm" }),
        }
    }

    fn legend_json(&self) -> Value {
        let calcs: &[&str] = if self.legend == Legend::Table { &["lastNotNull", "max"] } else { &[] };
        let mut legend = json!({
            "displayMode": if self.legend == Legend::Table { "table" } else { "list" },
            "placement": "bottom",
            "showLegend": self.legend != Legend::None,
            "calcs": calcs,
        });
        if self.legend == Legend::Table {
            (legend["sortBy"], legend["sortDesc"]) = (json!("Max"), json!(true));
        }
        legend
    }
}

fn matcher(series: &str) -> Value {
    let id = if series.starts_with('/') { "byRegexp" } else { "byName" };
    json!({ "id": id, "options": series })
}

fn dashed(series: &str) -> Value {
    let many = series.starts_with('/');
    json!({ "matcher": matcher(series), "properties": [
        { "id": "custom.lineStyle", "value": { "fill": "dash", "dash": [10, 10] } },
        { "id": "custom.fillOpacity", "value": 0 },
        { "id": "custom.stacking", "value": { "mode": "none", "group": "A" } },
        { "id": "custom.hideFrom", "value": { "legend": many, "tooltip": false, "viz": false } },
    ] })
}

fn right(series: &str, unit: &str) -> Value {
    json!({ "matcher": matcher(series), "properties": [
        { "id": "unit", "value": unit },
        { "id": "custom.axisPlacement", "value": "right" },
        { "id": "custom.fillOpacity", "value": 0 },
    ] })
}

fn column(label: &str, title: Option<&str>) -> Value {
    let property = match title {
        Some(title) => json!({ "id": "displayName", "value": title }),
        None => json!({ "id": "custom.hidden", "value": true }),
    };
    json!({ "matcher": matcher(label), "properties": [property] })
}
