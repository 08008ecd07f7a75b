//! The key that is presented follows its file.

use super::{client, told_with};
use crate::support::{
    metrics_page::MetricsPage,
    scripted::{READ, Scripted, ask},
};
use epro_notify::platform::task;
use std::{fs, time::Duration};

#[test]
fn a_changed_key_file_is_taken_in_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let told = told_with(async |metrics| {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        fs::write(&path, "the-first\n").unwrap();
        let following = task::spawn(client.follow_key_file(path.clone()).unwrap());
        let presents = async |key: &str| loop {
            ask(&client, READ, None).await.unwrap();
            if other.attempts().last().unwrap().value("authorization") == Some(key) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        presents("Bearer the-first").await;
        fs::write(&path, "not one key").unwrap();
        let broken = [("outcome", "failed")];
        while MetricsPage(metrics.render()).sum("rpc_client_key_reloads_total", &broken) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        presents("Bearer the-first").await;
        fs::write(&path, "the-second").unwrap();
        presents("Bearer the-second").await;
        following.abort();
    });
    let reloads = |outcome| told.count("rpc_client_key_reloads_total", &[("outcome", outcome)]);
    assert_eq!((reloads("ok"), reloads("failed")), (2, 1));
    let lines: String = told.lines.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    assert!(!["the-first", "the-second", "not one key", "a-secret"].iter().any(|key| lines.contains(key)));
    assert_eq!(told.lines("ERROR").len(), 1);
}
