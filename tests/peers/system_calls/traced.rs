//! The service under strace, which writes down every read, write and sync.

use crate::support::service::{Service, Site};
use chassis_test::until;
use std::{ffi::OsString, fs};

const CALLS: &str = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync";

pub struct Traced {
    pub service: Service,
    site: Site,
}

impl Traced {
    /// `query` is put behind the store's URL.
    pub fn start(query: &str) -> Self {
        let mut site = Site::new();
        let store = format!("sqlite://{}{query}", site.store().display());
        site.set("APP_STORE__URL", &store);
        // `-D` makes the service our child and strace a bystander, so that signals and exit codes are the service's.
        let strace = ["strace", "-D", "-f", "-yy", "-s", "32", "-e", CALLS, "-e", "signal=none", "-o"];
        let trace = site.folder().join("trace").into();
        site.under = strace.into_iter().map(OsString::from).chain([trace]).collect();
        Self { service: site.start_with_patient(), site }
    }

    /// Stops it as an operator does, and returns the trace.
    pub fn stop(self) -> String {
        let main = self.service.id().to_string();
        self.service.stop();
        let trace = self.site.folder().join("trace");
        // The main thread's end is the last line that strace writes.
        let is_end =
            |line: &str| line.split_whitespace().next() == Some(&main) && line.ends_with("exited with 0 +++");
        until("strace has finished its trace", || {
            let text = fs::read_to_string(&trace).unwrap_or_default();
            text.lines().any(is_end).then_some(text)
        })
    }
}
