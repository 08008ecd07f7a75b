//! What each field takes and refuses, with inputs that public bug reports of similar systems name.

use crate::support::prelude::*;
use jiff::{SignedDuration, Timestamp};

/// The statuses that a PUT of a contact with this member gets.
fn put(service: &Service, member: &str, value: &Value) -> u16 {
    service.ask("PUT", "/api/v1/patients/p-1", &json!({ member: value }).to_string()).status
}

#[test]
fn a_phone_is_one_that_takes_an_sms() {
    let service = Site::new().start();
    // Landlines and mobiles of many regions.
    for phone in
        ["+4930901820", "+447911123456", "+12125551234", "+8613800138000", "+33612345678", "+61412345678"]
    {
        assert!(matches!(put(&service, "phone", &json!(phone)), 200 | 201), "{phone}");
    }
    // Premium rate, shared cost, toll-free, too short, too long, not E.164, and what only looks like digits.
    for phone in [
        "+19005551234", "+18005551234", "+448001111111", "+498001234567", "+49123", "+4930901820123456789",
        "004930901820", "4930901820", "+49 30 901820", "+4930901820;ext=1", "tel:+4930901820", "", "+",
        "+٤٩٣٠٩٠١٨٢٠", "+80012345678", "+979123456789", "+80812345678", "\u{202a}+4930901820\u{202c}",
        "+4930901820\n", "＋4930901820", "+4901511234567", "+112",
    ] {
        assert_eq!(put(&service, "phone", &json!(phone)), 422, "{phone:?}");
    }
}

#[test]
fn a_time_zone_is_one_of_the_iana_database() {
    let service = Site::new().start();
    for zone in ["Europe/Berlin", "America/Argentina/Ushuaia", "UTC", "Asia/Kolkata", "Etc/GMT-14", "GMT0"] {
        assert!(matches!(put(&service, "timeZone", &json!(zone)), 200 | 201), "{zone}");
    }
    for zone in [
        "Mars/Olympus", "", "Europe/", "Europe/berlin\u{0}", "../../etc/passwd", "/etc/localtime", "+01:00",
        "posixrules", "EST5EDT4",
    ] {
        assert_eq!(put(&service, "timeZone", &json!(zone)), 422, "{zone:?}");
    }
}

#[test]
fn an_id_can_be_written_in_every_path() {
    let service = Site::new().start();
    for id in ["p-1", "P_1.x", "...", "-", &"a".repeat(64)] {
        let path = format!("/api/v1/patients/{id}");
        assert_eq!(service.ask("PUT", &path, "{}").status, 201, "{id}");
    }
    for id in [".", "..", "%2E%2E", "%2e", "a%20b", "a%2Fb", "ä", &"a".repeat(65)] {
        let status = service.ask("PUT", &format!("/api/v1/patients/{id}"), "{}").status;
        assert!(matches!(status, 400 | 404 | 422), "{id}: {status}");
    }
    for id in [".", "..", "", "a b", "a/b", "a\u{0}"] {
        let body = json!({ "patientId": id, "message": "x" });
        service.ask("POST", ASYNC, &body.to_string()).problem(422, "invalid");
    }
}

#[test]
fn a_text_has_something_visible_in_it_and_no_control_characters() {
    let service = Site::new().start();
    let sms =
        |text: &str| service.ask("POST", ASYNC, &json!({ "patientId": "p-1", "message": text }).to_string());
    for text in ["x", " x ", "line\nline\ttab", "头痛", "😀", "e\u{301}", &"ä".repeat(1600), "\u{200b}x"]
    {
        assert_eq!(sms(text).status, 202, "{text:?}");
    }
    for text in [
        "", " ", "\n\t ", "\u{200b}", "\u{feff}\u{2060}", "\u{ad}", "5\u{0} mg", "\u{1b}[2J", "a\rb",
        "\u{7f}", "\u{85}x", "\u{2028}\u{2029}\u{3000}", "\u{202e}\u{2066}\u{200f}", "\u{fe0f}\u{200d}",
        "\u{fff9}\u{fffb}", "\u{e0041}\u{e007f}", "\u{2800}",
    ] {
        let refused = sms(text);
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), ["/message"], "{text:?}");
    }
    sms(&"ä".repeat(1601)).problem(422, "invalid");
    let titled = |title: &str| {
        let body = json!({ "patientId": "p-1", "title": title, "message": "x" });
        service.ask("POST", PUSH, &body.to_string()).status
    };
    assert_eq!(
        [titled("x"), titled(&"x".repeat(120)), titled(" "), titled(&"x".repeat(121))],
        [200, 200, 422, 422]
    );
}

#[test]
fn a_time_is_told_to_be_wrong_or_too_far_as_it_is() {
    let service = Site::new().start();
    let at = |text: &str| {
        service.ask("POST", ASYNC, &json!({ "patientId": "p-1", "message": "x", "sendAt": text }).to_string())
    };
    let year = Timestamp::now() + SignedDuration::from_hours(24 * 360);
    for text in [
        &*year.to_string(),
        "2020-01-01T00:00:00Z",
        "2020-01-01T00:00:00+23:59",
        "2020-01-01t00:00:00.5z",
        "2020-01-01T00:00:00-00:00",
        "2016-12-31T23:59:60Z",
        "2020-01-01T00:00:00.000000000001Z",
    ] {
        assert_eq!(at(text).status, 202, "{text}");
    }
    for text in [
        "2020-01-01", "2020-01-01 00:00", "2020-01-01T00:00:00", "2020-13-01T00:00:00Z",
        "2020-01-01T24:00:00Z", "2020-01-01T00:00:00+0100", "2020-01-01T00:00:00+01",
        "2020-01-01T00:00:00Z[UTC]", "20200101T000000Z", "tomorrow", "", "0", "2020-01-01T00:00:00+24:00",
        "2020-01-01T00:00:00+25:00", "2020-01-01T00:00:00-24:00", "2020-01-01T00:00:00-99:99",
    ] {
        let refused = at(text);
        assert_eq!(refused.status, 422, "{text}: {refused:?}");
    }
    let too_far = Timestamp::now() + SignedDuration::from_hours(24 * 367);
    for text in [&*too_far.to_string(), "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59"] {
        let refused = at(text);
        refused.problem(422, "invalid");
        let detail = refused.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
        assert!(!detail.contains("3339"), "{text}: {detail}");
    }
}

#[test]
fn a_body_is_one_json_object_without_surprises() {
    let service = Site::new().start();
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("{}{}", 400),
        ("\u{feff}{}", 400),
        ("null", 422),
        ("[]", 422),
        ("\"x\"", 422),
        (r#"{"patientId":"p-1","message":"x","message":"y"}"#, 422),
        (r#"{"patientId":"p-1","message":"x","Message":"y"}"#, 422),
        (r#"{"patientId":"p-1","message":null}"#, 422),
        (r#"{"patientId":"p-1","message":["x"]}"#, 422),
        (r#"{"patientId":"p-1","message":"\ud800"}"#, 400),
        (r#"{"patientId":"p-1","message":"\udc00x"}"#, 400),
        (r#"{"patientId":"p-1","message":"x","priority":"Urgent"}"#, 422),
    ] {
        let answer = service.ask("POST", ASYNC, body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
    let nested = "[".repeat(20_000);
    assert!(matches!(service.ask("POST", ASYNC, &nested).status, 400 | 422));
    for kind in ["application/json; charset=utf-8", "application/problem+json", "APPLICATION/JSON"] {
        let headers = [("content-type", kind)];
        assert_eq!(service.ask_with("POST", ASYNC, &headers, MESSAGE).status, 202, "{kind}");
    }
    for key in ["", " ", "two words", "ä", &"k".repeat(256)] {
        let answer = service.keyed(key, ASYNC, MESSAGE);
        assert_eq!(answer.status, 400, "{key:?}: {answer:?}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(service.ask_with("POST", ASYNC, &twice, MESSAGE).status, 400);
    assert_eq!(service.keyed(&"k".repeat(255), ASYNC, MESSAGE).status, 202);
}
