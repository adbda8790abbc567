//! Amounts of money, and their sums: exact, in hundredths.

use std::fmt;

use thiserror::Error;

/// An amount of money: hundredths, exact, more than zero, at most twelve digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    hundredths: u64,
}

/// Why a number is not an amount, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// The number has more digits than [`Amount::MAX_DIGITS`].
    #[error("the number has too many digits")]
    TooManyDigits,
    /// The number has more decimal places than [`Amount::MAX_PLACES`].
    #[error("the number has too many decimal places")]
    TooManyPlaces,
    /// The number has more digits before the point than the maximum minus the decimal places.
    #[error("the number has too many digits before the decimal point")]
    TooManyWholeDigits,
    /// The number is zero or less.
    #[error("the number is not greater than zero")]
    NotPositive,
}

impl Amount {
    /// The most digits, before and after the point together.
    pub const MAX_DIGITS: i64 = 12;
    /// The most digits after the point.
    pub const MAX_PLACES: i64 = 2;

    /// Converts a decimal number. Trailing zeros after the point are ignored.
    ///
    /// # Errors
    ///
    /// [`AmountError`].
    pub fn from_decimal(decimal: &Decimal) -> Result<Self, AmountError> {
        let Decimal { is_negative, digits, exponent } = decimal;
        if digits.is_empty() {
            return Err(AmountError::NotPositive);
        }
        let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let places = exponent.saturating_neg().max(0);
        let total = count.saturating_add((*exponent).max(0)).max(places);
        if total > Self::MAX_DIGITS {
            return Err(AmountError::TooManyDigits);
        }
        if places > Self::MAX_PLACES {
            return Err(AmountError::TooManyPlaces);
        }
        if total - places > Self::MAX_DIGITS - Self::MAX_PLACES {
            return Err(AmountError::TooManyWholeDigits);
        }
        if *is_negative {
            return Err(AmountError::NotPositive);
        }
        // The checks above limit the number to twelve digits.
        let zeros = usize::try_from(exponent + Self::MAX_PLACES).unwrap_or_default();
        let hundredths = format!("{digits}{}", "0".repeat(zeros));
        hundredths
            .parse()
            .map(|hundredths| Self { hundredths })
            .map_err(|_| AmountError::TooManyDigits)
    }

    /// Parses the form that [`Display`](fmt::Display) writes and records store: up to ten digits, a
    /// point and two digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, cents) = text.split_once('.')?;
        let max_whole_digits = usize::try_from(Self::MAX_DIGITS - Self::MAX_PLACES).ok()?;
        if cents.len() != 2 || !(1..=max_whole_digits).contains(&whole.len()) {
            return None;
        }
        // A number in JSON has no leading zero, and a response copies the text of a stored amount.
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let hundredths = whole.bytes().chain(cents.bytes()).try_fold(0, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
        });
        hundredths.filter(|hundredths| *hundredths > 0).map(|hundredths| Self { hundredths })
    }
}

/// A decimal number of any size: `digits × 10^exponent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    /// The digits without leading and trailing zeros; empty for zero.
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// The number `whole.fraction × 10^exponent`; `None` without digits, or with other characters.
    #[must_use]
    pub fn new(is_negative: bool, whole: &str, fraction: &str, exponent: i64) -> Option<Self> {
        let all_digits = format!("{whole}{fraction}");
        if all_digits.is_empty() || !all_digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let significant = all_digits.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
        let dropped_zeros = length(significant) - length(digits);
        let exponent = exponent.saturating_sub(length(fraction)).saturating_add(dropped_zeros);
        Some(Self { is_negative, digits: digits.to_owned(), exponent })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}", self.hundredths / 100, self.hundredths % 100)
    }
}

/// An exact sum of any number of amounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Total {
    hundredths: u128,
}

impl Total {
    /// Adds one amount.
    pub fn add(&mut self, amount: Amount) {
        self.hundredths += u128::from(amount.hundredths);
    }

    /// The sum in hundredths.
    #[must_use]
    pub fn hundredths(self) -> u128 {
        self.hundredths
    }

    /// The difference of two totals.
    #[must_use]
    pub fn abs_diff(self, other: Self) -> Self {
        Self { hundredths: self.hundredths.abs_diff(other.hundredths) }
    }
}

impl From<u128> for Total {
    fn from(hundredths: u128) -> Self {
        Self { hundredths }
    }
}

impl fmt::Display for Total {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}", self.hundredths / 100, self.hundredths % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_accepts_only_the_form_of_display() {
        for text in ["0.01", "42.50", "9999999999.99"] {
            assert_eq!(Amount::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "1",
            "1.5",
            ".50",
            "0.00",
            "00.50",
            "042.50",
            "-1.00",
            "1e3",
            "1_0.00",
            "12345678901.00",
        ] {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sum_of_a_million_amounts_is_exact() {
        let mut total = Total::default();
        for index in 0..1_000_000_u32 {
            // The amounts repeat from 0.01 to 99.99.
            let amount = format!("{}.{:02}", index % 100, index % 99 + 1);
            total.add(Amount::parse(&amount).unwrap());
        }
        let expected: u64 =
            (0..1_000_000_u64).map(|index| index % 100 * 100 + index % 99 + 1).sum();
        assert_eq!(total.to_string(), format!("{}.{:02}", expected / 100, expected % 100));
        let mut total = Total::default();
        total.add(Amount::parse("0.10").unwrap());
        total.add(Amount::parse("0.20").unwrap());
        assert_eq!(total.to_string(), "0.30");
    }
}
