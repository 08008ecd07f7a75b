//! How values are written: durations, addresses, numbers, switches, paths, lists. No key is known here.

use super::{Kind, Parse};
use ipnet::IpNet;
use reqwest::Url;
use secrecy::SecretString;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Written as a whole number and one unit of `ms`, `s`, `m`, `h`, `d` (of 24 hours): `250ms`, `5s`, `720h`.
impl Parse for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => 0,
        };
        let number = number.parse::<u64>().ok().filter(|_| milliseconds > 0);
        let product = number.and_then(|number| number.checked_mul(milliseconds)).map(Self::from_millis);
        product.ok_or_else(|| {
            "must be a whole number with a unit of ms, s, m, h or d, as 250ms, 5s or 2h".to_owned()
        })
    }
}

impl Parse for SocketAddr {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "must be an IP address with a port, as 127.0.0.1:8080 or [::1]:8080".to_owned())
    }
}

impl Parse for bool {
    const KIND: Kind = Kind::Boolean;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be true or false".to_owned())
    }
}

fn digits<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    let number = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    number
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "must be a whole number, in digits only".to_owned())
}

impl Parse for u32 {
    const KIND: Kind = Kind::Integer;

    fn parse(text: &str) -> Result<Self, String> {
        digits(text)
    }
}

impl Parse for u64 {
    const KIND: Kind = Kind::Integer;

    fn parse(text: &str) -> Result<Self, String> {
        digits(text)
    }
}

impl Parse for usize {
    const KIND: Kind = Kind::Integer;

    fn parse(text: &str) -> Result<Self, String> {
        digits(text)
    }
}

impl Parse for String {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
    }
}

impl Parse for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        String::parse(text).map(Self::from)
    }
}

impl Parse for SecretString {
    fn parse(text: &str) -> Result<Self, String> {
        String::parse(text).map(Self::from)
    }

    fn is_secret(_text: &str) -> bool {
        true
    }
}

/// An absolute `http` or `https` address. (`reqwest::Url` is the `url` crate's type.)
impl Parse for Url {
    fn parse(text: &str) -> Result<Self, String> {
        let url =
            Self::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| "must be an address with http:// or https:// and a host".to_owned())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "must not hold a user name or password: it would be sent and shown in clear".to_owned()
            );
        }
        Ok(url)
    }

    /// A query often holds a key, and what stands before an `@` always does.
    fn is_secret(text: &str) -> bool {
        text.contains(['?', '@'])
    }
}

impl Parse for IpNet {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be a network as 10.0.0.0/8 or fd00::/8".to_owned())
    }
}

/// Values that are an array in TOML and separated by commas elsewhere; may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: Parse> Parse for List<T> {
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        let items = text.split(',').map(|item| T::parse(item.trim()));
        items
            .collect::<Result<_, _>>()
            .map(Self)
            .map_err(|fault| format!("each item, separated by commas, {fault}"))
    }

    fn is_secret(text: &str) -> bool {
        text.split(',').any(|item| T::is_secret(item.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_written_with_one_unit() {
        let good = [
            ("0s", 0),
            ("250ms", 250),
            ("5s", 5_000),
            ("30m", 1_800_000),
            ("720h", 2_592_000_000),
            ("1d", 86_400_000),
        ];
        for (text, milliseconds) in good {
            assert_eq!(Duration::parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5 s",
            "5S",
            "1h30m",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(u32::parse("42"), Ok(42));
        for text in ["", "+1", "-1", "1_000", "1.0", " 1", "4294967296"] {
            assert!(u32::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_with_a_password_is_refused_and_never_shown() {
        assert!(<Url as Parse>::parse("https://gateway.example/send").is_ok());
        for text in ["", "gateway", "ftp://gateway/", "https://", "https://user:canary@gateway/"] {
            let fault = <Url as Parse>::parse(text).expect_err(text);
            assert!(!fault.contains("canary"), "{fault}");
        }
        assert!(<Url as Parse>::is_secret("https://gateway/?key=canary"));
    }

    #[test]
    fn a_list_may_be_empty_and_names_no_good_item() {
        assert_eq!(List::<IpNet>::parse(" "), Ok(List(Vec::new())));
        assert_eq!(List::<IpNet>::parse("10.0.0.0/8, fd00::/8").map(|list| list.0.len()), Ok(2));
        assert!(List::<IpNet>::parse("10.0.0.0/8,").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*|[0-9]{0,25}[a-zé]{0,2}|https?://\\PC*|[0-9a-f:./,]*") {
            let _ = Duration::parse(&text);
            let _ = SocketAddr::parse(&text);
            let _ = bool::parse(&text);
            let _ = u32::parse(&text);
            let _ = u64::parse(&text);
            let _ = usize::parse(&text);
            let _ = PathBuf::parse(&text);
            let _ = <Url as Parse>::parse(&text);
            let _ = List::<IpNet>::parse(&text);
        }

        #[test]
        fn every_whole_duration_is_read_back(number in 0..10_000_000u64, unit in 0..5usize) {
            let (unit, milliseconds) = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)][unit];
            prop_assert_eq!(Duration::parse(&format!("{number}{unit}")), Ok(Duration::from_millis(number * milliseconds)));
        }
    }
}
