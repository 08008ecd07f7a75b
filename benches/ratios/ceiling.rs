//! What the machine could do if the service did nothing else: SQLite's own begin and complete, and a loop of
//! calls to a gateway.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, SqliteConnection, query, raw_sql};
use tokio::runtime::Builder;

use crate::Result;

/// Rows that a commit begins or completes, as a busy committer finds them waiting.
const BATCH: usize = 512;
/// Bytes of a row beside its columns.
const RECORD: i64 = 300;
/// Calls in flight: the service's default number of workers.
const CALLERS: usize = 32;
/// The service's default time for one attempt.
const CALL: Duration = Duration::from_secs(5);

/// Jobs a second that plain SQLite (WAL, `synchronous=FULL`) begins and completes, both in batches of 512 by the
/// row's own number, each batch a statement and a commit.
///
/// # Errors
/// Of SQLite.
pub fn begin_and_complete(folder: &Path, jobs: u64) -> Result<f64> {
    let jobs = i64::try_from(jobs)?;
    let url = format!("sqlite://{}?mode=rwc", folder.join("ceiling.db").display());
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut database = SqliteConnection::connect(&url).await?;
        raw_sql("pragma journal_mode = wal; pragma synchronous = full").execute(&mut database).await?;
        raw_sql("create table jobs (id integer primary key, state integer, record blob)")
            .execute(&mut database)
            .await?;
        let fill = "with recursive n(id) as (select 0 union all select id + 1 from n where id < ? - 1) \
                    insert into jobs select id, 0, randomblob(?) from n";
        query(fill).bind(jobs).bind(RECORD).execute(&mut database).await?;
        raw_sql("pragma wal_checkpoint(truncate)").execute(&mut database).await?;
        let started = Instant::now();
        for first in (0..jobs).step_by(BATCH) {
            for state in [1_i64, 2] {
                let batch = query("update jobs set state = ? where id >= ? and id < ?");
                batch.bind(state).bind(first).bind(first + BATCH as i64).execute(&mut database).await?;
            }
        }
        let speed = jobs as f64 / started.elapsed().as_secs_f64();
        database.close().await?;
        Ok(speed)
    })
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
