//! What programs answer over HTTP.

use serde_json::Value;
use std::net::SocketAddr;

/// A caller of one program.
pub struct Api(SocketAddr);

impl Api {
    pub fn of(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.0)
    }

    /// The body of a GET; the error is the status with what was said, or that nobody answered.
    pub fn text(&self, path: &str, parameters: &[(&str, &str)]) -> Result<String, String> {
        let url = reqwest::Url::parse_with_params(&(self.url() + path), parameters).unwrap();
        let target = format!("{path}?{}", url.query().unwrap_or_default());
        let answer = chassis_test::ask(self.0, "GET", &target, "").map_err(|error| error.to_string())?;
        if answer.status == 200 {
            Ok(answer.body)
        } else {
            Err(format!("{}: {}", answer.status, answer.body))
        }
    }

    /// The same as JSON.
    pub fn json(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let text = self.text(path, parameters)?;
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
    }
}
