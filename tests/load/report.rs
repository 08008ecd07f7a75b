//! What the scenarios measured, as a page with plots.

use crate::SCENARIOS;
use chassis_test::{Page, ask};
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What is read each second: a name, what one is, and whether its growth a second is meant.
type Read = (&'static str, f64, bool, &'static str, &'static [(&'static str, &'static str)]);
const READ: [Read; 5] = [
    ("accepted/s", 1.0, true, "notification_accepted_total", &[]),
    ("delivered/s", 1.0, true, "notification_finished_total", &[("outcome", "delivered")]),
    ("queued", 1.0, false, "notification_ledger_jobs", &[("state", "queued")]),
    ("memory, MB", 1e6, false, "process_resident_memory_bytes", &[]),
    ("CPU, cores", 1.0, true, "process_cpu_seconds_total", &[]),
];

/// The time in seconds, and what was read then.
type Row = (f64, [f64; READ.len()]);

/// Reads the service's metrics each second. A service that is away leaves a gap.
pub struct Watch {
    stop: SyncSender<()>,
    thread: JoinHandle<Vec<Row>>,
}

impl Watch {
    pub fn start(admin: SocketAddr) -> Self {
        let (stop, stopped) = sync_channel(0);
        let thread = thread::spawn(move || {
            let (begun, mut rows) = (Instant::now(), Vec::new());
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let Ok(answer) = ask(admin, "GET", "/metrics", "") else { continue };
                let page = Page::text(&answer.body);
                rows.push((begun.elapsed().as_secs_f64(), READ.map(|read| sum(&page, &read))));
            }
            rows
        });
        Self { stop, thread }
    }

    /// The values, and the growth a second of those that count.
    pub fn end(self) -> Vec<Row> {
        drop(self.stop);
        let rows = self.thread.join().unwrap();
        let grown = |pair: &[Row]| {
            let [(from, before), (to, after)] = [pair[0], pair[1]];
            let value = |at: usize| {
                if READ[at].2 { ((after[at] - before[at]) / (to - from)).max(0.0) } else { after[at] }
            };
            (to, std::array::from_fn(value))
        };
        rows.windows(2).map(grown).collect()
    }
}

fn sum(page: &Page, (_, one, _, name, labels): &Read) -> f64 {
    let samples = page.of(name);
    let samples =
        samples.filter(|sample| labels.iter().all(|(label, value)| sample.label(label) == Some(*value)));
    samples.map(|sample| sample.value).sum::<f64>() / one
}

/// The page: what ran before stays, until it runs again.
pub struct Report {
    folder: PathBuf,
    machine: String,
    /// When and of what a section was measured.
    run: String,
    /// What stands under each scenario's name.
    sections: Vec<(String, String)>,
    held: bool,
}

impl Report {
    pub fn new(folder: &Path, quick: bool) -> Self {
        fs::create_dir_all(folder).unwrap();
        let said = |script: &str| {
            let output = Command::new("sh").args(["-c", script]).output().unwrap();
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let [commit, day, cores, model, memory, system, k6] = [
            "git rev-parse --short HEAD",
            "date -u '+%Y-%m-%d %H:%M UTC'",
            "nproc",
            "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2",
            "awk '/MemTotal/ { printf \"%.0f GB\", $2 / 1e6 }' /proc/meminfo",
            "uname -s",
            "k6 version | cut -d' ' -f1,2",
        ]
        .map(said);
        let build =
            if cfg!(debug_assertions) { "a debug build, which judges nothing" } else { "a release build" };
        let short = if quick { " **A quick run: its figures say that it works, and no more.**" } else { "" };
        let machine = format!(
            "# Load tests\n\nBy `cargo xtask load`. The machine: {cores} cores ({model}), {memory} of memory, {system}. {k6}, the gateway \
             and the collector run on the same cores as the service. Durations\nare in milliseconds unless the name says otherwise.\n"
        );
        let run = format!("Commit {commit}, {build}, {day}.{short}");
        let page = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        let sections = page.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
        let sections = sections.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        Self { folder: folder.to_owned(), machine, run, sections, held: true }
    }

    pub fn add(&mut self, scenario: &str, summed: &Value, held: bool, watched: &[Row]) {
        self.held &= held;
        let script = fs::read_to_string(format!("tests/load/{scenario}.js")).unwrap();
        let about = script
            .lines()
            .map_while(|line| line.strip_prefix("// ").filter(|line| !line.starts_with("with ")));
        let about = about.collect::<Vec<_>>().join(" ");
        let mut text =
            format!("\n{about}\n\n{}\n\n| figure | wanted | measured |\n| --- | --- | --- |\n", self.run);
        for (name, metric) in summed["metrics"].as_object().unwrap() {
            for (wanted, threshold) in metric["thresholds"].as_object().into_iter().flatten() {
                let value = wanted.split(['<', '>', '=']).next().unwrap();
                let measured = metric["values"][value].as_f64().unwrap_or(f64::NAN);
                // What always holds is told, not judged.
                let wanted = if wanted.ends_with(">=0") { value } else { wanted };
                let mark = if threshold["ok"] == true { "" } else { " **MISSED**" };
                let row = format!("| {name} | {wanted} | {}{mark} |\n", (100.0 * measured).round() / 100.0);
                eprint!("  {row}");
                text += &row;
            }
        }
        // What a script tells besides, as Markdown.
        text += summed["told"].as_str().unwrap_or_default();
        for (plot, columns) in [("throughput", &[0, 1][..]), ("backlog", &[2]), ("process", &[3, 4])] {
            if watched.len() > 1 && scenario != "ctms" {
                let name = format!("{scenario}-{plot}.svg");
                fs::write(self.folder.join(&name), svg(watched, columns)).unwrap();
                text += &format!("\n![{plot} of {scenario}]({name})");
            }
        }
        self.sections.retain(|(name, _)| name != scenario);
        self.sections.push((scenario.to_owned(), text + "\n"));
        self.write();
    }

    fn write(&mut self) {
        self.sections.sort_by_key(|(name, _)| SCENARIOS.iter().position(|scenario| scenario == name));
        let sections = self.sections.iter().map(|(name, text)| format!("\n## {name}\n{text}"));
        fs::write(self.folder.join("README.md"), self.machine.clone() + &sections.collect::<String>())
            .unwrap();
    }

    /// Says whether everything held.
    pub fn end(&self) -> bool {
        let held = if self.held { "all held" } else { "a threshold was missed" };
        println!("{}: {held}", self.folder.join("README.md").display());
        self.held
    }
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 160.0;

/// A line for each column over seconds, by a scale of its own, which its label names.
fn svg(rows: &[Row], columns: &[usize]) -> String {
    let seconds = rows.last().map_or(1.0, |row| row.0);
    let lines = columns.iter().zip(["#3d7eff", "#e08a1e"]).zip([4, 220]).map(|((column, colour), x)| {
        let most = rows.iter().map(|row| row.1[*column]).fold(1e-9, f64::max);
        let place = |(at, values): &Row| format!("{:.1},{:.1}", at / seconds * WIDTH, HEIGHT - values[*column] / most * (HEIGHT - 20.0));
        let (points, name) = (rows.iter().map(place).collect::<Vec<_>>().join(" "), READ[*column].0);
        format!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\"/><text x=\"{x}\" y=\"12\" fill=\"{colour}\">{name}, at most {most:.1}</text>"
        )
    });
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" font-family=\"sans-serif\" font-size=\"11\"><rect width=\"100%\" \
         height=\"100%\" fill=\"#fff\"/><path d=\"M0 {HEIGHT}H{WIDTH}\" stroke=\"#bbb\"/>{}<text x=\"4\" y=\"{}\" fill=\"#777\">0 to {seconds:.0} s\
         </text></svg>\n",
        HEIGHT + 20.0,
        lines.collect::<String>(),
        HEIGHT + 14.0
    )
}
