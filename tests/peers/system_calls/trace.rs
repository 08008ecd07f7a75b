//! Reading a trace of strace, and the proof that is drawn from it.
//!
//! strace stops a thread when a call begins and when it has ended, and writes both down in the order
//! of the stops. So a call whose line begins after another's end really began after that one had ended.

use std::{collections::HashMap, fmt};

/// A system call on a descriptor.
struct Call {
    name: String,
    /// What the descriptor stands for, as `TCP:[…]` or a path (strace's `-yy`).
    object: String,
    arguments: String,
    /// The line where it began.
    begun: usize,
    /// The line where it ended.
    ended: usize,
    /// Negative when it failed.
    result: i64,
}

/// All calls that ended.
pub struct Trace(Vec<Call>);

/// A 202 that promises what no sync has made true.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    socket: String,
    arrived: usize,
    answered: usize,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { socket, arrived, answered } = self;
        write!(f, "{socket}: no sync between the request (line {arrived}) and its 202 (line {answered})")
    }
}

/// Holds a trace to the promise: between the last byte of a request and the first of its 202, a sync of
/// the write-ahead log began and succeeded. Returns how many 202s kept it.
pub fn every_202_follows_a_sync(trace: &Trace) -> Result<usize, Violation> {
    let answers: Vec<&Call> = trace.0.iter().filter(|call| call.is_accepted()).collect();
    for answer in &answers {
        let requests = trace.0.iter().filter(|call| call.is_read() && call.object == answer.object);
        let arrived =
            requests.map(|call| call.ended).filter(|ended| *ended < answer.begun).max().unwrap_or(0);
        let mut syncs = trace.0.iter().filter(|call| call.is_sync());
        if !syncs.any(|sync| sync.begun > arrived && sync.ended < answer.begun) {
            return Err(Violation { socket: answer.object.clone(), arrived, answered: answer.begun });
        }
    }
    Ok(answers.len())
}

impl Call {
    fn is_read(&self) -> bool {
        ["read", "readv", "recvfrom", "recvmsg"].contains(&self.name.as_str()) && self.result > 0
    }

    fn is_accepted(&self) -> bool {
        let writes = ["write", "writev", "sendto", "sendmsg"].contains(&self.name.as_str());
        writes && self.object.starts_with("TCP") && self.arguments.contains("\"HTTP/1.1 202 ")
    }

    fn is_sync(&self) -> bool {
        ["fsync", "fdatasync"].contains(&self.name.as_str())
            && self.object.ends_with("-wal")
            && self.result == 0
    }
}

impl Trace {
    /// Reads the output of `strace -f -yy -o`. Lines that are no calls on a descriptor are passed over.
    pub fn parse(text: &str) -> Self {
        let mut unfinished: HashMap<&str, (usize, String)> = HashMap::new();
        let mut calls = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some((thread, event)) = line.split_once(' ') else { continue };
            let event = event.trim_start();
            if let Some(begin) = event.strip_suffix(" <unfinished ...>") {
                unfinished.insert(thread, (number, begin.to_owned()));
            } else if let Some((_, end)) =
                event.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>"))
            {
                let Some((begun, begin)) = unfinished.remove(thread) else { continue };
                calls.extend(Call::parse(&format!("{begin}{end}"), begun, number));
            } else {
                calls.extend(Call::parse(event, number, number));
            }
        }
        Self(calls)
    }
}

impl Call {
    fn parse(text: &str, begun: usize, ended: usize) -> Option<Self> {
        let (name, rest) = text.split_once('(')?;
        let (call, result) = rest.rsplit_once(" = ")?;
        let (_, described) = call.split_once('<')?;
        // A socket's description holds an arrow, so that the first `>` is not its end.
        let end =
            if described.starts_with("TCP") { described.find("]>")? + 1 } else { described.find('>')? };
        Some(Self {
            name: name.to_owned(),
            object: described.get(..end)?.to_owned(),
            arguments: described.get(end + 1..)?.to_owned(),
            begun,
            ended,
            result: result.split(' ').next()?.parse().unwrap_or(-1),
        })
    }
}

mod the_proof_can_fail {
    use super::{Trace, Violation, every_202_follows_a_sync};

    const REQUEST: &str =
        r#"10 recvfrom(12<TCP:[127.0.0.1:80->127.0.0.1:9]>, "POST /api"..., 8192, 0, NULL, NULL) = 200"#;
    const SYNC: &str = "11 fdatasync(9</tmp/store.db-wal>)       = 0";
    const ANSWER: &str = r#"10 sendto(12<TCP:[127.0.0.1:80->127.0.0.1:9]>, "HTTP/1.1 202 Accepted\r\n"..., 180, 0, NULL, 0) = 180"#;

    fn judge(lines: &[&str]) -> Result<usize, Violation> {
        every_202_follows_a_sync(&Trace::parse(&lines.join("\n")))
    }

    fn refused(lines: &[&str]) -> bool {
        judge(lines).is_err()
    }

    #[test]
    fn a_sync_between_request_and_answer_is_a_proof() {
        assert_eq!(judge(&[REQUEST, SYNC, ANSWER]), Ok(1));
        assert_eq!(judge(&[REQUEST, SYNC, ANSWER, REQUEST, SYNC, ANSWER]), Ok(2));
        let vectored = ANSWER.replace("sendto", "writev").replace("\"HTTP", "[{iov_base=\"HTTP");
        assert_eq!(judge(&[REQUEST, SYNC, &vectored]), Ok(1));
    }

    #[test]
    fn an_answer_without_a_sync_of_its_own_is_none() {
        assert!(refused(&[REQUEST, ANSWER]));
        assert!(refused(&[REQUEST, ANSWER, SYNC]));
        assert!(refused(&[SYNC, REQUEST, ANSWER]));
        assert!(refused(&[REQUEST, SYNC, ANSWER, REQUEST, ANSWER]));
        assert!(refused(&[
            REQUEST,
            "11 fdatasync(9</tmp/store.db-wal>) = -1 EIO (Input/output error)",
            ANSWER
        ]));
        assert!(refused(&[REQUEST, "11 fdatasync(9</tmp/store.db>) = 0", ANSWER]));
    }

    #[test]
    fn a_sync_that_began_before_the_request_or_ended_after_the_answer_is_none() {
        let begin = "11 fdatasync(9</tmp/store.db-wal> <unfinished ...>";
        let end = "11 <... fdatasync resumed>)            = 0";
        assert_eq!(judge(&[REQUEST, begin, end, ANSWER]), Ok(1));
        assert!(refused(&[begin, REQUEST, end, ANSWER]));
        assert!(refused(&[REQUEST, begin, ANSWER, end]));
    }

    #[test]
    fn a_request_has_arrived_only_with_its_last_piece() {
        assert!(refused(&[REQUEST, SYNC, REQUEST, ANSWER]));
        let empty = r#"10 recvfrom(12<TCP:[127.0.0.1:80->127.0.0.1:9]>, 0x7f, 8192, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)"#;
        assert_eq!(judge(&[REQUEST, SYNC, empty, ANSWER]), Ok(1));
    }
}
