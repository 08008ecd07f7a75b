//! Load tests: the service at its limits, under k6. `cargo xtask load [SCENARIO]` runs them on a release build.
//!
//! A scenario is a script in this folder, which says what it sends, when it disturbs the processes, and what has to
//! hold. Here is what they need: the processes, somebody who kills them, and the report.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a load test ends at what it did not expect")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to whoever typed it")]
#![expect(clippy::disallowed_methods, reason = "no span is lost here, and another process can't be awaited")]

mod report;
#[path = "../it/support"]
#[expect(dead_code, unused_imports, reason = "the hermetic tests use the rest")]
mod support {
    pub mod fleet;
    pub mod gateway;
    pub mod instance;
    pub mod page;
    pub mod prelude;
    pub mod service;
}

use chassis_test::{Behaviour, Collector, Signal, held::Held};
use clap::Parser;
use parking_lot::Mutex;
use report::{Report, Watch};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, ExitCode},
    sync::Arc,
    thread,
};
use support::{
    fleet::{Fleet, INSTANCES},
    gateway::Gateway,
    service::{Service, Site},
};

/// The scripts, in the order in which they run where none is named. `soak` takes half an hour, the others minutes.
const SCENARIOS: [&str; 13] = [
    "smoke", "limits", "capacity", "spike", "blast", "collector", "gateway", "channels", "clients", "slow",
    "overload", "ctms", "soak",
];
const FONTS: [&str; 2] =
    ["/usr/share/fonts/truetype/wqy/wqy-microhei.ttc", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"];

/// Load tests against the limits.
#[derive(Parser)]
#[command(name = "cargo xtask load")]
struct Options {
    /// All of them where none is named.
    #[arg(value_parser = SCENARIOS)]
    scenarios: Vec<String>,
    /// A tenth of the time and less load: to see that it works, not to judge.
    #[arg(long)]
    quick: bool,
    /// Requests a second that this machine serves, for `spike` and `soak`: else what `capacity` found before, or 300
    #[arg(long)]
    rate: Option<u64>,
    /// Where the report goes
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/load"))]
    report: PathBuf,
}

/// The processes of one scenario.
struct Stage {
    site: Site,
    service: Option<Service>,
    fleet: Option<Fleet>,
    gateway: Gateway,
    push: Gateway,
    collector: Option<Collector>,
    collector_at: SocketAddr,
    slow: Vec<TcpStream>,
    _held: [Held; 3],
}

impl Stage {
    fn new(scenario: &str) -> Self {
        let (gateway, push) = (Gateway::start(), Gateway::start());
        gateway.behave(r#"{"latency":"20ms"}"#);
        let held = [Held::new(), Held::new(), Held::new()];
        let mut site = Site::sending_to(&gateway).pushing_to(&push.url()).with("RUST_LOG", "info");
        // A service that was killed is to be found where it was.
        site.set("APP_HTTP__LISTEN", &held[0].address.to_string());
        site.set("APP_ADMIN__LISTEN", &held[1].address.to_string());
        let font = FONTS.iter().find(|font| PathBuf::from(font).is_file());
        font.into_iter().for_each(|font| site.set("APP_REPORTS__PREVIEW__FONT_FILE", font));
        site.set("APP_QUEUE__WORKERS", "256");
        site.set("APP_LIMITS__TRUSTED_PROXIES", "127.0.0.0/8");
        // The defaults, where tests are impatient.
        site.set("APP_RETRY__BASE_DELAY", "5s");
        site.set("APP_RETRY__MAX_DELAY", "1h");
        let script = fs::read_to_string(format!("tests/load/{scenario}.js")).unwrap();
        let settings = script.lines().filter_map(|line| line.strip_prefix("// with ")?.split_once('='));
        settings.for_each(|(key, value)| site.set(key, value));
        let collector = Collector::at(held[2].address, Behaviour::Forget);
        let (collector_at, site) = (collector.address, site.exporting_to(&collector.endpoint()));
        let collector = Some(collector);
        let fleet = (scenario == "ctms").then(Fleet::start);
        let service = fleet.is_none().then(|| site.start());
        Self { site, service, fleet, gateway, push, collector, collector_at, slow: Vec::new(), _held: held }
    }

    fn entry(&self) -> &Service {
        self.fleet.as_ref().map_or_else(|| self.service.as_ref().unwrap(), |fleet| &fleet.ctms)
    }

    fn addresses(&self) -> impl Iterator<Item = (&'static str, String)> {
        let entry = self.entry();
        let all = [entry.http, entry.admin, self.gateway.address, self.push.address];
        ["HTTP", "ADMIN", "GATEWAY", "PUSH_GATEWAY"].into_iter().zip(all.map(|at| at.to_string()))
    }

    /// Does what a scenario asks for.
    fn act(&mut self, what: &str) {
        let all = |fleet: &Option<Fleet>, signal| {
            (0..INSTANCES).for_each(|number| fleet.as_ref().unwrap().instance(number).signal(signal));
        };
        match what {
            "gateway/leave" => self.gateway.leave(),
            "gateway/come" => {
                self.gateway.come();
                self.gateway.behave(r#"{"latency":"20ms"}"#);
            }
            "collector/leave" => drop(self.collector.take().map(Collector::stop)),
            "collector/come" => self.collector = Some(Collector::at(self.collector_at, Behaviour::Forget)),
            "service/kill" => self.service.take().unwrap().kill(),
            "service/start" => self.service = Some(self.site.start()),
            "instance/kill" => self.fleet.as_mut().unwrap().kill(1),
            "instance/start" => self.fleet.as_mut().unwrap().start_again(1),
            "instances/stop" => all(&self.fleet, Signal::STOP),
            "instances/continue" => all(&self.fleet, Signal::CONT),
            _ => self.trickle(what.strip_prefix("slow/").and_then(|count| count.parse().ok()).unwrap()),
        }
    }

    /// Opens connections that never end their headers.
    fn trickle(&mut self, count: usize) {
        let (service, limit) = (self.entry().http, getrlimit(Resource::Nofile));
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
        self.slow.extend((0..count).map(|_| {
            let mut slow = TcpStream::connect(service).unwrap();
            slow.write_all(b"GET /nothing HTTP/1.1\r\nhost: localhost\r\nx-slow: ").unwrap();
            slow
        }));
    }
}

/// Listens for what scripts ask for in mid-run: a POST whose path says it.
fn listen(stage: &Arc<Mutex<Stage>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, stage) = (listener.local_addr().unwrap(), Arc::downgrade(stage));
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let lines: Vec<String> = BufReader::new(&stream)
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            let what = lines[0].split(' ').nth(1).unwrap().trim_start_matches('/');
            eprintln!("  {what}");
            let Some(stage) = stage.upgrade() else { return };
            stage.lock().act(what);
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
        }
    });
    address
}

/// Runs k6 on a script, and returns what the script summed up and whether all thresholds held.
fn k6(scenario: &str, stage: &Mutex<Stage>, variables: &[(&str, String)]) -> (Value, bool) {
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{scenario}.json"));
    let _ = fs::remove_file(&out);
    let mut command = Command::new("k6");
    command
        .args(["run", "--no-usage-report", "--address", "", &format!("tests/load/{scenario}.js")])
        .env("OUT", &out);
    command.envs(variables.iter().map(|(key, value)| (key, value))).envs(stage.lock().addresses());
    let status = command.status().unwrap_or_else(|error| panic!("k6 can't be started: {error}"));
    let text = fs::read_to_string(&out).unwrap_or_else(|_| panic!("k6 ended with {status}"));
    (serde_json::from_str(&text).unwrap(), status.success())
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut report = Report::new(&options.report, options.quick);
    let found = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("capacity");
    for scenario in SCENARIOS {
        if !options.scenarios.is_empty() && !options.scenarios.iter().any(|name| name == scenario) {
            continue;
        }
        eprintln!("\n{scenario}");
        let stage = Arc::new(Mutex::new(Stage::new(scenario)));
        let known = fs::read_to_string(&found).ok().and_then(|text| text.parse().ok());
        let rate: u64 = options.rate.or(known).unwrap_or(300);
        let mut variables = vec![("QUICK", options.quick.to_string()), ("RATE", rate.to_string())];
        variables.push(("DRIVER", listen(&stage).to_string()));
        if scenario == "overload" {
            let probe = [&*variables, &[("PROBE", "true".to_owned())]].concat();
            let mixes = k6(scenario, &stage, &probe).0["metrics"]["iterations"]["values"]["rate"].as_f64();
            variables.push(("FOUND", (6.0 * mixes.unwrap()).ceil().to_string()));
        }
        let watch = Watch::start(stage.lock().entry().admin);
        let (summed, held) = k6(scenario, &stage, &variables);
        if let Some(knee) = summed["knee"].as_u64().filter(|knee| *knee > 0 && !options.quick) {
            fs::write(&found, knee.to_string()).unwrap();
        }
        report.add(scenario, &summed, held, &watch.end());
    }
    if report.end() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
