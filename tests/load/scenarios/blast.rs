//! A message to a study of 90,000 at default settings, through a gateway of 50 ms; urgent reminders meanwhile,
//! and SIGKILL in the middle.

use crate::{
    caller::{Caller, address},
    figures::{Figures, ms, quantile},
    gateway::{Arrival, Gateway},
    support::service::{ASYNC, Service, Site},
};
use chassis_test::until_so;
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep_until};

const PATIENTS: u32 = 90_000;
const LATENCY: Duration = Duration::from_millis(50);
/// Urgent reminders a second: well below what one client may.
const URGENT_RATE: u32 = 50;
/// Deliveries in flight at once by default: as many attempts a kill may cut off.
const WORKERS: usize = 32;
const ENROLLERS: u32 = 64;

pub async fn run(figures: &mut Figures, part: u32) {
    let (patients, time) = (PATIENTS / part, Duration::from_secs(20) / part.min(10));
    let gateway = Gateway::start(LATENCY).await;
    let mut site = Site::new()
        .with("APP_SMS__PROVIDER", "http")
        .with("APP_SMS__HTTP__URL", &gateway.url())
        .with("RUST_LOG", "info");
    let service = site.start();
    enrol(service.http, patients).await;
    service.stop();
    // The defaults, from here on.
    site.set("APP_LIMITS__PER_CLIENT__RATE", "100");
    site.set("APP_LIMITS__PER_CLIENT__BURST", "200");

    let service = site.start();
    let idle = urgent(&service, &gateway, time).await;
    let batch = send(figures, service.http).await;
    assert_eq!(batch["accepted"], patients, "{batch}");

    let meanwhile = urgent(&service, &gateway, time).await;
    figures.tell("urgent reminders to the gateway, p99 when idle", ms(idle));
    let holds = meanwhile < idle * 2;
    figures.judge(
        "urgent reminders to the gateway, p99 meanwhile",
        "< twice the idle one",
        ms(meanwhile),
        holds,
    );

    figures.tell("messages at the gateway when it was killed", gateway.count().to_string());
    service.kill();
    let service = site.start();
    drain(figures, &service, &gateway).await;
    tell_account(figures, &service, &gateway.arrived(), patients);
    let path = format!("/api/v1/batches/{}", batch["batchId"].as_str().unwrap());
    let shown = service.ask("GET", &path, "").json();
    let holds = shown["counts"]["delivered"] == patients;
    figures.judge(
        "the batch's own count of delivered",
        &patients.to_string(),
        shown["counts"]["delivered"].to_string(),
        holds,
    );
    service.stop();
}

/// Sends the message to the whole study; what was answered.
async fn send(figures: &mut Figures, service: SocketAddr) -> Value {
    let asked = Instant::now();
    let mut caller = Caller::open(service, address(1)).await.unwrap();
    let body = r#"{"channel":"sms","message":"Please fill in today's questionnaire."}"#;
    let answer = caller.ask("POST", "/api/v1/studies/s-1/notifications", "", body).await.unwrap();
    let took = asked.elapsed();
    assert_eq!(answer.status, 202, "{answer:?}");
    figures.judge("202 to the whole study", "< 2 s", ms(took), took < Duration::from_secs(2));
    serde_json::from_slice(&answer.body).unwrap()
}

/// Waits until nothing is queued any more.
async fn drain(figures: &mut Figures, service: &Service, gateway: &Gateway) {
    let (began, before) = (Instant::now(), gateway.count());
    while service.ledger().of("queued") > 0 && began.elapsed() < Duration::from_secs(600) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let rate = (gateway.count() - before) as f64 / began.elapsed().as_secs_f64();
    figures.tell(
        "delivered a second, of at most 480: a quarter of 32 workers is never for bulk",
        format!("{rate:.0}"),
    );
}

/// Every patient has exactly one job, and the ledger agrees.
fn tell_account(figures: &mut Figures, service: &Service, arrived: &HashMap<String, Arrival>, patients: u32) {
    let of_study: Vec<&Arrival> = arrived.values().filter(|arrival| arrival.to != phone(0)).collect();
    let reached: HashSet<&str> = of_study.iter().map(|arrival| arrival.to.as_str()).collect();
    let told = reached.len();
    figures.judge("patients reached", &patients.to_string(), told.to_string(), told == patients as usize);
    let repeated = of_study.len() - reached.len();
    figures.judge("patients with a second job", "0", repeated.to_string(), repeated == 0);
    let twice = arrived.values().filter(|arrival| arrival.times > 1).count();
    let wanted = format!("≤ {WORKERS}, with the same key");
    figures.judge("messages that came twice by the kill", &wanted, twice.to_string(), twice <= WORKERS);
    let ledger = service.ledger();
    let (accepted, delivered) = (ledger.of("accepted"), ledger.of("delivered"));
    figures.judge(
        "delivered, of all accepted",
        "all",
        format!("{delivered} of {accepted}"),
        accepted == delivered,
    );
}

/// A valid number of its own for each patient: +49 30 and seven digits.
fn phone(number: u32) -> String {
    format!("+4930{:07}", 2_000_000 + number)
}

/// Patients p-1 to p-n with a phone, all in one study; p-0 is for the urgent reminders.
async fn enrol(service: SocketAddr, patients: u32) {
    let mut enrollers = JoinSet::new();
    for first in 0..ENROLLERS {
        enrollers.spawn(async move {
            let mut caller = Caller::open(service, address(0)).await.unwrap();
            for number in (first..=patients).step_by(ENROLLERS as usize) {
                let patient = format!("/api/v1/patients/p-{number}");
                let contact = format!(r#"{{"phone":"{}"}}"#, phone(number));
                let put = caller.ask("PUT", &patient, "", &contact).await.unwrap();
                assert_eq!(put.status, 201, "{put:?}");
                if number > 0 {
                    let enrolment = format!("/api/v1/studies/s-1/patients/p-{number}");
                    let put = caller.ask("PUT", &enrolment, "", "").await.unwrap();
                    assert!(matches!(put.status, 200..300), "{put:?}");
                }
            }
        });
    }
    enrollers.join_all().await;
}

/// Sends urgent reminders at an even pace; the p99 from the call to the gateway.
pub async fn urgent(service: &Service, gateway: &Gateway, time: Duration) -> Duration {
    let gap = Duration::from_secs(1) / URGENT_RATE;
    let began = tokio::time::Instant::now();
    let mut calls = JoinSet::new();
    for turn in 0..(time.as_secs_f64() / gap.as_secs_f64()) as u32 {
        sleep_until(began + gap * turn).await;
        let service = service.http;
        calls.spawn(async move {
            let mut caller = Caller::open(service, address(2)).await.unwrap();
            let asked = Instant::now();
            let body = r#"{"patientId":"p-0","message":"Please call the study nurse.","priority":"urgent"}"#;
            let answer = caller.ask("POST", ASYNC, "", body).await.unwrap();
            assert_eq!(answer.status, 202, "{answer:?}");
            let answer: Value = serde_json::from_slice(&answer.body).unwrap();
            (answer["id"].as_str().unwrap().to_owned(), asked)
        });
    }
    let asked = calls.join_all().await;
    until_so("urgent reminders at the gateway", || asked.iter().all(|(id, _)| gateway.has(id)));
    let arrived = gateway.arrived();
    let mut took: Vec<Duration> = asked.iter().map(|(id, asked)| arrived[id].first - *asked).collect();
    quantile(&mut took, 0.99)
}
