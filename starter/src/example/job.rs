//! The example job.

use super::metrics::WORDS;
use chassis_queue::{Attempt, Outcome};
use serde::{Deserialize, Serialize};

/// What is stored of a job.
#[derive(Debug, Serialize, Deserialize)]
pub struct Example {
    pub text: String,
}

/// Makes one attempt.
pub async fn run(job: &Example, attempt: &Attempt) -> Outcome {
    // A job that waits for others does so here.
    tokio::task::yield_now().await;
    let words = job.text.split_whitespace().count();
    if words == 0 {
        return Outcome::Failed { reason: "no_words" };
    }
    metrics::counter!(WORDS.name).increment(words as u64);
    tracing::info!(job_id = %attempt.id, words, "example counted");
    Outcome::Completed { receipt: None }
}
