//! `kill -9` at any moment: nothing that was acknowledged is lost, and the ledger stays exact.

use super::*;
use chassis_queue::Enqueued;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

const CHILD: &str = "QUEUE_TEST_CHILD";

/// Not a test: the process that is killed. Says the ids that it was told are stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test below"]
async fn child() {
    let Ok(database) = std::env::var(CHILD) else { return };
    let database = Database::of_child(&database);
    let mut config = backlog(1_000_000);
    config.retry.max_unknown = 1000;
    config.retry.max_attempts = 1000;
    let running = Arc::new(Running::started(&database, config, telling(&vec![RETRY; 500])).await);
    let callers = (0..8).map(|caller| {
        let running = Arc::clone(&running);
        tokio::spawn(async move {
            for number in (0..=u8::MAX).cycle() {
                let enqueue = if number % 10 == 3 { running.keyed(caller, number) } else { running.jobs(2) };
                let id = enqueue.id;
                let mut repeated = false;
                let answer = if number % 10 == 7 {
                    running.run_now(Enqueue { key: None, ..enqueue }).await.map(drop)
                } else {
                    running.queue.enqueue(enqueue).await.map(|enqueued| repeated = enqueued != Enqueued::New)
                };
                if answer.is_ok() && !repeated {
                    writeln!(std::io::stdout(), "stored {id}").unwrap();
                }
            }
        })
    });
    futures_util::future::join_all(callers).await;
}

fn start(database: &Database) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "suite::kills::child", "--ignored", "--nocapture"]);
    command.env(CHILD, database.for_child()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.spawn().unwrap()
}

/// Ids that a child says are stored, up to its end.
fn stored(child: &mut Child) -> impl FnOnce() -> Vec<JobId> + Send + use<> {
    let output = child.stdout.take().unwrap();
    move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        // The harness's own text may stand before the first.
        lines.filter_map(|line| line.split_once("stored ")?.1.trim().parse().ok()).collect()
    }
}

async fn killed_after(database: &Database, time: Duration) -> Vec<JobId> {
    let mut child = start(database);
    let read = tokio::task::spawn_blocking(stored(&mut child));
    tokio::time::sleep(time).await;
    child.kill().unwrap();
    child.wait().unwrap();
    read.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost() {
    let database = Database::new().await;
    let mut ids = Vec::new();
    for round in 0..crate::KILLS {
        ids.extend(killed_after(&database, Duration::from_millis(600 + 137 * (round % 7))).await);
    }
    let mut config = backlog(1_000_000);
    config.retry.max_unknown = 1000;
    config.retry.max_attempts = 1000;
    let running = Running::started(&database, config, Script::default()).await;
    let before = running.ledger().await;
    assert!(ids.len() > 10 && before.accepted >= ids.len() as i64, "{} {before:?}", ids.len());
    running.wait("not all finished", async || running.ledger().await.queued() == 0).await;
    for id in &ids {
        let jobs = running.find(*id).await;
        assert!(!jobs.is_empty(), "{id} was lost");
        let ended =
            |job: &JobRecord| matches!(job.state, JobState::Completed | JobState::Unknown | JobState::Failed);
        assert!(jobs.iter().all(ended), "{jobs:?}");
    }
    running.stop().await;
}
