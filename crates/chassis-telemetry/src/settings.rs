//! Value parsers for configuration sections (`#[arg(value_parser = …)]` of the crate `conf`).

use std::{str::FromStr, time::Duration};

/// Parses a duration such as `250ms`, `5s` or `1h 30m`.
///
/// # Errors
/// The text is no duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a duration such as 250ms, 5s or 2h".to_owned())
}

/// Parses a whole number.
///
/// # Errors
/// The text is no whole number, or `T` cannot hold it.
pub fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number".to_owned())
}

/// A parser of values from `low` to `high`, both included and written like the value:
/// `value_parser = between("100ms", "1h", duration)`.
pub fn between<T: PartialOrd>(
    low: &'static str,
    high: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let value = parse(text).map_err(|problem| format!("{problem}, from {low} to {high}"))?;
        let allowed = parse(low)? <= value && value <= parse(high)?;
        if allowed { Ok(value) } else { Err(format!("must be from {low} to {high}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_bounds_is_refused_with_the_bounds() {
        let timeout = between("100ms", "1h", duration);
        assert_eq!(timeout("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(timeout("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(timeout("99ms"), Err("must be from 100ms to 1h".to_owned()));
        assert!(timeout("soon").is_err_and(|problem| problem.contains("from 100ms to 1h")));
        assert!(between("1", "9", number::<u8>)("300").is_err());
    }
}
