//! Keys come and go while the service runs, and no call of a key that stays is refused meanwhile.

use super::knows;
use crate::support::{
    keys::{ask_by, line, text, with_keys},
    prelude::*,
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

/// As a deployment does it: the file is there whole, or it is the old one.
fn put(file: &Path, lines: &[String]) {
    let new = file.with_extension("new");
    fs::write(&new, lines.join("\n")).unwrap();
    fs::rename(new, file).unwrap();
}

fn reloads(service: &Service, outcome: &str) -> u64 {
    service.metrics().sum("auth_key_file_reloads_total", &[("outcome", outcome)])
}

#[test]
fn keys_come_and_go_under_load_and_no_call_of_one_that_stays_is_refused() {
    let (stays, comes) = (line("stays", "send,read"), line("comes", "send"));
    let site = with_keys(Site::new(), std::slice::from_ref(&stays));
    let file = site.folder().join("keys");
    let service = site.start();
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (stop, asked, http) = (Arc::clone(&stop), Arc::clone(&asked), service.http);
            thread::spawn(move || {
                while !stop.load(SeqCst) {
                    let answer = ask_by(http, &text("stays"), "GET", "/nowhere", "");
                    assert_eq!(answer.status, 404, "{answer:?}");
                    asked.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    for round in 0..3 {
        put(&file, &[stays.clone(), comes.clone()]);
        if round == 1 {
            service.signal(Signal::HUP);
        }
        until_so("the new key is known", || knows(&service, &text("comes")));
        // In place, as an editor or a shell does it.
        fs::write(&file, &stays).unwrap();
        until_so("the withdrawn key is unknown", || !knows(&service, &text("comes")));
        let before = asked.load(SeqCst);
        until_so("the load goes on", || asked.load(SeqCst) > before);
    }
    stop.store(true, SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(reloads(&service, "failed"), 0);
    // The series of a key that is gone stays: a counter never goes back.
    let page = service.metrics();
    assert!(page.sum("auth_requests_total", &[("key", "comes"), ("outcome", "ok")]) >= 3);
    // Each of three rounds was seen to begin and to end.
    let told: Vec<_> =
        service.told("API keys are read again", 6).iter().map(|line| line["fields"].clone()).collect();
    assert!(told.iter().any(|fields| fields["added"] == "comes" && fields["keys"] == 2), "{told:?}");
    assert!(told.iter().any(|fields| fields["removed"] == "comes" && fields["keys"] == 1), "{told:?}");
}

#[test]
fn a_broken_file_is_told_and_changes_nothing_until_it_is_mended() {
    let site = with_keys(Site::new(), &[line("app", "send")]);
    let file = site.folder().join("keys");
    let service = site.start();
    let broken = [Some(format!("{}\nsecret-line", line("other", "send"))), Some(String::new()), None];
    for (count, content) in (1..).zip(broken) {
        match content {
            Some(content) => fs::write(&file, content).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        until_so("the fault is counted", || reloads(&service, "failed") == count);
        assert!(knows(&service, &text("app")) && !knows(&service, &text("other")));
    }
    // Asked for, it is told again.
    service.signal(Signal::HUP);
    until_so("the fault is counted again", || reloads(&service, "failed") == 4);
    put(&file, &[line("other", "send")]);
    until_so("the file is mended", || knows(&service, &text("other")));
    assert!(!knows(&service, &text("app")));
    assert_eq!(reloads(&service, "ok"), 1);
    let output = service.output();
    assert!(output.contains("line 2: must be name:scopes:sha256-hex") && !output.contains("secret-line"));
    let errors = service.lines().into_iter().filter(|line| line["level"] == "ERROR");
    assert_eq!(errors.count(), 4);
}

#[test]
fn a_mounted_secret_whose_link_is_swapped_is_taken_in() {
    let site = with_keys(Site::new(), &[]);
    let folder = site.folder().join("mount");
    let put = |version: &str, name: &str| {
        fs::create_dir_all(folder.join(version)).unwrap();
        fs::write(folder.join(version).join("keys"), line(name, "send")).unwrap();
        symlink(version, folder.join("data-new")).unwrap();
        fs::rename(folder.join("data-new"), folder.join("data")).unwrap();
    };
    put("one", "app");
    symlink("data/keys", folder.join("keys")).unwrap();
    let site = site.with("APP_AUTH__API_KEYS_FILE", folder.join("keys").to_str().unwrap());
    let service = site.start();
    assert!(knows(&service, &text("app")));
    put("two", "next");
    until_so("the new key is known", || knows(&service, &text("next")));
    assert!(!knows(&service, &text("app")));
}

#[test]
fn a_hangup_is_survived_without_a_key_file_and_by_a_stopping_service() {
    let service = Site::new().start();
    service.signal(Signal::HUP);
    service.accept();
    service.signal(Signal::TERM);
    service.signal(Signal::HUP);
    let (code, output) = service.ended();
    assert_eq!(code, 0, "{output}");
}
