//! Searches and comparisons of bytes, eight at a time: WebAssembly's standard library looks at each one, and a header can
//! have thousands.

use std::iter;

/// The parts between separators, as [`slice::split`] gives them.
pub fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    iter::from_fn(move || {
        let text = rest?;
        let end = position(text, separator);
        rest = end.and_then(|end| text.get(end + 1..));
        text.get(..end.unwrap_or(text.len()))
    })
}

/// Where the first of these bytes is.
fn position(text: &[u8], byte: u8) -> Option<usize> {
    position_in(text, |bytes| bytes_equal(bytes, byte), |other| other == byte)
}

/// Where the first byte is for which `is_found`. `find` sets the highest bit of the first such of eight bytes, and of
/// none where there is none.
pub(crate) fn position_in(
    text: &[u8],
    find: impl Fn(u64) -> u64,
    is_found: impl Fn(u8) -> bool,
) -> Option<usize> {
    let (words, _) = text.as_chunks::<8>();
    let others =
        words.iter().take_while(|word| find(u64::from_le_bytes(**word)) & HIGHEST_BITS == 0);
    let start = others.count() * 8;
    let at = text.get(start..)?.iter().position(|byte| is_found(*byte))?;
    Some(start + at)
}

/// One in each of eight bytes.
pub(crate) const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHEST_BITS: u64 = ONES << 7;

/// Sets the highest bit of each of eight bytes that is below the limit, of at most 127. A byte that follows such a one
/// may have it, too.
pub(crate) fn bytes_below(bytes: u64, limit: u8) -> u64 {
    bytes.wrapping_sub(ONES * u64::from(limit)) & !bytes
}

/// As [`bytes_below`], of each byte that is equal to this one.
pub(crate) fn bytes_equal(bytes: u64, byte: u8) -> u64 {
    bytes_below(bytes ^ (ONES * u64::from(byte)), 1)
}

/// Whether two texts are equal, as credentials are compared: to the end, wherever they differ.
#[must_use]
pub fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let [(words, rest), (other_words, other_rest)] = [one, other].map(<[u8]>::as_chunks::<8>);
    let word = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b);
    let byte = |(a, b): (&u8, &u8)| u64::from(a ^ b);
    let differences = words.iter().zip(other_words).map(word);
    let differences = differences.chain(rest.iter().zip(other_rest).map(byte));
    one.len() == other.len() && differences.fold(0, |all, difference| all | difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_split_at_each_separator() {
        let long = "long ".repeat(20);
        for text in ["", ";", "one", "one;two", ";one;;two;", &long, &format!("{long};{long};")] {
            let expected: Vec<&[u8]> = text.as_bytes().split(|byte| *byte == b';').collect();
            assert_eq!(split(text.as_bytes(), b';').collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn texts_that_differ_in_a_byte_are_not_equal() {
        for length in 0..20 {
            let text = vec![b'a'; length];
            assert!(is_equal(&text, &text.clone()), "{length}");
            assert!(!is_equal(&text, &vec![b'a'; length + 1]), "{length}");
            for index in 0..length {
                let mut other = text.clone();
                other[index] = b'b';
                assert!(!is_equal(&text, &other), "{length} {index}");
            }
        }
    }
}
