//! What runs out or is changed by hand: certificates, keys, registration.

use crate::{
    names,
    palette::Colour,
    panel::{Kind, Panel},
    query::{aggregate, increase, series, sum_by},
    services::SERVICES,
};

const DAY: f64 = 86_400.0;
const LINES_OF_CERTIFICATES: &str = r#"| json | message=~".*certificate.*""#;
const LINES_OF_KEYS: &str = r#"| json | message=~".*(API key|the key).*""#;

pub fn panels() -> Vec<Panel> {
    vec![expiry(), registration(), certificates(), keys()]
}

fn expiry() -> Panel {
    let ends = series(names::TLS_CERTIFICATE_EXPIRES, "");
    Panel::new(
        Kind::Stat,
        "Certificates end in",
        "dtdurations",
        "Time until the first served certificate of each listener ends. Normal: weeks. Below 21 days it should have been replaced, below 7 \
         somebody has to: a changed file is taken without a restart.",
    )
    .query(format!("min by (job, listener) ({ends}) - time()"), "{{job}} {{listener}}")
    .warn_below(21.0 * DAY)
    .bad_below(7.0 * DAY)
    .range(None, None)
    .no_value("TLS ends elsewhere")
    .no_trend()
    .logs("Lines of certificates", SERVICES, LINES_OF_CERTIFICATES)
    .size(6, 6)
}

fn registration() -> Panel {
    Panel::new(
        Kind::Stat,
        "Registered",
        "none",
        "Whether the registry of endpoints holds each server, where one is configured. Normal: yes. No: callers that look there do not find \
         this instance; those that know it still call it.",
    )
    .query(aggregate("min", "instance", &series(names::GRPC_REGISTRATION_UP, "")), "{{instance}}")
    .state(0.0, "no", Colour::Failed)
    .state(1.0, "yes", Colour::Good)
    .no_trend()
    .no_value("No registry is configured")
    .logs("Lines of the registration", SERVICES, r#"| json | message=~"regist.*""#)
    .size(6, 6)
}

fn certificates() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Reloads of certificates",
        "none",
        "Changed certificates in each interval, by listener, that were taken or could not be. Normal: none, and ok at a change. failed: the \
         old one stays in use until it ends; the line says what is wrong with the file.",
    )
    .query(sum_by("listener, outcome", &increase(names::TLS_CERTIFICATE_RELOADS, "")), "{{listener}} {{outcome}}")
    .colour("/ ok$/", Colour::Good)
    .colour("/ failed$/", Colour::Failed)
    .axis_to(5.0)
    .decimals(0)
    .logs("Lines of certificates", SERVICES, LINES_OF_CERTIFICATES)
    .size(6, 6)
}

fn keys() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Reloads of keys",
        "none",
        "Key files that were read again in each interval: of callers, and of our own key for others. Normal: none, and ok at a change. failed: \
         the file is broken and the keys from before stay.",
    )
    .query(sum_by("outcome", &increase(names::AUTH_KEY_FILE_RELOADS, "")), "callers' keys {{outcome}}")
    .query(sum_by("target, outcome", &increase(names::RPC_CLIENT_KEY_RELOADS, "")), "key for {{target}} {{outcome}}")
    .colour("/ ok$/", Colour::Good)
    .colour("/ failed$/", Colour::Failed)
    .axis_to(5.0)
    .decimals(0)
    .logs("Lines of keys", SERVICES, LINES_OF_KEYS)
    .size(6, 6)
}
