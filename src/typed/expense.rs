//! The fields of an expense as they are typed, and error messages for them. The rules for an
//! expense are in [`crate::fastapi::expense`]: this module turns the input into the body that an API
//! client would send, and the problems of that body into sentences.

use chrono::NaiveDate;
use serde_json::{Map, Value};

use super::{Locale, amount::read_amount};
use crate::{
    expenses::{
        amount::{Amount, AmountError},
        model::{Category, ExpenseContent, TextError},
    },
    fastapi::{DecimalError, Fault, Problem, expense::parse_expense},
};
use edge_host::json;

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

/// A field of an expense.
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

    /// The content of an expense. An empty category gets the default; an empty date or currency is an error, because it
    /// is more likely a slip: browsers send an empty date for one that does not exist.
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

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::*;
    use crate::expenses::model::Currency;

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
}
