//! Properties that hold for every amount a person can type. proptest prints a failing case at its smallest; it
//! then becomes a test beside the code, so no file of cases is kept. `crates/authkit/tests/properties.rs` has
//! the properties of sealing, cookies, sessions and tokens.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, missing_docs)]

use authkit_edge::{
    expenses::model::Currency,
    typed::{Locale, expense::TypedExpense},
};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, header};
use proptest::{prelude::*, sample::select};

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_435_200, 0).unwrap()
}

// Amounts typed into the form.

const LANGUAGES: [&str; 12] =
    ["en-US", "en-CA", "en-ZA", "de", "de-CH", "fr", "es", "hi", "ja", "da", "vi", "tlh"];
const CURRENCIES: [&str; 13] =
    ["USD", "CAD", "EUR", "CHF", "JPY", "DKK", "VND", "INR", "ZAR", "HUF", "XTS", "BHD", "CLF"];
const MARKS: [&str; 14] =
    ["$", "US$", "USD", "usd", "€", "EUR", "¥", "kr", "kr.", "Rs", "R", "Ft", "CHF", "₫"];

fn locale_of(language: &'static str) -> Locale {
    let language = HeaderValue::from_static(language);
    Locale::from_headers(&HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, language)]))
}

/// Parses the amount as the form does.
fn read(amount: &str, currency: &str, locale: Locale) -> Option<String> {
    let typed = TypedExpense {
        description: "Lunch".to_owned(),
        amount: amount.to_owned(),
        currency: currency.to_owned(),
        date: "2026-11-23".to_owned(),
        ..TypedExpense::default()
    };
    let content = typed.to_content(noon().date_naive(), locale).ok()?;
    assert_eq!(&*content.currency, currency);
    Some(content.amount.to_string())
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn printed_amounts_are_read_back(
        units in prop_oneof![1_u64..1_000_000, 1_u64..1_000_000_000_000],
        is_whole in any::<bool>(),
        currency in select(&CURRENCIES[..]),
        language in select(&LANGUAGES[..]),
    ) {
        let places = Currency::parse(currency).unwrap().places();
        let width = usize::from(places.max(2));
        let unit = 10_u64.pow(places.max(2).into());
        let is_whole = is_whole || places == 0;
        let units = if is_whole { units.next_multiple_of(unit) } else { units };
        let units = units.min(if is_whole { 1_000_000_000_000 - unit } else { 999_999_999_999 });
        let amount = format!("{}.{:0width$}", units / unit, units % unit);
        let locale = locale_of(language);
        for text in [locale.money(&amount, currency), locale.typed(&amount)] {
            let read = read(&text, currency, locale);
            prop_assert_eq!(read.as_ref(), Some(&amount), "{}", text);
        }
    }

    /// A currency beside a number does not change how the number is read. The exception is a form such as `¥1,234`:
    /// `1,234` alone is refused.
    #[test]
    fn currency_beside_an_amount_never_changes_it(
        number in "[0-9]{1,3}([.,' ][0-9]{1,4}){0,2}[.,]?[0-9]{0,3}",
        mark in select(&MARKS[..]),
        space in select(vec!["", " ", "\u{a0}"]),
        is_before in any::<bool>(),
        currency in select(&CURRENCIES[..]),
        language in select(&LANGUAGES[..]),
    ) {
        let locale = locale_of(language);
        let text =
            if is_before { format!("{mark}{space}{number}") } else { format!("{number}{space}{mark}") };
        if let Some(marked) = read(&text, currency, locale) {
            let alone = read(&number, currency, locale);
            let without_spaces = |text: String| text.replace(['\u{a0}', '\u{202f}', ' '], "");
            let printed = without_spaces(locale.money(&marked, currency));
            let is_as_printed = printed == without_spaces(text.clone());
            prop_assert!(
                alone.as_ref() == Some(&marked) || alone.is_none() && is_as_printed,
                "{} is {}, and {:?} alone", text, marked, alone
            );
        }
    }
}
