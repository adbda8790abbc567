//! Amounts in every language's format: `42.50` and `42,50`, `1,234.50`, `1.234,50` and `1 234,50`. `1,234` means 1234
//! or 1.234; it is refused, not guessed. The format of the pages is read too, with its currency: `$130.00`,
//! `1.234,50 €`, `¥1,234`. The currency beside an amount must be the one in the currency field.

use thiserror::Error;

use super::locale::{CODE_LEN, Locale, SIGNS, SIGNS_ABROAD, SIGNS_AT_HOME, is_code};
use crate::expenses::model::Currency;

/// Why a typed amount is ambiguous, or does not fit the currency.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum TypedAmountError {
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
    #[error("“{mark}” stands for {code}, but the currency is {chosen}: change one of the two.")]
    OtherCurrency { mark: String, code: String, chosen: String },
    #[error("“{mark}” does not stand for {chosen}: change the currency, or enter only a number.")]
    ForeignMark { mark: String, chosen: String },
}

/// A number with two meanings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "“{whole}{separator}{rest}” can be read as {whole}{rest} or as a little more than {whole}. Write {}.",
    .meant
)]
pub(super) struct Ambiguous {
    whole: String,
    separator: char,
    rest: String,
    /// The two numbers, as they are read.
    meant: String,
}

/// The typed amount as [`decimal`] has it, without the currency that may stand beside it.
pub(super) fn read_amount(
    text: &str,
    chosen: &str,
    locale: Locale,
) -> Result<String, TypedAmountError> {
    let text: String = text.trim().chars().map(plain).collect();
    let unsigned = text.trim_start_matches(['+', '-']);
    let sign = &text[..text.len() - unsigned.len()];
    let TypedMoney { marks, number } = TypedMoney::split(unsigned);
    // An invalid currency gets a message of its own.
    if chosen.len() == 3 && chosen.bytes().all(|byte| byte.is_ascii_uppercase()) {
        for mark in &marks {
            let (mark, chosen) = ((*mark).to_owned(), chosen.to_owned());
            locale.check_mark(&mark, &chosen).map_err(|code| match code {
                Some(code) => TypedAmountError::OtherCurrency { mark, code, chosen },
                None => TypedAmountError::ForeignMark { mark, chosen },
            })?;
        }
    }
    let read = decimal(&format!("{sign}{number}"));
    let Err(Ambiguous { whole, separator, rest, .. }) = &read else { return Ok(read?) };
    if is_printed(unsigned, whole, rest, chosen, locale) {
        return Ok(format!("{sign}{whole}{rest}"));
    }
    let sign_of_locale = locale.decimal_sign();
    let meant = match Currency::parse(chosen).map_or(2, Currency::places) {
        0 => format!("{whole}{rest}"),
        places @ 3.. if *separator != sign_of_locale => {
            let zeros = "0".repeat(places.into());
            format!("{whole}{rest}{sign_of_locale}{zeros} or {whole}{sign_of_locale}{rest}")
        }
        // The currency has these places, and the visitor's language this sign before them.
        3.. => return Ok(format!("{sign}{whole}.{rest}")),
        _ => return Ok(read?),
    };
    let (whole, separator, rest) = (whole.clone(), *separator, rest.clone());
    Err(Ambiguous { whole, separator, rest, meant }.into())
}

/// The typed amount as [`decimal`] has it.
///
/// # Errors
///
/// The message for an amount with two meanings, or of another currency.
pub(crate) fn typed_amount(text: &str, currency: &str, locale: Locale) -> Result<String, String> {
    read_amount(text, currency, locale).map_err(|error| error.to_string())
}

/// Whether the page prints `text` for `{whole}{rest}`. Currencies that are not divided are printed
/// without decimal places: `¥1,234`. There the separator can only be one between thousands.
fn is_printed(text: &str, whole: &str, rest: &str, currency: &str, locale: Locale) -> bool {
    let without_spaces = |text: &str| -> String {
        text.chars().map(plain).filter(|character| *character != ' ').collect()
    };
    without_spaces(&locale.money(format!("{whole}{rest}.00"), currency)) == without_spaces(text)
}

/// A number with a decimal point and no other separators, if the text is a number at all; else the text.
fn decimal(text: &str) -> Result<String, Ambiguous> {
    let text: String = text.trim().chars().map(plain).collect();
    let unsigned = text.trim_start_matches(['+', '-']);
    let sign = &text[..text.len() - unsigned.len()];
    let is_separator = |character: char| matches!(character, ' ' | '\'' | '.' | ',');
    if !unsigned.chars().all(|character| character.is_ascii_digit() || is_separator(character)) {
        return Ok(text);
    }
    let separators: Vec<char> = unsigned.chars().filter(|c| is_separator(*c)).collect();
    let Some(last) = separators.last().copied() else { return Ok(text) };
    let is_decimal = matches!(last, '.' | ',')
        && separators.iter().filter(|separator| **separator == last).count() == 1;
    let (whole, fraction) = match unsigned.rsplit_once(last) {
        Some((whole, fraction)) if is_decimal => (whole, Some(fraction)),
        _ => (unsigned, None),
    };
    let groups: Vec<&str> = whole.split(is_separator).collect();
    let group_separators = &separators[..groups.len() - 1];
    let is_uniform = group_separators.windows(2).all(|pair| pair[0] == pair[1]);
    if groups.len() > 1 && !(is_uniform && are_groups(&groups)) {
        return Ok(text);
    }
    let digits = groups.concat();
    match fraction {
        Some(fraction)
            if groups.len() == 1
                && fraction.len() == 3
                && (1..=3).contains(&digits.len())
                && !digits.starts_with('0') =>
        {
            let (hundredths, rest) = (fraction.get(..2).unwrap_or_default(), fraction.to_owned());
            let meant = format!("{digits}{rest}{last}00 or {digits}{last}{hundredths}");
            Err(Ambiguous { whole: digits, separator: last, rest, meant })
        }
        Some(fraction) => Ok(format!("{sign}{digits}.{fraction}")),
        None => Ok(format!("{sign}{digits}")),
    }
}

/// Three digits at the end; before them threes, or twos as in India.
fn are_groups(groups: &[&str]) -> bool {
    let [first, middle @ .., last] = groups else { return false };
    (1..=3).contains(&first.len())
        && last.len() == 3
        && middle.iter().all(|group| matches!(group.len(), 2 | 3))
}

/// Digits and separators of other scripts and keyboards, as ASCII has them.
fn plain(character: char) -> char {
    // Arabic-Indic, Persian, Devanagari, Bengali, full width: each ten in a row.
    const ZEROS: [char; 5] = ['\u{660}', '\u{6f0}', '\u{966}', '\u{9e6}', '\u{ff10}'];
    let digit = ZEROS.iter().find_map(|zero| {
        let distance = u32::from(character).checked_sub(u32::from(*zero))?;
        char::from_digit(distance, 10)
    });
    match character {
        // No-break, thin, narrow; the Arabic thousands separator.
        '\u{a0}' | '\u{2009}' | '\u{202f}' | '\u{66c}' => ' ',
        '’' => '\'',
        '\u{66b}' | '．' => '.',
        '，' => ',',
        '−' => '-',
        '＄' => '$',
        '￥' => '¥',
        _ => digit.unwrap_or(character),
    }
}

/// A typed amount, split into the number and the currency marks before or after it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TypedMoney<'a> {
    /// The marks as typed: `$`, `kr.`, `eur`.
    pub marks: Vec<&'a str>,
    /// The number without the marks.
    pub number: &'a str,
}

impl<'a> TypedMoney<'a> {
    /// Splits `text`. A mark is a sign of the tables or three letters, and is not next to another letter.
    #[must_use]
    pub fn split(text: &'a str) -> Self {
        let mut split = Self { marks: Vec::new(), number: text.trim() };
        for take in [Self::take_first, Self::take_last] {
            if let Some((mark, number)) = take(split.number)
                && number.contains(|character: char| character.is_ascii_digit())
            {
                split.marks.push(mark);
                split.number = number.trim();
            }
        }
        split
    }

    fn take_first(text: &'a str) -> Option<(&'a str, &'a str)> {
        let lengths = mark_lengths(|mark| {
            text.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark))
        });
        let code = text.get(..CODE_LEN).filter(|code| is_code(code)).map(str::len);
        let (mark, number) = text.split_at(lengths.chain(code).max()?);
        // In `Rs.500` the full stop belongs to the mark; in `USD.50` it can be a decimal sign.
        let is_unclear = mark.ends_with(char::is_alphabetic) && number.starts_with(['.', ',']);
        (!is_unclear && !number.starts_with(char::is_alphabetic)).then_some((mark, number))
    }

    fn take_last(text: &'a str) -> Option<(&'a str, &'a str)> {
        let from_end = |len: usize| text.len().checked_sub(len).and_then(|at| text.get(at..));
        let lengths = mark_lengths(|mark| {
            from_end(mark.len()).is_some_and(|end| end.eq_ignore_ascii_case(mark))
        });
        let code = from_end(CODE_LEN).filter(|code| is_code(code)).map(str::len);
        let (number, mark) = text.split_at(text.len() - lengths.chain(code).max()?);
        (!number.ends_with(char::is_alphabetic)).then_some((mark, number))
    }
}

/// The lengths in bytes of the signs for which `is_present` is true.
fn mark_lengths(is_present: impl Fn(&str) -> bool) -> impl Iterator<Item = usize> {
    let signs = SIGNS.iter().chain(&SIGNS_AT_HOME).chain(&SIGNS_ABROAD);
    signs.map(|(_, sign)| *sign).filter(move |sign| is_present(sign)).map(str::len)
}
