//! The client's endpoints over real sockets: who takes calls, who does not, and who does again. What is
//! asserted to take a second or two is what the README promises.

mod balance;
mod health;
mod life;

use crate::support::instance::Instance;
use epro_notify::{
    platform::{
        config::Parse,
        grpc::client::{Channel, ChannelError, Target},
    },
    proto::epro::{GetLatestReportRequest, epro_service_client::EproServiceClient},
};
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// Off a dead endpoint within this.
const OFF: Duration = Duration::from_secs(1);
/// Back on one that has returned within this.
const BACK: Duration = Duration::from_secs(2);
/// For what never takes so long.
const LONG: Duration = Duration::from_secs(20);

fn target(instances: &[Instance]) -> Target {
    let addresses: Vec<_> = instances.iter().map(|instance| instance.address.to_string()).collect();
    Target::parse(&format!("static://{}", addresses.join(","))).unwrap()
}

fn open(instances: &[Instance]) -> Channel {
    Channel::open("test", &target(instances)).unwrap()
}

/// One call: its answer is `NOT_FOUND`, so that this is what is well.
async fn call(channel: &Channel) -> Result<(), Status> {
    let mut client = EproServiceClient::new(channel.clone());
    let mut request = tonic::Request::new(GetLatestReportRequest::default());
    request.set_timeout(Duration::from_secs(5));
    match client.get_latest_report(request).await {
        Err(status) if status.code() == Code::NotFound && ChannelError::of(&status).is_none() => Ok(()),
        Err(status) => Err(status),
        Ok(_) => panic!("there is no report"),
    }
}

/// Calls until it has been answered by this one.
async fn until_called(channel: &Channel, instance: &Instance, within: Duration) {
    let (began, before) = (Instant::now(), instance.calls());
    while instance.calls() == before {
        // A call without an endpoint fails at once, and leaves no time to what would find one.
        if call(channel).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert!(began.elapsed() < within, "not called within {within:?}");
    }
}

/// Calls until all of these have been called, as they are once they have been probed.
async fn until_all_called(channel: &Channel, instances: &[Instance]) {
    for instance in instances {
        until_called(channel, instance, LONG).await;
    }
}
