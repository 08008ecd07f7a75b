//! Whatever a caller sends: an answer that says whose fault it is, and it is never ours.

use crate::support::http::{Meeting, config, routes};
use epro_notify::platform::http::{Peer, Stack};
use http::Request;
use http_body_util::Full;
use proptest::prelude::*;

proptest! {
    #[test]
    fn no_request_is_answered_with_a_failure_of_ours(
        method in "[A-Z]{1,8}|GET|POST|OPTIONS",
        path in "/things|/things/[!-~]{0,20}|/[!-~]{0,20}",
        kind in "application/json|[ -~]{0,30}",
        key in "[ -~]{0,300}",
        body in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), json()],
    ) {
        let request = Request::builder()
            .method(method.as_str())
            .uri(path)
            .header("content-type", kind)
            .header("idempotency-key", key)
            .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .body(Full::from(body));
        // What is no request at all does not come as far as this.
        let Ok(request) = request else { return Ok(()) };
        let peer = Peer { address: ([127, 0, 0, 1], 1).into(), trusted: false, encrypted: false };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let status = runtime.block_on(async {
            let stack = Stack::new(routes(Meeting::default()), &config(), None).unwrap();
            stack.answer(request, peer).await.status()
        });
        prop_assert!(!status.is_server_error(), "{status}");
    }
}

/// Bodies that are nearly right.
fn json() -> impl Strategy<Value = Vec<u8>> {
    r#"\{("name"|"nam"):("[a-z]*"|[0-9]{1,3}|null|\[\]|\{"name":1\})(,"name":"n")?\}?"#
        .prop_map(String::into_bytes)
}
