//! What a request's headers present as a key: `Authorization: Bearer KEY` (RFC 6750, section 2.1). Whose it
//! is, is not known here.

use http::{HeaderMap, header};

/// Longer ones are nobody's: a key that we make has 64 characters at most.
const LONGEST: usize = 256;
const SCHEME: &[u8] = b"bearer";

/// What was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presented<'a> {
    /// The text of a key, 1 to 256 visible ASCII characters.
    Key(&'a [u8]),
    /// A bearer's token that can be none of ours, or more than one header.
    NoKey,
    /// No bearer's token.
    Nothing,
}

impl<'a> Presented<'a> {
    pub fn by(headers: &'a HeaderMap) -> Self {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Nothing,
            (Some(value), None) => Self::in_value(value.as_bytes()),
            // Which of them was meant is not ours to guess, nor what a proxy in front made of them.
            (Some(_), Some(_)) => Self::NoKey,
        }
    }

    fn in_value(value: &'a [u8]) -> Self {
        let Some((scheme, rest)) = value.split_at_checked(SCHEME.len()) else { return Self::Nothing };
        if !scheme.eq_ignore_ascii_case(SCHEME) || !matches!(rest.first(), None | Some(b' ')) {
            return Self::Nothing;
        }
        let key = rest.trim_ascii();
        let good = (1..=LONGEST).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        if good { Self::Key(key) } else { Self::NoKey }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn presented(values: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        match Presented::by(&headers) {
            Presented::Key(key) => String::from_utf8(key.to_vec()).unwrap(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_the_key_as_it_is() {
        for value in ["Bearer KEY", "bearer KEY", "BEARER KEY", "Bearer   KEY "] {
            assert_eq!(presented(&[value.as_bytes()]), "KEY", "{value}");
        }
    }

    #[test]
    fn another_scheme_presents_nothing_and_a_token_that_is_no_key_presents_none() {
        for value in ["", "Basic a2V5", "KEY", "Bearers KEY", "Bearer\u{9}KEY"] {
            assert_eq!(presented(&[value.as_bytes()]), "Nothing", "{value}");
        }
        let long = format!("Bearer {}", "x".repeat(257));
        for value in ["Bearer", "Bearer ", "Bearer KEY KEY", "Bearer KEY, Bearer KEY", "Bearer ké", &long] {
            assert_eq!(presented(&[value.as_bytes()]), "NoKey", "{value}");
        }
        assert_eq!(presented(&[]), "Nothing");
        assert_eq!(presented(&[b"Bearer KEY", b"Bearer KEY"]), "NoKey");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_a_key_is_part_of_what_was_sent(
            values in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..300),
                    "[Bb]earer[ \\t]{0,3}\\PC{0,300}".prop_map(String::into_bytes),
                ],
                0..3,
            ),
        ) {
            let mut headers = HeaderMap::new();
            for value in values.iter().filter_map(|value| HeaderValue::from_bytes(value).ok()) {
                headers.append(header::AUTHORIZATION, value);
            }
            if let Presented::Key(key) = Presented::by(&headers) {
                prop_assert!(!key.is_empty() && key.len() <= 256);
                prop_assert!(values.iter().any(|value| value.windows(key.len()).any(|part| part == key)));
            }
        }
    }
}
