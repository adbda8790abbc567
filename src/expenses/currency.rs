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

    /// Every code that ISO 4217 gives another number of places than two, and the codes that it does not know.
    #[test]
    fn currency_has_the_places_of_iso_4217() {
        let others = [
            (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
            (3, "BHD IQD JOD KWD LYD OMR TND"),
            (4, "CLF UYW"),
        ];
        let letters = || b'A'..=b'Z';
        for a in letters() {
            for code in letters().flat_map(|b| letters().map(move |c| [a, b, c])) {
                let currency = Currency(code);
                let listed = others.iter().find(|(_, codes)| codes.contains(&*currency));
                let places = listed.map_or(2, |(places, _)| *places);
                assert_eq!(currency.places(), places, "{}", &*currency);
            }
        }
    }
}
