//! Counts what arrived and how it was answered, to be compared with the service's own ledger.

use axum::http::StatusCode;
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// One arrival, in order.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrival {
    pub id: String,
    /// Unix milliseconds.
    pub at: u64,
}

/// How often one id arrived, and how often it was answered with 2xx.
#[derive(Default)]
struct Count {
    arrived: u32,
    delivered: u32,
}

/// The answer of `GET /stats`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    pub received: usize,
    /// Different ids.
    pub unique: usize,
    /// Arrivals of an id that had arrived before.
    pub duplicates: usize,
    /// Ids that were answered with 2xx.
    pub delivered: usize,
    /// Ids that were answered with 2xx more than once: messages that a patient got twice.
    pub delivered_twice: usize,
    /// Answers by status.
    pub statuses: BTreeMap<u16, usize>,
    /// Of messages that say when they were sent, by their label.
    pub latency_ms: BTreeMap<String, Latency>,
}

/// Quantiles, in milliseconds.
#[derive(Serialize)]
pub struct Latency {
    count: usize,
    p50: u64,
    p95: u64,
    p99: u64,
    max: u64,
}

impl Latency {
    fn of(mut took: Vec<u64>) -> Self {
        took.sort_unstable();
        let at = |percent: usize| took.get((took.len() * percent).div_ceil(100) - 1).copied().unwrap_or(0);
        Self { count: took.len(), p50: at(50), p95: at(95), p99: at(99), max: at(100) }
    }
}

pub struct Ledger {
    counts: HashMap<String, Count>,
    arrivals: Vec<Arrival>,
    statuses: BTreeMap<u16, usize>,
    latencies: BTreeMap<String, Vec<u64>>,
    record: Option<File>,
}

impl Ledger {
    pub fn new(record: Option<&Path>) -> io::Result<Self> {
        let open = |path| File::options().create(true).append(true).open(path);
        Ok(Self {
            counts: HashMap::new(),
            arrivals: Vec::new(),
            statuses: BTreeMap::new(),
            latencies: BTreeMap::new(),
            record: record.map(open).transpose()?,
        })
    }

    /// Counts an arrival. The kernel has the line when this returns, so that it survives a kill. A text that begins with
    /// `@SENT LABEL `, in Unix milliseconds, says how long it was on its way; a repeat does not count.
    pub fn arrived(&mut self, id: &str, text: &str) -> io::Result<()> {
        if let Some(file) = &mut self.record {
            file.write_all(format!("{id}\n").as_bytes())?;
        }
        let count = self.counts.entry(id.to_owned()).or_default();
        count.arrived += 1;
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        self.arrivals.push(Arrival { id: id.to_owned(), at });
        let mut words = text.strip_prefix('@').into_iter().flat_map(|text| text.split(' '));
        if let (1, Some(Ok(sent)), Some(label)) = (count.arrived, words.next().map(str::parse), words.next())
        {
            self.latencies.entry(label.to_owned()).or_default().push(at.saturating_sub(sent));
        }
        Ok(())
    }

    /// Counts an answer; without an id it was to a request that was no message.
    pub fn answered(&mut self, id: Option<&str>, status: StatusCode) {
        *self.statuses.entry(status.as_u16()).or_default() += 1;
        if let Some(count) = id.filter(|_| status.is_success()).and_then(|id| self.counts.get_mut(id)) {
            count.delivered += 1;
        }
    }

    pub fn stats(&self) -> Stats {
        let having = |most: u32| self.counts.values().filter(|count| count.delivered > most).count();
        Stats {
            received: self.arrivals.len(),
            unique: self.counts.len(),
            duplicates: self.arrivals.len() - self.counts.len(),
            delivered: having(0),
            delivered_twice: having(1),
            statuses: self.statuses.clone(),
            latency_ms: self
                .latencies
                .clone()
                .into_iter()
                .map(|(of, took)| (of, Latency::of(took)))
                .collect(),
        }
    }

    /// Arrivals from the `after`-th on, at most `most` of them.
    pub fn since(&self, after: usize, most: usize) -> Vec<Arrival> {
        self.arrivals.iter().skip(after).take(most).cloned().collect()
    }
}
