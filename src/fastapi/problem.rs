//! Validation problems, and the 422 response of FastAPI with Pydantic 2, which lists every problem with its
//! `type`, `loc`, `msg` and `input`.
//! <https://docs.pydantic.dev/latest/errors/validation_errors/>

use std::borrow::Cow;

use http::StatusCode;
use serde_json::{Value, json};
use thiserror::Error;
use utoipa::ToSchema;

use super::{date::DateError, decimal::DecimalError, json_error::JsonSyntaxError};
use crate::expenses::{
    amount::{Amount, AmountError},
    idempotency::IdempotencyKeyError,
    model::{Currency, CurrencyError, TextError},
};
use crate::json::object;
use axum_authkit::AppError;

/// The longest input or member name that a problem repeats: ten times the longest valid text.
const MAX_ECHO_BYTES: usize = 2048;

/// The fault of one field, or of the whole body. The messages are Pydantic's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// A required field is absent.
    #[error("Field required")]
    Missing,
    /// The body is not JSON.
    #[error("JSON decode error")]
    Json(JsonSyntaxError),
    /// The objects in the body have more members in total than the parser reads.
    #[error("Data should have at most {max} members, those of nested objects included")]
    TooManyMembers {
        /// The limit.
        max: usize,
    },
    /// The body is JSON, but not an object.
    #[error("Input should be a valid dictionary or object to extract fields from")]
    NotAnObject,
    /// The body has an unknown member.
    #[error("Extra inputs are not permitted")]
    Unknown,
    /// The body has more unknown members than the response lists.
    #[error("Extra inputs are not permitted: {0} more are not listed")]
    MoreUnknown(usize),
    /// The value is not a string.
    #[error("Input should be a valid string")]
    NotAString,
    /// The value is not a list.
    #[error("Input should be a valid list")]
    NotAList,
    /// The list has no items.
    #[error("List should have at least 1 item after validation, not 0")]
    EmptyList,
    /// The text has the wrong length.
    #[error("{}", text_message(*.0))]
    Text(TextError),
    /// The text does not match this regular expression.
    #[error("String should match pattern '{0}'")]
    Pattern(&'static str),
    /// The value is neither a number nor a string.
    #[error("Decimal input should be an integer, float, string or Decimal object")]
    NotADecimal,
    /// The number is not an amount.
    #[error("{}", decimal_message(*.0))]
    Decimal(DecimalError),
    /// The value is neither a string nor a number of Unix time.
    #[error("Input should be a valid date")]
    NotADate,
    /// The text or number is not a calendar date.
    #[error(transparent)]
    Date(DateError),
    /// The text is not an integer.
    #[error("Input should be a valid integer, unable to parse string as an integer")]
    NotAnInteger,
    /// The integer is below the minimum.
    #[error("Input should be greater than or equal to {min}")]
    TooSmall {
        /// The minimum.
        min: usize,
    },
    /// The integer is above the maximum.
    #[error("Input should be less than or equal to {max}")]
    TooLarge {
        /// The maximum.
        max: usize,
    },
    /// The text is not an allowed value. The allowed values are listed as Pydantic lists them, in quotes.
    #[error("Input should be {0}")]
    NotOneOf(&'static str),
    /// The last day of a range comes before the first.
    #[error("Value error, to is earlier than from: give a later to, or an earlier from")]
    RangeReversed,
    /// The largest amount of a range is less than the smallest.
    #[error(
        "Value error, max_amount is less than min_amount: give a larger max_amount, or a smaller min_amount"
    )]
    AmountsReversed,
    /// The cursor belongs to another list.
    #[error("Value error, not a cursor of this list: follow the Link header of the page before")]
    ForeignCursor,
    /// The expenses to add up have too many categories.
    #[error(
        "Value error, these expenses have more than {max} categories: give a shorter period by from and to"
    )]
    TooManyCategories {
        /// The maximum.
        max: usize,
    },
    /// An earlier request used the idempotency key with another body.
    #[error("Value error, this key was used with another body: use a new key for a new expense")]
    KeyReused,
    /// The text is not the id of an expense.
    #[error("Value error, not an expense id")]
    NotAnExpenseId,
    /// A row of a file has a fault, which a sentence describes.
    #[error("{0}")]
    OfRow(String),
}

fn text_message(error: TextError) -> Cow<'static, str> {
    match error {
        TextError::Empty => "String should have at least 1 character".into(),
        TextError::TooLong { max_chars } => {
            format!("String should have at most {max_chars} characters").into()
        }
        TextError::TooManyWords { max_words } => {
            format!("Value error, use at most {max_words} different words").into()
        }
    }
}

fn decimal_message(error: DecimalError) -> Cow<'static, str> {
    let message = match error {
        DecimalError::Malformed => "Input should be a valid decimal",
        DecimalError::NotFinite => "Input should be a finite number",
        DecimalError::Amount(AmountError::TooManyDigits) => {
            "Decimal input should have no more than 12 digits in total"
        }
        DecimalError::Amount(AmountError::TooManyPlaces { max }) => {
            return format!("Decimal input should have no more than {max} decimal places").into();
        }
        DecimalError::Amount(AmountError::TooManyWholeDigits { max }) => {
            let digits = format!("Decimal input should have no more than {max} digits");
            return format!("{digits} before the decimal point").into();
        }
        DecimalError::Amount(AmountError::NotPositive) => "Input should be greater than 0",
    };
    message.into()
}

/// The messages of [`decimal_message`] contain this number.
const _: () = assert!(Amount::MAX_DIGITS == 12);

impl Fault {
    /// Pydantic's error type.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Json(_) => "json_invalid",
            Self::TooManyMembers { .. } => "too_long",
            Self::NotAnObject => "model_attributes_type",
            Self::Unknown | Self::MoreUnknown(_) => "extra_forbidden",
            Self::NotAString => "string_type",
            Self::NotAList => "list_type",
            Self::EmptyList => "too_short",
            Self::Text(TextError::Empty) => "string_too_short",
            Self::Text(TextError::TooLong { .. }) => "string_too_long",
            Self::Pattern(_) => "string_pattern_mismatch",
            Self::NotADecimal => "decimal_type",
            Self::Decimal(DecimalError::Malformed) => "decimal_parsing",
            Self::Decimal(DecimalError::NotFinite) => "finite_number",
            Self::Decimal(DecimalError::Amount(AmountError::TooManyDigits)) => "decimal_max_digits",
            Self::Decimal(DecimalError::Amount(AmountError::TooManyPlaces { .. })) => {
                "decimal_max_places"
            }
            Self::Decimal(DecimalError::Amount(AmountError::TooManyWholeDigits { .. })) => {
                "decimal_whole_digits"
            }
            Self::Decimal(DecimalError::Amount(AmountError::NotPositive)) => "greater_than",
            Self::NotADate => "date_type",
            Self::Date(DateError::Malformed(_)) => "date_from_datetime_parsing",
            Self::Date(DateError::NotMidnight) => "date_from_datetime_inexact",
            Self::Date(DateError::YearZero) => "date_parsing",
            Self::NotAnInteger => "int_parsing",
            Self::TooSmall { .. } => "greater_than_equal",
            Self::TooLarge { .. } => "less_than_equal",
            Self::NotOneOf(_) => "literal_error",
            Self::RangeReversed
            | Self::AmountsReversed
            | Self::ForeignCursor
            | Self::TooManyCategories { .. }
            | Self::KeyReused
            | Self::NotAnExpenseId
            | Self::Text(TextError::TooManyWords { .. })
            | Self::OfRow(_) => "value_error",
        }
    }

    /// The value in the message, by Pydantic's name.
    fn context(&self) -> Option<Value> {
        let (name, value): (_, Value) = match self {
            Self::Json(error) => ("error", error.reason.as_ref().into()),
            Self::TooManyMembers { max } => ("max_length", (*max).into()),
            Self::Text(TextError::Empty) => ("min_length", 1.into()),
            Self::Text(TextError::TooLong { max_chars }) => ("max_length", (*max_chars).into()),
            Self::Pattern(pattern) => ("pattern", (*pattern).into()),
            Self::Decimal(DecimalError::Amount(error)) => match error {
                AmountError::TooManyDigits => ("max_digits", Amount::MAX_DIGITS.into()),
                AmountError::TooManyPlaces { max } => ("decimal_places", (*max).into()),
                AmountError::TooManyWholeDigits { max } => ("whole_digits", (*max).into()),
                AmountError::NotPositive => ("gt", 0.into()),
            },
            Self::Date(DateError::Malformed(reason)) => ("error", (*reason).into()),
            Self::Date(DateError::YearZero) => ("error", "year 0 is out of range".into()),
            Self::TooSmall { min } => ("ge", (*min).into()),
            Self::TooLarge { max } => ("le", (*max).into()),
            Self::NotOneOf(expected) => ("expected", (*expected).into()),
            _ => return None,
        };
        Some(object(vec![(name, value)]))
    }
}

impl From<TextError> for Fault {
    fn from(error: TextError) -> Self {
        Self::Text(error)
    }
}

impl From<CurrencyError> for Fault {
    fn from(_: CurrencyError) -> Self {
        Self::Pattern(Currency::PATTERN)
    }
}

impl From<IdempotencyKeyError> for Fault {
    fn from(error: IdempotencyKeyError) -> Self {
        match error {
            IdempotencyKeyError::Length(error) => Self::Text(error),
            IdempotencyKeyError::NotPrintable => Self::Pattern("^[\\x20-\\x7e]+$"),
        }
    }
}

/// The part of a request that has a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The body: a member of its object, or a field of a form.
    Body,
    /// The query string.
    Query,
    /// The headers.
    Header,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

/// The location of a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loc {
    /// The whole body.
    Body,
    /// A position in the body, in characters from 0.
    Position(usize),
    /// A field.
    Field(Source, Cow<'static, str>),
    /// A line of a file, from 1, and the field of an expense.
    Line(usize, Option<&'static str>),
}

/// A field and its fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The location.
    pub loc: Loc,
    /// The fault.
    pub fault: Fault,
    /// The value, or the beginning of a long value.
    pub input: Value,
}

impl Problem {
    /// A problem with the value `input` at `loc`.
    #[must_use]
    pub fn new(loc: Loc, fault: Fault, input: Value) -> Self {
        Self { loc, fault, input: shortened(input) }
    }

    /// A problem of a field.
    #[must_use]
    pub fn of_field(source: Source, name: &'static str, fault: Fault, input: Value) -> Self {
        Self::new(Loc::Field(source, name.into()), fault, input)
    }

    /// The field's name; `None` for a problem of the whole body.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match &self.loc {
            Loc::Field(_, name) => Some(name),
            Loc::Line(_, name) => *name,
            Loc::Body | Loc::Position(_) => None,
        }
    }
}

/// All problems of a request's input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Combines two results, with the problems of both in order.
    ///
    /// # Errors
    ///
    /// The problems of both results.
    pub fn both<A, B>(a: Result<A, Self>, b: Result<B, Self>) -> Result<(A, B), Self> {
        match (a, b) {
            (Ok(a), Ok(b)) => Ok((a, b)),
            (Err(Self(a)), Err(Self(b))) => Err(Self([a, b].concat())),
            (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
        }
    }

    /// `Ok` if there are no problems.
    ///
    /// # Errors
    ///
    /// The problems.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Whether there are no problems.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    pub(super) fn add(&mut self, problem: Problem) {
        self.0.push(problem);
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        Self(problems.into_iter().collect())
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl From<Problems> for AppError {
    fn from(problems: Problems) -> Self {
        let detail: Vec<Value> = problems.0.into_iter().map(Value::from).collect();
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }
}

/// A problem of the input.
#[derive(Debug, ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "describes the JSON of `Problem`; a test holds the two together")]
pub struct ProblemResponse {
    /// Pydantic's error type.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The location: `body`, `query` or `header`, then the field, for invalid JSON the position, or for a file the line
    /// and the field.
    loc: Vec<LocPart>,
    /// The message.
    msg: String,
    /// The rejected input. Past 2 KiB of JSON, its beginning as a string that ends in `…`.
    input: Value,
    /// The values in `msg`.
    #[schema(value_type = Option<Object>)]
    ctx: Option<Value>,
}

/// One part of a location.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "as above")]
enum LocPart {
    /// A part of the request, or a field.
    Name(String),
    /// A position in the body, in characters, or a line.
    Position(u64),
}

impl From<Problem> for Value {
    fn from(Problem { loc, fault, input }: Problem) -> Self {
        let mut path: Vec<Self> = vec![Source::Body.name().into()];
        match loc {
            Loc::Body => {}
            Loc::Position(position) => path.push(position.into()),
            Loc::Field(source, name) => {
                path = vec![source.name().into(), name.into_owned().into()];
            }
            Loc::Line(line, field) => {
                path.push(line.into());
                path.extend(field.map(Self::from));
            }
        }
        let mut members = vec![
            ("type", fault.kind().into()),
            ("loc", path.into()),
            ("msg", fault.to_string().into()),
            ("input", input),
        ];
        members.extend(fault.context().map(|context| ("ctx", context)));
        object(members)
    }
}

/// The body of a 422: every problem of the input.
#[derive(Debug, ToSchema)]
pub struct ValidationErrorResponse {
    /// The problems in the order of the fields.
    #[expect(dead_code, reason = "as above")]
    detail: Vec<ProblemResponse>,
}

impl ValidationErrorResponse {
    /// An example for the API's description.
    #[must_use]
    pub fn example() -> Value {
        let input = json!({"description": "Team lunch"});
        let problem = Problem::of_field(Source::Body, "amount", Fault::Missing, input);
        json!({"detail": [Value::from(problem)]})
    }
}

/// Shortens an input for a problem, so that the length of a response is bounded.
fn shortened(input: Value) -> Value {
    if let Value::String(text) = input {
        return Value::String(beginning(text));
    }
    let text = edge_host::json::write(&input);
    if text.len() <= MAX_ECHO_BYTES { input } else { Value::String(beginning(text)) }
}

/// Shortens a text for a problem.
pub(super) fn beginning(mut text: String) -> String {
    if text.len() > MAX_ECHO_BYTES {
        text.truncate(text.floor_char_boundary(MAX_ECHO_BYTES));
        text.push('…');
    }
    text
}
