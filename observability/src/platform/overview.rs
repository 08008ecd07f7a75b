//! *Service overview*: whether callers are served, and if not, where to look next.

use crate::{
    dashboard::{Dashboard, Row},
    names,
    panel::{Kind, Panel},
    query::{quantile, rate, sum_by},
};

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "service-overview",
        title: "Service overview",
        description: "Traffic, errors, latency, saturation, objectives and versions.",
        rows: vec![Row { title: "Traffic", panels: traffic() }],
    }
}

fn traffic() -> Vec<Panel> {
    let requests = format!("{}_count", names::HTTP_REQUEST_DURATION);
    vec![
        Panel::new(Kind::TimeSeries, "Requests", "reqps", "HTTP requests a second by status.")
            .query(sum_by("status", &rate(&requests, "")), "{{status}}")
            .stacked(),
        Panel::new(
            Kind::TimeSeries,
            "Latency",
            "s",
            "The time that 99 % of HTTP requests stay below, by route.",
        )
        .latency(quantile(0.99, "route", names::HTTP_REQUEST_DURATION, ""), "{{route}}"),
    ]
}
