//! The page of metrics as OpenMetrics: who gets it, what it says, and that its exemplars lead from a bucket to
//! the line and the span of a request.

use super::{
    metric_rules::histograms,
    scene::{self, Caller},
};
use crate::support::{fleet::path, prelude::*};
use chassis_test::{client::ask_with, metrics::Sample, spans::hex};
use flate2::read::GzDecoder;
use std::{collections::HashMap, io::Read};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// As Prometheus 2.42 sends it.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const REPORT: &str = r#"{"patientId":"p-0","content":"nothing new"}"#;

fn scrape(service: &Service, accept: &str) -> Answer {
    let answer = ask_with(service.admin, "GET", "/metrics", &[("accept", accept)], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// The page as Prometheus gets it.
fn page(service: &Service) -> Page {
    let answer = scrape(service, PROMETHEUS);
    assert_eq!(answer.header("content-type"), Some(OPEN_METRICS), "{answer:?}");
    Page::open_metrics(&answer.body)
}

#[test]
fn a_scraper_gets_the_form_that_it_would_rather_have_and_as_gzip_if_it_takes_that() {
    let service = Site::new().start();
    let told = |accept: &str| {
        let answer = scrape(&service, accept);
        assert!(answer.header("vary").is_some_and(|names| names.contains("accept")), "{answer:?}");
        (answer.header("content-type").unwrap().to_owned(), answer.body.ends_with("\n# EOF\n"))
    };
    for accept in
        [PROMETHEUS, "application/openmetrics-text", "text/plain;q=0.5, application/openmetrics-text"]
    {
        assert_eq!(told(accept), (OPEN_METRICS.to_owned(), true), "{accept}");
    }
    for accept in ["text/plain", "*/*", "text/html", "application/openmetrics-text;q=0, */*"] {
        assert_eq!(told(accept), (TEXT.to_owned(), false), "{accept}");
    }
    let plain = service.metrics().text;
    assert!(!plain.contains("# EOF") && !plain.contains(" # {"), "{plain}");
    let headers = [("accept", PROMETHEUS), ("accept-encoding", "gzip")];
    let answer = ask_with(service.admin, "GET", "/metrics", &headers, "");
    assert_eq!(answer.header("content-encoding"), Some("gzip"), "{answer:?}");
    let mut text = String::new();
    GzDecoder::new(&*answer.bytes).read_to_string(&mut text).unwrap();
    assert!(!Page::open_metrics(&text).samples.is_empty());
}

/// Both forms say the same: only the exemplars and the spelling differ.
#[test]
fn open_metrics_says_what_the_plain_text_says() {
    let service = Site::new().start();
    service.accept();
    service.until_drained();
    let (open, plain) = (page(&service), service.metrics());
    for (name, kind) in &plain.types {
        let found = open.types.get(name.strip_suffix("_total").unwrap_or(name)).or(open.types.get(name));
        let found = found.unwrap_or_else(|| panic!("{name} is missing"));
        assert!(found == kind || found == "unknown" && name.starts_with("tokio_"), "{name} is a {found}");
    }
    let series = |sample: &Sample| sample.series().replace(".0\"", "\"");
    let found: Vec<_> = open.samples.iter().map(series).collect();
    assert_eq!(found.len(), plain.samples.len());
    for sample in &plain.samples {
        assert!(found.contains(&series(sample)), "{} is missing", sample.series());
    }
}

/// The trace id of each line by its span id.
fn lines(service: &Service) -> HashMap<String, String> {
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    service.lines().iter().map(|line| (text(line, "span_id"), text(line, "trace_id"))).collect()
}

#[test]
fn every_latency_histogram_leads_to_a_line_and_a_span_of_the_same_request() {
    let collector = Collector::start(Behaviour::Accept);
    let (gateway, _tap, site) = scene::site();
    let site = site.with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint());
    let service = site.start();
    let target = format!("static://{}", service.grpc);
    let ctms = Site::ctms(&target).with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()).start();
    let asked: Vec<_> =
        scene::play(&service, &gateway).asked.iter().map(|asked| asked.trace_id.clone()).collect();
    assert_eq!(service.ask("POST", REPORTS, REPORT).status, 201);
    assert_eq!(Caller::of(&ctms).ask("GET", &path(0), "", 200).status, 200);
    let found = page(&service);
    found.check_exemplars();
    // Drawing needs a font: it is looked at where there is one.
    let timed = histograms().into_iter().filter(|name| !name.contains("preview"));
    // A commit has a span and no line.
    let has_line = |name: &str| !name.starts_with("queue_");
    until_so("their lines are written", || {
        let lines = lines(&service);
        let mut all = timed.clone().filter(|name| has_line(name)).flat_map(|name| found.exemplars(name));
        all.all(|(_, found)| lines.get(&found.span_id) == Some(&found.trace_id))
    });
    let spans = until("all spans are there", || {
        let spans: HashMap<_, _> =
            collector.spans().iter().map(|span| (hex(&span.span_id), hex(&span.trace_id))).collect();
        let all = found.samples.iter().filter_map(|sample| sample.exemplar.as_ref());
        all.clone().all(|found| spans.get(&found.span_id) == Some(&found.trace_id)).then_some(spans)
    });
    assert!(!spans.is_empty());
    for name in timed {
        let of_it: Vec<_> = found.exemplars(name).collect();
        assert!(!of_it.is_empty(), "{name} has no exemplar");
        for (labels, exemplar) in of_it.into_iter().filter(|_| has_line(name)) {
            let ours = name != "http_request_duration_seconds" || asked.contains(&exemplar.trace_id);
            let route = labels.iter().find(|(label, _)| label == "route").map(|(_, route)| route.as_str());
            assert!(ours || matches!(route, Some(REPORTS | "/api/v1/notifications/{id}")), "{labels:?}");
        }
    }
    let client = page(&ctms);
    client.check_exemplars();
    let sides: Vec<_> = client.exemplars("grpc_request_duration_seconds").map(|(labels, _)| labels).collect();
    assert!(sides.iter().any(|labels| labels.contains(&("side".into(), "client".into()))), "{sides:?}");
    [service, ctms].into_iter().for_each(Service::stop);
}

#[test]
fn what_is_not_sampled_leaves_no_exemplar() {
    for sampler in ["always_off", "traceidratio"] {
        let site = Site::new()
            .with("OTEL_TRACES_SAMPLER", sampler)
            .with("OTEL_TRACES_SAMPLER_ARG", "0")
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        let service = site.start();
        service.accept();
        service.until_drained();
        let page = page(&service);
        let requests = format!(
            "http_request_duration_seconds_count{{method=\"POST\",route=\"{ASYNC}\",status=\"202\"}}"
        );
        assert_eq!(page.value(&requests), Some(1.0), "{sampler}");
        assert!(page.samples.iter().all(|sample| sample.exemplar.is_none()), "{sampler}");
    }
}
