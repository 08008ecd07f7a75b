//! An alert as a value: when it fires, whom it calls, and what it tells them. Which alerts there are is said
//! in `platform` and `domain`; how each is proven in `proof`.

use crate::{dashboards, rules::proof::Proof, site};

/// Whom an alert calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody is woken: patients or callers are harmed now, or will be before the morning.
    Page,
    /// Somebody looks at it in working hours.
    Ticket,
    /// Nobody: it is expected to fire always.
    None,
}

impl Severity {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
            Self::None => "none",
        }
    }
}

/// An alert. Templates may use `{{ $labels.… }}` and one form of `{{ $value }}`.
#[derive(Clone)]
pub struct Alert {
    pub name: String,
    pub severity: Severity,
    /// The part that it is about, as `store`.
    pub component: &'static str,
    pub expr: String,
    /// How long the expression has to hold, as `5m`.
    pub hold: &'static str,
    /// Why these thresholds, and why this severity.
    pub why: String,
    /// When it fires, in the words of the README's table.
    pub when: String,
    /// One line, for a phone's screen.
    pub summary: String,
    /// What is the matter, with the value.
    pub description: String,
    /// The page of `deploy/runbooks` that has its section, without `.md`.
    pub runbook: &'static str,
    /// A dashboard's uid, and the title of the panel in it that shows what the alert is about.
    pub panel: (&'static str, &'static str),
    /// Labels besides those of the expression, `severity` and `component`.
    pub extra: Vec<(&'static str, String)>,
    pub proof: Proof,
}

impl Alert {
    pub fn page(name: &str, component: &'static str, expr: impl Into<String>) -> Self {
        Self::new(Severity::Page, name, component, expr.into())
    }

    pub fn ticket(name: &str, component: &'static str, expr: impl Into<String>) -> Self {
        Self::new(Severity::Ticket, name, component, expr.into())
    }

    pub fn new(severity: Severity, name: &str, component: &'static str, expr: String) -> Self {
        Self {
            name: name.to_owned(),
            severity,
            component,
            expr,
            hold: "0s",
            why: String::new(),
            when: String::new(),
            summary: String::new(),
            description: String::new(),
            runbook: "",
            panel: ("", ""),
            extra: Vec::new(),
            proof: Proof::new(&[], ["0m"; 3]),
        }
    }

    pub fn hold(mut self, hold: &'static str) -> Self {
        self.hold = hold;
        self
    }

    /// For the README, and why it is so.
    pub fn when(mut self, when: &str, why: &str) -> Self {
        (self.when, self.why) = (when.to_owned(), why.to_owned());
        self
    }

    /// Summary and description.
    pub fn says(mut self, summary: &str, description: &str) -> Self {
        (self.summary, self.description) = (summary.to_owned(), description.to_owned());
        self
    }

    /// The page of the runbooks, and the panel.
    pub fn see(mut self, runbook: &'static str, uid: &'static str, title: &'static str) -> Self {
        (self.runbook, self.panel) = (runbook, (uid, title));
        self
    }

    pub fn proven(mut self, proof: Proof) -> Self {
        self.proof = proof;
        self
    }

    /// The labels that the rule adds.
    pub fn labels(&self) -> Vec<(&'static str, String)> {
        let mut labels =
            vec![("severity", self.severity.name().to_owned()), ("component", self.component.to_owned())];
        labels.extend(self.extra.iter().cloned());
        labels
    }

    pub fn annotations(&self) -> Vec<(&'static str, String)> {
        vec![
            ("summary", self.summary.clone()),
            ("description", self.description.clone()),
            ("runbook_url", format!("{}/{}.md#{}", site::RUNBOOKS, self.runbook, self.anchor())),
            ("dashboard_url", self.dashboard_url()),
        ]
    }

    /// Its section in the runbook.
    pub fn anchor(&self) -> String {
        self.name.to_lowercase()
    }

    /// The panel's id, if dashboard and panel exist.
    pub fn panel_id(&self) -> Option<u32> {
        let (uid, title) = self.panel;
        dashboards().iter().find(|board| board.uid == uid)?.panel_id(title)
    }

    fn dashboard_url(&self) -> String {
        let panel = self.panel_id().map(|id| format!("?viewPanel={id}")).unwrap_or_default();
        format!("{}/d/{}{panel}", site::GRAFANA, self.panel.0)
    }
}
