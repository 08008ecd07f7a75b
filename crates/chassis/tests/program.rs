//! A program of the chassis alone, `examples/minimal.rs`, from outside.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use chassis_test::TestApp;

fn minimal() -> TestApp {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    // It has no limits.
    let app = TestApp::new(path.join("minimal"), "APP_");
    app.without("APP_LIMITS__PER_CLIENT__RATE").without("APP_LIMITS__PER_CLIENT__BURST")
}

#[test]
fn it_serves_until_it_is_asked_to_stop() {
    let service = minimal().start();
    assert_eq!(service.get("/").body, "hello");
    assert!(service.stop_and_read().contains(r#""message":"stopped""#));
}

#[test]
fn the_panic_of_an_essential_task_ends_it_with_70_and_is_logged() {
    let app = minimal().with("APP_WORKER__PANIC_AFTER", "10ms").with("APP_SHUTDOWN__NOT_READY_FOR", "10m");
    let (code, lines) = app.spawn().ended();
    assert_eq!(code, 70, "{lines}");
    assert!(lines.contains("worker ended"), "{lines}");
}

#[test]
fn two_listeners_on_one_address_are_a_fault() {
    let app =
        minimal().with("APP_HTTP__LISTEN", "127.0.0.1:8080").with("APP_ADMIN__LISTEN", "127.0.0.1:8080");
    let faults = app.faults(&["check-config"]).join("\n");
    assert!(faults.contains("is the address of http.listen too"), "{faults}");
}
