//! A discovery of one's own: the healthy instances of a service in Nacos, by its HTTP API.
//!
//! No maintained client crate for Nacos fits in a hundred lines with what it pulls in, and this is all that a
//! discovery needs. Run it with `cargo run -p chassis-rpc --example nacos -- http://127.0.0.1:8848 orders`.

use chassis_rpc::{Channel, ClientConfig, Found, Method};
use conf::Conf;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Deserialize)]
struct Answer {
    hosts: Vec<Instance>,
}

#[derive(Deserialize)]
struct Instance {
    ip: String,
    port: u16,
}

/// Asks for the healthy instances every two seconds, for ever. After a failure the known ones stay in use.
async fn nacos(server: String, service: String, mut found: Found) {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(1)).build().unwrap_or_default();
    let url = format!("{server}/nacos/v1/ns/instance/list?healthyOnly=true&serviceName={service}");
    let ask = async || client.get(&url).send().await?.error_for_status()?.json::<Answer>().await;
    loop {
        match ask().await {
            Ok(answer) => {
                let address = |instance: Instance| format!("{}:{}", instance.ip, instance.port);
                found.endpoints(answer.hosts.into_iter().map(address).collect::<BTreeSet<_>>());
            }
            Err(_) => found.failed("Nacos is away"),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "http://127.0.0.1:8848".to_owned());
    let service = arguments.next().unwrap_or_else(|| "orders".to_owned());
    let config = ClientConfig::try_parse_from(["nacos"], std::env::vars_os())?;
    let methods = [Method::read("shop.v1.Orders", "GetOrder")];
    let discovery = |found| nacos(server, service, found);
    let (_channel, driver) = Channel::open_with("orders", &config, &methods, discovery)?;
    // `OrdersClient::new(_channel)` goes here; the driver belongs to a supervised task.
    driver.await;
    Ok(())
}
