//! Three times as much as the service can do: reports at half of its capacity, previews and bulk notifications
//! the rest. What is shed, in which order, what the reports notice of it, and how it comes back.

use crate::{
    figures::{Figures, mb, ms, quantile},
    scenarios::offered::{Kind, Offered, Tally, closed},
    support::service::{Service, Site},
};
use chassis_test::{Page, ask};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The font's file, where it is none of those below.
const VARIABLE: &str = "EPRO_LOAD_FONT";
const FONTS: [&str; 4] = [
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
];
const LOOK: Duration = Duration::from_millis(100);
/// For each report a preview and four bulk notifications.
const MIX: [(Kind, u32); 3] = [(Kind::Report, 1), (Kind::Preview, 1), (Kind::Bulk, 4)];
const BACK: Duration = Duration::from_secs(30);

pub async fn run(figures: &mut Figures, part: u32) {
    let time = Duration::from_secs(20) / part.min(5);
    let Some(font) = font() else {
        return figures.judge(
            "a font to draw previews with",
            "one",
            format!("none is there: set {VARIABLE}"),
            false,
        );
    };
    figures.tell("font", font.clone());
    let service = Site::new().with("APP_REPORTS__PREVIEW__FONT_FILE", &font).start();

    judge_worst(figures, &service);

    pin(&service, "0");
    let capacity = closed(service.http, &MIX, time / 4).await;
    pin(&service, "\"auto\"");
    figures.tell("capacity: a second, one report and one preview in six", format!("{capacity:.0}"));
    until_calm(&service).await;

    let reports = capacity / 2.0;
    let alone = offer(&service, &[(Kind::Report, reports)], time / 2).await;
    let mut alone_took = alone.took(Kind::Report);
    let unloaded = quantile(&mut alone_took, 0.99);
    figures.tell("reports alone, half of capacity: p99", ms(unloaded));

    let rest = capacity * 2.5;
    let load = [(Kind::Report, reports), (Kind::Preview, rest / 5.0), (Kind::Bulk, rest * 4.0 / 5.0)];
    let watch = Watch::begin(&service);
    let tally = offer(&service, &load, time).await;
    let ended = Instant::now();
    judge_reports(figures, &tally, unloaded);
    judge_shed(figures, &tally, &watch.end());
    judge_return(figures, &service, ended).await;
    service.stop();
}

fn font() -> Option<String> {
    let named = std::env::var(VARIABLE).ok().into_iter();
    named.chain(FONTS.map(str::to_owned)).find(|font| Path::new(font).is_file())
}

/// The longest reports, each alone.
fn judge_worst(figures: &mut Figures, service: &Service) {
    let most = 32 * 1024;
    let different: String = ('\u{4e00}'..).take(most / 3).collect();
    let all = [
        ("ideographs, all different", different),
        ("line ends", "\n".repeat(most)),
        ("letters", "i".repeat(most)),
    ];
    for (what, content) in all {
        let body = serde_json::json!({ "patientId": "p-1", "content": content }).to_string();
        let id = service.ask("POST", "/api/v1/reports", &body).text("reportId");
        let asked = Instant::now();
        let answer = service.ask("GET", &format!("/api/v1/reports/{id}/preview.pdf"), "");
        let took = asked.elapsed();
        let holds = answer.status == 200 && took < Duration::from_secs(1);
        figures.judge(&format!("preview of 32 KiB of {what}"), "< 1 s", ms(took), holds);
    }
    figures.tell("memory afterwards", mb(service.resident()));
}

async fn offer(service: &Service, load: &[(Kind, f64)], time: Duration) -> Tally {
    Offered::to(service.http).at(load).run(time).await
}

fn judge_reports(figures: &mut Figures, tally: &Tally, unloaded: Duration) {
    let (asked, failed) = (tally.asked(Kind::Report), tally.other_than(Kind::Report, &[201]));
    figures.judge("reports that failed", "0", format!("{failed} of {asked}"), failed == 0);
    let loaded = quantile(&mut tally.took(Kind::Report), 0.99);
    let ratio = loaded.as_secs_f64() / unloaded.as_secs_f64();
    let told = format!("{} ({ratio:.1} times)", ms(loaded));
    figures.judge("reports at three times capacity: p99", "< 4 times alone", told, ratio < 4.0);
}

fn judge_shed(figures: &mut Figures, tally: &Tally, seen: &Seen) {
    for (kind, good) in [(Kind::Preview, 200), (Kind::Bulk, 202)] {
        let what = format!("{}: answered, of those offered", kind.name());
        figures.tell(&what, format!("{} of {}", tally.with(kind, good), tally.asked(kind)));
        let wrong = tally.other_than(kind, &[good, 503]);
        let wanted = format!("{}: neither {good} nor 503", kind.name());
        figures.judge(&wanted, "0", wrong.to_string(), wrong == 0);
    }
    let silent = tally.refused_without_retry_after();
    figures.judge("503 without Retry-After", "0", silent.to_string(), silent == 0);
    let since = |at: Option<Duration>| at.map_or("never".to_owned(), ms);
    let told = format!("previews {}, bulk {}", since(seen.preview), since(seen.bulk));
    let first = seen.preview.is_some_and(|preview| seen.bulk.is_none_or(|bulk| preview <= bulk));
    figures.judge("first shed, after the load's begin", "previews before bulk", told, first);
    let steps: Vec<String> =
        seen.levels.iter().map(|(at, level)| format!("{level} at {}", ms(*at))).collect();
    let climbs = seen.levels.windows(2).all(|pair| pair[1].1 <= pair[0].1 + 1);
    let told = if steps.is_empty() { "0".to_owned() } else { steps.join(", ") };
    figures.judge("level of degradation", "up by one at a time", told, climbs);
}

/// Previews are asked for by nobody else now, one after the other.
async fn judge_return(figures: &mut Figures, service: &Service, ended: Instant) {
    let mut drawn = None;
    while drawn.is_none() && ended.elapsed() < BACK * 2 {
        let preview = closed(service.http, &[(Kind::Report, 1), (Kind::Preview, 1)], LOOK).await;
        drawn = (preview > 0.0 && level(service) == 0).then(|| ended.elapsed());
    }
    let told = drawn.map_or("never".to_owned(), ms);
    let wanted = format!("< {} s", BACK.as_secs());
    figures.judge(
        "all is back, after the load's end",
        &wanted,
        told,
        drawn.is_some_and(|after| after < BACK),
    );
}

async fn until_calm(service: &Service) {
    while level(service) > 0 {
        sleep(LOOK).await;
    }
}

fn level(service: &Service) -> u64 {
    ask(service.admin, "GET", "/degradation", "").unwrap().json()["level"].as_u64().unwrap()
}

fn pin(service: &Service, level: &str) {
    let answer = ask(service.admin, "PUT", "/degradation", &format!(r#"{{"level":{level}}}"#)).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// What the metrics told over time, each after the begin.
#[derive(Default)]
struct Seen {
    preview: Option<Duration>,
    bulk: Option<Duration>,
    /// Each change of the level.
    levels: Vec<(Duration, u64)>,
}

/// Looks at the metrics while the load goes on, on a thread of its own: the client there waits.
struct Watch {
    stop: std::sync::mpsc::SyncSender<()>,
    seen: std::thread::JoinHandle<Seen>,
}

impl Watch {
    fn begin(service: &Service) -> Self {
        let (stop, stopped) = std::sync::mpsc::sync_channel(0);
        let (admin, begun) = (service.admin, Instant::now());
        let seen = std::thread::spawn(move || {
            let (mut seen, first) = (Seen::default(), shed(admin));
            while stopped.recv_timeout(LOOK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let (now, at) = (shed(admin), begun.elapsed());
                if now[0] > first[0] {
                    seen.preview.get_or_insert(at);
                }
                if now[1] > first[1] {
                    seen.bulk.get_or_insert(at);
                }
                if seen.levels.last().map_or(0, |(_, level)| *level) != now[2] {
                    seen.levels.push((at, now[2]));
                }
            }
            seen
        });
        Self { stop, seen }
    }

    fn end(self) -> Seen {
        drop(self.stop);
        self.seen.join().unwrap()
    }
}

/// Previews and bulk notifications that were shed, and the level.
fn shed(admin: std::net::SocketAddr) -> [u64; 3] {
    let page = Page::text(&ask(admin, "GET", "/metrics", "").unwrap().body);
    let of = |feature| page.sum("load_shed_total", &[("feature", feature)]);
    [of("report_preview"), of("bulk_notifications"), page.sum("degradation_level", &[])]
}
