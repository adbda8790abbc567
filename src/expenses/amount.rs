//! Amounts of money, and their sums: exact, in ten-thousandths. How many decimal places an amount has depends on its
//! currency ([`Currency::places`]); it is written with two at least.

use std::{cmp::Ordering, fmt, iter};

use thiserror::Error;

use super::currency::Currency;

/// One unit of a currency in [`Amount::units`]. ISO 4217 has no currency with more than four decimal places.
const UNITS: u64 = 10_u64.pow(Amount::MAX_PLACES as u32);

/// An amount of money: exact, more than zero, at most twelve digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    /// Ten-thousandths.
    units: u64,
    /// The places that are written: two to four.
    places: u8,
}

/// Why a number is not an amount, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// The number has more digits than [`Amount::MAX_DIGITS`].
    #[error("the number has too many digits")]
    TooManyDigits,
    /// The number has more decimal places than its currency.
    #[error("the number has more than {max} decimal places")]
    TooManyPlaces {
        /// The places of the currency.
        max: u8,
    },
    /// The number has more digits before the point than the maximum minus the decimal places.
    #[error("the number has more than {max} digits before the decimal point")]
    TooManyWholeDigits {
        /// The most digits before the point.
        max: u8,
    },
    /// The number is zero or less.
    #[error("the number is not greater than zero")]
    NotPositive,
}

impl Amount {
    /// The most digits, before and after the point together.
    pub const MAX_DIGITS: u8 = 12;
    /// The most digits after the point in any currency.
    pub const MAX_PLACES: u8 = 4;
    /// The digits after the point that are written at least.
    pub const WRITTEN_PLACES: u8 = 2;

    /// Converts a decimal number of a currency with so many places; `None` is a currency that is not known. Trailing
    /// zeros after the point are ignored.
    ///
    /// # Errors
    ///
    /// [`AmountError`].
    pub fn from_decimal(decimal: &Decimal, of_currency: Option<u8>) -> Result<Self, AmountError> {
        let max_places = of_currency.unwrap_or(Self::MAX_PLACES);
        let Decimal { is_negative, digits, exponent } = decimal;
        if digits.is_empty() {
            return Err(AmountError::NotPositive);
        }
        let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let places = exponent.saturating_neg().max(0);
        let total = count.saturating_add((*exponent).max(0)).max(places);
        if total > i64::from(Self::MAX_DIGITS) {
            return Err(AmountError::TooManyDigits);
        }
        if places > i64::from(max_places) {
            return Err(AmountError::TooManyPlaces { max: max_places });
        }
        let max_whole_digits = Self::max_whole_digits(of_currency.unwrap_or_default());
        if total - places > i64::from(max_whole_digits) {
            return Err(AmountError::TooManyWholeDigits { max: max_whole_digits });
        }
        if *is_negative {
            return Err(AmountError::NotPositive);
        }
        // The checks above limit the number to twelve digits.
        let zeros = usize::try_from(exponent + i64::from(Self::MAX_PLACES)).unwrap_or_default();
        let units = format!("{digits}{}", "0".repeat(zeros)).parse();
        let units = units.map_err(|_| AmountError::TooManyDigits)?;
        // As few as the number needs, if the currency is not known.
        let places = of_currency.unwrap_or_else(|| u8::try_from(places).unwrap_or(max_places));
        Ok(Self { units, places: places.max(Self::WRITTEN_PLACES) })
    }

    /// The amount in ten-thousandths, which compares amounts of different places.
    #[must_use]
    pub fn units(self) -> u64 {
        self.units
    }

    /// The most digits before the point of an amount with so many places.
    #[must_use]
    pub fn max_whole_digits(places: u8) -> u8 {
        Self::MAX_DIGITS - places.clamp(Self::WRITTEN_PLACES, Self::MAX_PLACES)
    }

    /// The amount as an amount of `currency`.
    ///
    /// # Errors
    ///
    /// [`AmountError`]: the amount has more places than the currency, or more digits than fit with its places.
    pub fn in_currency(self, currency: Currency) -> Result<Self, AmountError> {
        self.with_places(currency.places())
    }

    /// The amount as an amount of a currency with so many places.
    ///
    /// # Errors
    ///
    /// As for [`Self::in_currency`].
    pub fn with_places(self, max: u8) -> Result<Self, AmountError> {
        let step = 10_u64.pow(u32::from(Self::MAX_PLACES.saturating_sub(max)));
        if !self.units.is_multiple_of(step) {
            return Err(AmountError::TooManyPlaces { max });
        }
        let max_whole_digits = Self::max_whole_digits(max);
        if self.units / UNITS >= 10_u64.pow(u32::from(max_whole_digits)) {
            return Err(AmountError::TooManyWholeDigits { max: max_whole_digits });
        }
        Ok(Self { places: max.max(Self::WRITTEN_PLACES), ..self })
    }

    /// Parses the form that [`Display`](fmt::Display) writes and records store: digits, a point and two to four digits,
    /// together at most twelve.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.')?;
        let places = u8::try_from(fraction.len()).ok()?;
        let is_written = (Self::WRITTEN_PLACES..=Self::MAX_PLACES).contains(&places);
        if !is_written || !(1..=Self::max_whole_digits(places).into()).contains(&whole.len()) {
            return None;
        }
        // A number in JSON has no leading zero, and a response copies the text of a stored amount.
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let number = whole.bytes().chain(fraction.bytes()).try_fold(0, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
        });
        let units = number? * 10_u64.pow(u32::from(Self::MAX_PLACES - places));
        (units > 0).then_some(Self { units, places })
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

/// Writes a whole number and ten-thousandths, with two to four places.
fn write_units(
    formatter: &mut fmt::Formatter<'_>,
    whole: impl fmt::Display,
    fraction: u64,
    places: u8,
) -> fmt::Result {
    let shown = fraction / 10_u64.pow(u32::from(Amount::MAX_PLACES.saturating_sub(places)));
    write!(formatter, "{whole}.{shown:0width$}", width = usize::from(places))
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_units(formatter, self.units / UNITS, self.units % UNITS, self.places)
    }
}

/// An exact sum of any number of amounts. Totals compare by value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Total {
    /// Ten-thousandths.
    units: u128,
    /// The places of the amount that has most; a total is written with two at least.
    places: u8,
}

impl Total {
    /// Adds one amount.
    pub fn add(&mut self, amount: Amount) {
        self.units += u128::from(amount.units);
        self.places = self.places.max(amount.places);
    }

    /// The sum in ten-thousandths.
    #[must_use]
    pub fn units(self) -> u128 {
        self.units
    }

    /// The difference of two totals.
    #[must_use]
    pub fn abs_diff(self, other: Self) -> Self {
        Self { units: self.units.abs_diff(other.units), places: self.places.max(other.places) }
    }
}

impl iter::Sum for Total {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::default(), |sum, total| Self {
            units: sum.units.saturating_add(total.units),
            places: sum.places.max(total.places),
        })
    }
}

impl PartialEq for Total {
    fn eq(&self, other: &Self) -> bool {
        self.units == other.units
    }
}

impl Eq for Total {}

impl PartialOrd for Total {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Total {
    fn cmp(&self, other: &Self) -> Ordering {
        self.units.cmp(&other.units)
    }
}

impl From<u128> for Total {
    /// The total of so many ten-thousandths.
    fn from(units: u128) -> Self {
        Self { units, places: 0 }
    }
}

impl fmt::Display for Total {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.units / u128::from(UNITS), self.units % u128::from(UNITS));
        // Less than `UNITS`.
        let fraction = u64::try_from(fraction).unwrap_or_default();
        write_units(formatter, whole, fraction, self.places.max(Amount::WRITTEN_PLACES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_accepts_only_the_form_of_display() {
        for text in ["0.01", "42.50", "9999999999.99", "1.234", "42.500", "0.0001", "99999999.9999"]
        {
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
            "1.23456",
            "1234567890.123",
            "123456789.1234",
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

    #[test]
    fn amount_has_at_most_the_places_of_its_currency() {
        let amount = |text: &str, currency: &str| {
            let amount = Amount::parse(text).unwrap();
            amount.in_currency(Currency::parse(currency).unwrap()).map(|amount| amount.to_string())
        };
        for (text, currency, written) in [
            ("42.50", "EUR", "42.50"),
            ("42.500", "EUR", "42.50"),
            ("100.00", "JPY", "100.00"),
            ("42.50", "BHD", "42.500"),
            ("1.234", "BHD", "1.234"),
            ("999999999.99", "BHD", "999999999.990"),
            ("1.23", "CLF", "1.2300"),
            ("9999999999.00", "JPY", "9999999999.00"),
        ] {
            assert_eq!(amount(text, currency).as_deref(), Ok(written), "{text} {currency}");
        }
        for (text, currency, max) in
            [("100.50", "JPY", 0), ("1.234", "EUR", 2), ("1.2345", "BHD", 3), ("0.01", "KRW", 0)]
        {
            let error = Err(AmountError::TooManyPlaces { max });
            assert_eq!(amount(text, currency), error, "{text} {currency}");
        }
        let error = Err(AmountError::TooManyWholeDigits { max: 9 });
        assert_eq!(amount("1234567890.00", "BHD"), error);
    }

    #[test]
    fn sum_has_the_places_of_its_amounts() {
        let mut total = Total::default();
        assert_eq!(total.to_string(), "0.00");
        for (text, sum) in [("42.50", "42.50"), ("1.234", "43.734"), ("0.006", "43.740")] {
            total.add(Amount::parse(text).unwrap());
            assert_eq!(total.to_string(), sum);
        }
        assert_eq!(total, Total::from(437_400));
        assert_eq!([total, total].into_iter().sum::<Total>().to_string(), "87.480");
        assert_eq!(total.abs_diff(Total::default()).to_string(), "43.740");
    }
}
