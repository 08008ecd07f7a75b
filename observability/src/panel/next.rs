//! Where a panel leads: to traces, log lines and other dashboards. How such a link is written is in `links.rs`.

use super::Panel;
use crate::{
    links::{self, Link, Traces},
    services::SERVICES,
};

impl Panel {
    /// Adds a link to traces, log lines, a dashboard or a page: above the panel, and on each value.
    pub fn link(mut self, link: Link) -> Self {
        self.links.push(link);
        self
    }

    pub fn traces(self, title: &str, traces: Traces) -> Self {
        self.link(traces.link(title))
    }

    /// The same traces of each service, a link for each.
    pub fn traces_of_each(mut self, title: &str, narrowed: impl Fn(Traces) -> Traces) -> Self {
        for service in SERVICES {
            self = self.traces(&format!("{title}: {service}"), narrowed(Traces::of(service)));
        }
        self
    }

    /// Lines of these services; `stages` of LogQL, as `| json | fields_status >= 500`.
    pub fn logs(self, title: &str, services: &[&str], stages: &str) -> Self {
        self.link(links::logs(title, services, stages))
    }

    pub fn dashboard(self, title: &str, uid: &str) -> Self {
        self.link(links::dashboard(title, uid))
    }
}
