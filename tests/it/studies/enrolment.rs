//! Who takes part: `PUT` and `DELETE /studies/{studyId}/patients/{patientId}`.

use super::{SEND, SMS, enrol, finished, send, site};
use crate::support::prelude::*;

#[test]
fn a_patient_is_enrolled_once_and_withdrawn_once() {
    let service = Site::new().start();
    let first = enrol(&service, "p-1");
    assert_eq!(first.status, 201, "{first:?}");
    let again = enrol(&service, "p-1");
    assert_eq!((again.status, &again.body), (200, &first.body), "it is enrolled since the first time");
    let path = "/api/v1/studies/s-1/patients/p-1";
    assert_eq!(service.ask("PUT", path, "{}").status, 200);
    service.ask("PUT", path, r#"{"since":1}"#).problem(422, "invalid");
    service.ask("PUT", path, "now").problem(400, "not-json");
    service.ask("PUT", "/api/v1/studies/s-1/patients/p%201", "").problem(422, "invalid");
    service.ask("PUT", "/api/v1/studies/s%2F1/patients/p-1", "").problem(422, "invalid");
    assert_eq!(service.ask("DELETE", path, "").status, 204);
    service.ask("DELETE", path, "").problem(404, "not-found");
    assert_eq!(enrol(&service, "p-1").status, 201);
}

#[test]
fn nobody_is_written_to_who_is_not_enrolled_or_cannot_be_reached() {
    let (gateway, site) = site();
    let service = site.start();
    service.ask("POST", SEND, SMS).problem(404, "not-found");
    for patient in ["p-1", "p-2", "p-3"] {
        service.contact(patient, PATIENT);
        assert_eq!(enrol(&service, patient).status, 201);
    }
    // Enrolled before anybody knows a phone.
    assert_eq!(enrol(&service, "p-4").status, 201);
    service.contact("p-5", PATIENT);
    assert_eq!(service.ask("DELETE", "/api/v1/studies/s-1/patients/p-2", "").status, 204);
    // Its contact is forgotten; enrolled it still is.
    assert_eq!(service.ask("DELETE", "/api/v1/patients/p-3", "").status, 204);
    let id = send(&service, SMS, 1);
    let shown = finished(&service, &id);
    assert_eq!((&shown["accepted"], &shown["skipped"]), (&1.into(), &2.into()), "{shown}");
    assert_eq!(gateway.arrivals().len(), 1);
    assert_eq!(service.ask("DELETE", "/api/v1/studies/s-1/patients/p-1", "").status, 204);
    let id = send(&service, SMS, 0);
    assert_eq!(finished(&service, &id)["skipped"], 2);
}

#[test]
fn the_console_reaches_whoever_is_enrolled() {
    let service = Site::new().start();
    assert_eq!(enrol(&service, "p-1").status, 201);
    let id = send(&service, SMS, 1);
    assert_eq!(finished(&service, &id)["counts"]["delivered"], 1);
    let id = send(&service, super::TO_DEVICES, 1);
    assert_eq!(finished(&service, &id)["counts"]["delivered"], 1);
}
