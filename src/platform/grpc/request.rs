//! Reading a request's one message before its handler runs: within the size and the time for it.

use super::{services::LARGEST_MESSAGE, status};
use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full};
use std::{error::Error, pin::pin, time::Instant};
use tokio::time::timeout_at;
use tonic::{Status, body::Body};

/// What stands before each message: whether it is compressed, and its length as a big-endian number.
const PREFIX: usize = 5;

/// The request with its body read, by then.
///
/// # Errors
/// It is slow, too large, or broke off.
pub(super) async fn read<B>(request: Request<B>, until: Instant) -> Result<Request<Body>, Status>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let (parts, body) = request.into_parts();
    let message = timeout_at(until.into(), collect(body)).await.map_err(|_| status::slow_request())??;
    Ok(Request::from_parts(parts, Body::new(Full::new(message))))
}

/// The whole body. Most are one frame, which is passed on without a copy. A message that says it will be too large
/// is refused before it is waited for, and before anybody makes room for it.
async fn collect<B>(body: B) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let mut body = pin!(body);
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| broken())?.into_data() else { continue };
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
        let have: &[u8] = if all.is_empty() { &first } else { &all };
        if have.len() > PREFIX + LARGEST_MESSAGE
            || announced(have).is_some_and(|length| length > LARGEST_MESSAGE)
        {
            return Err(status::too_large(LARGEST_MESSAGE));
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// How long the message says that it is, in bytes.
fn announced(bytes: &[u8]) -> Option<usize> {
    let (&[_, a, b, c, d], _) = bytes.split_first_chunk::<PREFIX>()?;
    usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()
}

/// The stream ended otherwise than by its end: the caller left, and reads no answer.
fn broken() -> Status {
    Status::cancelled("the request broke off")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use proptest::prelude::*;
    use std::{convert::Infallible, time::Duration};
    use tonic::Code;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn chunks(bytes: &[u8], size: usize) -> impl http_body::Body<Data = Bytes, Error = Infallible> + use<> {
        let frames: Vec<_> =
            bytes.chunks(size).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    fn prefixed(announced: usize, sent: usize) -> Vec<u8> {
        let length = u32::try_from(announced).unwrap().to_be_bytes();
        [&[0][..], &length[..], &vec![7; sent][..]].concat()
    }

    async fn outcome(bytes: &[u8], size: usize) -> Result<Bytes, Code> {
        let read = read(Request::new(chunks(bytes, size)), later()).await.map_err(|status| status.code())?;
        Ok(read.into_body().collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn the_largest_message_is_read_and_a_larger_one_is_not() {
        let largest = prefixed(LARGEST_MESSAGE, LARGEST_MESSAGE);
        assert_eq!(outcome(&largest, 1000).await.unwrap(), largest);
        let larger = prefixed(LARGEST_MESSAGE, LARGEST_MESSAGE + 1);
        assert_eq!(outcome(&larger, 1000).await, Err(Code::ResourceExhausted));
    }

    #[tokio::test]
    async fn what_says_that_it_will_be_too_large_is_not_waited_for() {
        let head = prefixed(LARGEST_MESSAGE + 1, 0);
        let frame = Ok::<_, Infallible>(Frame::data(Bytes::from(head)));
        let frames = futures_util::stream::iter([frame]);
        let endless =
            StreamBody::new(futures_util::StreamExt::chain(frames, futures_util::stream::pending()));
        let refused = read(Request::new(endless), later()).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
    }

    #[tokio::test]
    async fn a_request_that_never_ends_is_slow() {
        let body = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let until = Instant::now() + Duration::from_millis(20);
        assert_eq!(read(Request::new(body), until).await.unwrap_err().code(), Code::Cancelled);
    }

    proptest! {
        #[test]
        fn a_request_is_the_same_however_it_is_cut(bytes: Vec<u8>, size in 1usize..20) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let too_large = announced(&bytes).is_some_and(|length| length > LARGEST_MESSAGE);
            let expected = if too_large { Err(Code::ResourceExhausted) } else { Ok(Bytes::from(bytes.clone())) };
            prop_assert_eq!(runtime.block_on(outcome(&bytes, size)), expected);
        }
    }
}
