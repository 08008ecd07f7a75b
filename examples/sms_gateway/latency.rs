//! The distribution of answering times: parsed, shown and drawn from.

use rand::Rng;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// A distribution of answering times, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Latency {
    Fixed(f64),
    Uniform(f64, f64),
    /// By its mean.
    Exponential(f64),
}

impl Default for Latency {
    fn default() -> Self {
        Self::Fixed(0.0)
    }
}

impl Latency {
    pub fn draw(self, random: &mut impl Rng) -> Duration {
        let seconds = match self {
            Self::Fixed(seconds) => seconds,
            Self::Uniform(from, to) => from + (to - from) * random.random::<f64>(),
            // The inverse of the distribution function; 1 − u is never 0.
            Self::Exponential(mean) => -mean * (1.0 - random.random::<f64>()).ln(),
        };
        Duration::from_secs_f64(seconds)
    }
}

impl FromStr for Latency {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None => Ok(Self::Fixed(seconds(text)?)),
            Some(("fixed", time)) => Ok(Self::Fixed(seconds(time)?)),
            Some(("exp", mean)) => Ok(Self::Exponential(seconds(mean)?)),
            Some(("uniform", range)) => {
                let (from, to) = range.split_once(',').ok_or("uniform needs two times: uniform:10ms,50ms")?;
                let (from, to) = (seconds(from)?, seconds(to)?);
                if from <= to {
                    Ok(Self::Uniform(from, to))
                } else {
                    Err("the first time is the smaller".into())
                }
            }
            Some(_) => Err("known are fixed, uniform and exp".into()),
        }
    }
}

/// `20`, `20ms` or `2s`, up to an hour.
fn seconds(text: &str) -> Result<f64, String> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1e-3),
        (None, Some(number)) => (number, 1.0),
        (None, None) => (text, 1e-3),
    };
    let seconds = number.parse::<f64>().map_err(|_| "a time is written 20, 20ms or 2s")? * unit;
    if (0.0..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("a time is from 0 to 3600s".into()) }
}

impl TryFrom<String> for Latency {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Latency> for String {
    fn from(latency: Latency) -> Self {
        latency.to_string()
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |seconds: &f64| seconds * 1e3;
        match self {
            Self::Fixed(time) => write!(f, "fixed:{}ms", ms(time)),
            Self::Uniform(from, to) => write!(f, "uniform:{}ms,{}ms", ms(from), ms(to)),
            Self::Exponential(mean) => write!(f, "exp:{}ms", ms(mean)),
        }
    }
}
