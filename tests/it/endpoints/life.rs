//! What a channel keeps going, and for how long; what it shows; and TLS.

use super::{LONG, call, open, target, until_all_called};
use crate::support::{
    certificates::{Certificate, files},
    instance::{Behaviour, Instance},
};
use epro_notify::platform::grpc::client::{Channel, ClientTls};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Waits until the runtime has so many tasks.
async fn until_tasks(count: usize) {
    let began = Instant::now();
    while Handle::current().metrics().num_alive_tasks() != count {
        let alive = Handle::current().metrics().num_alive_tasks();
        assert!(began.elapsed() < LONG, "{alive} tasks instead of {count}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn everything_that_follows_endpoints_ends_with_the_last_channel() {
    let mut instances = [Instance::start(), Instance::start()];
    instances[1].kill();
    let alive = Handle::current().metrics().num_alive_tasks();
    let channel = open(&instances);
    call(&channel).await.unwrap();
    let other = channel.clone();
    drop(channel);
    call(&other).await.unwrap();
    assert!(Handle::current().metrics().num_alive_tasks() > alive);
    drop(other);
    until_tasks(alive).await;
}

#[tokio::test]
async fn a_caller_who_leaves_takes_nothing_with_it() {
    let instances =
        [Instance::behaving(Behaviour { delay: Duration::from_millis(200), ..Behaviour::default() })];
    let channel = open(&instances);
    // No more than a server takes to be left before it has looked at them: it closes the connection then.
    let left = (0..15).map(|_| tokio::time::timeout(Duration::from_millis(20), call(&channel)));
    let left = futures_util::future::join_all(left).await;
    assert!(left.iter().any(Result::is_err));
    call(&channel).await.unwrap();
}

#[tokio::test]
async fn endpoints_are_counted_by_their_state() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let mut instances = [Instance::start(), Instance::start()];
    instances[1].kill();
    let channel =
        metrics::with_local_recorder(&recorder, || Channel::open("epro", &target(&instances)).unwrap());
    let series = |state: &str, count: u8| {
        format!("rpc_client_endpoints{{target=\"epro\",state=\"{state}\"}} {count}\n")
    };
    let shown = |parts: [(&str, u8); 3]| {
        let page = recorder.handle().render();
        parts.into_iter().all(|(state, count)| page.contains(&series(state, count)))
    };
    call(&channel).await.unwrap();
    let began = Instant::now();
    while !shown([("new", 0), ("up", 1), ("down", 1)]) {
        assert!(began.elapsed() < LONG, "{}", recorder.handle().render());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let lookups = "rpc_client_lookups_total{target=\"epro\",outcome=\"";
    let page = recorder.handle().render();
    assert!(page.contains(&format!("{lookups}ok\"}} 1")) && page.contains(&format!("{lookups}failed\"}} 0")));
}

#[tokio::test]
async fn tls_believes_the_given_authority_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (files, certificate) = (files(folder.path()), Certificate::new());
    certificate.write(&files);
    let address = "127.0.0.1:0".parse().unwrap();
    let instances = [Instance::start_at(address, Behaviour::default(), Some(files))];
    let open = |authority: &Certificate, name: Option<&str>| {
        let tls = ClientTls::new(Some(authority.chain.clone()), name.map(str::to_owned));
        Channel::open_with("test", &target(&instances), Some(&tls)).unwrap()
    };
    let trusting = open(&certificate, Some("localhost"));
    call(&trusting).await.unwrap();
    until_all_called(&trusting, &instances).await;
    for wrong in [open(&Certificate::new(), Some("localhost")), open(&certificate, None)] {
        assert_eq!(call(&wrong).await.unwrap_err().message(), "no healthy endpoint");
    }
}
