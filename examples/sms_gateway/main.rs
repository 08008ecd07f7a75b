//! A simulated gateway for development and load tests: it takes what provider `http` sends, and answers with the latency
//! and the errors that it is set to, or not at all. Never part of a production binary.
//!
//! ```sh
//! cargo run --example sms_gateway -- --listen 127.0.0.1:9100 --latency exp:20ms --error-rate 0.1
//! curl -X PUT 127.0.0.1:9100/control -d '{"blackHole":true}'
//! curl 127.0.0.1:9100/stats
//! ```
//!
//! It runs on one thread, so that a load test beside it has the machine's other cores.

mod api;
mod behaviour;
mod latency;
mod ledger;

use api::Gateway;
use axum::serve::ListenerExt;
use behaviour::Behaviour;
use clap::Parser;
use latency::Latency;
use ledger::Ledger;
use std::{
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};
use tokio::net::TcpListener;

/// A simulated gateway. Any POST is a message; /control, /stats and /received are for its operator.
#[derive(Parser)]
struct Arguments {
    /// The address to listen on, printed once it listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Time before each answer: 20, 20ms, fixed:20ms, uniform:10ms,50ms or exp:20ms (its mean).
    #[arg(long, default_value = "0ms")]
    latency: Latency,
    /// Share of requests, from 0 to 1, answered with --status; 1 if only --status is given.
    #[arg(long)]
    error_rate: Option<f64>,
    /// Status of failing answers; 500 if only --error-rate is given.
    #[arg(long)]
    status: Option<u16>,
    /// Requests a second; beyond it 429 with Retry-After.
    #[arg(long)]
    rate_limit: Option<u32>,
    /// Reads every message and never answers.
    #[arg(long)]
    black_hole: bool,
    /// Seed that makes latencies and errors the same in each run.
    #[arg(long)]
    seed: Option<u64>,
    /// Appends each arriving id as a line to this file before it is answered.
    #[arg(long)]
    record: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let behaviour = Behaviour {
        latency: arguments.latency,
        error_rate: arguments.error_rate,
        status: arguments.status,
        rate_limit: arguments.rate_limit,
        black_hole: arguments.black_hole,
    };
    behaviour.check()?;
    let ledger = Ledger::new(arguments.record.as_deref())?;
    let listener = TcpListener::bind(arguments.listen).await?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    // Small answers must not wait for the peer's acknowledgement.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, api::routes(Gateway::new(behaviour, arguments.seed, ledger))).await?;
    Ok(())
}
