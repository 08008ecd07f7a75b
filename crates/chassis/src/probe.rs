//! Asks a running service's admin listener whether it is ready, for images without a shell.

use crate::AdminConfig;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::{error::Error, time::Duration};

/// How long the whole probe may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// Whether the service is ready, and the body of `/readyz`.
pub(crate) fn readyz(config: &AdminConfig) -> Result<(bool, String), Box<dyn Error>> {
    let scheme = if config.tls.is_set() { "https" } else { "http" };
    let builder = reqwest::Client::builder().timeout(DEADLINE).no_proxy();
    // The certificate is made for other names. As the kubelet's probes: nothing secret is sent, and this machine is asked.
    let client = builder.tls_danger_accept_invalid_certs(true).build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Under a name that is served without keys as well.
        let asked = client.get(format!("{scheme}://{}/readyz", reachable(config.listen)));
        let answer = asked.header("host", "localhost").send().await?;
        let ready = answer.status().is_success();
        Ok((ready, answer.text().await?))
    })
}

/// The loopback address of a service that listens everywhere.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        let loopback = if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        listen.set_ip(loopback);
    }
    listen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, asked) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
