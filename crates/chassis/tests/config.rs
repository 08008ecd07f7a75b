//! The configuration as a program loads it.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use chassis::config::{Checks, Settings, Sources, example, load, load_section};
use chassis_telemetry::settings::{between, duration, number};
use conf::Conf;
use secrecy::{ExposeSecret as _, SecretString};
use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

#[derive(Conf, Clone, Debug)]
#[conf(env_prefix = "APP_")]
struct Config {
    #[conf(flatten, env_prefix = "HTTP__")]
    http: Http,
    #[conf(flatten, env_prefix = "LIMITS__")]
    limits: Limits,
    #[conf(flatten, env_prefix = "GATEWAY__")]
    gateway: Gateway,
}

#[derive(Conf, Clone, Debug)]
struct Http {
    /// Address of the public API.
    #[arg(env, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    #[conf(flatten)]
    server: Server,
}

#[derive(Conf, Clone, Debug)]
struct Server {
    /// How long a client may take to send the headers.
    #[arg(env, default_value = "10s", value_parser = between("100ms", "1h", duration))]
    header_timeout: Duration,
    #[conf(flatten, env_prefix = "TLS__")]
    tls: Tls,
}

#[derive(Conf, Clone, Debug)]
#[conf(validation_predicate = Tls::check)]
struct Tls {
    /// Certificate chain in PEM.
    #[arg(env)]
    cert_file: Option<PathBuf>,
    /// Its private key in PEM.
    #[arg(env)]
    key_file: Option<PathBuf>,
}

impl Tls {
    fn check(&self) -> Result<(), &'static str> {
        let paired = self.cert_file.is_some() == self.key_file.is_some();
        if paired { Ok(()) } else { Err("set both cert_file and key_file, or neither") }
    }
}

#[derive(Conf, Clone, Debug)]
struct Limits {
    #[conf(flatten, env_prefix = "PER_CLIENT__")]
    per_client: PerClient,
    /// Proxies whose headers are believed.
    #[arg(repeat, env)]
    trusted_proxies: Vec<ipnet::IpNet>,
    /// Whether limits apply.
    #[arg(parameter, env, default_value = "true")]
    enabled: bool,
}

#[derive(Conf, Clone, Debug)]
struct PerClient {
    /// Requests a second.
    #[arg(env, default_value = "100", value_parser = between("1", "1000000", number))]
    rate: u32,
}

#[derive(Conf, Clone, Debug)]
struct Gateway {
    /// `console` or `http`.
    #[arg(env, default_value = "console")]
    provider: String,
    #[conf(flatten, env_prefix = "HTTP__")]
    http: GatewayHttp,
}

#[derive(Conf, Clone, Debug)]
struct GatewayHttp {
    /// Where messages are sent.
    #[arg(env, value_parser = gateway_url)]
    url: Option<String>,
    /// One attempt.
    #[arg(env, default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// The password.
    #[arg(env, secret, value_parser = secret)]
    password: Option<SecretString>,
}

fn gateway_url(text: &str) -> Result<String, String> {
    let valid = text.starts_with("http://") && !text.contains('@');
    if valid {
        Ok(text.to_owned())
    } else {
        Err(format!("{text} is not an http:// address without a password"))
    }
}

fn secret(text: &str) -> Result<SecretString, String> {
    if text.len() < 8 { Err("is shorter than 8 characters".to_owned()) } else { Ok(text.into()) }
}

impl Settings for Config {
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("limits.per_client.rate", "50")];

    fn check(&self, checks: &mut Checks<'_>) {
        if self.gateway.provider == "console" {
            let problem = "gateway.provider is \"console\"; set it to \"http\" or remove this key";
            checks.no_effect("gateway.http", "gateway.provider", problem);
        } else if self.gateway.http.url.is_none() {
            checks.fault("gateway.provider", "needs gateway.http.url");
        }
    }
}

fn variables(variables: &[(&str, &str)]) -> Sources {
    Sources::variables(variables.iter().copied())
}

fn faults(sources: Sources) -> Vec<String> {
    load::<Config>(sources).unwrap_err().to_string().lines().map(str::to_owned).collect()
}

#[test]
fn every_fault_of_every_source_is_reported_at_once_with_key_value_source_and_fix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.toml");
    let toml = "[http]\nlisten = \"nowhere\"\nheader_timout = \"1s\"\n[limits.per_client]\nrate = 0\n[limtis]\n[gateway]\nhttp = 1\n";
    fs::write(&path, toml).unwrap();
    let sources = Sources {
        file: Some(path.clone()),
        set: vec!["limits.enabled=treu".into(), "nonsense".into(), "x=1".into()],
        ..variables(&[
            ("APP_HTTP__HEADER_TIMEOUT", "2h"),
            ("APP_HTTP__TLS__KEY_FILE", "key.pem"),
            ("APP_LIMITS__TRUSTED_PROXIES", "10.0.0.0/8, elsewhere"),
            ("APP_LIMITS__PER_CLIENT_RATE", "5"),
            ("APP_GATEWAY__PROVIDER", "http"),
            ("app_http__listen", "127.0.0.1:1"),
            ("APP_PORT", "tcp://10.0.0.1:80"),
        ])
    };
    let file = format!("file:{}", path.display());
    let expected = [
        "--set number 2: write it as key=value".to_owned(),
        format!("gateway.http ({file}): is a section; set one of its keys, such as gateway.http.url"),
        "gateway.provider = \"http\" (environment variable APP_GATEWAY__PROVIDER): needs gateway.http.url".to_owned(),
        "http.header_timeout = \"2h\" (environment variable APP_HTTP__HEADER_TIMEOUT): must be from 100ms to 1h (the default is 10s)".to_owned(),
        format!("http.header_timout ({file}): unknown key; did you mean http.header_timeout?"),
        "http.listen (environment variable app_http__listen): unknown key; did you mean APP_HTTP__LISTEN?".to_owned(),
        format!("http.listen = \"nowhere\" ({file}): invalid socket address syntax (the default is 127.0.0.1:8080)"),
        "http.tls (environment variable APP_HTTP__TLS__KEY_FILE): set both cert_file and key_file, or neither".to_owned(),
        "limits.enabled = \"treu\" (--set): provided string was not `true` or `false` (the default is true)".to_owned(),
        format!("limits.per_client.rate = \"0\" ({file}): must be from 1 to 1000000 (the default is 50)"),
        "limits.per_client_rate (environment variable APP_LIMITS__PER_CLIENT_RATE): unknown key; did you mean APP_LIMITS__PER_CLIENT__RATE?".to_owned(),
        "limits.trusted_proxies = \"10.0.0.0/8,elsewhere\" (environment variable APP_LIMITS__TRUSTED_PROXIES): invalid IP address syntax".to_owned(),
        format!("limtis ({file}): unknown key; config.example.toml lists all keys"),
        "x (--set): unknown key; config.example.toml lists all keys".to_owned(),
    ];
    assert_eq!(faults(sources), expected);
}

#[test]
fn a_stronger_source_wins_and_lists_are_arrays_or_texts_with_commas() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.toml");
    let toml = "[http]\nlisten = \"127.0.0.1:1\"\nheader_timeout = \"1s\"\n[http.tls]\ncert_file = \"c\"\nkey_file = \"k\"\n\
                [limits]\ntrusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\"]\nenabled = false\n[limits.per_client]\nrate = 1_000\n";
    fs::write(&path, toml).unwrap();
    let file = Sources { file: Some(path), ..Sources::default() };
    let config = load::<Config>(file.clone()).unwrap();
    assert_eq!((config.limits.per_client.rate, config.limits.enabled), (1000, false));
    assert_eq!(config.limits.trusted_proxies.len(), 2);
    assert_eq!(config.http.server.tls.cert_file, Some("c".into()));
    let environment =
        variables(&[("APP_HTTP__LISTEN", "127.0.0.1:2"), ("APP_HTTP__HEADER_TIMEOUT", "2s")]).environment;
    let set = vec!["http.listen=127.0.0.1:3".to_owned(), "limits.trusted_proxies=".to_owned()];
    let config = load::<Config>(Sources { environment, set, ..file }).unwrap();
    assert_eq!(config.http.listen.port(), 3);
    assert_eq!(config.http.server.header_timeout, Duration::from_secs(2));
    assert!(config.limits.trusted_proxies.is_empty());
}

#[test]
fn secrets_and_the_paths_of_urls_are_never_shown() {
    let canary = "canary-secret";
    let url = format!("https://user:{canary}@gateway.example:99/send?key={canary}");
    let argument = |key: &str| Sources { set: vec![format!("{key}={canary}")], ..Sources::default() };
    let misspelled = [("APP_GATEWAY__HTTP__PASSWRD", canary)];
    let runs = [
        faults(variables(&[("APP_GATEWAY__HTTP__URL", &url)])),
        faults(variables(&[("APP_GATEWAY__PROVIDER", "http"), ("APP_GATEWAY__HTTP__PASSWORD", "canary")])),
        faults(variables(&[("APP_GATEWAY__HTTP__PASSWORD", canary)])),
        faults(variables(&misspelled)),
        faults(argument("gateway.http.password")),
        faults(argument("")),
    ];
    for run in &runs {
        assert!(!run.join("\n").contains("canary"), "{run:#?}");
    }
    assert!(runs[0][0].starts_with("gateway.http.url = \"https://gateway.example:99/…\" ("), "{:?}", runs[0]);
    assert!(runs[1].iter().any(|fault| fault.contains("is shorter than 8 characters")), "{:?}", runs[1]);
    assert!(runs[4][0].contains("set APP_GATEWAY__HTTP__PASSWORD instead"), "{:?}", runs[4]);
    let good = [
        ("APP_GATEWAY__PROVIDER", "http"),
        ("APP_GATEWAY__HTTP__URL", "http://g/"),
        ("APP_GATEWAY__HTTP__PASSWORD", canary),
    ];
    let config = load::<Config>(variables(&good)).unwrap();
    assert_eq!(config.gateway.http.password.unwrap().expose_secret(), canary);
}

#[test]
fn a_setting_without_effect_is_a_fault_unless_it_equals_the_default() {
    let faults = faults(variables(&[("APP_GATEWAY__HTTP__URL", "http://gateway.example/send")]));
    let problem = "has no effect: gateway.provider is \"console\"; set it to \"http\" or remove this key";
    let origin =
        "gateway.http.url = \"http://gateway.example/…\" (environment variable APP_GATEWAY__HTTP__URL)";
    assert_eq!(faults, [format!("{origin}: {problem}")]);
    let config = load::<Config>(variables(&[("APP_GATEWAY__HTTP__TIMEOUT", "5s")])).unwrap();
    assert_eq!(config.gateway.http.timeout, Duration::from_secs(5));
}

#[test]
fn an_unreadable_file_is_one_fault_that_quotes_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.toml");
    let file = || Sources { file: Some(path.clone()), ..Sources::default() };
    let missing = faults(file());
    assert!(missing[0].starts_with(&format!("file:{}: ", path.display())), "{missing:?}");
    fs::write(&path, "[gateway.http]\npassword = canary\n").unwrap();
    let broken = faults(file());
    assert!(broken[0].starts_with(&format!("file:{}:2: ", path.display())), "{broken:?}");
    assert_eq!((broken.len(), broken[0].contains("canary")), (1, false), "{broken:?}");
}

#[test]
fn an_empty_value_is_a_fault_and_a_line_break_in_a_value_keeps_a_fault_on_its_line() {
    let empty = faults(variables(&[("APP_HTTP__TLS__CERT_FILE", ""), ("APP_HTTP__LISTEN", "a\nb\n  c: d")]));
    assert_eq!(empty.len(), 2, "{empty:#?}");
    assert!(empty[1].contains("is empty; remove it or give it a value"), "{empty:?}");
    assert!(
        empty[0].contains("= \"a\\nb\\n  c: d\" (environment") && empty[0].contains("invalid socket"),
        "{empty:?}"
    );
}

#[test]
fn a_section_is_loaded_whatever_else_is_wrong() {
    let sources = || {
        variables(&[("APP_HTTP__LISTEN", "127.0.0.1:9"), ("APP_LIMITS__ENABLED", "x"), ("APP_NO__SUCH", "1")])
    };
    assert_eq!(load_section::<Config>(sources(), "http").unwrap().http.listen.port(), 9);
    let faults = load_section::<Config>(sources(), "limits").unwrap_err().to_string();
    assert_eq!(faults.lines().count(), 1, "{faults}");
}

#[test]
fn the_example_holds_every_key_and_loads_as_the_defaults() {
    let document = example::<Config>("All settings.");
    let expected = "\
# All settings.

[http]
# Address of the public API.
# APP_HTTP__LISTEN
listen = \"127.0.0.1:8080\"
";
    assert!(document.starts_with(expected), "{document}");
    let tls = "[http.tls]\n# Certificate chain in PEM.\n# APP_HTTP__TLS__CERT_FILE\n# cert_file =\n";
    assert!(document.contains(tls), "{document}");
    assert!(
        document.contains("\ntrusted_proxies = []\n") && document.contains("\nrate = 50\n"),
        "{document}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.example.toml");
    fs::write(&path, &document).unwrap();
    let loaded = load::<Config>(Sources { file: Some(path), ..Sources::default() }).unwrap();
    assert_eq!(format!("{loaded:?}"), format!("{:?}", load::<Config>(Sources::default()).unwrap()));
    assert_eq!(loaded.limits.per_client.rate, 50, "the service's default does not replace the section's");
}

proptest::proptest! {
    #[test]
    fn no_value_panics_or_shows_a_secret_and_each_fault_is_one_line(
        value in "[^\\x00]{0,40}|[a-z]{1,5}://[ -~]{0,20}|(\\n|    |'|: |when parsing env 'APP_HTTP__LISTEN' value| value was invalid){0,6}",
        toml in "(\\[?http\\]?|listen|=|\"|\\.|\\n|[ -~]){0,20}",
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service.toml");
        fs::write(&path, toml).unwrap();
        let secret = "canary7";
        let wrong = [("APP_HTTP__LISTEN", &*value), ("APP_GATEWAY__HTTP__URL", &value), ("APP_LIMITS__TRUSTED_PROXIES", &value),
            ("APP_GATEWAY__HTTP__PASSWORD", secret)];
        let sources = Sources { file: Some(path), set: vec![value.clone()], ..variables(&wrong) };
        let faults = load::<Config>(sources).unwrap_err().to_string();
        proptest::prop_assert!(!faults.contains(secret) && !faults.contains('\r'), "{}", faults);
        proptest::prop_assert!(faults.contains("gateway.http.password = (a secret) (environment variable"), "{}", faults);
    }
}
