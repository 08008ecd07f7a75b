//! Settings of the queue and of its retries.

use crate::platform::config::{Parse, Reader};
use std::time::Duration;

/// The queue's settings.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Unfinished jobs that are due.
    pub max_backlog: usize,
    /// Jobs that are due later.
    pub max_scheduled: usize,
    /// Deliveries in flight at once.
    pub workers: usize,
    /// How long finished jobs are kept.
    pub retention: Duration,
    pub retry: RetryConfig,
}

/// When a failed attempt is made again: exponentially later, with full jitter.
#[derive(Clone, Debug)]
pub struct RetryConfig {
    /// Counted from the first attempt.
    pub max_attempts: u32,
    pub base_delay: Duration,
    pub max_delay: Duration,
    pub on_unknown: OnUnknown,
}

/// What follows an attempt that may or may not have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// Another attempt with the same idempotency key.
    Retry,
    /// A person decides.
    Hold,
}

impl QueueConfig {
    /// Reads `queue.*` and `retry.*`.
    pub fn read(reader: &mut Reader) -> Self {
        Self {
            max_backlog: reader.value_in(
                "queue.max_backlog",
                "100000",
                "1"..="100000000",
                "unfinished jobs that are due, above which new ones get 503 (urgent ones a tenth later)",
            ),
            max_scheduled: reader.value_in(
                "queue.max_scheduled",
                "10000000",
                "1"..="1000000000",
                "jobs that are due later, above which new ones get 503",
            ),
            workers: reader.value_in("queue.workers", "32", "1"..="10000", "deliveries in flight at once"),
            retention: reader.value_in(
                "queue.retention",
                "720h",
                "1s"..="3650d",
                "how long finished jobs are kept",
            ),
            retry: RetryConfig::read(reader),
        }
    }
}

impl RetryConfig {
    /// Reads `retry.*`.
    pub fn read(reader: &mut Reader) -> Self {
        let config = Self {
            max_attempts: reader.value_in(
                "retry.max_attempts",
                "16",
                "1"..="1000",
                "attempts of one job, the first included; then it is dead",
            ),
            base_delay: reader.value_in(
                "retry.base_delay",
                "5s",
                "1ms"..="24h",
                "upper bound of the delay before the second attempt; doubles with each",
            ),
            max_delay: reader.value_in("retry.max_delay", "1h", "1ms"..="24h", "upper bound of every delay"),
            on_unknown: reader.value(
                "retry.on_unknown",
                "retry",
                "after an attempt that may have been sent: retry (same idempotency key) or hold (a person decides)",
            ),
        };
        if config.base_delay > config.max_delay {
            reader.fault(
                "retry.base_delay",
                "must not exceed retry.max_delay; lower it or raise that".to_owned(),
            );
        }
        config
    }
}

impl Parse for OnUnknown {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "retry" => Ok(Self::Retry),
            "hold" => Ok(Self::Hold),
            _ => Err("must be retry or hold".to_owned()),
        }
    }
}
