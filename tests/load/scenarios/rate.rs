//! The rate limit at 50 a second and bursts of 100: what a client gets, whatever it does.

use crate::{
    caller::{Caller, address},
    figures::Figures,
    support::service::Site,
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep_until};

const RATE: f64 = 50.0;
const BURST: f64 = 100.0;
/// Nothing is there: all that this path costs is being let in.
const PATH: &str = "/api/v1/notifications/0000000000000";
/// Connections of a greedy client.
const GREEDY: usize = 8;
/// Clients that wait as they are told.
const PATIENT: u32 = 20;

/// A request that was let in: it was counted at some time between these.
type Admitted = (Instant, Instant);

pub async fn run(figures: &mut Figures, part: u32) {
    let site =
        Site::new().with("APP_LIMITS__PER_CLIENT__RATE", "50").with("APP_LIMITS__PER_CLIENT__BURST", "100");
    let service = site.start();
    let time = Duration::from_secs(20) / part.min(4);
    let (greedy, even, forger, patient) = tokio::join!(
        greedy(service.http, time),
        even(service.http, time),
        forger(service.http, 100_000 / part),
        patient(service.http, 10 / part.min(5)),
    );
    judge(figures, "a greedy client", &greedy);
    let (asked, refused) = even;
    let told = format!("{refused} of {asked}");
    figures.judge("refused of an even client at 90 % of the rate", "0", told, refused == 0);
    judge(figures, "a client with 100,000 forged X-Forwarded-For", &forger);
    let (right, waits) = patient;
    let told = format!("{right} of {waits}");
    figures.judge("let in after waiting Retry-After", "all", told, right == waits);
    service.stop();
}

/// Every window holds at most burst + rate × T, and the whole time no less than that by a tenth of a second's worth.
fn judge(figures: &mut Figures, who: &str, admitted: &[Admitted]) {
    let over = over(admitted);
    let wanted = "no window over 100 + 50 × T";
    figures.judge(&format!("{who}: windows"), wanted, format!("{over} over"), over == 0);
    let began = admitted.iter().map(|(sent, _)| *sent).min().unwrap();
    let ended = admitted.iter().map(|(_, heard)| *heard).max().unwrap();
    let most = BURST + RATE * (ended - began).as_secs_f64();
    let told = format!("{} of {most:.1}", admitted.len());
    let holds = admitted.len() as f64 >= most - RATE / 5.0 - 1.0;
    figures.judge(&format!("{who}: let in, of what the limit allows"), "all but 0.2 s of it", told, holds);
}

/// How many windows hold more than they may. A window from one request's sending to another's answer surely
/// holds all that were sent and answered in it.
fn over(admitted: &[Admitted]) -> usize {
    let mut over = 0;
    for (from, _) in admitted {
        let mut heard: Vec<Instant> =
            admitted.iter().filter(|(sent, _)| sent >= from).map(|(_, heard)| *heard).collect();
        heard.sort_unstable();
        let most = |until: &Instant| BURST + RATE * (*until - *from).as_secs_f64();
        over += (1..).zip(&heard).filter(|(count, until)| f64::from(*count) > most(until)).count();
    }
    over
}

/// Asks without a pause on several connections.
async fn greedy(service: SocketAddr, time: Duration) -> Vec<Admitted> {
    let until = Instant::now() + time;
    let mut connections = JoinSet::new();
    for _ in 0..GREEDY {
        connections.spawn(async move {
            let mut caller = Caller::open(service, address(0)).await.unwrap();
            let mut admitted = Vec::new();
            while Instant::now() < until {
                admitted.extend(ask(&mut caller, "").await.1);
            }
            admitted
        });
    }
    connections.join_all().await.concat()
}

/// Asks 45 times a second, evenly; how often, and how often it was refused.
async fn even(service: SocketAddr, time: Duration) -> (u32, usize) {
    let mut caller = Caller::open(service, address(1)).await.unwrap();
    let gap = Duration::from_secs(1).div_f64(RATE * 0.9);
    let asked = (time.as_secs_f64() / gap.as_secs_f64()) as u32;
    let (began, mut refused) = (tokio::time::Instant::now(), 0);
    for turn in 0..asked {
        sleep_until(began + gap * turn).await;
        refused += usize::from(ask(&mut caller, "").await.1.is_none());
    }
    (asked, refused)
}

/// Says each time that it is another client.
async fn forger(service: SocketAddr, requests: u32) -> Vec<Admitted> {
    let mut connections = JoinSet::new();
    for part in 0..4 {
        connections.spawn(async move {
            let mut caller = Caller::open(service, address(2)).await.unwrap();
            let mut admitted = Vec::new();
            for number in (part..requests).step_by(4) {
                let forged =
                    format!("x-forwarded-for: {}\r\n", std::net::Ipv4Addr::from_bits(0x0a00_0000 + number));
                admitted.extend(ask(&mut caller, &forged).await.1);
            }
            admitted
        });
    }
    connections.join_all().await.concat()
}

/// Clients that ask until they are refused, then wait as long as they are told; how often that was right.
async fn patient(service: SocketAddr, turns: u32) -> (usize, usize) {
    let mut clients = JoinSet::new();
    for client in 0..PATIENT {
        clients.spawn(async move {
            let mut caller = Caller::open(service, address(10 + client)).await.unwrap();
            let mut right = 0;
            for _ in 0..turns {
                let wait = loop {
                    if let (Some(wait), None) = ask(&mut caller, "").await {
                        break wait;
                    }
                };
                tokio::time::sleep(Duration::from_secs(wait)).await;
                right += usize::from(ask(&mut caller, "").await.1.is_some());
            }
            right
        });
    }
    let right = clients.join_all().await.into_iter().sum();
    (right, (PATIENT * turns) as usize)
}

/// One request: `Retry-After` where there is one, and when it was let in, if it was.
async fn ask(caller: &mut Caller, headers: &str) -> (Option<u64>, Option<Admitted>) {
    let sent = Instant::now();
    let answer = caller.ask("GET", PATH, headers, "").await.unwrap();
    let admitted = (answer.status != 429).then(|| (sent, Instant::now()));
    (answer.retry_after, admitted)
}
