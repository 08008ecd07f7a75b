//! Thousands of requests of any kind at the real service: no answer that the documentation does not tell, no
//! panic, and at the end it serves as before. `RANDOM_REQUESTS` says how many there are.

use crate::support::prelude::*;
use chassis_test::mutate::Mutator;
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

const USUAL: u64 = 4000;
const CALLERS: u64 = 4;

/// Everything that may be answered. 499 is the word for who left, and one who only ended its half of the
/// connection can still read it; 414, 431 and 505 are the library's own.
const TOLD: [u16; 25] = [
    200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 408, 409, 413, 414, 415, 417, 421, 422, 429, 431, 499,
    502, 503, 504, 505,
];

#[test]
fn no_request_whatever_brings_a_failure_of_ours_or_the_service_down() {
    let count = std::env::var("RANDOM_REQUESTS").map_or(USUAL, |text| text.parse().unwrap());
    let site = Site::new()
        .with("APP_HTTP__BODY_TIMEOUT", "2s")
        .with("APP_HTTP__HEADER_TIMEOUT", "2s")
        .with("APP_HTTP__CORS_ORIGINS", "https://a.example");
    let service = site.start_with_patient();
    let requests = Requests::read();
    let (next, answers) = (AtomicU64::new(0), parking_lot::Mutex::new(BTreeMap::<u16, u64>::new()));
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let request = requests.number(number);
                    let told = judge(&request, &exchange(service.http, &request));
                    told.into_iter().for_each(|status| *answers.lock().entry(status).or_default() += 1);
                }
            });
        }
    });
    let answers = answers.into_inner();
    println!("{count} requests: {answers:?}");
    // Both the tame and the wild were among them.
    for status in [202, 400, 404, 405, 415, 422] {
        assert!(answers.contains_key(&status), "{answers:?}");
    }
    serves_as_before(service);
}

fn serves_as_before(service: Service) {
    service.accept();
    let page = service.metrics();
    assert!(!page.text.contains("status=\"500\""), "{}", page.text);
    let output = service.stop_and_read();
    assert!(!output.contains(r#""level":"ERROR""#) && !output.contains("panicked"), "{output}");
}

/// The requests in `tests/it/requests`, whole and in parts.
struct Requests {
    seeds: Vec<Vec<u8>>,
    wires: Vec<Vec<u8>>,
    with_body: Vec<Vec<u8>>,
}

impl Requests {
    fn read() -> Self {
        let folder = Path::new("tests/it/requests");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        let wires = seeds.iter().map(|seed| wire(seed)).collect();
        let with_body = seeds.iter().filter(|seed| !parts(seed).1.is_empty()).cloned().collect();
        Self { seeds, wires, with_body }
    }

    /// The same one for the same number. A third of them break HTTP itself more often than not, a third the
    /// head of the request, a third the body alone.
    fn number(&self, number: u64) -> Vec<u8> {
        let mut mutator = Mutator::new(number);
        match number % 3 {
            0 => mutator.near(&self.wires),
            1 => wire(&mutator.near(&self.seeds)),
            _ => {
                let (head, body) = parts(&self.with_body[number as usize / 3 % self.with_body.len()]);
                wire(&[head, b"\n\n", &mutator.near(&[body.to_vec()])].concat())
            }
        }
    }
}

/// The head and the body of a seed.
fn parts(seed: &[u8]) -> (&[u8], &[u8]) {
    let end = seed.windows(2).position(|two| two == b"\n\n").unwrap_or(seed.len());
    let (head, body) = seed.split_at(end);
    (head, body.get(2..).unwrap_or_default())
}

/// One of them as it is on the wire, with its body's true length.
fn wire(request: &[u8]) -> Vec<u8> {
    let (head, body) = parts(request);
    let mut wire = Vec::new();
    for line in head.split(|byte| *byte == b'\n') {
        wire.extend([line, b"\r\n"].concat());
    }
    wire.extend(format!("Host: localhost\r\nContent-Length: {}\r\n\r\n", body.len()).bytes());
    wire.extend(body);
    wire
}

/// Writes it, says that there is no more, and reads what is answered. A connection that was reset because
/// nobody wanted the rest gives what came before.
fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(chassis_test::PATIENCE)).unwrap();
    let _ = stream.write_all(request);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let kind = error.kind();
        assert_eq!(kind, std::io::ErrorKind::ConnectionReset, "{}", request.escape_ascii());
    }
    answer
}

/// The statuses of the answers on one connection, each of which has to be one that is told.
fn judge(request: &[u8], answer: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    let mut rest = answer;
    // HTTP/2 speaks in frames, which are not looked into here.
    while rest.starts_with(b"HTTP/1") {
        let context = || format!("{} => {}", request.escape_ascii(), answer.escape_ascii());
        let end =
            rest.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("{}", context()));
        let head = std::str::from_utf8(&rest[..end]).unwrap().to_ascii_lowercase();
        rest = &rest[end + 4..];
        let status: u16 = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
        if status == 100 {
            continue;
        }
        assert!(TOLD.contains(&status), "{}", context());
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(found, _)| *found == name).map(|(_, value)| value).next_back()
        };
        let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
        // The answer to HEAD has a length and no body, so that the next answer or nothing follows.
        let body = if rest.is_empty() || rest.starts_with(b"HTTP/1") { &[][..] } else { &rest[..length] };
        rest = &rest[body.len()..];
        if status >= 400 && header("traceparent").is_some() {
            assert_eq!(header("content-type"), Some("application/problem+json"), "{}", context());
            let problem = serde_json::from_slice::<Value>(body).ok();
            let told = |problem: Value| {
                let trace = problem["traceId"].as_str().unwrap_or_default().to_owned();
                problem["status"] == status && trace.len() == 32 && head.contains(&trace)
            };
            assert!(body.is_empty() || problem.is_some_and(told), "{}", context());
        }
        statuses.push(status);
    }
    statuses
}
