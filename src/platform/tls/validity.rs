//! When a certificate is valid: the one part of it that the TLS library does not tell, found by as much DER
//! (X.690) as leads there. Nothing is verified here.

use jiff::civil::DateTime;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Where Unix time begins, in UTC as all times here.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
/// The version, which stands in a tag of its own.
const VERSION: u8 = 0xa0;

/// The first and the last second of a certificate, as Unix time in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub not_before: i64,
    pub not_after: i64,
}

impl Validity {
    /// Reads it from a certificate in DER (RFC 5280, section 4.1); `None` if that is something else.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(SEQUENCE, certificate)?;
        let (mut rest, _) = expect(SEQUENCE, certificate)?;
        if let Some((_, after)) = expect(VERSION, rest) {
            rest = after;
        }
        // Serial number, signature algorithm, issuer.
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            (_, rest) = expect(tag, rest)?;
        }
        let (validity, _) = expect(SEQUENCE, rest)?;
        let (not_before, rest) = time(validity)?;
        let (not_after, _) = time(rest)?;
        Some(Self { not_before, not_after })
    }

    /// Whether it holds at this time, in Unix seconds.
    pub fn holds(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

/// The content of the first element, if it has this tag, and what follows it.
fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // How many bytes the length has; a certificate is far below 4 GiB.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

/// A point in time, and what follows it.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let ((text, rest), long) = match expect(UTC_TIME, bytes) {
        Some(found) => (found, false),
        None => (expect(GENERALIZED_TIME, bytes)?, true),
    };
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, text) = text.split_at_checked(if long { 4 } else { 2 })?;
    let year: i16 = number(year)?;
    let year = match (long, year) {
        (true, _) => year,
        // Two digits are of the years 1950 to 2049.
        (false, 50..) => 1900 + year,
        (false, _) => 2000 + year,
    };
    let mut parts = [0_i8; 5];
    let mut text = text;
    for part in &mut parts {
        let (digits, after) = text.split_at_checked(2)?;
        (*part, text) = (number(digits)?, after);
    }
    let [month, day, hour, minute, second] = parts;
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    // 9999-12-31, which stands for a certificate without an end, is beyond a `Timestamp`.
    let time = time.duration_since(EPOCH).as_secs();
    text.is_empty().then_some((time, rest))
}

fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn certificate(from: i32, to: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 2);
        params.not_after = date_time_ymd(to, 12, 31);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        // By `date -u -d … +%s`.
        for (from, to, not_before, not_after) in [
            (1970, 2049, 86_400, 2_524_521_600),
            (2026, 2050, 1_767_312_000, 2_556_057_600),
            (2050, 9999, 2_524_694_400, 253_402_214_400),
        ] {
            let found = Validity::of(&certificate(from, to));
            assert_eq!(found, Some(Validity { not_before, not_after }), "{from} to {to}");
        }
    }

    #[test]
    fn it_holds_from_its_first_second_to_its_last() {
        let validity = Validity { not_before: 10, not_after: 20 };
        assert_eq!([9, 10, 20, 21].map(|now| validity.holds(now)), [false, true, true, false]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            Validity::of(&bytes);
            time(&bytes);
        }

        #[test]
        fn no_damage_panics(at in 0_usize..200, byte: u8, cut in 0_usize..400) {
            let mut bytes = certificate(2026, 2027);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut);
            Validity::of(&bytes);
        }
    }
}
