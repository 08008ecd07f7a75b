//! The images where there is no container engine: each service runs in an empty root that holds what its stage copies, which
//! nobody can write to, as the user that the image names.

use crate::{deploy::collector::judged, need, program::shipped};
use chassis_test::{Certificate, Running, TestApp, until_so};
use serde_json::Value;
use std::{ffi::OsString, fs, io::Write, path::Path, process::Command};
use tempfile::TempDir;

const FILE: &str = "deploy/Dockerfile";

/// Runs a command as the image's user with `$0` as its root and `$1` at `/data`.
const RUN: &str = r#"root=$0 data=$1; shift
    mount --bind "$root" "$root"
    mount --rbind /proc "$root/proc"
    mount --bind "$data" "$root/data"
    mount -o remount,bind,ro,nosuid,nodev "$root"
    exec unshare --user --map-user=10001 --map-group=10001 --root="$root" --wd=/data "$@""#;

/// The instructions of a stage, after those of the stage that it is built from.
fn stage(name: &str) -> Vec<String> {
    let text = fs::read_to_string(shipped(FILE)).unwrap().replace("\\\n", " ");
    let title = format!(" AS {name}");
    let own = text.split("\nFROM ").find(|stage| stage.lines().next().unwrap().ends_with(&title)).unwrap();
    let inherited = if own.starts_with("base ") { stage("base") } else { Vec::new() };
    inherited.into_iter().chain(own.lines().map(str::to_owned)).collect()
}

/// A service as it is in its image.
struct Image {
    app: TestApp,
    _root: TempDir,
}

impl Image {
    /// Built of this machine's files in place of the first stage's. Trusts the certificate besides all authorities.
    fn of(target: &str, program: &str, trusted: &Certificate) -> Self {
        need("unshare");
        let place = tempfile::tempdir().unwrap();
        let mut script = String::new();
        for copy in stage(target).iter().filter_map(|line| line.strip_prefix("COPY --from=build ")) {
            let words: Vec<_> = copy.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            let (to, from) = words.split_last().unwrap();
            let from = from.join(" ").replace("/programs/", "\"$1\"/");
            // The folder of the store is where the volume is mounted.
            if *to != "/" {
                script += &format!("mkdir -p \"$0\"/root{to}; cp -L {from} \"$0\"/root{to}\n");
            }
        }
        // The runtime's own part, and a place for what is mounted.
        script += "cd \"$0\"/root; mkdir -p proc data; echo '127.0.0.1 localhost' > etc/hosts";
        let mut command = Command::new("sh");
        command.args(["-euc", &script]).arg(place.path()).arg(Path::new(program).parent().unwrap());
        judged(command).unwrap();
        let root = place.path().join("root");
        let bundle = root.join("etc/ssl/certs/ca-certificates.crt");
        let mut bundle = fs::File::options().append(true).open(bundle).unwrap();
        bundle.write_all(trusted.chain.as_bytes()).unwrap();

        let mut app = TestApp::new(format!("/usr/local/bin/{target}"), "APP_");
        let words = ["unshare", "--map-root-user", "--mount", "sh", "-euc", RUN];
        let places = [root.as_os_str(), app.folder().as_os_str()];
        app.under = words.into_iter().map(OsString::from).chain(places.map(OsString::from)).collect();
        for word in
            stage(target).iter().filter_map(|line| line.strip_prefix("ENV ")).flat_map(str::split_whitespace)
        {
            let (key, value) = word.split_once('=').unwrap();
            app.set(key, value);
        }
        trusted.write(app.folder());
        Self { app, _root: place }.with_certificate("HTTP")
    }

    fn with_certificate(self, listener: &str) -> Self {
        self.with(&format!("APP_{listener}__TLS__CERT_FILE"), "/data/cert.pem")
            .with(&format!("APP_{listener}__TLS__KEY_FILE"), "/data/key.pem")
    }

    fn with(mut self, key: &str, value: &str) -> Self {
        self.app.set(key, value);
        self
    }
}

/// Sends a request over HTTPS.
fn ask(service: &Running, trusted: &Certificate, method: &str, path: &str, body: &str) -> (u16, Value) {
    let answer = trusted.connect(service.http).send(method, &format!("/api/v1/{path}"), body).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body)))
}

#[test]
fn each_service_accepts_and_delivers_over_https_with_nothing_but_what_its_image_holds() {
    let trusted = Certificate::new();
    let gateway = format!("https://localhost:{}/messages", trusted.answering().port());
    let image = Image::of("epro-notify", env!("CARGO_BIN_EXE_epro-notify"), &trusted)
        .with_certificate("GRPC")
        .with("APP_GRPC__LISTEN", "127.0.0.1:0")
        .with("APP_SMS__PROVIDER", "http")
        .with("APP_SMS__HTTP__URL", &gateway);
    let service = image.app.start();
    let epro = |method: &str, path: &str, body: &str| ask(&service, &trusted, method, path, body);
    assert_eq!(epro("PUT", "patients/p-1", r#"{"phone":"+4930901820"}"#).0, 201);
    let (status, accepted) =
        epro("POST", "notifications/sms/async", r#"{"patientId":"p-1","message":"a reminder"}"#);
    assert_eq!(status, 202, "{accepted}");
    let shown = format!("notifications/{}", accepted["id"].as_str().unwrap());
    until_so("it is delivered", || epro("GET", &shown, "").1["status"] == "delivered");
    let (_, report) = epro("POST", "reports", r#"{"patientId":"p-1","content":"sleeps well 睡得好"}"#);
    let preview = format!("reports/{}/preview.pdf", report["reportId"].as_str().unwrap());
    assert_eq!(epro("GET", &preview, "").0, 200);

    let target = format!("static://localhost:{}", service.grpc.port());
    let ctms = Image::of("ctms", env!("CARGO_BIN_EXE_ctms"), &trusted)
        .with("APP_EPRO__TLS__ENABLED", "true")
        .with("APP_EPRO__TARGET", &target);
    let second = ctms.app.start();
    let (status, read) = ask(&second, &trusted, "GET", "patients/p-1/latest-report", "");
    assert_eq!((status, &read["stale"], &read["reportId"]), (200, &Value::Bool(false), &report["reportId"]));

    for (image, running) in [(image, service), (ctms, second)] {
        let image = image.with("APP_ADMIN__LISTEN", &running.admin.to_string());
        assert!(image.app.run(&["healthcheck"]).status.success());
        running.stop();
    }
}
