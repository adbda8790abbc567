//! The fields of an expense's form as they are typed, and error messages for them. The rules for an
//! expense are in [`crate::fastapi::expense`]: this module turns the input into the body that an API
//! client would send, and the problems of that body into sentences.
//!
//! Amounts are read in every language's format: `42.50` and `42,50`, `1,234.50`, `1.234,50` and
//! `1 234,50`. `1,234` means 1234 or 1.234; it is refused, not guessed. The format of the pages is read
//! too, with its currency: `$130.00`, `1.234,50 €`, `¥1,234`. The currency beside an amount must be the one
//! in the currency field.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::NaiveDate;
use serde_json::{Map, Value};
use thiserror::Error;

use super::locale::{Locale, TypedMoney};
use crate::{
    expenses::{
        amount::{Amount, AmountError},
        model::{Category, Currency, Expense, ExpenseContent, TextError},
        version::Version,
    },
    fastapi::{DecimalError, Fault, Problem, expense::parse_expense},
    url_encoded::Parameters,
};
use edge_host::{json, random_bytes};

/// The fields of an expense as they are typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypedExpense {
    /// The description.
    pub description: String,
    /// The amount, in any language's format.
    pub amount: String,
    /// The currency, in upper or lower case.
    pub currency: String,
    /// The category; empty for the default.
    pub category: String,
    /// `YYYY-MM-DD`, which date fields send in every language.
    pub date: String,
}

/// The values of the form's fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormInput {
    /// The fields of the expense.
    pub expense: TypedExpense,
    /// A hidden field of the form that adds: sending the form twice adds one expense.
    pub idempotency_key: String,
    /// A hidden field of the form that edits: the version of the expense that the page shows.
    pub version: String,
    /// A hidden field of the form that edits: the query of the list that the page was opened from.
    pub return_to: String,
}

/// A field of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `description`
    Description,
    /// `amount`
    Amount,
    /// `currency`
    Currency,
    /// `category`
    Category,
    /// `date`
    Date,
}

impl Field {
    /// The field's name, in forms and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Description => "description",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Category => "category",
            Self::Date => "date",
        }
    }

    fn of(problem: &Problem) -> Self {
        let name = problem.field();
        [Self::Amount, Self::Currency, Self::Category, Self::Date]
            .into_iter()
            .find(|field| Some(field.name()) == name)
            .unwrap_or(Self::Description)
    }
}

/// An error message for a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field.
    pub field: Field,
    /// A sentence for the visitor.
    pub message: String,
}

impl FormInput {
    /// Reads a body of `application/x-www-form-urlencoded`. Fields that it lacks come from `otherwise`.
    /// Of equal names the last counts, as in the API; unknown names are ignored.
    #[must_use]
    pub fn from_form(body: &[u8], otherwise: Self) -> Self {
        Parameters::parse(body).into_iter().fold(otherwise, |mut input, (name, value)| {
            let field = match &*name {
                "description" => &mut input.expense.description,
                "amount" => &mut input.expense.amount,
                "currency" => &mut input.expense.currency,
                "category" => &mut input.expense.category,
                "date" => &mut input.expense.date,
                "idempotency_key" => &mut input.idempotency_key,
                "version" => &mut input.version,
                "return_to" => &mut input.return_to,
                _ => return input,
            };
            *field = value;
            input
        })
    }

    /// The input that an expense's form begins with.
    #[must_use]
    pub fn from_expense(expense: &Expense, locale: Locale) -> Self {
        Self {
            expense: TypedExpense::of(&expense.content, locale),
            version: Version::of(expense).as_str().to_owned(),
            ..Self::default()
        }
    }
}

impl TypedExpense {
    /// The content of an expense as the visitor would type it.
    #[must_use]
    pub fn of(content: &ExpenseContent, locale: Locale) -> Self {
        let ExpenseContent { description, amount, currency, category, date } = content;
        Self {
            description: description.to_string(),
            amount: locale.typed(match (currency.places(), amount.to_string()) {
                (0, amount) => amount.strip_suffix(".00").unwrap_or(&amount).to_owned(),
                (_, amount) => amount,
            }),
            currency: currency.to_string(),
            category: category.to_string(),
            date: date.to_string(),
        }
    }

    /// The content of an expense. An empty category gets the default; an empty date or currency is an error, because it is
    /// more likely a slip: browsers send an empty date for one that does not exist.
    ///
    /// # Errors
    ///
    /// A message for every invalid field.
    pub fn to_content(
        &self,
        today: NaiveDate,
        locale: Locale,
    ) -> Result<ExpenseContent, Vec<FieldError>> {
        let currency = self.currency.trim().to_ascii_uppercase();
        let amount = read_amount(&self.amount, &currency, locale);
        let members = [
            ("description", self.description.clone()),
            ("amount", amount.clone().unwrap_or_default()),
            ("currency", currency.clone()),
            ("category", self.category.clone()),
            ("date", self.date.trim().to_owned()),
        ];
        let body: Map<String, Value> = members
            .into_iter()
            .filter(|(name, value)| *name != "category" || !value.trim().is_empty())
            .map(|(name, value)| (name.to_owned(), Value::String(value)))
            .collect();
        let parsed = parse_expense(Value::Object(body));
        parsed.map(|new| new.into_content(today)).map_err(|problems| {
            let message = |problem: &Problem| match (Field::of(problem), &amount) {
                (Field::Amount, Err(reason)) => reason.to_string(),
                _ => self.message(problem, today, locale),
            };
            problems
                .iter()
                .map(|problem| FieldError { field: Field::of(problem), message: message(problem) })
                .collect()
        })
    }

    /// A text that is equal for equal expenses, however their amounts and dates were typed.
    #[must_use]
    pub fn canonical(content: &ExpenseContent) -> String {
        let ExpenseContent { description, amount, currency, category, date } = content;
        json::write(&(&**description, amount.to_string(), &**currency, &**category, date))
    }

    fn message(&self, problem: &Problem, today: NaiveDate, locale: Locale) -> String {
        let characters = |text: &str| text.trim().chars().count();
        let example = locale.typed("42.50");
        match (Field::of(problem), &problem.fault) {
            (Field::Description, Fault::Text(TextError::TooLong { max_chars })) => format!(
                "Use at most {max_chars} characters for the description: these are {}.",
                characters(&self.description)
            ),
            (Field::Description, _) => "Say what it was, such as “Team lunch”.".to_owned(),
            (Field::Category, _) => format!(
                "Use at most {} characters for the category: these are {}.",
                Category::MAX_CHARS,
                characters(&self.category)
            ),
            (Field::Currency, _) => {
                "Write the currency with three letters, such as EUR or USD.".to_owned()
            }
            (Field::Date, _) => {
                format!("Give a day that exists, as year-month-day, such as {today}.")
            }
            (Field::Amount, Fault::Decimal(DecimalError::Amount(AmountError::NotPositive))) => {
                "The amount must be more than zero.".to_owned()
            }
            (
                Field::Amount,
                Fault::Decimal(DecimalError::Amount(AmountError::TooManyPlaces { max })),
            ) => match max {
                0 => "Write the amount without decimal places: the currency has none.".to_owned(),
                2 => {
                    format!("Write the amount with at most two decimal places, such as {example}.")
                }
                max => format!("Write the amount with at most {max} decimal places."),
            },
            (Field::Amount, Fault::Decimal(DecimalError::Amount(AmountError::TooManyDigits))) => {
                too_large(Amount::max_whole_digits(Amount::WRITTEN_PLACES))
            }
            (
                Field::Amount,
                Fault::Decimal(DecimalError::Amount(AmountError::TooManyWholeDigits { max })),
            ) => too_large(*max),
            (Field::Amount, _) if self.amount.trim().is_empty() => {
                format!("Give the amount, such as {example}.")
            }
            (Field::Amount, _) => {
                format!("Enter only a number as the amount, such as {example}.")
            }
        }
    }
}

fn too_large(digits: u8) -> String {
    format!("The amount is too large: it can have {digits} digits before the decimal sign.")
}

/// A new value for the hidden field of a form that adds.
#[must_use]
pub fn new_idempotency_key() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes::<16>())
}

/// Why a typed amount is ambiguous, or does not fit the currency.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum TypedAmountError {
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
struct Ambiguous {
    whole: String,
    separator: char,
    rest: String,
    /// The two numbers, as they are read.
    meant: String,
}

/// The typed amount as [`decimal`] has it, without the currency that may stand beside it.
fn read_amount(text: &str, chosen: &str, locale: Locale) -> Result<String, TypedAmountError> {
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
pub(super) fn typed_amount(text: &str, currency: &str, locale: Locale) -> Result<String, String> {
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

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::*;

    fn locale(language: &'static str) -> Locale {
        let headers =
            HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, HeaderValue::from_static(language))]);
        Locale::from_headers(&headers)
    }

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 23).unwrap()
    }

    fn lunch() -> TypedExpense {
        TypedExpense {
            description: "Lunch".into(),
            amount: "42.50".into(),
            currency: "USD".into(),
            date: "2026-11-23".into(),
            ..TypedExpense::default()
        }
    }

    fn amount(text: &str) -> Result<String, String> {
        let input = TypedExpense { amount: text.into(), ..lunch() };
        match input.to_content(today(), locale("en")) {
            Ok(content) => Ok(content.amount.to_string()),
            Err(errors) => {
                assert_eq!(errors.len(), 1, "{errors:?}");
                assert_eq!(errors[0].field, Field::Amount);
                Err(errors[0].message.clone())
            }
        }
    }

    #[test]
    fn amounts_are_read_in_every_languages_format() {
        for (text, expected) in [
            ("42.50", "42.50"),
            ("42,50", "42.50"),
            (" 42,5 ", "42.50"),
            ("42,", "42.00"),
            (",5", "0.50"),
            ("0,500", "0.50"),
            ("+7", "7.00"),
            ("1234,50", "1234.50"),
            ("1,234.50", "1234.50"),
            ("1.234,50", "1234.50"),
            ("1 234,50", "1234.50"),
            ("1\u{a0}234,50", "1234.50"),
            ("1\u{202f}234\u{202f}567,5", "1234567.50"),
            ("1'234.50", "1234.50"),
            ("1’234.50", "1234.50"),
            ("12,34,567.50", "1234567.50"),
            ("1,234,567", "1234567.00"),
            ("1.234.567", "1234567.00"),
            ("1 234", "1234.00"),
            ("٤٢٫٥٠", "42.50"),
            ("４２．５０", "42.50"),
            ("४२", "42.00"),
            ("1e3", "1000.00"),
        ] {
            assert_eq!(amount(text).as_deref(), Ok(expected), "{text}");
        }
    }

    /// Reads an amount of `currency` as a visitor who writes in `language` types it.
    fn amount_of(
        language: &'static str,
        currency: &str,
        text: &str,
    ) -> Result<String, Vec<FieldError>> {
        let input = TypedExpense { amount: text.into(), currency: currency.into(), ..lunch() };
        let content = input.to_content(today(), locale(language))?;
        assert_eq!(&*content.currency, currency);
        Ok(content.amount.to_string())
    }

    #[test]
    fn amount_may_carry_its_own_currency() {
        for (language, currency, text, expected) in [
            ("en-US", "USD", "$130.00", "130.00"),
            ("en-US", "USD", "$ 130", "130.00"),
            ("en-US", "USD", "130 usd", "130.00"),
            ("en-US", "USD", "$130.00 USD", "130.00"),
            ("en-US", "USD", "US$130", "130.00"),
            ("en-US", "USD", "+$130", "130.00"),
            ("en-US", "USD", "$.50", "0.50"),
            ("nb", "NOK", "kr.500", "500.00"),
            ("en-US", "EUR", "€1,234.50", "1234.50"),
            ("en-US", "EUR", "1.234,50 €", "1234.50"),
            ("de", "EUR", "1.234,50\u{a0}€", "1234.50"),
            ("en-US", "SEK", "42 kr", "42.00"),
            ("da", "DKK", "42 kr", "42.00"),
            ("da", "DKK", "1.234,50 kr.", "1234.50"),
            ("en-ZA", "ZAR", "R\u{a0}1\u{a0}234,50", "1234.50"),
            ("ms", "MYR", "RM5", "5.00"),
            ("ja", "JPY", "￥1,234", "1234.00"),
            ("de", "JPY", "1.234 ¥", "1234.00"),
            ("tlh", "CAD", "$5", "5.00"),
            ("tlh", "CAD", "CAD 5", "5.00"),
        ] {
            let read = amount_of(language, currency, text);
            assert_eq!(read.as_deref(), Ok(expected), "{language} {currency} {text}");
        }
    }

    #[test]
    fn amount_in_another_currency_is_refused() {
        for (language, currency, text, words) in [
            (
                "en-US",
                "USD",
                "€42",
                "“€” stands for EUR, but the currency is USD: change one of the two.",
            ),
            ("en-US", "CAD", "$42", "“$” stands for USD, but the currency is CAD"),
            ("en-CA", "USD", "$42", "“$” stands for CAD, but the currency is USD"),
            ("nb", "SEK", "42 kr", "“kr” stands for NOK, but the currency is SEK"),
            ("en-US", "CNY", "¥42", "“¥” stands for JPY, but the currency is CNY"),
            (
                "en-US",
                "USD",
                "42 kr",
                "“kr” does not stand for USD: change the currency, or enter only a number.",
            ),
            ("en-US", "USD", "$42 EUR", "“EUR” stands for EUR, but the currency is USD"),
            ("en-US", "USD", "€1,234", "“€” stands for EUR"),
        ] {
            let errors = amount_of(language, currency, text).unwrap_err();
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert_eq!(errors[0].field, Field::Amount);
            assert!(errors[0].message.contains(words), "{text}: {errors:?}");
        }
        // The currency is wrong by itself: nothing else is said.
        let errors = amount_of("en-US", "euro", "€42").unwrap_err();
        assert_eq!(errors.iter().map(|error| error.field).collect::<Vec<_>>(), [Field::Currency]);
    }

    #[test]
    fn every_printed_amount_is_read_back_in_its_locale() {
        let amounts = [
            "0.01",
            "1.00",
            "12.30",
            "123.00",
            "1234.00",
            "12345.60",
            "100000.00",
            "9999999999.99",
        ];
        for locale in Locale::all() {
            for currency in Locale::marked_currencies().chain(["CHF", "PYG", "XAF", "XTS"]) {
                let places = Currency::parse(currency).unwrap().places();
                let has_places = |amount: &&str| places > 0 || amount.ends_with(".00");
                for amount in amounts.into_iter().filter(has_places) {
                    let printed = locale.money(amount, currency);
                    let input = TypedExpense {
                        amount: printed.clone(),
                        currency: currency.into(),
                        ..lunch()
                    };
                    let read = input.to_content(today(), locale);
                    let read = read.map(|content| content.amount.to_string());
                    assert_eq!(read.as_deref(), Ok(amount), "{printed} {currency} {locale:?}");
                }
            }
        }
    }

    #[test]
    fn amount_has_the_places_of_its_currency() {
        for (language, currency, text, expected) in [
            ("en", "BHD", "1.234", "1.234"),
            ("en", "BHD", "BHD 1,234.500", "1234.500"),
            ("en", "BHD", "42.5", "42.500"),
            ("de", "TND", "1,234 TND", "1.234"),
            ("de", "TND", "1234,567", "1234.567"),
            ("en", "JPY", "100.00", "100.00"),
            ("en", "CLF", "1.2345", "1.2345"),
        ] {
            let read = amount_of(language, currency, text);
            assert_eq!(read.as_deref(), Ok(expected), "{language} {currency} {text}");
        }
        for (language, currency, text, words) in [
            ("en", "JPY", "100.50", "without decimal places: the currency has none."),
            ("en", "JPY", "1.234", "a little more than 1. Write 1234."),
            ("en", "BHD", "1.2345", "at most 3 decimal places."),
            ("en", "BHD", "1,234", "Write 1234.000 or 1.234."),
            ("de", "BHD", "1.234", "Write 1234,000 or 1,234."),
            ("en", "BHD", "1234567890", "it can have 9 digits before the decimal sign."),
        ] {
            let errors = amount_of(language, currency, text).unwrap_err();
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].message.contains(words), "{text}: {errors:?}");
        }
    }

    #[test]
    fn ambiguous_amounts_are_refused() {
        for text in ["1,234", "1.234", "12.345", "100,000", " 1,500 ", "$1,234", "1.234 USD"] {
            assert!(amount(text).unwrap_err().contains("can be read as"), "{text}");
        }
        assert_eq!(
            amount("1.234").unwrap_err(),
            "“1.234” can be read as 1234 or as a little more than 1. Write 1234.00 or 1.23."
        );
    }

    #[test]
    fn invalid_amounts_get_a_message() {
        for (text, words) in [
            ("", "Give the amount, such as 42.50."),
            ("  ", "Give the amount"),
            ("abc", "Enter only a number"),
            ("€", "Enter only a number"),
            ("USD", "Enter only a number"),
            ("42 $$", "Enter only a number"),
            ("42 dollars", "Enter only a number"),
            ("42 US$ 1", "Enter only a number"),
            ("4 USD 2", "Enter only a number"),
            ("$1,23,45", "Enter only a number"),
            ("USD.50", "Enter only a number"),
            ("Rs.500", "Enter only a number"),
            ("12 34", "Enter only a number"),
            ("1 234.567,00", "Enter only a number"),
            ("1.2.3", "Enter only a number"),
            ("1,23,45", "Enter only a number"),
            ("1.234.56", "Enter only a number"),
            ("..", "Enter only a number"),
            ("NaN", "Enter only a number"),
            ("1.2345", "two decimal places"),
            ("1,234.567", "two decimal places"),
            ("1234.567", "two decimal places"),
            ("0", "more than zero"),
            ("-5", "more than zero"),
            ("−5", "more than zero"),
            ("-$5", "more than zero"),
            ("$-5.00", "more than zero"),
            ("$1.2345", "two decimal places"),
            ("12345678901", "too large"),
        ] {
            let message = amount(text).unwrap_err();
            assert!(message.contains(words), "{text}: {message}");
        }
    }

    #[test]
    fn example_is_in_the_visitors_number_format() {
        let errors =
            TypedExpense { amount: "x".into(), ..lunch() }.to_content(today(), locale("de"));
        assert!(errors.unwrap_err()[0].message.contains("42,50"));
    }

    #[test]
    fn only_the_category_may_be_empty() {
        let content = lunch().to_content(today(), locale("de")).unwrap();
        assert_eq!(&*content.category, "other");
        let slips = TypedExpense { currency: " ".into(), date: String::new(), ..lunch() };
        let errors = slips.to_content(today(), locale("de")).unwrap_err();
        let fields: Vec<Field> = errors.iter().map(|error| error.field).collect();
        assert_eq!(fields, [Field::Currency, Field::Date]);
    }

    #[test]
    fn invalid_fields_are_listed_in_order() {
        let wrong = TypedExpense {
            description: "d".repeat(201),
            amount: "-1".into(),
            currency: "euro".into(),
            category: "c".repeat(51),
            date: "2026-02-30".into(),
        };
        let errors = wrong.to_content(today(), locale("de")).unwrap_err();
        let fields: Vec<Field> = errors.iter().map(|error| error.field).collect();
        use Field::{Amount, Category, Currency, Date, Description};
        assert_eq!(fields, [Description, Amount, Currency, Category, Date]);
        assert!(errors[0].message.contains("these are 201"), "{errors:?}");
    }

    #[test]
    fn lower_case_currency_is_accepted() {
        let content =
            TypedExpense { currency: " eur ".into(), ..lunch() }.to_content(today(), locale("de"));
        assert_eq!(&*content.unwrap().currency, "EUR");
    }

    #[test]
    fn last_of_equal_names_counts() {
        let form = FormInput { expense: lunch(), ..FormInput::default() };
        let kept = FormInput::from_form(
            b"amount=1&amount=2%2C5&category=&zebra=x&description=a+%26%C3%A9",
            form.clone(),
        );
        assert_eq!(kept.expense.description, "a &é");
        assert_eq!(kept.expense.amount, "2,5");
        assert_eq!(FormInput::from_form(b"", form.clone()), form);
    }
}
