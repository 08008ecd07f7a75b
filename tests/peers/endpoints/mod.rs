//! The client's endpoints as a real etcd and a real name server tell them. How calls are shared between them
//! is tested hermetically.

pub mod dns;
pub mod etcd;

use crate::support::instance::Instance;
use chassis_rpc::{ClientConfig, Method};
use conf::Conf;
use epro_notify::proto::epro::{GetLatestReportRequest, epro_service_client::EproServiceClient};
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// For what never takes so long.
const LONG: Duration = Duration::from_secs(60);
const METHODS: &[Method] = &[Method::read("epro.v1.EproService", "GetLatestReport")];

type Channel = chassis_rpc::Channel;

/// A channel, driven for as long as the test's runtime.
fn open(target: &str) -> Channel {
    let config = ClientConfig::try_parse_from(["test"], [("TARGET", target)]).unwrap();
    let (channel, driver) = Channel::open("test", &config, METHODS).unwrap();
    tokio::spawn(driver);
    channel
}

/// One call, and what it met if no instance answered it: they know no report.
async fn call(channel: &Channel) -> Result<(), Status> {
    let mut client = EproServiceClient::new(channel.clone());
    let answer = client.get_latest_report(GetLatestReportRequest::default()).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    answer.map(drop).or_else(|status| if status.code() == Code::NotFound { Ok(()) } else { Err(status) })
}

/// Calls until each of these has been called.
async fn until_called(channel: &Channel, instances: &[&Instance]) {
    let began = Instant::now();
    for instance in instances {
        let before = instance.calls();
        while instance.calls() == before {
            let _ = call(channel).await;
            assert!(began.elapsed() < LONG, "{} is not called", instance.address);
        }
    }
}

/// Calls until this one, which is well, is called no more.
async fn until_left(channel: &Channel, instance: &Instance) {
    let began = Instant::now();
    loop {
        let before = instance.calls();
        for _ in 0..100 {
            let _ = call(channel).await;
        }
        if instance.calls() == before {
            return;
        }
        assert!(began.elapsed() < LONG, "{} is still called", instance.address);
    }
}

/// Calls for a while, and all of them are answered.
async fn all_answered(channel: &Channel, time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        call(channel).await.unwrap();
    }
}
