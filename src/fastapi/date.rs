//! Calendar dates in Pydantic's grammar: `YYYY-MM-DD`, or an instant at midnight, as RFC 3339 with or
//! without an offset, or as Unix time in seconds or milliseconds. An offset does not shift the date.

use chrono::{DateTime, Datelike, NaiveDate};
use thiserror::Error;

const SECS_PER_DAY: i64 = 86_400;
/// A larger Unix time counts as milliseconds, as in Pydantic. In seconds the limit is in the year 2603.
const MAX_UNIX_SECS: u64 = 20_000_000_000;

/// Why a text or a number is not a calendar date, in Pydantic's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DateError {
    /// The text does not match the grammar, or the calendar does not have the date.
    #[error("Input should be a valid date or datetime, {0}")]
    Malformed(&'static str),
    /// The instant is not midnight.
    #[error("Datetimes provided to dates should have zero time - e.g. be exact dates")]
    NotMidnight,
    /// The year is 0, which Python does not have.
    #[error("Input should be a valid date in the format YYYY-MM-DD, year 0 is out of range")]
    YearZero,
}

impl From<&'static str> for DateError {
    fn from(reason: &'static str) -> Self {
        Self::Malformed(reason)
    }
}

/// A date, and whether the instant is its midnight.
type Moment = (NaiveDate, bool);

/// Reads a date from a text.
///
/// # Errors
///
/// [`DateError`].
pub(super) fn parse_date(text: &str) -> Result<NaiveDate, DateError> {
    let moment = parse_rfc3339(text).or_else(|reason| parse_unix(text).unwrap_or(Err(reason)))?;
    day_of(moment)
}

/// Reads a date from Unix time; `None` if `number` has an exponent or exceeds 64 bits.
pub(super) fn parse_unix_date(number: &str) -> Option<Result<NaiveDate, DateError>> {
    parse_unix(number).map(|parsed| day_of(parsed?))
}

fn day_of((day, is_midnight): Moment) -> Result<NaiveDate, DateError> {
    match (is_midnight, day.year()) {
        (false, _) => Err(DateError::NotMidnight),
        (true, 0) => Err(DateError::YearZero),
        (true, _) => Ok(day),
    }
}

fn parse_unix(number: &str) -> Option<Result<Moment, &'static str>> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let per_sec = if whole.unsigned_abs() > MAX_UNIX_SECS { 1000 } else { 1 };
    let secs = whole.div_euclid(per_sec);
    let day = DateTime::from_timestamp(secs, 0).map(|time| time.date_naive());
    Some(match day.filter(|day| (0..=9999).contains(&day.year())) {
        Some(day) => {
            let is_midnight = whole % (per_sec * SECS_PER_DAY) == 0;
            Ok((day, is_midnight && fraction.bytes().all(|digit| digit == b'0')))
        }
        None if secs < 0 => Err("dates before 0000 are not supported as unix timestamps"),
        None => Err("dates after 9999 are not supported as unix timestamps"),
    })
}

fn parse_rfc3339(text: &str) -> Result<Moment, &'static str> {
    const TOO_SHORT: &str = "input is too short";
    const NO_HYPHEN: &str = "invalid date separator, expected `-`";
    const NO_YEAR: &str = "invalid character in year";

    if text.len() < "YYYY-MM-DD".len() {
        return Err(TOO_SHORT);
    }
    let mut rest = Rest(text.as_bytes());
    let year = rest.two_digits(NO_YEAR)? * 100 + rest.two_digits(NO_YEAR)?;
    rest.one_of(b"-", NO_HYPHEN)?;
    let month = rest.two_digits("invalid character in month")?;
    rest.one_of(b"-", NO_HYPHEN)?;
    let day = rest.two_digits("invalid character in day")?;
    if !(1..=12).contains(&month) {
        return Err("month value is outside expected range of 1-12");
    }
    let day = NaiveDate::from_ymd_opt(year.cast_signed(), month, day)
        .ok_or("day value is outside expected range")?;
    if rest.0.is_empty() {
        return Ok((day, true));
    }

    rest.one_of(b"Tt_ ", "invalid datetime separator, expected `T`, `t`, `_` or space")?;
    if rest.0.len() < "HH:MM".len() {
        return Err(TOO_SHORT);
    }
    let hour = rest.two_digits("invalid character in hour")?;
    rest.one_of(b":", "invalid time separator, expected `:`")?;
    let minute = rest.two_digits("invalid character in minute")?;
    if hour > 23 {
        return Err("hour value is outside expected range of 0-23");
    }
    if minute > 59 {
        return Err("minute value is outside expected range of 0-59");
    }
    let mut is_midnight = hour == 0 && minute == 0;
    if rest.take(b":") {
        let second = rest.two_digits("invalid character in second")?;
        if second > 59 {
            return Err("second value is outside expected range of 0-59");
        }
        is_midnight &= second == 0;
        if rest.take(b".,") {
            is_midnight &= rest.is_zero_fraction()?;
        }
    }
    rest.zone()?;
    match rest.0 {
        [] => Ok((day, is_midnight)),
        _ => Err("unexpected extra characters at the end of the input"),
    }
}

/// The unread part of a text.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn two_digits(&mut self, reason: &'static str) -> Result<u32, &'static str> {
        let [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] = self.0 else {
            return Err(reason);
        };
        self.0 = rest;
        Ok(u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
    }

    fn take(&mut self, bytes: &[u8]) -> bool {
        let Some((_, rest)) = self.0.split_first().filter(|(first, _)| bytes.contains(first))
        else {
            return false;
        };
        self.0 = rest;
        true
    }

    fn one_of(&mut self, bytes: &[u8], reason: &'static str) -> Result<(), &'static str> {
        if self.take(bytes) { Ok(()) } else { Err(reason) }
    }

    /// Reads the fraction of a second. Python ignores digits past the sixth.
    fn is_zero_fraction(&mut self) -> Result<bool, &'static str> {
        let mut digits = 0;
        let mut is_zero = true;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            is_zero &= *digit == b'0' || digits >= 6;
            digits += 1;
            self.0 = rest;
        }
        if digits == 0 { Err("second fraction digits missing after `.`") } else { Ok(is_zero) }
    }

    /// Reads an optional `Z` or offset.
    fn zone(&mut self) -> Result<(), &'static str> {
        if self.0.is_empty() || self.take(b"Zz") {
            return Ok(());
        }
        self.one_of(b"+-", "invalid timezone sign")?;
        let hours = self.two_digits("invalid timezone hour")?;
        self.take(b":");
        let minutes = self.two_digits("invalid timezone minute")?;
        if minutes > 59 {
            return Err("timezone minute value is outside expected range of 0-59");
        }
        if hours > 23 {
            return Err("timezone offset must be less than 24 hours");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_date_reads_dates_and_midnights() {
        for text in [
            "2026-11-23",
            "2026-11-23T00:00",
            "2026-11-23t00:00:00z",
            "2026-11-23_00:00:00+23:59",
            "2026-11-23 00:00:00.000-0530",
            "2026-11-23T00:00:00,0000009",
            "1795392000",
            "1795392000.00",
            "+1795392000000",
        ] {
            assert_eq!(parse_date(text).unwrap().to_string(), "2026-11-23", "{text}");
        }
        assert_eq!(parse_date("0001-01-01").unwrap().to_string(), "0001-01-01");
        assert_eq!(parse_date("9999-12-31T00:00").unwrap().to_string(), "9999-12-31");
        assert_eq!(parse_date("-86400").unwrap().to_string(), "1969-12-31");
        assert!(parse_date("2028-02-29").is_ok());
    }

    #[test]
    fn parse_date_refuses_other_times_of_day() {
        for text in [
            "2026-11-23T10:00:00Z",
            "2026-11-23T00:01",
            "2026-11-23T00:00:01",
            "2026-11-23T00:00:00.000001",
            "0000-01-01T10:00",
            "1",
            "-1",
            "1795392000.5",
            "1795392000001",
            "2026",
            "20261123",
        ] {
            assert_eq!(parse_date(text), Err(DateError::NotMidnight), "{text}");
        }
    }

    #[test]
    fn parse_date_reports_pydantics_reason() {
        for (text, reason) in [
            ("", "input is too short"),
            ("2026-1-1", "input is too short"),
            ("2026/11/23", "invalid date separator, expected `-`"),
            ("2026-13-01", "month value is outside expected range of 1-12"),
            ("2026-02-30", "day value is outside expected range"),
            ("2026-02-29T00:00", "day value is outside expected range"),
            ("2o26-11-23", "invalid character in year"),
            ("2026-é1-23", "invalid character in month"),
            ("2026-11-23x", "invalid datetime separator, expected `T`, `t`, `_` or space"),
            ("2026-11-23T", "input is too short"),
            ("2026-11-23T24:00", "hour value is outside expected range of 0-23"),
            ("2026-11-23T00:00x", "invalid timezone sign"),
            ("2026-11-23T00:00+24:00", "timezone offset must be less than 24 hours"),
            ("2026-11-23T00:00:00Z ", "unexpected extra characters at the end of the input"),
            ("2026-11-23T00:00:00.", "second fraction digits missing after `.`"),
            ("253402300800000", "dates after 9999 are not supported as unix timestamps"),
            ("-62167219200001", "dates before 0000 are not supported as unix timestamps"),
            ("9223372036854775807", "dates after 9999 are not supported as unix timestamps"),
            ("-9223372036854775808", "dates before 0000 are not supported as unix timestamps"),
            ("9223372036854775808", "invalid date separator, expected `-`"),
        ] {
            assert_eq!(parse_date(text), Err(DateError::Malformed(reason)), "{text}");
        }
        for text in ["0000-01-01", "0000-12-31T00:00", "-62167219200000"] {
            assert_eq!(parse_date(text), Err(DateError::YearZero), "{text}");
        }
    }
}
