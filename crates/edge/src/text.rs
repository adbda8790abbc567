//! Text for searches and comparisons, and both in text that may be long, as a header is: WebAssembly's standard library
//! looks at each byte, and these functions at eight.
//!
//! Small letters and decompositions of letters outside ASCII are the runtime's own on Workers: Unicode's tables would
//! be a tenth of the bundle. ASCII text needs none.

use std::{borrow::Cow, iter};

/// The forms that the runtime makes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Small letters.
    Small,
    /// Small letters in Unicode's form NFKD, in which accents follow their letters.
    Decomposed,
}

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

/// The text as a search compares it: in small letters, without accents, and with full-width and other compatible forms
/// as their plain ones. Letters that are no letter with an accent to Unicode become what people type for them: `ß` is
/// `ss`, `ø` is `o`.
#[must_use]
pub fn folded(text: &str) -> Cow<'_, str> {
    changed(text, Form::Decomposed)
}

/// The text as names are compared that may differ in capital and small letters.
#[must_use]
pub fn small(text: &str) -> Cow<'_, str> {
    changed(text, Form::Small)
}

fn changed(text: &str, form: Form) -> Cow<'_, str> {
    if !text.is_ascii() {
        let mut changed = String::with_capacity(text.len());
        change(text, form, &mut |text| {
            text.chars().for_each(|character| push(&mut changed, character, form));
        });
        return Cow::Owned(changed);
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Borrowed(text)
}

fn push(changed: &mut String, character: char, form: Form) {
    // At the end of a word a small sigma has another form.
    let character = if character == 'ς' { 'σ' } else { character };
    if form == Form::Small {
        return changed.push(character);
    }
    changed.push_str(match character {
        // Accents of the Latin, Greek and Cyrillic scripts, and the vowel points of Hebrew and Arabic, which texts
        // mostly leave out.
        '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5bd}' | '\u{64b}'..='\u{65f}' => "",
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ı' => "i",
        character => return changed.push(character),
    });
}

#[cfg(target_arch = "wasm32")]
fn change(text: &str, form: Form, read: &mut dyn FnMut(&str)) {
    crate::workers::in_small_letters(text, form == Form::Decomposed, read);
}

#[cfg(not(target_arch = "wasm32"))]
fn change(text: &str, form: Form, read: &mut dyn FnMut(&str)) {
    use unicode_normalization::UnicodeNormalization as _;

    read(&match form {
        Form::Small => text.to_lowercase(),
        Form::Decomposed => text.nfkd().collect::<String>().to_lowercase(),
    });
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

    #[test]
    fn folded_text_has_no_case_and_no_accents() {
        for (text, expected) in [
            ("", ""),
            ("lunch 42", "lunch 42"),
            ("Team LUNCH", "team lunch"),
            ("Café CRÈME", "cafe creme"),
            ("cafe\u{301}", "cafe"),
            ("Straße STRAẞE", "strasse strasse"),
            ("Smørrebrød", "smorrebrod"),
            ("Œuvre Ærø", "oeuvre aero"),
            ("Łódź đ Þór", "lodz d thor"),
            ("İstanbul ısı", "istanbul isi"),
            ("Ａｄａ１２３", "ada123"),
            ("ﬁn ½ №", "fin 1\u{2044}2 no"),
            ("ΟΔΌΣ οδός", "οδοσ οδοσ"),
            ("Ёлка", "елка"),
            ("ﾊﾟﾝ パン", "ハ\u{309a}ン ハ\u{309a}ン"),
            ("東京 🍜", "東京 🍜"),
            ("مَرْحَبًا", "مرحبا"),
        ] {
            assert_eq!(folded(text), expected, "{text}");
        }
        assert!(matches!(folded("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn small_text_has_its_accents() {
        for (text, expected) in [
            ("BÜRO", "büro"),
            ("Meals", "meals"),
            ("ΟΔΌΣ ΟΣ", "οδόσ οσ"),
            ("ẞ", "ß"),
            ("東京", "東京"),
        ] {
            assert_eq!(small(text), expected, "{text}");
        }
    }
}
