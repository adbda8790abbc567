//! Formats of amounts and dates by the visitor's language (`Accept-Language`, RFC 9110 section 12.5.4). The
//! pages' text is English; digits are `0` to `9`, and calendars are Gregorian except in Thai.
//!
//! The table has the separators, currency positions and short dates of CLDR 48 for the most common
//! browser languages. All of CLDR, as in ICU4X, would double the Worker's size. Other languages get ISO
//! 8601 dates and ISO 4217 codes, which are unambiguous.

use std::fmt::{Display, Write as _};

use chrono::{Datelike, NaiveDate};
use http::{HeaderMap, header};

use crate::expenses::model::Currency;
use axum_authkit::browser::weighted;

/// The formats of one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locale {
    /// The language tag in lower case.
    tag: &'static str,
    numbers: Numbers,
    place: Place,
    /// The date: `d` and `m` have no leading zero, `dd` and `mm` do; `y` is the year, `b` the Buddhist
    /// year.
    date: &'static str,
    /// The currency of the country.
    currency: &'static str,
}

/// The separators of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers {
    decimal: char,
    group: &'static str,
    /// The least number of whole digits for which separators are written.
    grouped_from: usize,
    /// The size of the groups before the last three digits.
    group_size: usize,
}

impl Numbers {
    const fn new(group: &'static str, decimal: char) -> Self {
        Self { decimal, group, grouped_from: 4, group_size: 3 }
    }

    const fn grouped_from_five(self) -> Self {
        Self { grouped_from: 5, ..self }
    }
}

/// The position of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `€1`, but `CHF 1`.
    Before,
    /// `€ 1`.
    BeforeSpaced,
    /// `1 €`.
    After,
}

use Place::{After, Before, BeforeSpaced};

const NO_BREAK_SPACE: char = '\u{a0}';

const COMMA_POINT: Numbers = Numbers::new(",", '.');
const LAKH: Numbers = Numbers { group_size: 2, ..COMMA_POINT };
const POINT_COMMA: Numbers = Numbers::new(".", ',');
const SPACE_COMMA: Numbers = Numbers::new("\u{a0}", ',');
const SPACE_POINT: Numbers = Numbers::new("\u{a0}", '.');
const THIN_COMMA: Numbers = Numbers::new("\u{202f}", ',');
const THIN_POINT: Numbers = Numbers::new("\u{202f}", '.');
const APOSTROPHE: Numbers = Numbers::new("'", '.');

const fn locale(
    tag: &'static str,
    numbers: Numbers,
    place: Place,
    date: &'static str,
    currency: &'static str,
) -> Locale {
    Locale { tag, numbers, place, date, currency }
}

/// The formats for languages outside of the table.
const NEUTRAL: Locale = locale("", SPACE_POINT, BeforeSpaced, "y-mm-dd", "USD");

#[rustfmt::skip]
static LOCALES: [Locale; 87] = [
    locale("en", COMMA_POINT, Before, "m/d/y", "USD"),
    locale("en-001", COMMA_POINT, Before, "dd/mm/y", "USD"),
    locale("en-us", COMMA_POINT, Before, "m/d/y", "USD"),
    locale("en-au", COMMA_POINT, Before, "dd/mm/y", "AUD"),
    locale("en-ca", COMMA_POINT, Before, "y-mm-dd", "CAD"),
    locale("en-gb", COMMA_POINT, Before, "dd/mm/y", "GBP"),
    locale("en-hk", COMMA_POINT, Before, "d/m/y", "HKD"),
    locale("en-ie", COMMA_POINT, Before, "d/m/y", "EUR"),
    locale("en-in", LAKH, Before, "d/m/y", "INR"),
    locale("en-nz", COMMA_POINT, Before, "d/m/y", "NZD"),
    locale("en-ph", COMMA_POINT, Before, "m/d/y", "PHP"),
    locale("en-sg", COMMA_POINT, Before, "dd/mm/y", "SGD"),
    locale("en-za", SPACE_COMMA, Before, "y/mm/dd", "ZAR"),
    locale("ar", COMMA_POINT, After, "d/m/y", "USD"),
    locale("bg", SPACE_COMMA.grouped_from_five(), After, "d.m.y г.", "EUR"),
    locale("bn", LAKH, After, "d/m/y", "BDT"),
    locale("bs", POINT_COMMA, After, "d. m. y.", "BAM"),
    locale("ca", POINT_COMMA, After, "d/m/y", "EUR"),
    locale("cs", SPACE_COMMA, After, "d. m. y", "CZK"),
    locale("cy", COMMA_POINT, Before, "d/m/y", "GBP"),
    locale("da", POINT_COMMA, After, "d.m.y", "DKK"),
    locale("de", POINT_COMMA, After, "d.m.y", "EUR"),
    locale("de-at", POINT_COMMA, BeforeSpaced, "d.m.y", "EUR"),
    locale("de-ch", APOSTROPHE, BeforeSpaced, "d.m.y", "CHF"),
    locale("de-li", APOSTROPHE, BeforeSpaced, "d.m.y", "CHF"),
    locale("el", POINT_COMMA, After, "d/m/y", "EUR"),
    locale("es", POINT_COMMA.grouped_from_five(), After, "d/m/y", "EUR"),
    locale("es-419", COMMA_POINT, Before, "d/m/y", "USD"),
    locale("es-ar", POINT_COMMA, BeforeSpaced, "d/m/y", "ARS"),
    locale("es-cl", POINT_COMMA, Before, "dd-mm-y", "CLP"),
    locale("es-co", POINT_COMMA, BeforeSpaced, "d/m/y", "COP"),
    locale("es-mx", COMMA_POINT, Before, "d/m/y", "MXN"),
    locale("es-us", COMMA_POINT, Before, "d/m/y", "USD"),
    locale("et", SPACE_COMMA.grouped_from_five(), After, "d.m.y", "EUR"),
    locale("eu", POINT_COMMA, After, "y/m/d", "EUR"),
    locale("fi", SPACE_COMMA, After, "d.m.y", "EUR"),
    locale("fil", COMMA_POINT, Before, "m/d/y", "PHP"),
    locale("fr", THIN_COMMA, After, "dd/mm/y", "EUR"),
    locale("fr-ca", SPACE_COMMA, After, "y-mm-dd", "CAD"),
    locale("fr-ch", THIN_POINT, After, "dd.mm.y", "CHF"),
    locale("ga", COMMA_POINT, Before, "dd/mm/y", "EUR"),
    locale("gl", POINT_COMMA, After, "d/m/y", "EUR"),
    locale("he", COMMA_POINT, After, "d.m.y", "ILS"),
    locale("hi", LAKH, Before, "d/m/y", "INR"),
    locale("hr", POINT_COMMA, After, "dd. mm. y.", "EUR"),
    locale("hu", SPACE_COMMA.grouped_from_five(), After, "y. mm. dd.", "HUF"),
    locale("id", POINT_COMMA, Before, "d/m/y", "IDR"),
    locale("is", POINT_COMMA, After, "d.m.y", "ISK"),
    locale("it", POINT_COMMA.grouped_from_five(), After, "dd/mm/y", "EUR"),
    locale("it-ch", APOSTROPHE, BeforeSpaced, "dd/mm/y", "CHF"),
    locale("ja", COMMA_POINT, Before, "y/m/d", "JPY"),
    locale("ko", COMMA_POINT, Before, "y. m. d.", "KRW"),
    locale("lt", SPACE_COMMA, After, "y-mm-dd", "EUR"),
    locale("lv", SPACE_COMMA.grouped_from_five(), After, "d.m.y.", "EUR"),
    locale("mk", POINT_COMMA, After, "d.m.y г.", "MKD"),
    locale("ms", COMMA_POINT, Before, "d/m/y", "MYR"),
    locale("nb", SPACE_COMMA, After, "d.m.y", "NOK"),
    locale("nl", POINT_COMMA, BeforeSpaced, "d-m-y", "EUR"),
    locale("nl-be", POINT_COMMA, BeforeSpaced, "d/m/y", "EUR"),
    locale("nn", SPACE_COMMA, After, "d.m.y", "NOK"),
    locale("no", SPACE_COMMA, After, "d.m.y", "NOK"),
    locale("pl", SPACE_COMMA.grouped_from_five(), After, "d.m.y", "PLN"),
    locale("pt", POINT_COMMA, BeforeSpaced, "dd/mm/y", "BRL"),
    locale("pt-pt", SPACE_COMMA.grouped_from_five(), After, "dd/mm/y", "EUR"),
    locale("ro", POINT_COMMA, After, "dd.mm.y", "RON"),
    locale("ru", SPACE_COMMA, After, "dd.mm.y", "RUB"),
    locale("sk", SPACE_COMMA, After, "d. m. y", "EUR"),
    locale("sl", POINT_COMMA.grouped_from_five(), After, "d. m. y", "EUR"),
    locale("sq", SPACE_COMMA.grouped_from_five(), After, "d.m.y", "ALL"),
    locale("sr", POINT_COMMA, After, "d. m. y.", "RSD"),
    locale("sv", SPACE_COMMA, After, "y-mm-dd", "SEK"),
    locale("sw", COMMA_POINT, BeforeSpaced, "d/m/y", "KES"),
    locale("ta", LAKH, Before, "d/m/y", "INR"),
    locale("te", LAKH, Before, "d/m/y", "INR"),
    locale("mr", LAKH, Before, "d/m/y", "INR"),
    locale("th", COMMA_POINT, Before, "d/m/b", "THB"),
    locale("tr", POINT_COMMA, Before, "dd.mm.y", "TRY"),
    locale("uk", SPACE_COMMA, After, "dd.mm.y", "UAH"),
    locale("ur", COMMA_POINT, Before, "d/m/y", "PKR"),
    locale("vi", POINT_COMMA, After, "d/m/y", "VND"),
    locale("zh", COMMA_POINT, Before, "y/m/d", "CNY"),
    locale("zh-hk", COMMA_POINT, Before, "d/m/y", "HKD"),
    locale("zh-hant", COMMA_POINT, Before, "y/m/d", "TWD"),
    locale("zh-tw", COMMA_POINT, Before, "y/m/d", "TWD"),
    locale("az", POINT_COMMA, After, "dd.mm.y", "AZN"),
    locale("ka", SPACE_COMMA.grouped_from_five(), After, "d.m.y", "GEL"),
    locale("kk", SPACE_COMMA, After, "dd.mm.y", "KZT"),
];

/// Signs that mean one currency in every country.
pub(super) const SIGNS: [(&str, &str); 16] = [
    ("BRL", "R$"),
    ("CAD", "CA$"),
    ("CNY", "CN¥"),
    ("EUR", "€"),
    ("GBP", "£"),
    ("HKD", "HK$"),
    ("ILS", "₪"),
    ("INR", "₹"),
    ("KRW", "₩"),
    ("MXN", "MX$"),
    ("NZD", "NZ$"),
    ("PHP", "₱"),
    ("TWD", "NT$"),
    ("UAH", "₴"),
    ("AUD", "A$"),
    ("VND", "₫"),
];

/// Signs for a currency in countries whose own currency uses its plain sign.
pub(super) const SIGNS_ABROAD: [(&str, &str); 2] = [("JPY", "JP¥"), ("USD", "US$")];

/// Signs for the currency of the country.
pub(super) const SIGNS_AT_HOME: [(&str, &str); 29] = [
    ("ARS", "$"),
    ("AUD", "$"),
    ("BDT", "৳"),
    ("CAD", "$"),
    ("CLP", "$"),
    ("CNY", "¥"),
    ("COP", "$"),
    ("CZK", "Kč"),
    ("DKK", "kr."),
    ("GEL", "₾"),
    ("HUF", "Ft"),
    ("IDR", "Rp"),
    ("ISK", "kr."),
    ("JPY", "¥"),
    ("KZT", "₸"),
    ("MXN", "$"),
    ("MYR", "RM"),
    ("NOK", "kr"),
    ("NZD", "$"),
    ("PKR", "Rs"),
    ("PLN", "zł"),
    ("RUB", "₽"),
    ("SEK", "kr"),
    ("SGD", "$"),
    ("THB", "฿"),
    ("TRY", "₺"),
    ("TWD", "$"),
    ("USD", "$"),
    ("ZAR", "R"),
];

/// The number of letters of an ISO 4217 code.
pub(super) const CODE_LEN: usize = 3;

pub(super) fn is_code(text: &str) -> bool {
    text.len() == CODE_LEN && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Whether two marks are equal, ignoring case and a trailing full stop.
fn is_same_mark(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

/// Currencies without a subunit in practice, although ISO 4217 gives them one.
const UNDIVIDED: [&str; 2] = ["HUF", "IDR"];

impl Default for Locale {
    /// The formats for languages outside of the table: ISO 8601 dates, a decimal point.
    fn default() -> Self {
        NEUTRAL
    }
}

impl Locale {
    /// The language of the table with the largest weight in `Accept-Language`.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let wanted = weighted(headers, &header::ACCEPT_LANGUAGE)
            .filter(|language| language.weight > 0)
            .filter_map(|language| Some((language.weight, Self::find(language.value)?)));
        // The first of equal weights.
        let best = wanted.reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map_or(NEUTRAL, |(_, locale)| locale)
    }

    /// Finds the closest locale: `de-CH` for `de-CH-1996`, `fr` for `fr-LU`.
    fn find(tag: &str) -> Option<Self> {
        let tag = tag.to_ascii_lowercase();
        let exactly = |tag: &str| LOCALES.iter().find(|locale| locale.tag == tag).copied();
        let mut shorter = tag.as_str();
        while let Some((start, _)) = shorter.rsplit_once('-') {
            if let Some(found) = exactly(shorter) {
                return Some(found);
            }
            shorter = start;
        }
        // A language without a country gets its largest country's format; other countries have other
        // formats.
        let elsewhere = match shorter {
            "en" => "en-001",
            "es" if tag != "es-es" => "es-419",
            "pt" if tag != "pt-br" => "pt-pt",
            other => other,
        };
        exactly(if tag == shorter { shorter } else { elsewhere })
    }

    /// The currency of the visitor's country.
    #[must_use]
    pub fn currency(&self) -> &'static str {
        self.currency
    }

    /// A date, in digits.
    #[must_use]
    pub fn date(&self, date: NaiveDate) -> String {
        let mut text = String::with_capacity(12);
        let mut pattern = self.date;
        while let Some(first) = pattern.chars().next() {
            let rest = pattern.trim_start_matches(first);
            let width = pattern.len() - rest.len();
            // Writing to a string cannot fail.
            let _ = match first {
                'd' => write!(text, "{:0width$}", date.day()),
                'm' => write!(text, "{:0width$}", date.month()),
                'y' => write!(text, "{:04}", date.year()),
                'b' => write!(text, "{}", date.year() + 543),
                _ => text.write_str(&pattern[..width]),
            };
            pattern = rest;
        }
        text
    }

    /// Formats an amount with its currency, and with the currency's decimal places. `amount` must display as a number
    /// with a decimal point.
    #[must_use]
    pub fn money(&self, amount: impl Display, currency: &str) -> String {
        let amount = amount.to_string();
        let (whole, fraction) = amount.split_once('.').unwrap_or((&amount, "00"));
        let sign = self.sign(currency);
        let mut text = String::with_capacity(amount.len() * 2 + sign.len());
        let is_spaced = match self.place {
            Before => sign.ends_with(char::is_alphabetic),
            BeforeSpaced | After => true,
        };
        if self.place != After {
            text.push_str(sign);
            if is_spaced {
                text.push(NO_BREAK_SPACE);
            }
        }
        self.push_grouped(&mut text, whole);
        let places = Currency::parse(currency).map_or(2, Currency::places);
        let is_whole = fraction.bytes().all(|digit| digit == b'0');
        if !is_whole || places > 0 && !UNDIVIDED.contains(&currency) {
            text.push(self.numbers.decimal);
            text.push_str(fraction);
            (fraction.len()..places.into()).for_each(|_| text.push('0'));
        }
        if self.place == After {
            text.push(NO_BREAK_SPACE);
            text.push_str(sign);
        }
        text
    }

    /// The sign before decimal places.
    #[must_use]
    pub fn decimal_sign(&self) -> char {
        self.numbers.decimal
    }

    /// Formats an amount for a form field: without currency and thousands separators.
    #[must_use]
    pub fn typed(&self, amount: impl Display) -> String {
        amount.to_string().replace('.', self.numbers.decimal.encode_utf8(&mut [0; 4]))
    }

    fn push_grouped(&self, text: &mut String, digits: &str) {
        let Numbers { group, grouped_from, group_size, .. } = self.numbers;
        for (index, digit) in digits.chars().enumerate() {
            let left = digits.len() - index;
            let is_boundary = left == 3 || left > 3 && (left - 3).is_multiple_of(group_size);
            if index > 0 && is_boundary && digits.len() >= grouped_from {
                text.push_str(group);
            }
            text.push(digit);
        }
    }

    /// Checks that a mark of a typed amount can mean `currency`. A mark that this locale prints for a
    /// currency means only that currency: for a visitor from the United States `$` is never a Canadian
    /// dollar.
    ///
    /// # Errors
    ///
    /// The currency code of the mark, if the mark means only one currency.
    pub fn check_mark(&self, mark: &str, currency: &str) -> Result<(), Option<String>> {
        let check = |code: &str| if code == currency { Ok(()) } else { Err(Some(code.to_owned())) };
        if is_code(mark) {
            return check(&mark.to_ascii_uppercase());
        }
        let printed =
            Self::marked_currencies().find(|currency| is_same_mark(self.sign(currency), mark));
        if let Some(code) = printed {
            return check(code);
        }
        let signs = SIGNS.iter().chain(&SIGNS_AT_HOME).chain(&SIGNS_ABROAD);
        let codes: Vec<&str> =
            signs.filter(|(_, sign)| is_same_mark(sign, mark)).map(|(code, _)| *code).collect();
        match codes.as_slice() {
            codes if codes.contains(&currency) => Ok(()),
            [only] => Err(Some((*only).to_owned())),
            _ => Err(None),
        }
    }

    /// Every locale.
    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        LOCALES.into_iter().chain([NEUTRAL])
    }

    /// Every currency with a mark other than its code.
    pub(crate) fn marked_currencies() -> impl Iterator<Item = &'static str> {
        let at_home = SIGNS_AT_HOME.iter().map(|(code, _)| *code);
        let elsewhere = SIGNS.iter().map(|(code, _)| *code);
        let is_at_home = |code: &&str| SIGNS_AT_HOME.iter().any(|(known, _)| known == code);
        at_home.chain(elsewhere.filter(move |code| !is_at_home(code)))
    }

    fn sign<'a>(&self, currency: &'a str) -> &'a str {
        let in_table = |table: &[(&str, &'static str)]| {
            table.iter().find(|(code, _)| *code == currency).map(|(_, sign)| *sign)
        };
        if *self == NEUTRAL {
            return currency;
        }
        if currency == self.currency
            && let Some(sign) = in_table(&SIGNS_AT_HOME)
        {
            return sign;
        }
        let at_home = SIGNS_AT_HOME.iter().find(|(code, _)| *code == self.currency);
        match (currency, at_home) {
            ("USD", Some((_, "$"))) | ("JPY", Some((_, "¥"))) => {
                in_table(&SIGNS_ABROAD).unwrap_or(currency)
            }
            ("USD" | "JPY", _) => in_table(&SIGNS_AT_HOME).unwrap_or(currency),
            _ => in_table(&SIGNS).unwrap_or(currency),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn locale(languages: &'static str) -> Locale {
        let languages = HeaderValue::from_static(languages);
        Locale::from_headers(&HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, languages)]))
    }

    #[test]
    fn locale_is_the_known_language_with_most_weight() {
        for (languages, tag) in [
            ("", ""),
            ("*", ""),
            ("tlh", ""),
            ("de-DE,de;q=0.9,en;q=0.8", "de"),
            ("en;q=0.5, fr;q=0.75", "fr"),
            ("en;q=0,sv;q=0.001", "sv"),
            ("fr;q=nonsense,it;q=0.1", "it"),
            ("fr;q=0.5,it;q=0.50", "fr"),
            ("tlh,nl;q=0.3", "nl"),
            ("en-US", "en-us"),
            ("en-ZW", "en-001"),
            ("EN", "en"),
            ("es-PE", "es-419"),
            ("es-ES", "es"),
            ("pt-AO", "pt-pt"),
            ("pt-BR", "pt"),
            ("de-CH-1996", "de-ch"),
            ("zh-Hant-TW", "zh-hant"),
            ("zh-CN", "zh"),
        ] {
            assert_eq!(locale(languages).tag, tag, "{languages}");
        }
    }

    #[test]
    fn every_locale_is_unique_and_found_by_its_tag() {
        for known in &LOCALES {
            let found: Vec<_> = LOCALES.iter().filter(|locale| locale.tag == known.tag).collect();
            assert_eq!(found, [known]);
            assert_eq!(Locale::find(known.tag), Some(*known));
        }
    }

    #[test]
    fn amounts_have_each_locales_format() {
        for (languages, currency, amount, expected) in [
            ("en-US", "USD", "1234567.50", "$1,234,567.50"),
            ("en-US", "EUR", "0.05", "€0.05"),
            ("en-US", "CHF", "5.00", "CHF\u{a0}5.00"),
            ("en-CA", "USD", "5.00", "US$5.00"),
            ("en-CA", "CAD", "5.00", "$5.00"),
            ("en-IN", "INR", "1234567.50", "₹12,34,567.50"),
            ("de", "EUR", "1234.50", "1.234,50\u{a0}€"),
            ("de-CH", "CHF", "1234.50", "CHF\u{a0}1'234.50"),
            ("es-ES", "EUR", "1234.50", "1234,50\u{a0}€"),
            ("es-ES", "EUR", "12345.50", "12.345,50\u{a0}€"),
            ("fr", "EUR", "1234.50", "1\u{202f}234,50\u{a0}€"),
            ("ja", "JPY", "1234.00", "¥1,234"),
            ("ja", "JPY", "1234.50", "¥1,234.50"),
            ("en", "BHD", "1234.500", "BHD\u{a0}1,234.500"),
            ("en", "BHD", "42.50", "BHD\u{a0}42.500"),
            ("fr", "TND", "0.00", "0,000\u{a0}TND"),
            ("hu", "HUF", "1234.00", "1234\u{a0}Ft"),
            ("hu", "HUF", "1234.50", "1234,50\u{a0}Ft"),
            ("en", "XPF", "5.00", "XPF\u{a0}5"),
            ("zh", "JPY", "5.00", "JP¥5"),
            ("", "EUR", "1234.50", "EUR\u{a0}1\u{a0}234.50"),
        ] {
            assert_eq!(locale(languages).money(amount, currency), expected, "{languages}");
        }
    }

    #[test]
    fn currencies_have_distinct_marks_in_each_locale() {
        for locale in Locale::all() {
            let mut marks: Vec<&str> =
                Locale::marked_currencies().map(|currency| locale.sign(currency)).collect();
            marks.sort_unstable();
            let count = marks.len();
            marks.dedup();
            assert_eq!(marks.len(), count, "{locale:?}");
        }
    }

    #[test]
    fn dates_have_each_locales_format() {
        let day = NaiveDate::from_ymd_opt(2026, 2, 3).unwrap();
        for (languages, expected) in [
            ("en-US", "2/3/2026"),
            ("en-GB", "03/02/2026"),
            ("de", "3.2.2026"),
            ("cs", "3. 2. 2026"),
            ("hu", "2026. 02. 03."),
            ("th", "3/2/2569"),
            ("", "2026-02-03"),
        ] {
            assert_eq!(locale(languages).date(day), expected, "{languages}");
        }
    }

    #[test]
    fn typed_amounts_have_the_locales_decimal_sign() {
        assert_eq!(locale("de").typed("1234.50"), "1234,50");
        assert_eq!(locale("en").typed("1234.50"), "1234.50");
    }
}
