//! Text for searches and comparisons.
//!
//! Small letters and decompositions of letters outside ASCII are the runtime's own on Workers: Unicode's tables would
//! be a tenth of the bundle. ASCII text needs none.

use std::borrow::Cow;

/// The forms that the runtime makes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Small letters.
    Small,
    /// Small letters in Unicode's form NFKD, in which accents follow their letters.
    Decomposed,
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
