//! A service that has work in hand which does not end.

use super::{
    service::{Service, Site},
    sms_gateway::Gateway,
};

/// A service of two workers that a silent gateway holds for longer than it may drain: of five accepted
/// notifications two are in an attempt.
pub fn stuck() -> (Gateway, Site, Service) {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let site = Site::sending_to(&gateway)
        .with("APP_QUEUE__WORKERS", "2")
        .with("APP_SMS__HTTP__TIMEOUT", "25s")
        .with("APP_SHUTDOWN__DRAIN_DEADLINE", "1s");
    let service = site.start_with_patient();
    (0..5).for_each(|_| drop(service.accept()));
    gateway.has_received(2);
    (gateway, site, service)
}
