//! A cache of long header values: a browser sends the cookie of its session with each request, and to compare it with
//! the one of the last request costs a tenth of the check of each character, and no copy.

use std::ops::RangeInclusive;

use http::HeaderValue;

use crate::scan::is_equal;

/// The lengths of values that are cached: the `Cookie` of a session, or a token, and no API key.
const LENGTHS: RangeInclusive<usize> = 512..=8 * 1024;
/// The most values.
const MAX_VALUES: usize = 64;

/// Values of earlier requests, each at a place that its text determines. A value replaces another one at its place.
pub struct HeaderValues([Option<HeaderValue>; MAX_VALUES]);

impl HeaderValues {
    /// A cache without values.
    pub const fn new() -> Self {
        Self([const { None }; MAX_VALUES])
    }

    /// The value with this text; `None` for one that is not valid in HTTP.
    pub fn of(&mut self, text: &[u8]) -> Option<HeaderValue> {
        if !LENGTHS.contains(&text.len()) {
            return HeaderValue::from_bytes(text).ok();
        }
        let cached = &mut self.0[place_of(text)];
        if !cached.as_ref().is_some_and(|value| is_equal(value.as_bytes(), text)) {
            *cached = Some(HeaderValue::from_bytes(text).ok()?);
        }
        cached.clone()
    }
}

/// Where a value is, by bytes of its middle and of its end: tokens differ in both, and cookies may end with one that many
/// clients have.
fn place_of(text: &[u8]) -> usize {
    let (start, end) = text.split_at(text.len() / 2);
    let last = |part: &[u8]| part.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    // By an odd number with well-mixed bits: those of base64 are not evenly distributed.
    let mixed = (last(start) ^ last(end).rotate_left(16)).wrapping_mul(0x9e37_79b1);
    (mixed >> (u32::BITS - MAX_VALUES.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of one length, which are at one place.
    fn cookies(length: usize) -> [Vec<u8>; 2] {
        [b'a', b'b'].map(|first| [&[first], &*vec![b'c'; length - 1]].concat())
    }

    fn is_same(one: &HeaderValue, other: &HeaderValue) -> bool {
        std::ptr::eq(one.as_bytes(), other.as_bytes())
    }

    #[test]
    fn long_value_is_found_again() {
        let mut values = HeaderValues::new();
        for length in [*LENGTHS.start(), 1_700, *LENGTHS.end()] {
            let [cookie, _] = cookies(length);
            let value = values.of(&cookie).unwrap();
            assert_eq!(value.as_bytes(), cookie);
            assert!(is_same(&value, &values.of(&cookie).unwrap()), "{length}");
        }
    }

    #[test]
    fn value_at_the_place_of_another_is_its_own() {
        let mut values = HeaderValues::new();
        for _ in 0..2 {
            for cookie in cookies(1_700) {
                assert_eq!(values.of(&cookie).unwrap().as_bytes(), cookie);
            }
        }
    }

    #[test]
    fn values_of_other_lengths_are_not_cached() {
        let mut values = HeaderValues::new();
        for length in [1, LENGTHS.start() - 1, LENGTHS.end() + 1] {
            let [cookie, _] = cookies(length);
            let value = values.of(&cookie).unwrap();
            assert!(!is_same(&value, &values.of(&cookie).unwrap()), "{length}");
        }
    }

    #[test]
    fn invalid_value_is_none_and_replaces_nothing() {
        let mut values = HeaderValues::new();
        let [cookie, mut other] = cookies(1_700);
        let value = values.of(&cookie).unwrap();
        other[1] = b'\n';
        assert_eq!((values.of(&other), values.of(b"\n")), (None, None));
        assert!(is_same(&value, &values.of(&cookie).unwrap()));
    }

    #[test]
    fn sessions_with_the_same_last_cookie_have_places_of_their_own() {
        let cookie = |session: u32| {
            format!("wos-session={}; theme=dark", format!("{session:06}").repeat(200))
        };
        let places: std::collections::BTreeSet<_> =
            (0..1_000).map(|session| place_of(cookie(session).as_bytes())).collect();
        assert!(places.len() > MAX_VALUES / 2, "{}", places.len());
    }
}
