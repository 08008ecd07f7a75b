//! What the machine could do if the service did nothing else: SQLite's own begin and complete, and a loop of
//! calls to a gateway.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::runtime::Builder;

use crate::Result;

/// Rows that a commit begins or completes, as a busy committer finds them waiting.
const BATCH: u32 = 512;
/// Bytes of a row beside its columns.
const RECORD: usize = 300;
/// Calls in flight: the service's default number of workers.
const CALLERS: usize = 32;
/// The service's default time for one attempt.
const CALL: Duration = Duration::from_secs(5);

/// Jobs a second that plain SQLite (WAL, `synchronous=FULL`) begins and completes, both in batches of 512 by the
/// row's own number, each batch a commit.
///
/// # Errors
/// Of SQLite.
pub fn begin_and_complete(folder: &Path, jobs: u64) -> Result<f64> {
    let jobs = u32::try_from(jobs)?;
    let mut database = Connection::open(folder.join("ceiling.db"))?;
    database.pragma_update(None, "journal_mode", "wal")?;
    database.pragma_update(None, "synchronous", "full")?;
    database.execute_batch("create table jobs (id integer primary key, state integer, record blob)")?;
    let fill = database.transaction()?;
    {
        let mut insert = fill.prepare("insert into jobs values (?, 0, ?)")?;
        for id in 0..jobs {
            insert.execute(params![id, [7_u8; RECORD]])?;
        }
    }
    fill.commit()?;
    database.execute_batch("pragma wal_checkpoint(truncate)")?;
    let started = Instant::now();
    for first in (0..jobs).step_by(BATCH as usize) {
        for state in [1, 2] {
            let batch = database.transaction()?;
            let mut update = batch.prepare_cached("update jobs set state = ? where id = ?")?;
            for id in first..(first + BATCH).min(jobs) {
                update.execute(params![state, id])?;
            }
            drop(update);
            batch.commit()?;
        }
    }
    Ok(f64::from(jobs) / started.elapsed().as_secs_f64())
}

/// Calls a second that a bare loop of `reqwest` makes to a gateway, 32 in flight, each read to its end.
///
/// # Errors
/// When the gateway fails.
pub fn calls(gateway: SocketAddr, time: Duration) -> Result<f64> {
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let client = reqwest::Client::builder().no_proxy().timeout(CALL).build()?;
        let started = Instant::now();
        let callers: Vec<_> =
            (0..CALLERS).map(|_| tokio::spawn(call_until(client.clone(), gateway, started + time))).collect();
        let mut calls = 0;
        for caller in callers {
            calls += caller.await??;
        }
        Ok(calls as f64 / started.elapsed().as_secs_f64())
    })
}

async fn call_until(client: reqwest::Client, gateway: SocketAddr, end: Instant) -> reqwest::Result<u64> {
    let body = r#"{"id":"0192f0c1","to":"+8613800138000","text":"Please fill in today's questionnaire."}"#;
    let url = format!("http://{gateway}/");
    let mut calls = 0;
    while Instant::now() < end {
        let call = client.post(&url).header("content-type", "application/json").body(body);
        call.send().await?.error_for_status()?.bytes().await?;
        calls += 1;
    }
    Ok(calls)
}
