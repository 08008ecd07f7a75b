//! How the gateway is set to behave, and what that means for the next request.

use crate::latency::Latency;
use axum::http::StatusCode;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The body of `PUT /control`; the default is a gateway that works.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Behaviour {
    pub latency: Latency,
    pub error_rate: Option<f64>,
    pub status: Option<u16>,
    pub rate_limit: Option<u32>,
    pub black_hole: bool,
}

/// What happens to one request.
#[derive(Debug, PartialEq)]
pub enum Fate {
    Answer(StatusCode, Duration),
    /// Over the limit: come back after this many seconds.
    Limited(u64),
    Silence,
}

impl Behaviour {
    pub fn check(&self) -> Result<(), &'static str> {
        if self.error_rate.is_some_and(|rate| !(0.0..=1.0).contains(&rate)) {
            return Err("the error rate is from 0 to 1");
        }
        // 1xx are no final answers, and hyper would not send them as one.
        if self.status.is_some_and(|status| !(200..=599).contains(&status)) {
            return Err("the status is from 200 to 599");
        }
        if self.rate_limit == Some(0) {
            return Err("the rate limit is at least 1 a second");
        }
        Ok(())
    }

    fn failing(&self) -> f64 {
        self.error_rate.unwrap_or(if self.status.is_some() { 1.0 } else { 0.0 })
    }

    fn failure(&self) -> StatusCode {
        let status = self.status.and_then(|status| StatusCode::from_u16(status).ok());
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Draws fates under the current behaviour.
pub struct Fates {
    behaviour: Behaviour,
    random: StdRng,
    /// Requests that may still pass at once, refilled with time.
    allowance: f64,
    refilled: Instant,
}

impl Fates {
    pub fn new(behaviour: Behaviour, seed: Option<u64>) -> Self {
        let random = seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64);
        let allowance = f64::from(behaviour.rate_limit.unwrap_or(0));
        Self { behaviour, random, allowance, refilled: Instant::now() }
    }

    pub fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    pub fn behave(&mut self, behaviour: Behaviour) {
        self.allowance = f64::from(behaviour.rate_limit.unwrap_or(0));
        self.behaviour = behaviour;
    }

    pub fn next(&mut self) -> Fate {
        if self.behaviour.black_hole {
            return Fate::Silence;
        }
        if !self.passes_limit() {
            // Within a second there is room again, and Retry-After knows whole seconds only.
            return Fate::Limited(1);
        }
        let after = self.behaviour.latency.draw(&mut self.random);
        let fails = self.random.random::<f64>() < self.behaviour.failing();
        Fate::Answer(if fails { self.behaviour.failure() } else { StatusCode::OK }, after)
    }

    fn passes_limit(&mut self) -> bool {
        let Some(rate) = self.behaviour.rate_limit.map(f64::from) else { return true };
        let elapsed = self.refilled.elapsed();
        self.refilled += elapsed;
        self.allowance = (self.allowance + elapsed.as_secs_f64() * rate).min(rate);
        let passes = self.allowance >= 1.0;
        self.allowance -= f64::from(u8::from(passes));
        passes
    }
}
