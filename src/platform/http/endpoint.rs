//! One method on one route, with all that telling of it needs made once: names, labels, metric handles.

use crate::platform::telemetry::names;
use http::{Method, StatusCode};
use metrics::Histogram;
use std::sync::OnceLock;

/// The methods that are told apart, as they are labelled; every other one is the last.
pub(super) const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "OTHER"];

/// Where a method stands in [`METHODS`].
pub(super) fn index(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::POST => 1,
        Method::PUT => 2,
        Method::DELETE => 3,
        Method::HEAD => 4,
        Method::OPTIONS => 5,
        Method::PATCH => 6,
        Method::CONNECT => 7,
        Method::TRACE => 8,
        _ => 9,
    }
}

/// The statuses whose handles are kept, ascending; another one costs a look-up a request.
const STATUSES: [u16; 24] = [
    200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 422, 429, 499, 500, 501, 502,
    503, 504, 505,
];

/// One method on one route.
pub(super) struct Endpoint {
    /// A label: one of [`METHODS`].
    pub method: &'static str,
    /// A label: the whole template.
    pub route: &'static str,
    /// The span's name: `POST /api/v1/…`.
    pub name: String,
    durations: [OnceLock<Histogram>; STATUSES.len()],
}

impl Endpoint {
    /// `route` is a template; paths never come here.
    pub fn new(method: &'static str, route: &'static str) -> Self {
        Self { method, route, name: format!("{method} {route}"), durations: Default::default() }
    }

    /// Records an answer's duration in seconds; a series appears on its first use.
    pub fn record(&self, status: StatusCode, seconds: f64) {
        let kept = STATUSES.binary_search(&status.as_u16()).ok().and_then(|at| self.durations.get(at));
        match kept {
            Some(kept) => kept.get_or_init(|| self.histogram(status)).record(seconds),
            None => self.histogram(status).record(seconds),
        }
    }

    fn histogram(&self, status: StatusCode) -> Histogram {
        metrics::histogram!(
            names::HTTP_REQUEST_DURATION,
            names::LABEL_METHOD => self.method,
            names::LABEL_ROUTE => self.route,
            names::LABEL_STATUS => status.as_str().to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_a_label_of_its_own_and_unknown_ones_share_one() {
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE"] {
            assert_eq!(METHODS[index(&method.parse().unwrap())], method);
        }
        assert_eq!(METHODS[index(&"BREW".parse().unwrap())], "OTHER");
    }

    #[test]
    fn statuses_are_sorted_for_the_search() {
        assert!(STATUSES.is_sorted());
    }
}
