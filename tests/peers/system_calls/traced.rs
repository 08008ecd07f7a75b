//! The service under strace, which writes down every read, write and sync.

use crate::support::{
    service::{Service, Site},
    wait::until,
};
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
        site.set("APP_STORE__URL", &format!("sqlite://{}{query}", site.store().display()));
        // `-D` makes the service our child and strace a bystander, so that signals and exit codes are the service's.
        let strace = ["strace", "-D", "-f", "-yy", "-s", "32", "-e", CALLS, "-e", "signal=none", "-o"];
        site.under = strace.into_iter().map(OsString::from).collect();
        site.under.push(site.folder().join("trace").into());
        Self { service: site.start(), site }
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
