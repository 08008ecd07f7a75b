//! The process and its scheduler.

use crate::{
    links::Traces,
    names,
    palette::Colour,
    panel::{Kind, Panel},
    platform::collectors,
    query::{aggregate, increase, max_by, rate, series, sum_by},
    services::SERVICES,
};

const EACH: &str = "{{job}} {{instance}}";
const LINES_OF_PANICS: &str =
    r#"| json | message=~"panicked|a background task panicked|a thread of the store panicked""#;
const LINES_OF_STARTS: &str = r#"| json | message=~"ready|stopped|shutdown begins.*|panicked""#;

/// A time series of each instance, with the links that any of the process have.
fn each(title: &str, unit: &'static str, description: &str) -> Panel {
    Panel::new(Kind::TimeSeries, title, unit, description)
        .traces_of_each("Traces over 1 s", |traces| traces.at_least("1s"))
}

/// One value of each instance.
fn of_each(name: &str) -> String {
    max_by("job, instance", &series(name, ""))
}

pub fn presence() -> Vec<Panel> {
    vec![up(), started(), panics(), scrapes()]
}

fn up() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Scraped",
        "none",
        "Whether Prometheus reached each instance. Normal: up. Down while callers are served: only the admin listener or the way to it is \
         broken, and all else here is old.",
    )
    .query(aggregate("min", "job, instance", &series(collectors::UP, "")), EACH)
    .state(0.0, "down", Colour::Failed)
    .state(1.0, "up", Colour::Good)
    .stepped()
    .range(Some(0.0), Some(1.0))
    .decimals(0)
    .no_value("Nothing is scraped")
    .logs("Lines of starts, stops and panics", SERVICES, LINES_OF_STARTS)
    .size(6, 7)
}

fn started() -> Panel {
    Panel::new(
        Kind::Table,
        "Processes",
        "dtdurations",
        "Every process that is scraped, and how long it has run. Shorter than its last deploy is old: it was restarted, and its last lines \
         before say why.",
    )
    .query(format!("sort_desc(time() - {})", of_each(collectors::START_TIME)), "")
    .order(&["job", "instance", "Value"])
    .column("job", "Job")
    .column("instance", "Instance")
    .column("Value", "Up for")
    .no_value("Nothing is scraped")
    .logs("Lines of starts, stops and panics", SERVICES, LINES_OF_STARTS)
    .dashboard("Builds", "service-overview")
    .size(6, 7)
}

fn panics() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Panics of background tasks",
        "none",
        "Background tasks that panicked in each interval, by task. Normal: 0. Any is a defect: the line has the place in the source, and \
         its trace what led there.",
    )
    .query(sum_by("task", &increase(names::TASK_PANICS, "")), "{{task}}")
    .shades(Colour::Failed)
    .axis_to(5.0)
    .decimals(0)
    .logs("Lines of panics", SERVICES, LINES_OF_PANICS)
    .traces_of_each("Failed traces", Traces::failed)
    .size(6, 7)
}

fn scrapes() -> Panel {
    each(
        "Duration of scrapes",
        "s",
        "How long Prometheus waited for /metrics. Normal: a few milliseconds. Slow: a registry that has grown, or a process without CPU; at \
         the scrape's time-out (10 s) there are gaps in every panel.",
    )
    .query(of_each(collectors::SCRAPE_DURATION), EACH)
    .logs("Lines that warn", SERVICES, r#"| json | level=~"WARN|ERROR""#)
    .size(6, 7)
}

pub fn panels() -> Vec<Panel> {
    vec![busy(), waiting(), tasks(), threads(), cpu(), memory(), files()]
}

fn busy() -> Panel {
    each(
        "Scheduler busy",
        "percentunit",
        "The share of time that Tokio's worker threads were busy, since the scrape before. Normal: below half. Near 100 % (dashed: 80 %) \
         requests wait for a thread: more CPU, more instances, or a task that blocks.",
    )
    .query(of_each(collectors::TOKIO_BUSY_RATIO), EACH)
    .warn_from(0.8)
    .range(Some(0.0), Some(1.0))
    .size(6, 8)
}

fn waiting() -> Panel {
    each(
        "Tasks that wait for a worker",
        "none",
        "Tasks in the runtime's global queue at the time of the scrape. Normal: 0. A queue that stays: all workers are busy or blocked.",
    )
    .query(of_each(collectors::TOKIO_GLOBAL_QUEUE_DEPTH), EACH)
    .axis_to(5.0)
    .decimals(0)
    .size(6, 8)
}

fn tasks() -> Panel {
    each(
        "Tasks",
        "none",
        "Tasks that are alive, about one for each connection and each request in hand. Normal: follows traffic. A climb that never falls: tasks \
         that wait for ever.",
    )
    .query(of_each(collectors::TOKIO_LIVE_TASKS), EACH)
    .axis_to(5.0)
    .decimals(0)
    .size(6, 8)
    .dashboard("Connections", "limits-resilience")
}

fn cpu() -> Panel {
    each(
        "CPU",
        "none",
        "Cores that each process uses, and how many worker threads its scheduler has (dashed, the most of all). Normal: follows requests. More \
         for the same requests after a deploy: the build is dearer.",
    )
    .query(sum_by("job, instance", &rate(collectors::CPU_SECONDS, "")), EACH)
    .query(max_by("", &series(collectors::TOKIO_WORKERS, "")), "worker threads")
    .limit_lines("worker threads", Colour::Unconcerned)
    .decimals(2)
}

fn memory() -> Panel {
    each(
        "Memory",
        "bytes",
        "Resident memory of each process. Normal: tens of megabytes, 150 MB with a million jobs queued. Queues, caches and buffers are all \
         bounded: a climb without an end is a defect.",
    )
    .query(of_each(collectors::RESIDENT_BYTES), EACH)
}

fn files() -> Panel {
    let share = format!("{} / {}", of_each(collectors::OPEN_FDS), of_each(collectors::MAX_FDS));
    each(
        "Open files",
        "percentunit",
        "The share of open files that are allowed. Connections are most of them. Normal: below half; at 100 % no connection is accepted any \
         more (dashed: 80 %).",
    )
    .query(share, EACH)
    .warn_from(0.8)
    .axis_to(1.0)
    .logs("Lines of connections", SERVICES, r#"| json | message=~".*connections.*|cannot accept""#)
    .dashboard("Connections", "limits-resilience")
}

fn threads() -> Panel {
    each(
        "Threads",
        "none",
        "Threads of each process: the scheduler's, the store's, and those for what blocks. Normal: steady. A climb: blocking work piles up.",
    )
    .query(of_each(collectors::THREADS), EACH)
    .axis_to(5.0)
    .decimals(0)
    .size(6, 8)
}
