//! Certificates and key files: what ends on a date, and what could not be read.

use super::ours;
use crate::{
    names,
    rules::{alert::Alert, proof::Proof},
};

const LISTENER: &[(&str, &str)] = &[("job", "epro-notify"), ("instance", "a:9464"), ("listener", "http")];

pub fn all() -> Vec<Alert> {
    vec![certificate_expires(), certificate_expires_soon(), certificate_not_renewed(), key_file_broken()]
}

fn of(name: &str, more: &str) -> String {
    format!(r#"{name}{{job="epro-notify",instance="a:9464"{more}}}"#)
}

fn left_below(seconds: &str) -> String {
    format!("{}{{{}}} - time() < {seconds}", names::TLS_CERTIFICATE_EXPIRES, ours())
}

/// Time begins at 0 in the tests: the certificate's end is passed by a fixed value.
fn expiry_proof(story: &str, idle: &str, shown: &'static str) -> Proof {
    let expires = of(names::TLS_CERTIFICATE_EXPIRES, ",listener=\"http\"");
    Proof::new(&[(&expires, story)], ["50m", "80m", "110m"])
        .labels(LISTENER)
        .shown(shown)
        .idle(&[(&expires, idle)])
}

fn certificate_expires() -> Alert {
    Alert::page("CertificateExpires", "tls", left_below("86400"))
        .when("a served certificate ends within a day", "From its end on every caller is turned away, and a renewal can take a day of somebody else's work.")
        .says(
            "The certificate of the listener {{ $labels.listener }} at {{ $labels.instance }} ends within a day",
            "It ends in {{ $value | humanizeDuration }}. Callers refuse it afterwards.",
        )
        .see("secrets", "limits-resilience", "Certificates end in")
        .proven(expiry_proof("90000x99 9000000x60", "9000000x200", "23h 40m 0s"))
}

fn certificate_expires_soon() -> Alert {
    Alert::ticket("CertificateExpiresSoon", "tls", left_below("7 * 86400"))
        .when("a served certificate ends within a week", "Renewal is automatic with 30 days left as a rule: with seven it has failed for weeks.")
        .says(
            "The certificate of the listener {{ $labels.listener }} at {{ $labels.instance }} ends within a week",
            "It ends in {{ $value | humanizeDuration }}, and nothing has renewed it.",
        )
        .see("secrets", "limits-resilience", "Certificates end in")
        .proven(expiry_proof("608400x99 9000000x60", "9000000x200", "6d 23h 40m 0s"))
}

/// Failed, and not succeeded since as far as a day shows.
fn failed_reload(name: &str) -> String {
    let reloads = |outcome| format!("increase({name}{{outcome=\"{outcome}\",{}}}[1d]) > 0", ours());
    format!("({}\n  unless ignoring (outcome) {})", reloads("failed"), reloads("ok"))
}

fn reload_proof(name: &str, more: &str) -> Proof {
    let [failed, ok] = ["failed", "ok"].map(|outcome| of(name, &format!("{more},outcome=\"{outcome}\"")));
    Proof::new(&[(&failed, "0x9 1x100"), (&ok, "0x39 1x70")], ["9m", "30m", "60m"])
        .idle(&[(&failed, "0x100"), (&ok, "0x100")])
        // The chain came a moment before its key, as in every renewal.
        .single(&[(&failed, "0x9 1x100"), (&ok, "0x10 1x100")])
}

fn certificate_not_renewed() -> Alert {
    Alert::ticket("CertificateReloadFailed", "tls", failed_reload(names::TLS_CERTIFICATE_RELOADS))
        .hold("10m")
        .when("a changed certificate could not be used, and none has been since", "Chain and key are written one after the other, so a failure that the next second mends is usual.")
        .says(
            "A renewed certificate of the listener {{ $labels.listener }} at {{ $labels.instance }} cannot be used",
            "The old certificate is served on; the next restart would end with exit code 64.",
        )
        .see("secrets", "limits-resilience", "Reloads of certificates")
        .proven(reload_proof(names::TLS_CERTIFICATE_RELOADS, ",listener=\"http\"").labels(&[
            ("job", "epro-notify"),
            ("instance", "a:9464"),
            ("listener", "http"),
            ("outcome", "failed"),
        ]))
}

fn key_file_broken() -> Alert {
    let files = [names::AUTH_KEY_FILE_RELOADS, names::RPC_CLIENT_KEY_RELOADS];
    // One of both has a label `target` besides.
    let both = files.map(|name| format!("sum by (job, instance) {}", failed_reload(name))).join("\nor ");
    Alert::ticket("KeyFileBroken", "auth", both)
        .hold("10m")
        .when("a changed key file could not be read, and none has been since", "The keys from before stay in use, withdrawn ones too. Nobody is locked out until the next restart, which would be refused: working hours will do, but no restart before.")
        .says(
            "The key file of {{ $labels.job }} at {{ $labels.instance }} is broken",
            "The keys from before are in use, also those that were withdrawn; the next restart would end with exit code 64.",
        )
        .see("secrets", "limits-resilience", "Reloads of keys")
        .proven(key_file_proof())
}

/// `ctms` has a key file of its own, and the file of its key for the ePRO service: a story for each.
fn key_file_proof() -> Proof {
    let ctms = |name, more| {
        let mut proof = reload_proof(name, more);
        for (series, _) in &mut proof.stories[0].series {
            *series = series.replace("epro-notify", "ctms");
        }
        proof
    };
    let mut proof = ctms(names::AUTH_KEY_FILE_RELOADS, "");
    proof.stories.extend(ctms(names::RPC_CLIENT_KEY_RELOADS, ",target=\"epro\"").stories);
    proof.labels(&[("job", "ctms"), ("instance", "a:9464")])
}
