//! SMS beside a push gateway that takes 8 s for each message, with all workers of its channel busy.

use super::blast::urgent;
use crate::{
    figures::{Figures, ms},
    gateway::Gateway,
    support::service::{PUSH, Service, Site},
};
use chassis_test::until_so;
use std::time::Duration;

const PUSHES: usize = 500;
const SLOW: Duration = Duration::from_secs(8);
/// What the SMS latency may change by.
const CHANGE: Duration = Duration::from_millis(100);
const CONTACT: &str = r#"{"phone":"+4930901820","pushTokens":[{"platform":"fcm","token":"one"}]}"#;
const MESSAGE: &str = r#"{"patientId":"p-0","title":"Diary","message":"Please fill in your diary."}"#;

pub async fn run(figures: &mut Figures, part: u32) {
    let time = Duration::from_secs(20) / part.min(10);
    let (sms, push) = (Gateway::start(Duration::from_millis(50)).await, Gateway::start(SLOW).await);
    let service = Site::sending_to_url(&sms.url())
        .pushing_to(&push.url())
        .with("APP_PUSH__HTTP__TIMEOUT", "30s")
        .with("RUST_LOG", "info")
        .start();
    service.contact("p-0", CONTACT);
    let alone = urgent(&service, &sms, time).await;
    for _ in 0..PUSHES {
        let answer = service.ask("POST", &format!("{PUSH}/async"), MESSAGE);
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    until_so("all workers of the channel are busy", || busy(&service) == workers(&service));
    let beside = urgent(&service, &sms, time).await;
    assert_eq!(busy(&service), workers(&service), "the pushes did not last");
    figures.tell("SMS to the gateway, p99 alone", ms(alone));
    figures.tell("SMS to the gateway, p99 beside the slow push gateway", ms(beside));
    let change = alone.abs_diff(beside);
    figures.judge("change of the p99", "< 100 ms", ms(change), change < CHANGE);
    service.kill();
}

fn busy(service: &Service) -> u64 {
    service.metrics().sum("workers_busy", &[("channel", "push")])
}

fn workers(service: &Service) -> u64 {
    service.metrics().sum("workers", &[("channel", "push")])
}
