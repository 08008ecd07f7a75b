//! `PUT /degradation`: an operator's hand on the level.

use super::pages::BODY_TIME;
use crate::platform::{
    auth::KeyName,
    http::{Fault, Field, JsonBody, Problem, expected, read_body},
    resilience::Degradation,
};
use http::Request;
use hyper::body::Incoming;
use serde_json::Value;

/// In bytes: it holds one number or one word.
const LARGEST_BODY: usize = 1024;

/// What the level is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// As the signals say.
    Auto,
    Level(u8),
}

impl Field for Wanted {
    fn read(value: &Value) -> Result<Self, String> {
        const RIGHT: &str = "a whole number from 0 on, or \"auto\"";
        match value {
            Value::String(word) if word == "auto" => Ok(Self::Auto),
            Value::String(_) => Err(format!("expected {RIGHT}")),
            Value::Number(number) => {
                let level = number.as_u64().ok_or_else(|| format!("expected {RIGHT}"))?;
                // Which ones there are is known where it is pinned: there is none beyond this.
                Ok(Self::Level(u8::try_from(level).unwrap_or(u8::MAX)))
            }
            other => Err(expected(RIGHT, other)),
        }
    }
}

/// Reads `{"level": 2}` or `{"level": "auto"}` and obeys. However the body is declared: it is typed by hand.
pub(super) async fn pin(
    degradation: &Degradation,
    request: Request<Incoming>,
    key: Option<KeyName>,
) -> Result<(), Problem> {
    let (parts, body) = request.into_parts();
    let body = JsonBody::parse(read_body(&parts.headers, body, LARGEST_BODY, BODY_TIME).await?)?;
    let mut fields = body.fields()?;
    let level = fields.required("level");
    let (wanted,) = fields.finish_with((level,))?;
    let level = match wanted {
        Wanted::Auto => None,
        Wanted::Level(level) => Some(level),
    };
    degradation.pin(level).map_err(|error| {
        Problem::invalid(vec![Fault { pointer: "/level".to_owned(), detail: error.to_string() }])
    })?;
    let (pinned, level) = (level.is_some(), degradation.level());
    tracing::info!(key = key.as_ref().map(KeyName::as_str), level, pinned, "degradation set by hand");
    Ok(())
}
