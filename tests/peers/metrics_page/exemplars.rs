//! Exemplars as a real Prometheus takes them from the running service and answers with them.

use crate::{
    live::prometheus::Prometheus,
    support::service::{ASYNC, MESSAGE, Site},
};
use chassis_test::{Connection, until};

#[test]
fn prometheus_answers_with_the_trace_of_the_request() {
    let service = Site::new().start_with_patient();
    let answer = Connection::open(service.http).unwrap().send("POST", ASYNC, MESSAGE).unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    let prometheus = Prometheus::start(&[("epro-notify", vec![service.admin])], &[]);
    let query = format!("http_request_duration_seconds_bucket{{route=\"{ASYNC}\"}}");
    let found = until("Prometheus has an exemplar", || {
        let parameters = [("query", query.as_str()), ("start", "0"), ("end", "99999999999")];
        let data = prometheus.ask("/api/v1/query_exemplars", &parameters).ok()?;
        data.pointer("/0/exemplars/0").cloned()
    });
    assert_eq!(found["labels"]["trace_id"], *answer.trace_id(), "{found}");
    let targets = prometheus.ask("/api/v1/targets", &[]).unwrap();
    assert_eq!(targets["activeTargets"][0]["lastError"], "", "{targets}");
}
