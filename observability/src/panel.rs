//! A panel: one question, the queries that answer it, and where to look next.
//!
//! What is said here is what is asked and what the answer means; how Grafana writes it down is in `panel/json.rs`.

mod json;
mod next;

use crate::{links::Link, palette::Colour};

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

struct Target {
    expr: String,
    legend: String,
    exemplar: bool,
}

/// How a legend is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Legend {
    None,
    List,
    Table,
}

/// One panel. Widths count 24 to a row, heights about 38 pixels each.
pub struct Panel {
    kind: Kind,
    title: String,
    description: String,
    unit: &'static str,
    targets: Vec<Target>,
    links: Vec<Link>,
    above: Vec<(f64, Colour)>,
    below: Vec<(f64, Colour)>,
    texts: Vec<(f64, &'static str, Colour)>,
    colours: Vec<(String, Colour)>,
    columns: Vec<(&'static str, Option<&'static str>)>,
    dashed: Vec<String>,
    right: Vec<(String, &'static str)>,
    legend: Legend,
    stacked: bool,
    stepped: bool,
    logarithmic: bool,
    trend: bool,
    range: (Option<f64>, Option<f64>),
    soft_max: Option<f64>,
    hue: Option<Colour>,
    order: &'static [&'static str],
    decimals: Option<u8>,
    nothing: Option<&'static str>,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Panel {
    /// `unit` is one of Grafana's, as `s`, `reqps` or `percentunit`. The description says what is shown, what is
    /// normal, and where to look when it is not.
    pub fn new(kind: Kind, title: &str, unit: &'static str, description: &str) -> Self {
        Self {
            kind,
            title: title.to_owned(),
            description: description.to_owned(),
            unit,
            targets: Vec::new(),
            links: Vec::new(),
            above: Vec::new(),
            below: Vec::new(),
            texts: Vec::new(),
            colours: Vec::new(),
            columns: Vec::new(),
            dashed: Vec::new(),
            right: Vec::new(),
            legend: Legend::List,
            stacked: false,
            stepped: false,
            logarithmic: false,
            trend: true,
            range: (Some(0.0), None),
            soft_max: None,
            hue: None,
            order: &[],
            decimals: None,
            nothing: None,
            width: if kind == Kind::Stat { 4 } else { 8 },
            height: if kind == Kind::Stat { 4 } else { 8 },
        }
    }

    pub fn title(&self) -> &str {
        &self.title
    }

    /// Adds a query; `legend` as `{{outcome}}`. Values of known labels have their colours (`palette.rs`).
    pub fn query(self, expr: String, legend: &str) -> Self {
        self.target(expr, legend, false)
    }

    /// Adds a query of a histogram, with the traces that its buckets name. Once in a panel is enough: the
    /// same traces belong to all quantiles.
    pub fn latency(self, expr: String, legend: &str) -> Self {
        self.target(expr, legend, true)
    }

    fn target(mut self, expr: String, legend: &str, exemplar: bool) -> Self {
        self.targets.push(Target { expr, legend: legend.to_owned(), exemplar });
        self
    }

    // Where to look next.

    // What is good and what is not: coloured in stats, dashed lines in time series. Without any of
    // these a value is a fact, and has no judging colour.

    pub fn warn_from(self, value: f64) -> Self {
        self.from(value, Colour::Refused)
    }

    pub fn bad_from(self, value: f64) -> Self {
        self.from(value, Colour::Failed)
    }

    fn from(mut self, value: f64, colour: Colour) -> Self {
        self.above.push((value, colour));
        self
    }

    /// Below this it is a warning, as the share of a budget that is left.
    pub fn warn_below(mut self, value: f64) -> Self {
        self.below.push((value, Colour::Refused));
        self
    }

    pub fn bad_below(mut self, value: f64) -> Self {
        self.below.push((value, Colour::Failed));
        self
    }

    /// Words for a value that is a state, as 2 for an open breaker.
    pub fn state(mut self, value: f64, text: &'static str, colour: Colour) -> Self {
        self.texts.push((value, text, colour));
        self
    }

    /// The colour of series by their name, or by a regular expression between slashes.
    pub fn colour(mut self, series: &str, colour: Colour) -> Self {
        self.colours.push((series.to_owned(), colour));
        self
    }

    /// Draws a series by its name as a dashed line without a filling: a limit that moves.
    pub fn limit_line(mut self, series: &str) -> Self {
        self.dashed.push(series.to_owned());
        self.colour(series, Colour::Failed)
    }

    /// The same for the many series that match a regular expression between slashes; they are not in the legend.
    pub fn limit_lines(mut self, series: &str, colour: Colour) -> Self {
        self.dashed.push(series.to_owned());
        self.colour(series, colour)
    }

    /// A limit that stands still, as a dashed line that is always in sight, also on an axis by powers of ten.
    pub fn limit(self, value: f64, legend: &str) -> Self {
        self.query(format!("vector({value})"), legend).limit_line(legend)
    }

    // How it looks.

    /// Measures a series, by its name or by a regular expression between slashes, in this unit on an axis at the
    /// right: for what explains the rest of the panel and is counted otherwise.
    pub fn right_axis(mut self, series: &str, unit: &'static str) -> Self {
        self.right.push((series.to_owned(), unit));
        self
    }

    /// Shows a column of a table under this title.
    pub fn column(mut self, label: &'static str, title: &'static str) -> Self {
        self.columns.push((label, Some(title)));
        self
    }

    /// The columns of a table from left to right; otherwise they are sorted by their labels.
    pub fn order(mut self, labels: &'static [&'static str]) -> Self {
        self.order = labels;
        self
    }

    /// Leaves a column out, as `Value` where it is always 1. `Time` is left out anyway.
    pub fn hide(mut self, label: &'static str) -> Self {
        self.columns.push((label, None));
        self
    }

    /// For parts of a whole only.
    pub fn stacked(mut self) -> Self {
        self.stacked = true;
        self
    }

    /// For states and settings, which have no values in between.
    pub fn stepped(mut self) -> Self {
        self.stepped = true;
        self
    }

    /// An axis by powers of ten, for what spans many of them. It has no 0: not for counts.
    pub fn log_scale(mut self) -> Self {
        self.logarithmic = true;
        self.range.0 = None;
        self
    }

    /// The least and the most of the axis; from 0 where nothing else is said.
    pub fn range(mut self, least: Option<f64>, most: Option<f64>) -> Self {
        self.range = (least, most);
        self
    }

    /// For series that are all of one kind and neither good nor bad, as instances: shades of one colour.
    pub fn shades(mut self, of: Colour) -> Self {
        self.hue = Some(of);
        self
    }

    /// The axis reaches at least to here, so that a limit is in sight before it is near.
    pub fn axis_to(mut self, value: f64) -> Self {
        self.soft_max = Some(value);
        self
    }

    pub fn decimals(mut self, digits: u8) -> Self {
        self.decimals = Some(digits);
        self
    }

    /// What is written where no series is a good sign, as `No alert is firing`.
    pub fn no_value(mut self, text: &'static str) -> Self {
        self.nothing = Some(text);
        self
    }

    /// A legend with last and highest value, for panels of many series.
    pub fn legend_table(mut self) -> Self {
        self.legend = Legend::Table;
        self
    }

    pub fn no_legend(mut self) -> Self {
        self.legend = Legend::None;
        self
    }

    /// A stat without its sparkline, and of the last value alone.
    pub fn no_trend(mut self) -> Self {
        self.trend = false;
        self
    }

    pub fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }
}
