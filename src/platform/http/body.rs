//! Reading a request's body before its handler runs: within the route's size, within the time for bodies.

use super::{Problem, problems};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::BodyExt;
use std::{
    error::Error,
    io,
    pin::{Pin, pin},
    time::Duration,
};
use tokio::time::timeout;

/// How many bytes of a body that is refused are read all the same, and for how long: a caller that is
/// still writing when we close sees a reset connection instead of the answer.
const PATIENCE: (usize, Duration) = (1024 * 1024, Duration::from_secs(1));

/// The whole body, of at most `largest` bytes, read within `time`.
///
/// # Errors
/// 408 if it is slow, 413 if it is too large, 400 if its framing is broken, 499 if the caller left.
pub(in crate::platform) async fn read<B>(
    headers: &HeaderMap,
    body: B,
    largest: usize,
    time: Duration,
) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let mut body = pin!(body);
    if body.size_hint().lower() > largest as u64 {
        refuse(headers, body).await;
        return Err(problems::too_large(largest));
    }
    match timeout(time, collect(body.as_mut(), largest)).await {
        Err(_) => Err(problems::slow_body()),
        Ok(Err(Failure::Broken(problem))) => Err(problem),
        Ok(Err(Failure::TooLarge)) => {
            refuse(headers, body).await;
            Err(problems::too_large(largest))
        }
        Ok(Ok(bytes)) => Ok(bytes),
    }
}

/// Reads a body that nobody wants for a little while, unless the caller waits to be told before it sends.
pub(super) async fn refuse<B: Body<Data = Bytes>>(headers: &HeaderMap, body: B) {
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    let (most, time) = PATIENCE;
    let drained = async {
        let mut body = pin!(body);
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > most {
                return;
            }
        }
    };
    // Past the time the caller has had its chance.
    let _ = timeout(time, drained).await;
}

enum Failure {
    TooLarge,
    Broken(Problem),
}

/// Collects the data; most bodies are one frame, which is passed on without a copy.
async fn collect<B>(mut body: Pin<&mut B>, largest: usize) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::Broken(broken(&*error.into())))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len().max(all.len()) + data.len() > largest {
            return Err(Failure::TooLarge);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Tells a caller that left from one that sent nonsense.
fn broken(error: &(dyn Error + Send + Sync + 'static)) -> Problem {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let gone = error.downcast_ref::<io::Error>().is_some_and(|error| {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
            matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
        }) || error
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_canceled() || error.is_closed());
        if gone {
            return problems::caller_gone();
        }
        cause = error.source();
    }
    problems::broken_body()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use std::convert::Infallible;

    const LONG: Duration = Duration::from_secs(3600);

    fn frames(parts: &'static [&'static str]) -> impl Body<Data = Bytes, Error = Infallible> {
        let frame = |part: &&'static str| Ok(Frame::data(Bytes::from_static(part.as_bytes())));
        StreamBody::new(futures_util::stream::iter(parts.iter().map(frame)))
    }

    #[tokio::test]
    async fn a_body_is_the_same_in_one_piece_or_in_many() {
        let headers = HeaderMap::new();
        assert_eq!(read(&headers, Full::from("abcdef"), 6, LONG).await.unwrap(), "abcdef");
        assert_eq!(read(&headers, frames(&["ab", "", "cd", "ef"]), 6, LONG).await.unwrap(), "abcdef");
        assert_eq!(read(&headers, frames(&[]), 6, LONG).await.unwrap(), "");
    }

    #[tokio::test]
    async fn the_limit_holds_whether_the_length_is_declared_or_not() {
        let headers = HeaderMap::new();
        assert_eq!(read(&headers, Full::from("abcdefg"), 6, LONG).await.unwrap_err().status(), 413);
        assert_eq!(read(&headers, frames(&["ab", "cd", "efg"]), 6, LONG).await.unwrap_err().status(), 413);
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_slow() {
        let body = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(
            read(&HeaderMap::new(), body, 6, Duration::from_millis(20)).await.unwrap_err().status(),
            408
        );
    }
}
