//! The rate limit of the real program over real sockets, at 50 a second and bursts of 100.

use crate::support::{
    client::{Answer, Connection},
    service::{Service, Site},
    wait::until_so,
};
use std::{
    net::IpAddr,
    thread::{scope, sleep},
    time::{Duration, Instant},
};

const RATE: f64 = 50.0;
const BURST: f64 = 100.0;
/// Nothing is there: being let in is all that it costs.
const PATH: &str = "/api/v1/nothing";

fn site() -> Site {
    Site::new().with("APP_LIMITS__PER_CLIENT__RATE", "50").with("APP_LIMITS__PER_CLIENT__BURST", "100")
}

fn connect(service: &Service, client: u8) -> Connection {
    Connection::open_from(IpAddr::from([127, 0, 0, client]), service.http).unwrap()
}

fn get(connection: &mut Connection, headers: &[(&str, &str)]) -> Answer {
    connection.send_with("GET", PATH, headers, "").unwrap()
}

/// A request that was let in: it was counted at some time between these.
type Admitted = (Instant, Instant);

/// Asks this often, each time with another header, and tells what was let in.
fn ask_often(
    connection: &mut Connection,
    times: usize,
    mut forged: impl FnMut(usize) -> String,
) -> Vec<Admitted> {
    let mut ask = |number| {
        let sent = Instant::now();
        let answer = get(connection, &[("x-forwarded-for", &forged(number))]);
        let admitted = answer.status != 429;
        assert_eq!(answer.header("retry-after").is_some(), !admitted, "{answer:?}");
        admitted.then(|| (sent, Instant::now()))
    };
    (0..times).filter_map(&mut ask).collect()
}

/// Fails if a window surely held more than burst + rate × T. What was sent and answered within two moments was
/// counted between them.
fn assert_within_the_limit(mut admitted: Vec<Admitted>) {
    admitted.sort_unstable_by_key(|(_, heard)| *heard);
    for (from, _) in &admitted {
        let within = admitted.iter().filter(|(sent, _)| sent >= from);
        for (count, (_, until)) in (1..).zip(within) {
            let most = BURST + RATE * (*until - *from).as_secs_f64();
            assert!(f64::from(count) <= most, "{count} in a window of {most}");
        }
    }
}

#[test]
fn no_window_holds_more_than_burst_and_rate_however_a_client_sends() {
    let service = site().start();
    let connections: Vec<_> = (0..4).map(|_| connect(&service, 1)).collect();
    let admitted = scope(|scope| {
        let sender = |mut connection| scope.spawn(move || ask_often(&mut connection, 500, |_| String::new()));
        let senders: Vec<_> = connections.into_iter().map(sender).collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(admitted.len() as f64 >= BURST, "{}", admitted.len());
    let page = service.metrics();
    let decisions = |decision| {
        page.sum("rate_limit_decisions_total", &[("decision", decision), ("surface", "http")]) as usize
    };
    assert_eq!((decisions("allowed"), decisions("limited")), (admitted.len(), 2000 - admitted.len()));
    assert_within_the_limit(admitted);
    assert_eq!(page.sum("rate_limit_decisions_total", &[("surface", "grpc")]), 0);
}

#[test]
fn ten_thousand_forged_headers_gain_nothing() {
    let service = site().start();
    let forged = |number: usize| format!("10.{}.{}.1", number >> 8, number & 255);
    assert_within_the_limit(ask_often(&mut connect(&service, 1), 10_000, forged));
    assert_eq!(service.metrics().sum("rate_limit_clients", &[]), 1);
}

#[test]
fn an_even_client_below_the_rate_is_never_refused() {
    let service = site().start();
    let mut connection = connect(&service, 1);
    // Its burst is spent, so that the rate alone is what it has.
    let spent = until_refused(&mut connection);
    sleep(Duration::from_secs(spent));
    while get(&mut connection, &[]).header("x-ratelimit-remaining") != Some("0") {}
    for turn in 0..100 {
        // 90 % of the rate, counted from answer to question.
        sleep(Duration::from_secs_f64(1.0 / (0.9 * RATE)));
        assert_eq!(get(&mut connection, &[]).status, 404, "{turn}");
    }
}

/// Asks until it is refused, and gives the seconds to wait.
fn until_refused(connection: &mut Connection) -> u64 {
    loop {
        let answer = get(connection, &[]);
        if answer.status == 429 {
            return answer.problem(429, "rate-limited").unwrap();
        }
    }
}

#[test]
fn whoever_waits_as_long_as_it_is_told_is_let_in() {
    let site = site().with("APP_LIMITS__PER_CLIENT__RATE", "1").with("APP_LIMITS__PER_CLIENT__BURST", "2");
    let service = site.start();
    let mut connection = connect(&service, 1);
    for _ in 0..3 {
        let wait = until_refused(&mut connection);
        assert!(wait >= 1);
        sleep(Duration::from_secs(wait));
        assert_eq!(get(&mut connection, &[]).status, 404);
    }
    // Then nobody calls, and nobody is remembered.
    until_so("it is forgotten", || service.metrics().sum("rate_limit_clients", &[]) == 0);
}

#[test]
fn a_greedy_client_does_not_harm_another() {
    let service = site().start();
    let (mut greedy, mut modest) = (connect(&service, 1), connect(&service, 2));
    until_refused(&mut greedy);
    for _ in 0..50 {
        get(&mut greedy, &[]);
        assert_eq!(get(&mut modest, &[]).status, 404);
    }
}

#[test]
fn behind_a_trusted_proxy_each_hop_is_a_client_of_its_own() {
    let site = site()
        .with("APP_LIMITS__TRUSTED_PROXIES", "127.0.0.1/32")
        .with("APP_LIMITS__PER_CLIENT__RATE", "1")
        .with("APP_LIMITS__PER_CLIENT__BURST", "5");
    let service = site.start();
    let (mut proxy, mut stranger) = (connect(&service, 1), connect(&service, 2));
    let told = |connection: &mut Connection, hops: &str| get(connection, &[("x-forwarded-for", hops)]).status;
    for turn in 0..20 {
        assert_eq!(told(&mut proxy, &format!("192.0.2.1, 198.51.100.{turn}")), 404);
    }
    let spent = (0..20).map(|turn| told(&mut proxy, &format!("203.0.113.{turn}, 192.0.2.7")));
    assert!(spent.filter(|status| *status == 429).count() >= 10, "what stands to the left gains nothing");
    let spent = (0..20).map(|turn| told(&mut stranger, &format!("192.0.2.{turn}")));
    assert!(spent.filter(|status| *status == 429).count() >= 10, "no proxy of ours");
    let forwarded =
        (0..20).map(|turn| get(&mut proxy, &[("forwarded", &format!("for=192.0.2.{turn}"))]).status);
    assert!(forwarded.filter(|status| *status == 429).count() >= 10, "the other header is never believed");
}

#[test]
fn beyond_the_cap_newcomers_share_a_bucket_and_are_counted() {
    let site = site()
        .with("APP_LIMITS__MAX_CLIENTS", "1")
        .with("APP_LIMITS__PER_CLIENT__RATE", "1")
        .with("APP_LIMITS__PER_CLIENT__BURST", "60");
    let service = site.start();
    let (mut first, mut second, mut third) =
        (connect(&service, 1), connect(&service, 2), connect(&service, 3));
    get(&mut first, &[]);
    until_refused(&mut second);
    let left = get(&mut third, &[]).header("x-ratelimit-remaining").unwrap().parse::<u32>().unwrap();
    assert!(left < 30, "what the second has left: {left}");
    assert_eq!(get(&mut first, &[]).status, 404);
    assert!(service.metrics().sum("rate_limit_overflow_total", &[]) >= 62);
}

#[test]
fn the_admin_listener_is_never_limited() {
    let site = site().with("APP_LIMITS__PER_CLIENT__RATE", "1").with("APP_LIMITS__PER_CLIENT__BURST", "1");
    let service = site.start();
    until_refused(&mut connect(&service, 1));
    let mut admin = Connection::open(service.admin).unwrap();
    for _ in 0..50 {
        let answer = admin.send("GET", "/livez", "").unwrap();
        assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (200, None));
    }
}
