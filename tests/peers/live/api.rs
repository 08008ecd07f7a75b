//! JSON over HTTP, as the programs of others speak it: with answers in pieces, which the services' own caller
//! in `support::client` does not read.

use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A caller of one program.
pub struct Api {
    address: SocketAddr,
    client: reqwest::Client,
    runtime: Runtime,
}

impl Api {
    pub fn of(address: SocketAddr) -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { address, client, runtime: Builder::new_current_thread().enable_all().build().unwrap() }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The body of a GET; the error is the status with what was said, or that nobody answered.
    pub fn text(&self, path: &str, parameters: &[(&str, &str)]) -> Result<String, String> {
        let url = reqwest::Url::parse_with_params(&(self.url() + path), parameters)
            .map_err(|error| error.to_string())?;
        self.runtime.block_on(async {
            let answer = self.client.get(url).send().await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let text = answer.text().await.map_err(|error| error.to_string())?;
            if status.is_success() { Ok(text) } else { Err(format!("{status}: {text}")) }
        })
    }

    /// The same as JSON.
    pub fn json(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let text = self.text(path, parameters)?;
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
    }
}
