//! Checking a body, and saying what is wrong with it as FastAPI with Pydantic 2 does: status 422,
//! every problem at once, each with a `type`, a `loc`, a `msg` and the `input`.
//! <https://docs.pydantic.dev/latest/errors/validation_errors/>

use chrono::NaiveDate;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::model::{self, Amount, AmountError, ExpenseContent};
use crate::error::AppError;

const DESCRIPTION_MAX_CHARS: usize = 200;
const CATEGORY_MAX_CHARS: usize = 50;
const DEFAULT_CURRENCY: &str = "USD";
const DEFAULT_CATEGORY: &str = "other";

/// One thing that is wrong with the input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// Pydantic's name of the error.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Where: `body` or `query`, then the field.
    loc: Vec<Value>,
    /// For people.
    msg: String,
    /// What was there.
    input: Value,
    /// The numbers and texts in `msg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ctx: Option<Value>,
}

impl Problem {
    fn new(kind: &'static str, loc: &[&str], msg: impl Into<String>, input: Value) -> Self {
        let loc = loc.iter().map(|part| json!(part)).collect();
        Self { kind, loc, msg: msg.into(), input, ctx: None }
    }

    fn with_ctx(self, ctx: Value) -> Self {
        Self { ctx: Some(ctx), ..self }
    }
}

/// Everything that is wrong with a request's input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `Ok` when nothing is wrong.
    ///
    /// # Errors
    ///
    /// The problems themselves.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    fn add(&mut self, problem: Problem) {
        self.0.push(problem);
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl From<Problems> for AppError {
    fn from(problems: Problems) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, json!(problems.0))
    }
}

/// Reads a JSON body.
///
/// # Errors
///
/// `missing` for an empty body, `json_invalid` for one that is not JSON.
pub fn parse_json(body: &[u8]) -> Result<Value, Problems> {
    if body.is_empty() {
        return Err(Problem::new("missing", &["body"], "Field required", Value::Null).into());
    }
    serde_json::from_slice(body).map_err(|error| {
        let mut problem = Problem::new("json_invalid", &["body"], "JSON decode error", json!({}));
        problem.loc.push(json!(offset(body, error.line(), error.column())));
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or_default();
        problem.with_ctx(json!({"error": reason})).into()
    })
}

/// Where in the text a line and a column (both from 1, the column in bytes) are, from 0.
fn offset(body: &[u8], line: usize, column: usize) -> usize {
    let lines_before: usize = body
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (lines_before + column).saturating_sub(1)
}

/// Checks a whole expense; what is not given gets its default, the date `today`.
///
/// # Errors
///
/// Every problem, in the order of the fields, then unknown members.
pub fn parse_expense(body: Value, today: NaiveDate) -> Result<ExpenseContent, Problems> {
    let Value::Object(members) = body else {
        let msg = "Input should be a valid dictionary or object to extract fields from";
        return Err(Problem::new("model_attributes_type", &["body"], msg, body).into());
    };
    let mut fields = Fields { whole: members.clone(), members, problems: Problems::default() };
    let description =
        fields.required("description", |value, loc| parse_text(value, loc, DESCRIPTION_MAX_CHARS));
    let amount = fields.required("amount", parse_amount);
    let currency = fields.optional("currency", parse_currency);
    let category =
        fields.optional("category", |value, loc| parse_text(value, loc, CATEGORY_MAX_CHARS));
    let date = fields.optional("date", parse_date);
    let problems = fields.finish();
    match (description, amount) {
        (Some(description), Some(amount)) if problems.0.is_empty() => Ok(ExpenseContent {
            description,
            amount,
            currency: currency.unwrap_or_else(|| DEFAULT_CURRENCY.to_owned()),
            category: category.unwrap_or_else(|| DEFAULT_CATEGORY.to_owned()),
            date: date.unwrap_or(today),
        }),
        _ => Err(problems),
    }
}

/// The members of an object, taken out one by one.
struct Fields {
    whole: Map<String, Value>,
    members: Map<String, Value>,
    problems: Problems,
}

type Parsed<T> = Result<T, Box<Problem>>;

impl Fields {
    fn optional<T>(
        &mut self,
        name: &str,
        parse: impl Fn(Value, &[&str]) -> Parsed<T>,
    ) -> Option<T> {
        let value = self.members.remove(name)?;
        parse(value, &["body", name]).map_err(|problem| self.problems.add(*problem)).ok()
    }

    fn required<T>(
        &mut self,
        name: &str,
        parse: impl Fn(Value, &[&str]) -> Parsed<T>,
    ) -> Option<T> {
        if !self.members.contains_key(name) {
            let input = Value::Object(self.whole.clone());
            self.problems.add(Problem::new("missing", &["body", name], "Field required", input));
            return None;
        }
        self.optional(name, parse)
    }

    fn finish(mut self) -> Problems {
        for (name, value) in self.members {
            let msg = "Extra inputs are not permitted";
            self.problems.add(Problem::new("extra_forbidden", &["body", &name], msg, value));
        }
        self.problems
    }
}

fn parse_string(value: Value, loc: &[&str]) -> Parsed<String> {
    match value {
        Value::String(text) => Ok(text),
        other => {
            Err(Problem::new("string_type", loc, "Input should be a valid string", other).into())
        }
    }
}

/// A text of 1 to `max` characters once the white space around it is gone.
fn parse_text(value: Value, loc: &[&str], max: usize) -> Parsed<String> {
    let text = parse_string(value, loc)?;
    let trimmed = text.trim();
    if trimmed.is_empty() {
        let msg = "String should have at least 1 character";
        let problem = Problem::new("string_too_short", loc, msg, json!(text));
        return Err(problem.with_ctx(json!({"min_length": 1})).into());
    }
    if trimmed.chars().count() > max {
        let msg = format!("String should have at most {max} characters");
        let problem = Problem::new("string_too_long", loc, msg, json!(text));
        return Err(problem.with_ctx(json!({"max_length": max})).into());
    }
    Ok(trimmed.to_owned())
}

fn parse_currency(value: Value, loc: &[&str]) -> Parsed<String> {
    let text = parse_string(value, loc)?;
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(text);
    }
    let pattern = "^[A-Z]{3}$";
    let msg = format!("String should match pattern '{pattern}'");
    let problem = Problem::new("string_pattern_mismatch", loc, msg, json!(text));
    Err(problem.with_ctx(json!({"pattern": pattern})).into())
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
    let Value::String(text) = value else {
        return Err(Problem::new("date_type", loc, "Input should be a valid date", value).into());
    };
    model::parse_date(&text).map_err(|reason| {
        let msg = format!("Input should be a valid date or datetime, {reason}");
        let problem = Problem::new("date_from_datetime_parsing", loc, msg, json!(text));
        problem.with_ctx(json!({"error": reason})).into()
    })
}

/// Reads `limit` from a query.
///
/// # Errors
///
/// `int_parsing`, `greater_than_equal` or `less_than_equal`.
pub fn parse_limit(text: &str, max: usize) -> Result<usize, Problems> {
    let problem = |kind, msg: &str| Problem::new(kind, &["query", "limit"], msg, json!(text));
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let msg = "Input should be a valid integer, unable to parse string as an integer";
        return Err(problem("int_parsing", msg).into());
    }
    let is_negative = trimmed.starts_with('-');
    let limit = if is_negative { 0 } else { digits.parse().unwrap_or(usize::MAX) };
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

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 23).unwrap()
    }

    /// The `type` and last `loc` of every problem.
    fn problems(body: &str) -> Vec<(&'static str, String)> {
        let Err(Problems(problems)) =
            parse_json(body.as_bytes()).and_then(|body| parse_expense(body, today()))
        else {
            return Vec::new();
        };
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
        assert_eq!(
            serde_json::to_string(&content).unwrap(),
            r#"{"description":"Lunch","amount":42.50,"currency":"USD","category":"other","date":"2026-11-23"}"#
        );
    }

    #[test]
    fn every_problem_is_reported_at_once_and_in_order() {
        let body = r#"{"zebra": 1, "date": "x", "currency": "usd", "description": 5}"#;
        assert_eq!(
            problems(body),
            [
                ("string_type", "description".into()),
                ("missing", "amount".into()),
                ("string_pattern_mismatch", "currency".into()),
                ("date_from_datetime_parsing", "date".into()),
                ("extra_forbidden", "zebra".into()),
            ]
        );
    }

    #[test]
    fn a_missing_field_shows_the_whole_input() {
        let body = json!({"description": "x"});
        let Problems(problems) = parse_expense(body.clone(), today()).unwrap_err();
        assert_eq!(
            json!(problems),
            json!([{"type": "missing", "loc": ["body", "amount"], "msg": "Field required", "input": body}])
        );
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        assert_eq!(problem(""), ("missing", "body".into()));
        assert_eq!(problem("{\"a\":"), ("json_invalid", "4".into()));
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
        let Problems(problems) = parse_expense(body, today()).unwrap_err();
        assert_eq!(problems[0].input.to_string(), "1.23456789012345678901");
    }

    #[test]
    fn a_date_is_a_day_that_exists() {
        for (date, reason) in [
            ("", "input is too short"),
            ("2026-1-1", "input is too short"),
            ("2026/11/23", "invalid date separator, expected `-`"),
            ("2026-13-01", "month value is outside expected range of 1-12"),
            ("2026-02-30", "day value is outside expected range"),
            ("2026-11-23x", "unexpected extra characters at the end of the input"),
            ("2o26-11-23", "invalid character in year"),
        ] {
            assert_eq!(model::parse_date(date), Err(reason), "{date}");
        }
        assert!(model::parse_date("2028-02-29").is_ok());
    }

    #[test]
    fn a_limit_is_a_whole_number_in_its_range() {
        assert_eq!(parse_limit("1", 1000), Ok(1));
        assert_eq!(parse_limit("1000", 1000), Ok(1000));
        for (text, kind) in [
            ("", "int_parsing"),
            ("x", "int_parsing"),
            ("1.5", "int_parsing"),
            ("0", "greater_than_equal"),
            ("-5", "greater_than_equal"),
            ("1001", "less_than_equal"),
            ("99999999999999999999999", "less_than_equal"),
        ] {
            assert_eq!(parse_limit(text, 1000).unwrap_err().0[0].kind, kind, "{text}");
        }
    }
}
