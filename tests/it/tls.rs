//! TLS with the real program: files judged at start and read again when they change, versions and protocols, and
//! callers that do not speak it.

use crate::support::prelude::*;
use chassis_test::{
    Certificate,
    certificates::{Files, old_form},
    raw,
};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
};

fn serving(certificate: &Certificate) -> (Site, Files) {
    Site::new().encrypted("HTTP", certificate)
}

#[test]
fn every_form_and_kind_of_key_is_taken() {
    for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256] {
        let certificate = Certificate::of(kind, 4000);
        let (site, files) = serving(&certificate);
        let checked = site.run(&["check-config"]);
        assert!(checked.status.success(), "{kind:?} as PKCS#8: {checked:?}");
        let title = match kind {
            _ if kind == &PKCS_RSA_SHA256 => "RSA PRIVATE KEY",
            _ if kind == &PKCS_ED25519 => continue,
            _ => "EC PRIVATE KEY",
        };
        fs::write(&files.key, old_form(&certificate.key, title)).unwrap();
        let checked = site.run(&["check-config"]);
        assert!(checked.status.success(), "{kind:?} as {title}: {checked:?}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_one_line_and_says_nothing_of_the_key() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let (site, files) = serving(&certificate);
    let key = certificate.key.serialize_pem();
    let encrypted_key = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cut = key.lines().take(2).collect::<Vec<_>>().join("\n");
    let damaged = certificate.chain.replacen("MII", "MIA", 1);
    let (chain, of_other) = (certificate.chain.as_str(), other.key.serialize_pem());
    let empty = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    let cases = [
        ("", &*key, "holds no certificate"),
        ("no PEM at all", &key, "holds no certificate"),
        (&damaged, &key, "holds a damaged certificate"),
        ("-----BEGIN CERTIFICATE-----\nMIIB", &key, "is cut off"),
        (chain, "", "holds no private key"),
        (chain, chain, "holds no private key"),
        (chain, &encrypted_key, "holds an encrypted key"),
        (chain, &cut, "is cut off"),
        (chain, empty, "is damaged or not supported"),
        (chain, &of_other, "is not the key of the certificate in"),
    ];
    for (number, (cert_text, key_text, fault)) in cases.iter().enumerate() {
        fs::write(&files.cert, cert_text).unwrap();
        fs::write(&files.key, key_text).unwrap();
        for command in ["check-config", "serve"] {
            let faults = site.faults(&[command]);
            assert_eq!(faults.len(), 1, "{number}: {faults:?}");
            let said = &faults[0];
            let variable = if number < 4 { "APP_HTTP__TLS__CERT_FILE" } else { "APP_HTTP__TLS__KEY_FILE" };
            assert!(said.contains(variable) && said.contains(fault), "{number} {fault}: {said}");
            let of_key = key.lines().chain(of_other.lines()).filter(|line| !line.starts_with("--"));
            of_key.for_each(|line| assert!(!said.contains(line), "{said}"));
        }
    }
    fs::remove_file(&files.cert).unwrap();
    assert!(site.faults(&["check-config"])[0].contains(files.cert.to_str().unwrap()));
}

#[test]
fn a_missing_half_of_a_listener_is_told() {
    let files = Certificate::new().write(Site::new().folder());
    let site = Site::new()
        .with("APP_HTTP__TLS__CERT_FILE", files.cert.to_str().unwrap())
        .with("APP_ADMIN__TLS__KEY_FILE", files.key.to_str().unwrap());
    let said = site.faults(&["check-config"]).join("\n").to_lowercase();
    for key in ["http", "admin"] {
        assert!(
            said.contains(&format!("app_{key}__tls")) || said.contains(&format!("{key}.tls")),
            "{key}: {said}"
        );
    }
}

#[test]
fn a_new_certificate_is_served_without_a_connection_lost_and_a_broken_one_is_not() {
    let [old, new] = [4000, 4001].map(|until| Certificate::of(&PKCS_ED25519, until));
    let (site, files) = serving(&old);
    let service = site.start();
    let reloads = |outcome| service.metrics().sum("tls_certificate_reloads_total", &[("outcome", outcome)]);
    let ask = |certificate: &Certificate| certificate.connect(service.http).send("GET", "/nowhere", "");
    let mut kept = old.connect(service.http);
    assert_eq!(kept.send("GET", "/nowhere", "").unwrap().status, 404);

    new.write(site.folder());
    until_so("the new one is served", || ask(&new).is_ok());
    assert!(ask(&old).is_err());
    assert_eq!(kept.send("GET", "/nowhere", "").unwrap().status, 404);
    let end = "4001-12-31T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    let expires =
        || service.metrics().sum("tls_certificate_expires_timestamp_seconds", &[("listener", "http")]);
    until_so("its end is told", || expires() == end as u64);
    let taken = reloads("ok");

    fs::write(&files.key, old.key.serialize_pem()).unwrap();
    until_so("the fault is counted", || reloads("failed") >= 1);
    assert!(ask(&new).is_ok());
    assert!(kept.send("GET", "/nowhere", "").is_ok());
    let failed = reloads("failed");
    service.signal(Signal::HUP);
    until_so("a hangup reads it again", || reloads("failed") > failed);
    new.write(site.folder());
    until_so("it is mended", || reloads("ok") > taken);
    drop(kept);
}

#[test]
fn http_1_and_http_2_are_spoken_over_tls_1_3_and_told_as_https() {
    let collector = Collector::start(Behaviour::Accept);
    let certificate = Certificate::new();
    let (site, _) = serving(&certificate);
    let service = site.exporting_to(&collector.endpoint()).start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (protocol, version) in [("http/1.1", http::Version::HTTP_11), ("h2", http::Version::HTTP_2)] {
        let client =
            reqwest::Client::builder().no_proxy().tls_backend_preconfigured(certificate.client(protocol));
        let call = client.build().unwrap().get(format!("https://localhost:{}/nowhere", service.http.port()));
        let answer = runtime.block_on(call.send()).unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (404, version));
        assert!(answer.headers().contains_key("strict-transport-security"), "{answer:?}");
    }
    let mut stream = certificate.stream(service.http, "h2");
    stream.conn.complete_io(&mut stream.sock).unwrap();
    assert_eq!(format!("{:?}", stream.conn.protocol_version()), "Some(TLSv1_3)");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    let mut other = certificate.stream(service.http, "smtp");
    assert!(other.write_all(b"x").and_then(|()| other.read(&mut [0])).is_err());
    drop((stream, other));
    until_so("it is counted", || {
        service.metrics().sum("tls_handshakes_failed_total", &[("listener", "http")]) == 1
    });
    service.stop();
    let schemes: Vec<_> = collector
        .spans()
        .iter()
        .filter(|span| span.name.starts_with("GET"))
        .map(|span| chassis_test::spans::text(span, "url.scheme").to_owned())
        .collect();
    assert_eq!(schemes, ["https", "https"]);
}

#[test]
fn callers_without_tls_are_counted_and_hold_up_nobody() {
    let certificate = Certificate::new();
    let (site, _) = serving(&certificate);
    let service = site.with("APP_HTTP__HEADER_TIMEOUT", "500ms").start();
    // A balancer's probe, one that says nothing, one that is slow, and one that speaks plain HTTP.
    drop(raw::connect(service.http));
    let mut silent = raw::connect(service.http);
    let mut slow = raw::connect(service.http);
    slow.write_all(b"\x16\x03\x01\x02").unwrap();
    assert!(!raw::answers(service.http, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").starts_with("HTTP"));
    assert_eq!(certificate.connect(service.http).send("GET", "/nowhere", "").unwrap().status, 404);
    assert_eq!((raw::rest(&mut silent), raw::rest(&mut slow)), (vec![], vec![]));
    until_so("all are counted", || {
        let page = service.metrics();
        page.sum("tls_handshakes_failed_total", &[("listener", "http")]) >= 1
            && page.sum("http_connections_timed_out_total", &[]) == 2
    });
}

#[test]
fn an_encrypted_answer_that_nobody_takes_is_given_up() {
    let certificate = Certificate::new();
    let (site, _) = serving(&certificate);
    let service = site.with("APP_HTTP__HEADER_TIMEOUT", "500ms").start();
    let mut stream = certificate.stream(service.http, "http/1.1");
    let requests = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    // Requests are sent until the service closes, and no answer is read.
    let error = loop {
        if let Err(error) = stream.write_all(requests.as_bytes()) {
            break error;
        }
    };
    assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
}

#[test]
fn the_health_check_asks_over_tls_whatever_the_certificate_is_made_for() {
    let (mut site, _) = Site::new().encrypted("ADMIN", &Certificate::of(&PKCS_ED25519, 4000));
    let service = site.spawn();
    let ready = &service.told("ready", 1)[0];
    site.set("APP_ADMIN__LISTEN", ready["fields"]["admin"].as_str().unwrap());
    until_so("it is healthy", || site.run(&["healthcheck"]).status.success());
}
