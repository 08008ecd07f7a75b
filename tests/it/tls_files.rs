//! The files of TLS with the real program: judged at start, read again when they change, and asked by the
//! health check.

use crate::support::{
    certificates::{self, Certificate, connect, expected, files, get},
    metrics_page::MetricsPage,
    process::{Process, ask},
    wait::until_so,
};
use epro_notify::platform::tls::TlsConfig;
use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use rustix::process::Signal;
use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

/// The two variables of a listener.
fn variables<'a>(listener: &str, files: &'a TlsConfig) -> [(String, &'a str); 2] {
    let path = |path: &'a Path| path.to_str().unwrap();
    [
        (format!("APP_{listener}__TLS__CERT_FILE"), path(&files.cert_file)),
        (format!("APP_{listener}__TLS__KEY_FILE"), path(&files.key_file)),
    ]
}

fn program(variables: &[(String, &str)], arguments: &[&str]) -> Output {
    let variables = variables.iter().map(|(name, value)| (name, value));
    Command::new(env!("CARGO_BIN_EXE_epro-notify"))
        .env_clear()
        .envs(variables)
        .args(arguments)
        .output()
        .unwrap()
}

fn start(listener: &str, files: &TlsConfig) -> Process {
    let variables = variables(listener, files);
    Process::start(&variables.each_ref().map(|(name, value)| (name.as_str(), *value)))
}

#[test]
fn every_form_and_kind_of_key_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    for kind in [&rcgen::PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256] {
        let certificate = Certificate::of(kind, 4000);
        certificate.write(&files);
        let checked = program(&variables("HTTP", &files), &["check-config"]);
        assert!(checked.status.success(), "{kind:?} as PKCS#8: {checked:?}");
        let old_form = match kind {
            _ if kind == &PKCS_RSA_SHA256 => "RSA PRIVATE KEY",
            _ if kind == &PKCS_ED25519 => continue,
            _ => "EC PRIVATE KEY",
        };
        fs::write(&files.key_file, certificates::old_form(&certificate.key, old_form)).unwrap();
        let checked = program(&variables("ADMIN", &files), &["check-config"]);
        assert!(checked.status.success(), "{kind:?} as {old_form}: {checked:?}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_one_line_and_says_nothing_of_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let key = certificate.key.serialize_pem();
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cut = key.lines().take(2).collect::<Vec<_>>().join("\n");
    let damaged = certificate.chain.replacen("MII", "MIA", 1);
    let (chain, of_other) = (certificate.chain.as_str(), other.key.serialize_pem());
    let cases = [
        ("CERT", "", &*key, "holds no certificate"),
        ("CERT", "no PEM at all", &key, "holds no certificate"),
        ("CERT", &damaged, &key, "holds a damaged certificate"),
        ("CERT", "-----BEGIN CERTIFICATE-----\nMIIB", &key, "is cut off"),
        ("KEY", chain, "", "holds no private key"),
        ("KEY", chain, chain, "holds no private key"),
        ("KEY", chain, &encrypted, "holds an encrypted key"),
        ("KEY", chain, &cut, "is cut off"),
        (
            "KEY",
            chain,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "is damaged or not supported",
        ),
        ("KEY", chain, &of_other, "is not the key of the certificate in"),
    ];
    for (part, cert_text, key_text, fault) in cases {
        fs::write(&files.cert_file, cert_text).unwrap();
        fs::write(&files.key_file, key_text).unwrap();
        for command in ["check-config", "serve"] {
            let output = program(&variables("HTTP", &files), &[command]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), said.lines().count()), (Some(64), 1), "{fault}: {said}");
            assert!(said.starts_with(&format!("APP_HTTP__TLS__{part}_FILE (environment): ")), "{said}");
            assert!(
                said.contains(folder.path().to_str().unwrap()) && said.contains(fault),
                "{fault}: {said}"
            );
            let of_key = key.lines().chain(of_other.lines()).filter(|line| !line.starts_with("--"));
            of_key.for_each(|line| assert!(!said.contains(line), "{said}"));
        }
    }
    fs::remove_file(&files.cert_file).unwrap();
    let said = String::from_utf8(program(&variables("HTTP", &files), &["check-config"]).stderr).unwrap();
    assert!(said.contains("can't be read (entity not found)"), "{said}");
}

#[test]
fn a_new_certificate_is_served_without_a_connection_lost_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (files, [old, new]) =
        (files(folder.path()), [4000, 4001].map(|until| Certificate::of(&PKCS_ED25519, until)));
    old.write(&files);
    let mut process = start("HTTP", &files);
    let page = |process: &Process| MetricsPage(ask(process.admin, "/metrics").unwrap().body);
    let reloads = |process: &Process, outcome| {
        page(process).sum("tls_certificate_reloads_total", &[("outcome", outcome)])
    };
    let [takes_old, takes_new] =
        [("old", &old), ("new", &new)].map(|(name, it)| expected(folder.path(), name, it));
    let mut kept = connect(process.http, &takes_old);
    assert!(get(&mut kept, "/nowhere").unwrap().starts_with("HTTP/1.1 404"));

    new.write(&files);
    process.await_line("certificate reloaded");
    assert!(get(&mut connect(process.http, &takes_new), "/nowhere").is_ok());
    assert!(get(&mut connect(process.http, &takes_old), "/nowhere").is_err());
    assert!(get(&mut kept, "/nowhere").unwrap().starts_with("HTTP/1.1 404"));
    let end = "4001-12-31T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    let expires = page(&process).sum("tls_certificate_expires_timestamp_seconds", &[("listener", "http")]);
    assert_eq!(expires, end as u64);

    fs::write(&files.key_file, old.key.serialize_pem()).unwrap();
    process.await_line("the certificate cannot be reloaded, the old one stays");
    assert!(get(&mut connect(process.http, &takes_new), "/nowhere").is_ok());
    assert!(get(&mut kept, "/nowhere").is_ok());
    assert_eq!((reloads(&process, "ok"), reloads(&process, "failed")), (1, 1));

    process.signal(Signal::HUP);
    until_so("a hangup reads it again", || reloads(&process, "failed") == 2);
    new.write(&files);
    process.await_line("certificate reloaded");
    process.signal(Signal::TERM);
    drop(kept);
    assert_eq!(process.wait().0, Some(0));
}

#[test]
fn the_health_check_takes_the_configured_certificate_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (files, certificate) = (files(folder.path()), Certificate::of(&PKCS_ED25519, 2001));
    certificate.write(&files);
    let process = start("ADMIN", &files);
    let address = process.admin.to_string();
    let check = || {
        let [cert, key] = variables("ADMIN", &files);
        program(&[cert, key, ("APP_ADMIN__LISTEN".to_owned(), &address)], &["healthcheck"])
    };
    until_so("it is healthy", || check().status.success());
    // A key that it does not need to know.
    fs::remove_file(&files.key_file).unwrap();
    assert!(check().status.success());
    fs::write(&files.cert_file, Certificate::new().chain).unwrap();
    let refused = check();
    assert_eq!(refused.status.code(), Some(70), "{refused:?}");
}

#[test]
fn a_missing_key_of_another_listener_is_told_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let [http_cert, _] = variables("HTTP", &files);
    let [_, admin_key] = variables("ADMIN", &files);
    let output = program(&[http_cert, admin_key, ("APP_HTTP__LISTEN".to_owned(), &taken)], &["check-config"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("set http.tls.key_file too") && said.contains("set admin.tls.cert_file too"),
        "{said}"
    );
}
