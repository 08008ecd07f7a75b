//! What the machine could do if the service did nothing else: SQLite's own claim and complete, and a loop of
//! calls to a gateway.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, SqliteConnection, query, query_as, raw_sql};
use tokio::runtime::Builder;

use crate::Result;

/// Jobs that a commit claims or completes: as many as the service has workers while it is measured in process.
pub const BATCH: usize = 512;
/// Bytes of a row beside its columns.
const RECORD: i64 = 300;
/// Calls in flight: as many as the service has workers while it drains over HTTP.
pub const CALLERS: usize = 256;
/// The service's default time for one attempt.
const CALL: Duration = Duration::from_secs(5);

/// Jobs a second that plain SQLite (WAL, `synchronous=FULL`) claims and completes: the oldest that are due, found by an
/// index and read, then each by its number. In batches of 512; a claim and a completion are a statement and a commit each.
///
/// # Errors
/// Of SQLite.
pub fn claim_and_complete(folder: &Path, jobs: u64) -> Result<f64> {
    let jobs = i64::try_from(jobs)?;
    let url = format!("sqlite://{}?mode=rwc", folder.join("ceiling.db").display());
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut database = SqliteConnection::connect(&url).await?;
        raw_sql("pragma journal_mode = wal; pragma synchronous = full").execute(&mut database).await?;
        raw_sql(
            "create table jobs (id integer primary key, state integer, at integer, record blob);
             create index due on jobs (at) where state = 0",
        )
        .execute(&mut database)
        .await?;
        let fill = "with recursive n(id) as (select 0 union all select id + 1 from n where id < ? - 1) \
                    insert into jobs select id, 0, id, randomblob(?) from n";
        query(fill).bind(jobs).bind(RECORD).execute(&mut database).await?;
        raw_sql("pragma wal_checkpoint(truncate)").execute(&mut database).await?;
        let claim = "update jobs set state = 1 where id in (select id from jobs where state = 0 order by at limit ?) \
                     returning id, record";
        let complete = "update jobs set state = 2, at = ? where id in (select value from json_each(?))";
        let started = Instant::now();
        loop {
            let claimed: Vec<(i64, Vec<u8>)> =
                query_as(claim).bind(BATCH as i64).fetch_all(&mut database).await?;
            if claimed.is_empty() {
                break;
            }
            let ids: Vec<i64> = claimed.iter().map(|(id, _)| *id).collect();
            query(complete).bind(jobs).bind(serde_json::to_string(&ids)?).execute(&mut database).await?;
        }
        let speed = jobs as f64 / started.elapsed().as_secs_f64();
        database.close().await?;
        Ok(speed)
    })
}

/// Calls a second that a bare loop of `reqwest` makes to a gateway, 256 in flight, each read to its end.
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
