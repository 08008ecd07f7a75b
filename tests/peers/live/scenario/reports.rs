//! Reports over HTTP and gRPC, kept, rejected, read and drawn; and what ctms makes of them.

use super::super::{
    caller::{Rpc, until_told},
    keys::{APP, GREEDY, READER, UNKNOWN},
    stack::Stack,
};
use serde_json::{Value, json};
use tonic::Code;

pub fn play(stack: &Stack) {
    for one in &stack.instances {
        let (caller, mut last) = (one.caller(), String::new());
        for patient in ["p-1", "p-2", "p-3", "p-without-contact"] {
            let report = json!({ "patientId": patient, "content": "slept well, 头痛" });
            let id = caller.expect(201, "POST", "/reports", &report).text("reportId");
            last = format!("/reports/{id}/preview.pdf");
        }
        // Drawn when nothing else is to be done: it may be turned away on a busy machine.
        until_told("a preview is drawn", || caller.ask("GET", &last, "").status == 200);
        caller.expect(422, "POST", "/reports", &json!({ "patientId": "p-1", "content": "" }));
        caller.get("/patients/p-1/reports/latest");
        caller.expect(404, "GET", "/patients/p-9/reports/latest", &Value::Null);

        let grpc = one.service().grpc;
        let mut rpc = Rpc::of(grpc, &stack.files, APP);
        assert_eq!(rpc.submit("p-2", "slept badly"), Code::Ok);
        assert_eq!(rpc.submit("not a patient", ""), Code::InvalidArgument);
        assert_eq!((rpc.latest("p-2"), rpc.latest("p-9")), (Code::Ok, Code::NotFound));
        assert_eq!(Rpc::of(grpc, &stack.files, READER).submit("p-2", "x"), Code::PermissionDenied);
        assert_eq!(Rpc::of(grpc, &stack.files, UNKNOWN).latest("p-2"), Code::Unauthenticated);
        Rpc::of(grpc, &stack.files, GREEDY).until_limited("p-2");
    }
    remembered(stack);
}

/// More patients than ctms remembers, and one of whom nobody knows.
fn remembered(stack: &Stack) {
    let caller = stack.ctms.caller();
    let latest = |patient: &str| caller.ask("GET", &format!("/patients/{patient}/latest-report"), "").status;
    until_told("ctms tells a report", || latest("p-1") == 200);
    until_told("ctms knows that there is none", || latest("p-9") == 404);
    for patient in ["p-1", "p-2", "p-3", "p-without-contact"] {
        until_told("ctms tells every report", || latest(patient) == 200);
    }
}
