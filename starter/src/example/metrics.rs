//! The metrics of the example. Requests and jobs are counted without them, by route and by channel.

use chassis_telemetry::catalogue::{Metric, counter};

/// Of the endpoint.
pub const CHARACTERS: Metric =
    counter("example_characters_total", "Characters of accepted texts.").from_zero();
/// Of the job.
pub const WORDS: Metric = counter("example_words_total", "Words that were counted.").from_zero();

pub const METRICS: &[Metric] = &[CHARACTERS, WORDS];
