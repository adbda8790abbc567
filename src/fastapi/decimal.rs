//! Amounts in the grammar of Python's `Decimal`: a sign, digits with a point, an exponent, underscores
//! anywhere. The checks come in Pydantic's order for a constrained `Decimal`.

use std::borrow::Cow;

use thiserror::Error;

use crate::expenses::amount::{Amount, AmountError, Decimal};

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecimalError {
    /// The text is not a decimal number.
    #[error("the text is not a decimal number")]
    Malformed,
    /// The number is `NaN` or `Infinity`.
    #[error("the number is not finite")]
    NotFinite,
    /// The number is not an amount.
    #[error(transparent)]
    Amount(#[from] AmountError),
}

/// Reads an amount of a currency with so many decimal places; `None` is a currency that is not known.
///
/// # Errors
///
/// [`DecimalError`].
pub(super) fn parse_amount(text: &str, of_currency: Option<u8>) -> Result<Amount, DecimalError> {
    if let Some(amount) = Amount::parse(text)
        && let Some(places) = of_currency
        && let Ok(amount) = amount.with_places(places)
    {
        return Ok(amount);
    }
    let mut text = Cow::Borrowed(text.trim());
    if text.contains('_') {
        text = Cow::Owned(text.replace('_', ""));
    }
    Ok(Amount::from_decimal(&parse_decimal(&text)?, of_currency)?)
}

fn parse_decimal(text: &str) -> Result<Decimal, DecimalError> {
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    // A NaN may carry digits.
    let unnumbered = unsigned.trim_end_matches(|digit: char| digit.is_ascii_digit());
    if ["inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name))
        || ["nan", "snan"].iter().any(|name| unnumbered.eq_ignore_ascii_case(name))
    {
        return Err(DecimalError::NotFinite);
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        // Python also refuses exponents past 64 bits.
        Some((mantissa, exponent)) => {
            (mantissa, exponent.parse().map_err(|_| DecimalError::Malformed)?)
        }
        None => (unsigned, 0_i64),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    Decimal::new(is_negative, whole, fraction, exponent).ok_or(DecimalError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_amount_accepts_pythons_grammar() {
        for (text, shown) in [
            ("42.50", "42.50"),
            ("42.5", "42.50"),
            ("0.01", "0.01"),
            (".5", "0.50"),
            ("5.", "5.00"),
            ("+7", "7.00"),
            (" 7 ", "7.00"),
            ("007", "7.00"),
            ("42.5000", "42.50"),
            ("1e3", "1000.00"),
            ("1.25E+1", "12.50"),
            ("12500e-3", "12.50"),
            ("9999999999.99", "9999999999.99"),
            ("1e9", "1000000000.00"),
            ("1_000.5_0", "1000.50"),
            ("1e_1", "10.00"),
        ] {
            assert_eq!(parse_amount(text, Some(2)).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn parse_amount_reports_the_first_failed_check() {
        use AmountError::*;
        use DecimalError::{Malformed, NotFinite};
        let (places, whole) = (TooManyPlaces { max: 2 }, TooManyWholeDigits { max: 10 });
        let long = "1".repeat(400);
        for (text, error) in [
            ("", Malformed),
            (".", Malformed),
            ("abc", Malformed),
            ("1,5", Malformed),
            ("1e", Malformed),
            ("1e5e5", Malformed),
            ("0x10", Malformed),
            ("--1", Malformed),
            ("٣", Malformed),
            ("_", Malformed),
            ("nan1.5", Malformed),
            ("inf1", Malformed),
            ("0e99999999999999999999", Malformed),
            ("1e99999999999999999999", Malformed),
            ("1e-99999999999999999999", Malformed),
            ("NaN", NotFinite),
            ("-sNaN12", NotFinite),
            ("-Infinity", NotFinite),
            ("0", NotPositive.into()),
            ("-0", NotPositive.into()),
            ("0e999999999999999999", NotPositive.into()),
            ("-5", NotPositive.into()),
            ("-5.123", places.into()),
            ("0.001", places.into()),
            ("1e-3", places.into()),
            ("0.1234567890123", TooManyDigits.into()),
            ("1234567890123", TooManyDigits.into()),
            ("12345678901.12", TooManyDigits.into()),
            ("12345678901", whole.into()),
            ("1e10", whole.into()),
            ("1e999999999999999999", TooManyDigits.into()),
            ("1e-999999999999999999", TooManyDigits.into()),
            (&long, TooManyDigits.into()),
        ] {
            assert_eq!(parse_amount(text, Some(2)), Err(error), "{text}");
        }
    }

    #[test]
    fn parse_amount_takes_the_places_of_the_currency() {
        for (text, places, shown) in [
            ("100", 0, "100.00"),
            ("100.00", 0, "100.00"),
            ("1e2", 0, "100.00"),
            ("1.234", 3, "1.234"),
            ("42.5", 3, "42.500"),
            ("42.50", 3, "42.500"),
            ("1.2345", 4, "1.2345"),
            ("42.500", 2, "42.50"),
        ] {
            assert_eq!(parse_amount(text, Some(places)).unwrap().to_string(), shown, "{text}");
        }
        for (text, max) in [("100.50", 0), ("0.5", 0), ("1.2345", 3), ("1.23456", 4)] {
            let error = AmountError::TooManyPlaces { max };
            assert_eq!(parse_amount(text, Some(max)), Err(error.into()), "{text}");
        }
        for (text, shown) in
            [("5", "5.00"), ("1.2340", "1.234"), ("9999999999.99", "9999999999.99")]
        {
            assert_eq!(parse_amount(text, None).unwrap().to_string(), shown, "{text}");
        }
        let error = AmountError::TooManyWholeDigits { max: 10 };
        assert_eq!(parse_amount("1e10", None), Err(error.into()));
        let error = AmountError::TooManyWholeDigits { max: 9 };
        assert_eq!(parse_amount("1234567890", Some(3)), Err(error.into()));
        assert_eq!(parse_amount("1234567890.00", Some(3)), Err(error.into()));
    }
}
