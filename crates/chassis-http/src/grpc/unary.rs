//! Unary calls: the whole request is read first, as one message, and its answer has a deadline.

use crate::layers::{Times, slow_handler};
use crate::{Around, ServerConfig};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout};
use tonic::Status;

/// When a call has to be answered: an extension of every unary request, for what its handler calls in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Instant);

/// The largest message that is read, in bytes; a service may take less by `max_decoding_message_size`.
const LARGEST_MESSAGE: usize = 256 * 1024;
/// What stands before each message: whether it is compressed, and its length as a big-endian number.
const PREFIX: usize = 5;

/// For routes of services whose methods take one message and answer with one. Reads the message within `body_timeout`
/// (CANCELLED) and 256 KiB (RESOURCE_EXHAUSTED), refuses a second one, and gives the answer the smaller of the caller's
/// `grpc-timeout` (DEADLINE_EXCEEDED) and `handler_timeout` (UNAVAILABLE with the reason COMMIT_UNKNOWN), which handlers
/// find as [`Deadline`].
pub fn unary(config: &ServerConfig) -> Around<Times> {
    from_fn_with_state((config.body_timeout, config.handler_timeout), |State(times), request, next| {
        Box::pin(async move { answer(times, request, next).await.unwrap_or_else(Status::into_http) })
    })
}

async fn answer((body_time, ours): Times, request: Request, next: Next) -> Result<Response, Status> {
    let slow = |_| Status::cancelled("the request took too long to arrive");
    let asked = asked(request.headers())?.filter(|asked| *asked <= ours);
    let deadline = Instant::now() + asked.unwrap_or(ours);
    let passed = || Status::deadline_exceeded("the deadline passed before the answer was there");
    // A deadline that has passed begins nothing; the timer below is too coarse to tell.
    if asked.is_some() && deadline <= Instant::now() {
        return Err(passed());
    }
    let answered = async {
        let (mut parts, body) = request.into_parts();
        let message = timeout(body_time, message(body)).await.map_err(slow)??;
        parts.extensions.insert(Deadline(deadline));
        Ok(next.run(Request::from_parts(parts, Body::from(message))).await)
    };
    // What was begun is dropped; a commit that is under way goes on without it.
    tokio::select! {
        biased;
        () = sleep_until(deadline.into()) => Err(match asked {
            Some(_) => passed(),
            None => slow_handler(&Method::POST).into(),
        }),
        answer = answered => answer,
    }
}

/// The whole body, which is one message. One that says it will be too large is refused before it is waited for.
async fn message(mut body: Body) -> Result<Bytes, Status> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // As by a caller that leaves.
        let frame = frame.map_err(|_| Status::cancelled("the request broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        read.extend_from_slice(&data);
        let Some(announced) = announced(&read) else { continue };
        if announced > LARGEST_MESSAGE {
            // Without a RetryInfo: it will not pass later either.
            return Err(Status::resource_exhausted(format!(
                "a message may have {LARGEST_MESSAGE} bytes at most"
            )));
        }
        if read.len() > PREFIX + announced {
            return Err(Status::invalid_argument("the call takes one message"));
        }
    }
    Ok(read.freeze())
}

/// How long the message says that it is, in bytes.
fn announced(bytes: &[u8]) -> Option<usize> {
    let (&[_, a, b, c, d], _) = bytes.split_first_chunk::<PREFIX>()?;
    usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()
}

/// How long the caller waits. A deadline that can't be read is refused, since its caller counts on it.
fn asked(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let malformed = "grpc-timeout is up to eight digits and one of H, M, S, m, u, n";
    parse(value.as_bytes()).map(Some).ok_or_else(|| Status::invalid_argument(malformed))
}

/// `TimeoutValue TimeoutUnit` of <https://grpc.github.io/grpc/core/md_doc__p_r_o_t_o_c_o_l-_h_t_t_p2.html>. Zero is read
/// too, as common servers do: a deadline that has passed.
fn parse(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(value * 3600),
        b'M' => Duration::from_secs(value * 60),
        b'S' => Duration::from_secs(value),
        b'm' => Duration::from_millis(value),
        b'u' => Duration::from_micros(value),
        b'n' => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use proptest::prelude::*;
    use std::convert::Infallible;
    use tonic::Code;

    fn chunks(bytes: &[u8], size: usize) -> Body {
        let parts =
            bytes.chunks(size).map(|part| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(part))));
        Body::new(StreamBody::new(futures_util::stream::iter(parts.collect::<Vec<_>>())))
    }

    fn prefixed(announced: usize, sent: usize) -> Vec<u8> {
        let length = u32::try_from(announced).unwrap().to_be_bytes();
        [&[0][..], &length[..], &vec![7; sent][..]].concat()
    }

    async fn outcome(bytes: &[u8], size: usize) -> Result<Bytes, Code> {
        message(chunks(bytes, size)).await.map_err(|status| status.code())
    }

    #[tokio::test]
    async fn one_message_of_the_largest_size_is_read() {
        let largest = prefixed(LARGEST_MESSAGE, LARGEST_MESSAGE);
        assert_eq!(outcome(&largest, 1000).await.unwrap(), largest);
        assert_eq!(outcome(&prefixed(LARGEST_MESSAGE + 1, 0), 1000).await, Err(Code::ResourceExhausted));
        let two = [prefixed(3, 3), prefixed(0, 0)].concat();
        assert_eq!(outcome(&two, 4).await, Err(Code::InvalidArgument));
    }

    #[test]
    fn every_unit_is_read_and_nothing_else() {
        for (text, expected) in
            [("1H", 3_600_000), ("2M", 120_000), ("3S", 3000), ("4m", 4), ("0n", 0), ("99999999u", 99_999)]
        {
            assert_eq!(parse(text.as_bytes()).unwrap().as_millis(), expected, "{text}");
        }
        for text in ["", "S", "1", "1s", "123456789n", "-1S", "1.5S", " 1S", "1 S"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_message_is_the_same_however_it_is_cut(content: Vec<u8>, size in 1usize..20) {
            let bytes = [prefixed(content.len(), 0), content].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = runtime.block_on(outcome(&bytes, size));
            prop_assert_eq!(read, Ok(Bytes::from(bytes)));
        }
    }
}
