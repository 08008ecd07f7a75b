//! A real Prometheus that scrapes the services each second, with the shipped rules, and its HTTP API.

use super::api::Api;
use crate::program::{Program, free_address, shipped};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

/// What rates look back over at least: some scrapes more than the four that Grafana takes, as one may be late.
pub const RATE_INTERVAL: &str = "10s";
/// Seconds from one value of a range to the next.
const STEP: u64 = 5;

/// The labels of a series, its name among them as `__name__`.
pub type Labels = BTreeMap<String, String>;

/// A series of an answer, with its values as Prometheus writes them.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: Labels,
    pub values: Vec<String>,
}

/// What is looked at, in Unix seconds.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from: u64,
    pub to: u64,
}

pub struct Prometheus {
    api: Api,
    /// Kept, as it has the files.
    _program: Program,
    _folder: TempDir,
}

/// Where the rules lie that are shipped.
pub fn shipped_rules() -> Vec<PathBuf> {
    let files = fs::read_dir(shipped("deploy/prometheus/rules")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

impl Prometheus {
    /// Scrapes these instances of each job, and evaluates these rules.
    pub fn start(jobs: &[(&str, Vec<SocketAddr>)], rules: &[PathBuf]) -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let job = |(job, instances): &(&str, Vec<SocketAddr>)| json!({ "job_name": job, "static_configs": [{ "targets": instances }] });
        let config = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "2s" },
            "rule_files": rules,
            "scrape_configs": jobs.iter().map(job).collect::<Vec<_>>(),
        });
        // JSON is YAML.
        fs::write(folder.path().join("prometheus.yml"), config.to_string()).unwrap();
        let mut program = Program::start("prometheus", folder.path(), |command| {
            command
                .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"])
                .arg("--enable-feature=exemplar-storage")
                .arg(format!("--web.listen-address={address}"));
        });
        let api = Api::of(address);
        program.until_so("is ready", || api.text("/-/ready", &[]).is_ok());
        Self { api, _program: program, _folder: folder }
    }

    /// Where it answers questions.
    pub fn url(&self) -> String {
        self.api.url()
    }

    /// The `data` of an answer; the error is what Prometheus says.
    pub fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let mut answer = self.api.json(path, parameters)?;
        match answer["warnings"].as_array() {
            Some(warnings) if !warnings.is_empty() => Err(format!("warnings: {warnings:?}")),
            _ => Ok(answer["data"].take()),
        }
    }

    /// Values of an expression at one time.
    pub fn instant(&self, expr: &str, at: u64) -> Result<Vec<Series>, String> {
        let data = self.ask("/api/v1/query", &[("query", expr), ("time", &at.to_string())])?;
        Ok(read(&data, |series| vec![series["value"][1].clone()]))
    }

    /// Values of an expression over the window.
    pub fn range(&self, expr: &str, window: Window) -> Result<Vec<Series>, String> {
        let (from, to, step) = (window.from.to_string(), window.to.to_string(), STEP.to_string());
        let parameters = [("query", expr), ("start", &from), ("end", &to), ("step", &step)];
        let data = self.ask("/api/v1/query_range", &parameters)?;
        let pairs = |series: &Value| series["values"].as_array().cloned().unwrap_or_default();
        Ok(read(&data, |series| pairs(series).iter().map(|pair| pair[1].clone()).collect()))
    }

    /// The labels of all series that a selector finds in the window.
    pub fn series(&self, selector: &str, window: Window) -> Result<Vec<Labels>, String> {
        let (from, to) = (window.from.to_string(), window.to.to_string());
        let data = self.ask("/api/v1/series", &[("match[]", selector), ("start", &from), ("end", &to)])?;
        serde_json::from_value(data).map_err(|error| error.to_string())
    }

    /// Each group of rules as Prometheus tells it.
    pub fn rule_groups(&self) -> Vec<Value> {
        self.ask("/api/v1/rules", &[]).unwrap()["groups"].as_array().cloned().unwrap_or_default()
    }
}

fn read(data: &Value, values: impl Fn(&Value) -> Vec<Value>) -> Vec<Series> {
    let labels = |series: &Value| serde_json::from_value(series["metric"].clone()).unwrap_or_default();
    let text = |value: Value| value.as_str().map(str::to_owned).unwrap_or_default();
    let series =
        |series| Series { labels: labels(series), values: values(series).into_iter().map(text).collect() };
    match data["result"].as_array() {
        Some(all) if data["resultType"] != "scalar" => all.iter().map(series).collect(),
        _ => vec![Series { labels: Labels::new(), values: vec![text(data["result"][1].clone())] }],
    }
}

/// Now, in Unix seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
