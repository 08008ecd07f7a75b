//! Previews as the running service serves them.

use super::{FONT, LARGEST, fonts, paper::text};
use crate::{
    need,
    support::service::{Service, Site},
};
use chassis_test::ask;
use serde_json::json;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};

fn start() -> Service {
    // Says what is missing.
    fonts();
    Site::new().with("APP_REPORTS__PREVIEW__FONT_FILE", FONT).start()
}

/// The path of a new report's preview.
fn submitted(service: &Service, content: &str) -> String {
    let body = json!({ "patientId": "canary-4711", "content": content }).to_string();
    let answer = service.ask("POST", "/api/v1/reports", &body);
    assert_eq!(answer.status, 201, "{answer:?}");
    format!("/api/v1/reports/{}/preview.pdf", answer.text("reportId"))
}

/// An answer's head, in lower case, and its body.
fn fetch(http: SocketAddr, method: &str, path: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(http).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let body = answer.split_off(end);
    (String::from_utf8(answer).unwrap().to_lowercase(), body)
}

#[test]
fn a_report_is_served_as_pdf_under_its_own_name_and_tells_nobody_whose_it_is() {
    need("pdftotext");
    let service = start();
    let path = submitted(&service, "今天头痛, took 500 mg");
    let (head, pdf) = fetch(service.http, "GET", &path);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let id = path.split('/').nth(4).unwrap();
    for line in [
        "content-type: application/pdf",
        &format!("content-disposition: inline; filename=\"report-{id}.pdf\""),
        "cache-control: no-store",
        &format!("content-length: {}", pdf.len()),
    ] {
        assert!(head.contains(&format!("{line}\r\n")), "{line} is not in {head}");
    }
    let shown = text(&pdf);
    assert!(shown.contains("今天头痛, took 500 mg") && shown.contains(id), "{shown}");
    assert!(!shown.contains("4711") && !String::from_utf8_lossy(&pdf).contains("4711"));

    let (head, nothing) = fetch(service.http, "HEAD", &path);
    assert!(head.contains(&format!("content-length: {}\r\n", pdf.len())) && nothing.is_empty(), "{head}");
    assert!(!service.stop_and_read().contains("4711"));
}

#[test]
fn more_than_can_be_drawn_are_turned_away_and_counted_while_reports_come_in() {
    let service = start();
    let path = submitted(&service, &('\u{4e00}'..).take(LARGEST / 3).collect::<String>());
    let callers: Vec<_> = (0..200)
        .map(|_| {
            let (http, path) = (service.http, path.clone());
            thread::spawn(move || ask(http, "GET", &path, "").unwrap())
        })
        .collect();
    submitted(&service, "meanwhile");
    let answers: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    let drawn = answers.iter().filter(|answer| answer.status == 200).count();
    let shed = answers.len() - drawn;
    assert!(drawn > 0 && shed > 0, "{drawn} drawn, {shed} shed");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert!(answer.problem(503, "degraded").is_some_and(|seconds| seconds >= 1), "{answer:?}");
    }
    let page = service.metrics();
    assert_eq!(page.sum("load_shed_total", &[("feature", "report_preview")]), shed as u64);
    assert_eq!(page.sum("report_preview_duration_seconds_count", &[]), drawn as u64);
    service.stop();
}
