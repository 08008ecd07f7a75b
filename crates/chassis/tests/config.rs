//! A secret among the settings: it comes from the environment or a file, and is never shown.

use chassis::config::{Checks, Settings, Sources, load};
use conf::Conf;
use secrecy::{ExposeSecret as _, SecretString};

#[derive(Conf, Clone, Debug)]
#[conf(env_prefix = "APP_")]
struct Config {
    #[conf(flatten, env_prefix = "GATEWAY__")]
    gateway: Gateway,
}

#[derive(Conf, Clone, Debug)]
struct Gateway {
    /// The password.
    #[arg(env, secret, value_parser = secret)]
    password: Option<SecretString>,
}

fn secret(text: &str) -> Result<SecretString, String> {
    if text.len() < 8 { Err("is shorter than 8 characters".to_owned()) } else { Ok(text.into()) }
}

impl Settings for Config {
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[];

    fn check(&self, _: &mut Checks<'_>) {}
}

fn variable(name: &'static str, value: &str) -> Sources {
    Sources::variables([(name, value)])
}

#[test]
fn a_secret_is_taken_from_the_environment_and_shown_by_no_fault() {
    let config = load::<Config>(variable("APP_GATEWAY__PASSWORD", "canary-secret")).unwrap();
    assert_eq!(config.gateway.password.unwrap().expose_secret(), "canary-secret");
    let argument = Sources { set: vec!["gateway.password=canary-secret".to_owned()], ..Sources::default() };
    for (sources, fix) in [
        (variable("APP_GATEWAY__PASSWORD", "canary"), "is shorter than 8 characters"),
        (variable("APP_GATEWAY__PASSWRD", "canary-secret"), "did you mean APP_GATEWAY__PASSWORD"),
        (argument, "set APP_GATEWAY__PASSWORD instead"),
    ] {
        let faults = load::<Config>(sources).unwrap_err().to_string();
        assert!(faults.contains(fix) && !faults.contains("canary"), "{faults}");
    }
}

proptest::proptest! {
    #[test]
    fn no_value_panics_or_shows_a_secret(value in "[^\\x00]{0,40}|[ -~]{0,7}|(\\n|    |'|: ){0,6}") {
        let sources = Sources { set: vec![value], ..variable("APP_GATEWAY__PASSWORD", "canary7") };
        let faults = load::<Config>(sources).unwrap_err().to_string();
        proptest::prop_assert!(!faults.contains("canary7") && !faults.contains('\r'), "{}", faults);
        proptest::prop_assert!(faults.contains("gateway.password = (a secret) (environment variable"), "{}", faults);
    }
}
