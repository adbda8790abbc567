//! Checking that a body is an expense and a query a page's. How problems are told is
//! [`super::input`]'s.

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::{
    date::{self, DateError},
    input::{Fields, Parsed, Problem, Problems, parse_string, parse_text},
};
use crate::{
    expenses::model::{Amount, AmountError, ExpenseContent, Filter},
    runtime::KV_LIST_MAX_KEYS,
};

pub(crate) const DESCRIPTION_MAX_CHARS: usize = 200;
pub(crate) const CATEGORY_MAX_CHARS: usize = 50;
pub(crate) const CURRENCY_PATTERN: &str = "^[A-Z]{3}$";
pub(crate) const DEFAULT_LIMIT: usize = 100;
pub(crate) const DEFAULT_CURRENCY: &str = "USD";
pub(crate) const DEFAULT_CATEGORY: &str = "other";

/// Checks a whole expense; what is not given gets its default, the date `today`.
///
/// # Errors
///
/// Every problem, in the order of the fields, then unknown members.
pub fn parse_expense(body: Value, today: NaiveDate) -> Result<ExpenseContent, Problems> {
    let mut fields = Fields::of(body)?;
    let description = fields.required("description", parse_description);
    let amount = fields.required("amount", parse_amount);
    let currency = fields.optional("currency", parse_currency);
    let category = fields.optional("category", parse_category);
    let date = fields.optional("date", parse_date);
    let problems = fields.finish();
    match (description, amount) {
        (Some(description), Some(amount)) if problems.is_empty() => Ok(ExpenseContent {
            description,
            amount,
            currency: currency.unwrap_or_else(|| DEFAULT_CURRENCY.to_owned()),
            category: category.unwrap_or_else(|| DEFAULT_CATEGORY.to_owned()),
            date: date.unwrap_or(today),
        }),
        _ => Err(problems),
    }
}

fn parse_currency(value: Value, loc: &[&str]) -> Parsed<String> {
    let text = parse_string(value, loc)?;
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(text);
    }
    let msg = format!("String should match pattern '{CURRENCY_PATTERN}'");
    let problem = Problem::new("string_pattern_mismatch", loc, msg, json!(text));
    Err(problem.with_ctx(json!({"pattern": CURRENCY_PATTERN})).into())
}

fn parse_amount(value: Value, loc: &[&str]) -> Parsed<Amount> {
    let parsed = match &value {
        Value::Number(number) => Amount::parse(number.as_str()),
        Value::String(text) => Amount::parse(text),
        _ => {
            let msg = "Decimal input should be an integer, float, string or Decimal object";
            return Err(Problem::new("decimal_type", loc, msg, value).into());
        }
    };
    parsed.map_err(|error| {
        let (kind, ctx) = match error {
            AmountError::NotADecimal => ("decimal_parsing", None),
            AmountError::NotFinite => ("finite_number", None),
            AmountError::TooManyDigits => {
                ("decimal_max_digits", Some(json!({"max_digits": Amount::MAX_DIGITS})))
            }
            AmountError::TooManyPlaces => {
                ("decimal_max_places", Some(json!({"decimal_places": Amount::MAX_PLACES})))
            }
            AmountError::TooManyWholeDigits => {
                let whole_digits = Amount::MAX_DIGITS - Amount::MAX_PLACES;
                ("decimal_whole_digits", Some(json!({"whole_digits": whole_digits})))
            }
            AmountError::NotPositive => ("greater_than", Some(json!({"gt": 0}))),
        };
        Problem { ctx, ..Problem::new(kind, loc, error.to_string(), value.clone()) }.into()
    })
}

fn parse_date(value: Value, loc: &[&str]) -> Parsed<NaiveDate> {
    let parsed = match &value {
        Value::String(text) => Some(date::parse_date(text)),
        Value::Number(number) => date::parse_unix_date(number.as_str()),
        _ => None,
    };
    let Some(parsed) = parsed else {
        return Err(Problem::new("date_type", loc, "Input should be a valid date", value).into());
    };
    parsed.map_err(|error| {
        let (kind, reason) = match error {
            DateError::Malformed(reason) => ("date_from_datetime_parsing", Some(reason)),
            DateError::NotMidnight => ("date_from_datetime_inexact", None),
            DateError::YearZero => ("date_parsing", Some("year 0 is out of range")),
        };
        let ctx = reason.map(|reason| json!({"error": reason}));
        Problem { ctx, ..Problem::new(kind, loc, error.to_string(), value.clone()) }.into()
    })
}

/// What a patch names, valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpenseChanges {
    description: Option<String>,
    amount: Option<Amount>,
    currency: Option<String>,
    category: Option<String>,
    date: Option<NaiveDate>,
}

impl ExpenseChanges {
    /// What they make of `content`: what is not named stays.
    #[must_use]
    pub fn apply(self, content: &ExpenseContent) -> ExpenseContent {
        ExpenseContent {
            description: self.description.unwrap_or_else(|| content.description.clone()),
            amount: self.amount.unwrap_or(content.amount),
            currency: self.currency.unwrap_or_else(|| content.currency.clone()),
            category: self.category.unwrap_or_else(|| content.category.clone()),
            date: self.date.unwrap_or(content.date),
        }
    }
}

/// Checks a JSON merge patch (RFC 7396): `null` puts a member that has a default back to it, the date to
/// `today`.
///
/// # Errors
///
/// As [`parse_expense`], but nothing is missing.
pub fn parse_patch(body: Value, today: NaiveDate) -> Result<ExpenseChanges, Problems> {
    let mut fields = Fields::of(body)?;
    let changes = ExpenseChanges {
        description: fields.optional("description", parse_description),
        amount: fields.optional("amount", parse_amount),
        currency: fields.optional("currency", |value, loc| {
            or_default(value, DEFAULT_CURRENCY, loc, parse_currency)
        }),
        category: fields.optional("category", |value, loc| {
            or_default(value, DEFAULT_CATEGORY, loc, parse_category)
        }),
        date: fields.optional("date", |value, loc| match value {
            Value::Null => Ok(today),
            value => parse_date(value, loc),
        }),
    };
    fields.finish().into_result()?;
    Ok(changes)
}

fn or_default(
    value: Value,
    default: &str,
    loc: &[&str],
    parse: impl Fn(Value, &[&str]) -> Parsed<String>,
) -> Parsed<String> {
    if value.is_null() { Ok(default.to_owned()) } else { parse(value, loc) }
}

fn parse_description(value: Value, loc: &[&str]) -> Parsed<String> {
    parse_text(value, loc, DESCRIPTION_MAX_CHARS)
}

fn parse_category(value: Value, loc: &[&str]) -> Parsed<String> {
    parse_text(value, loc, CATEGORY_MAX_CHARS)
}

/// The query of a page.
#[derive(Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Rows at the most.
    pub limit: usize,
    /// Where an earlier page has ended, sealed.
    pub cursor: Option<String>,
    /// Which rows.
    pub filter: Filter,
}

/// The query of a summary.
#[derive(Debug, PartialEq, Eq)]
pub struct SummaryQuery {
    /// Only this currency.
    pub currency: Option<String>,
    /// Which expenses.
    pub filter: Filter,
}

/// Reads `limit`, `cursor`, `category`, `from` and `to` of a query.
///
/// # Errors
///
/// Every problem.
pub fn parse_list_query(query: &str) -> Result<ListQuery, Problems> {
    read_list(Fields::of_query(query))
}

/// The same of a JSON object, in which `limit` may be a number and nothing else may be.
///
/// # Errors
///
/// Every problem.
pub fn parse_list_arguments(arguments: Value) -> Result<ListQuery, Problems> {
    read_list(Fields::of(arguments)?)
}

fn read_list(mut fields: Fields) -> Result<ListQuery, Problems> {
    let limit = fields.optional("limit", |value, loc| parse_limit(value, loc, KV_LIST_MAX_KEYS));
    let cursor = fields.optional("cursor", parse_string);
    let category = fields.optional("category", parse_category);
    let (from, to) = parse_range(&mut fields);
    fields.finish().into_result()?;
    Ok(ListQuery {
        limit: limit.unwrap_or(DEFAULT_LIMIT),
        cursor: cursor.filter(|cursor| !cursor.is_empty()),
        filter: Filter { category, from, to },
    })
}

/// Reads `from`, `to` and `currency` of a query.
///
/// # Errors
///
/// Every problem.
pub fn parse_summary_query(query: &str) -> Result<SummaryQuery, Problems> {
    read_summary(Fields::of_query(query))
}

/// The same of a JSON object, in which nothing else may be.
///
/// # Errors
///
/// Every problem.
pub fn parse_summary_arguments(arguments: Value) -> Result<SummaryQuery, Problems> {
    read_summary(Fields::of(arguments)?)
}

fn read_summary(mut fields: Fields) -> Result<SummaryQuery, Problems> {
    let (from, to) = parse_range(&mut fields);
    let currency = fields.optional("currency", parse_currency);
    fields.finish().into_result()?;
    Ok(SummaryQuery { currency, filter: Filter { category: None, from, to } })
}

fn parse_range(fields: &mut Fields) -> (Option<NaiveDate>, Option<NaiveDate>) {
    let range = (fields.optional("from", parse_date), fields.optional("to", parse_date));
    if let (Some(from), Some(to)) = range
        && to < from
    {
        fields.reject("to", "to is earlier than from: give a later to, or an earlier from");
    }
    range
}

/// What is said of a cursor that did not come from here, or was another user's or another filter's.
#[must_use]
pub fn not_a_cursor(cursor: &str) -> Problems {
    let msg = "Value error, not a cursor of this list: follow the Link header of the page before";
    Problem::new("value_error", &["query", "cursor"], msg, json!(cursor)).into()
}

/// An integer from 1 to `max`, as Pydantic reads one from a string: single underscores between the digits
/// and a fraction of zeros do no harm.
fn parse_limit(value: Value, loc: &[&str], max: usize) -> Parsed<usize> {
    let text = match value {
        Value::Number(number) => number.as_str().to_owned(),
        value => parse_string(value, loc)?,
    };
    let problem = |kind, msg: &str| Problem::new(kind, loc, msg, json!(text));
    let trimmed = text.trim();
    let (whole, fraction) = trimmed.split_once('.').unwrap_or((trimmed, "0"));
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    let is_integer = !fraction.is_empty()
        && fraction.bytes().all(|byte| byte == b'0')
        && digits
            .split('_')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_integer {
        let msg = "Input should be a valid integer, unable to parse string as an integer";
        return Err(problem("int_parsing", msg).into());
    }
    let is_negative = trimmed.starts_with('-');
    let limit = if is_negative { 0 } else { digits.replace('_', "").parse().unwrap_or(usize::MAX) };
    if limit < 1 {
        let msg = "Input should be greater than or equal to 1";
        return Err(problem("greater_than_equal", msg).with_ctx(json!({"ge": 1})).into());
    }
    if limit > max {
        let msg = format!("Input should be less than or equal to {max}");
        return Err(problem("less_than_equal", &msg).with_ctx(json!({"le": max})).into());
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fastapi::input::parse_json;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 23).unwrap()
    }

    /// The `type` and last `loc` of every problem.
    fn problems(body: &str) -> Vec<(&'static str, String)> {
        let parsed = parse_json(body.as_bytes()).and_then(|body| parse_expense(body, today()));
        let Err(problems) = parsed else { return Vec::new() };
        problems
            .iter()
            .map(|problem| {
                let loc = problem.loc.last().unwrap();
                (problem.kind, loc.as_str().map_or_else(|| loc.to_string(), str::to_owned))
            })
            .collect()
    }

    fn problem(body: &str) -> (&'static str, String) {
        let problems = problems(body);
        assert_eq!(problems.len(), 1, "{body}: {problems:?}");
        problems.into_iter().next().unwrap()
    }

    #[test]
    fn what_is_not_given_gets_its_default() {
        let body = parse_json(br#"{"description": " Lunch ", "amount": 42.50}"#).unwrap();
        let content = parse_expense(body, today()).unwrap();
        assert_eq!(content.description, "Lunch");
        assert_eq!(content.amount.to_string(), "42.50");
        assert_eq!((&*content.currency, &*content.category), ("USD", "other"));
        assert_eq!(content.date, today());
    }

    #[test]
    fn every_problem_is_reported_at_once_and_in_order() {
        let body = r#"{"zebra": 1, "date": "x", "currency": "usd", "description": 5, "ape": 1}"#;
        assert_eq!(
            problems(body),
            [
                ("string_type", "description".into()),
                ("missing", "amount".into()),
                ("string_pattern_mismatch", "currency".into()),
                ("date_from_datetime_parsing", "date".into()),
                ("extra_forbidden", "zebra".into()),
                ("extra_forbidden", "ape".into()),
            ]
        );
    }

    #[test]
    fn a_missing_field_shows_the_whole_input() {
        let body = json!({"description": "x"});
        let problems: Vec<_> =
            parse_expense(body.clone(), today()).unwrap_err().iter().cloned().collect();
        assert_eq!(
            json!(problems),
            json!([{"type": "missing", "loc": ["body", "amount"], "msg": "Field required", "input": body}])
        );
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        assert_eq!(problem(""), ("missing", "body".into()));
        assert_eq!(problem("{\"a\":"), ("json_invalid", "5".into()));
        assert_eq!(problem("{\"é\":}"), ("json_invalid", "5".into()), "in characters");
        assert_eq!(
            problem("\u{feff}[x"),
            ("json_invalid", "1".into()),
            "after the byte order mark"
        );
        assert_eq!(problem("[]"), ("model_attributes_type", "body".into()));
        assert_eq!(problem("null"), ("model_attributes_type", "body".into()));
    }

    #[test]
    fn lengths_count_characters_after_trimming() {
        let body = |description: &str| json!({"description": description, "amount": 1}).to_string();
        assert!(problems(&body(&format!("  {}  ", "é".repeat(200)))).is_empty());
        assert_eq!(problem(&body(&"é".repeat(201))).0, "string_too_long");
        assert_eq!(problem(&body(" \t\n ")).0, "string_too_short");
    }

    #[test]
    fn amounts_are_refused_by_pydantics_names() {
        for (amount, kind) in [
            ("null", "decimal_type"),
            ("true", "decimal_type"),
            ("[1]", "decimal_type"),
            ("\"abc\"", "decimal_parsing"),
            ("\"NaN\"", "finite_number"),
            ("0", "greater_than"),
            ("1.005", "decimal_max_places"),
            ("12345678901", "decimal_whole_digits"),
            ("1e400", "decimal_max_digits"),
        ] {
            let body = format!(r#"{{"description": "x", "amount": {amount}}}"#);
            assert_eq!(problem(&body), (kind, "amount".into()), "{amount}");
        }
    }

    #[test]
    fn the_input_is_shown_as_it_was_written() {
        let body =
            parse_json(br#"{"description": "x", "amount": 1.23456789012345678901}"#).unwrap();
        let problems = parse_expense(body, today()).unwrap_err();
        assert_eq!(problems.iter().next().unwrap().input.to_string(), "1.23456789012345678901");
    }

    #[test]
    fn a_limit_is_a_whole_number_in_its_range() {
        let limit = |text: &str| parse_list_query(&format!("limit={text}"));
        assert_eq!(limit("1").unwrap().limit, 1);
        assert_eq!(limit("1000").unwrap().limit, 1000);
        assert_eq!(limit("1_0.0").unwrap().limit, 10);
        for (text, kind) in [
            ("", "int_parsing"),
            ("x", "int_parsing"),
            ("1.5", "int_parsing"),
            ("1.", "int_parsing"),
            ("1__0", "int_parsing"),
            ("-", "int_parsing"),
            ("0", "greater_than_equal"),
            ("-5", "greater_than_equal"),
            ("1001", "less_than_equal"),
            ("99999999999999999999999", "less_than_equal"),
        ] {
            assert_eq!(limit(text).unwrap_err().iter().next().unwrap().kind, kind, "{text}");
        }
    }

    #[test]
    fn every_problem_of_a_query_is_reported_and_unknown_parameters_do_no_harm() {
        let problems = parse_list_query("limit=0&from=x&to=2026-02-30&category=&zebra=1");
        let problems = problems.unwrap_err();
        let found: Vec<_> =
            problems.iter().map(|problem| (problem.kind, &problem.loc[1])).collect();
        assert_eq!(
            found,
            [
                ("greater_than_equal", &json!("limit")),
                ("string_too_short", &json!("category")),
                ("date_from_datetime_parsing", &json!("from")),
                ("date_from_datetime_parsing", &json!("to")),
            ]
        );
        let query = parse_list_query("zebra=1&limit=5&limit=7").unwrap();
        assert_eq!(query.limit, 7, "the last of a name counts");
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_puts_a_default_back() {
        let body = json!({"description": "x", "amount": 1, "currency": "EUR", "category": "a", "date": "2026-01-01"});
        let content = parse_expense(body, today()).unwrap();
        let patched =
            |patch: Value| parse_patch(patch, today()).map(|changes| changes.apply(&content));
        assert_eq!(patched(json!({})).unwrap(), content);
        let changed = patched(json!({"amount": "2.5"})).unwrap();
        assert_eq!((changed.amount.to_string(), &changed.currency), ("2.50".into(), &"EUR".into()));
        let reset = patched(json!({"currency": null, "category": null, "date": null})).unwrap();
        assert_eq!((&*reset.currency, &*reset.category, reset.date), ("USD", "other", today()));
        let problems =
            patched(json!({"description": null, "amount": null, "id": "x"})).unwrap_err();
        let kinds: Vec<_> = problems.iter().map(|problem| problem.kind).collect();
        assert_eq!(kinds, ["string_type", "decimal_type", "extra_forbidden"]);
    }
}
