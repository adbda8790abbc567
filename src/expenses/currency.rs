//! Currencies by their codes, with their decimal places.

use std::ops::Deref;

use thiserror::Error;

/// A currency code: three letters of ISO 4217.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// The error for a text that is not three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the text is not three capital letters")]
pub struct CurrencyError;

impl Currency {
    /// The currency of an expense without one.
    pub const DEFAULT: Self = Self(*b"USD");
    /// The codes, as a regular expression.
    pub const PATTERN: &str = "^[A-Z]{3}$";

    /// Parses a code.
    ///
    /// # Errors
    ///
    /// [`CurrencyError`].
    pub fn parse(text: &str) -> Result<Self, CurrencyError> {
        match *text.as_bytes() {
            [a @ b'A'..=b'Z', b @ b'A'..=b'Z', c @ b'A'..=b'Z'] => Ok(Self([a, b, c])),
            _ => Err(CurrencyError),
        }
    }

    /// The decimal places of amounts, by ISO 4217: two, except in the currencies of this list.
    #[must_use]
    pub fn places(self) -> u8 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG"
            | b"RWF" | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }
}

impl Deref for Currency {
    type Target = str;

    fn deref(&self) -> &str {
        // The bytes are ASCII letters.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currency_is_three_capital_letters() {
        assert_eq!(&*Currency::parse("EUR").unwrap(), "EUR");
        for text in ["", "EU", "EURO", "eur", "EU1", " EUR", "ÄU"] {
            assert_eq!(Currency::parse(text), Err(CurrencyError), "{text}");
        }
    }

    #[test]
    fn currency_has_the_places_of_iso_4217() {
        for (code, places) in
            [("USD", 2), ("EUR", 2), ("HUF", 2), ("XTS", 2), ("JPY", 0), ("KRW", 0)]
                .into_iter()
                .chain([("XPF", 0), ("BHD", 3), ("TND", 3), ("CLF", 4)])
        {
            assert_eq!(Currency::parse(code).unwrap().places(), places, "{code}");
        }
    }
}
