//! Reading what a client sent, and saying what is wrong with it as FastAPI with Pydantic 2 does:
//! status 422, every problem at once, each with a `type`, a `loc`, a `msg` and the `input`.
//! <https://docs.pydantic.dev/latest/errors/validation_errors/>

use std::io;

use axum::body::{Body, HttpBody as _, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Serialize, de::IgnoredAny};
use serde_json::{Map, Value, json};
use url::form_urlencoded;
use utoipa::ToSchema;

use super::json_error;
use crate::{error::AppError, json};

/// Longest body that is read.
const MAX_BODY_KIB: usize = 64;
/// Members of a body in all, which an expense has five of. serde_json keeps an object's members in a map whose
/// hashes can be foreseen on wasm32-unknown-unknown: 5,400 members that collide take 300 ms, 1,000 take 4 ms.
const MAX_MEMBERS: usize = 1000;
/// Unknown members of a body that are listed. A hundred more than a client of ours has, and far fewer than a
/// body can hold.
const MAX_UNKNOWN_MEMBERS: usize = 100;
/// Longest input or member name that a problem repeats: ten times the longest text that is valid.
const MAX_ECHO_BYTES: usize = 2048;

/// One thing that is wrong with the input.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// Pydantic's name of the error.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where: `body`, `query` or `header`, then the field, or for broken JSON the position.
    #[schema(value_type = Vec<LocPart>)]
    pub loc: Vec<Value>,
    /// For people.
    pub msg: String,
    /// The rejected input; of more than 2 KiB of JSON its beginning, as a string that ends in `…`.
    pub input: Value,
    /// The numbers and texts in `msg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub ctx: Option<Value>,
}

/// A step on the way to what is wrong.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum LocPart {
    /// A field.
    Name(String),
    /// A position.
    Position(u64),
}

/// 422: everything that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValidationErrorResponse {
    /// In the order of the fields.
    pub detail: Vec<Problem>,
}

impl ValidationErrorResponse {
    /// One, as it is sent.
    #[must_use]
    pub fn example() -> Value {
        let input = json!({"description": "Team lunch"});
        let detail = vec![Problem::new("missing", &["body", "amount"], "Field required", input)];
        json!(Self { detail })
    }
}

impl Problem {
    /// A problem of Pydantic's `kind` at `loc`.
    #[must_use]
    pub fn new(kind: &'static str, loc: &[&str], msg: impl Into<String>, input: Value) -> Self {
        let loc = loc.iter().map(|part| json!(part)).collect();
        Self { kind, loc, msg: msg.into(), input: shortened(input), ctx: None }
    }

    /// With the numbers and texts that `msg` names.
    #[must_use]
    pub fn with_ctx(self, ctx: Value) -> Self {
        Self { ctx: Some(ctx), ..self }
    }
}

/// Everything that is wrong with a request's input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Two results as one; what is wrong with either, in their order.
    ///
    /// # Errors
    ///
    /// All the problems.
    pub fn both<A, B>(a: Result<A, Self>, b: Result<B, Self>) -> Result<(A, B), Self> {
        match (a, b) {
            (Ok(a), Ok(b)) => Ok((a, b)),
            (Err(Self(a)), Err(Self(b))) => Err(Self([a, b].concat())),
            (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
        }
    }

    /// `Ok` when nothing is wrong.
    ///
    /// # Errors
    ///
    /// The problems themselves.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    fn add(&mut self, problem: Problem) {
        self.0.push(problem);
    }
}

impl From<Box<Problem>> for Problems {
    fn from(problem: Box<Problem>) -> Self {
        Self(vec![*problem])
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
/// `missing` for an empty body, `json_invalid` for one that is not JSON, `too_long` for one with more than a
/// thousand members.
pub fn parse_json(body: &[u8]) -> Result<Value, Problems> {
    if body.is_empty() {
        return Err(Problem::new("missing", &["body"], "Field required", Value::Null).into());
    }
    // Editors on Windows put it there.
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let parsed = if count_members(body) > MAX_MEMBERS {
        // Finding a syntax error needs no map.
        serde_json::from_slice(body).map(|IgnoredAny| None)
    } else {
        json::parse(body).map(Some)
    };
    let parsed = parsed.map_err(|error| {
        let own_words = error.to_string();
        let (position, reason) = json_error::check(body).err().unwrap_or_else(|| {
            let position = offset(body, error.line(), error.column());
            (position, own_words.split(" at line ").next().unwrap_or_default())
        });
        let mut problem = Problem::new("json_invalid", &["body"], "JSON decode error", json!({}));
        // Characters, not bytes: Python has decoded the body by then.
        problem.loc.push(json!(String::from_utf8_lossy(&body[..position]).chars().count()));
        Problems::from(problem.with_ctx(json!({"error": reason})))
    })?;
    parsed.ok_or_else(|| {
        let msg = format!(
            "Data should have at most {MAX_MEMBERS} members, those of nested objects included"
        );
        let problem = Problem::new("too_long", &["body"], msg, Value::Null);
        problem.with_ctx(json!({"max_length": MAX_MEMBERS})).into()
    })
}

/// How many members all objects of a JSON text have: as many as there are colons outside of strings.
fn count_members(text: &[u8]) -> usize {
    let (mut members, mut is_string, mut is_escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            b':' if !is_string => members += 1,
            _ => {}
        }
    }
    members
}

/// Where in the text a line and a column (both from 1, the column in bytes) are, from 0.
fn offset(body: &[u8], line: usize, column: usize) -> usize {
    let lines_before: usize = body
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (lines_before + column).saturating_sub(1).min(body.len())
}

/// The members of a JSON object, asked for one by one; each problem is kept.
pub struct Fields {
    /// `body` or `query`.
    source: &'static str,
    members: Map<String, Value>,
    /// What was asked for.
    known: Vec<&'static str>,
    problems: Problems,
}

/// A member's value, or what is wrong with it.
pub type Parsed<T> = Result<T, Box<Problem>>;

impl Fields {
    /// The members of `body`.
    ///
    /// # Errors
    ///
    /// `model_attributes_type` when it is no object.
    pub fn of(body: Value) -> Result<Self, Problems> {
        let Value::Object(members) = body else {
            let msg = "Input should be a valid dictionary or object to extract fields from";
            return Err(Problem::new("model_attributes_type", &["body"], msg, body).into());
        };
        Ok(Self { source: "body", members, known: Vec::new(), problems: Problems::default() })
    }

    /// The parameters of a query, each a string; the last of a name counts, as in FastAPI.
    #[must_use]
    pub fn of_query(query: &str) -> Self {
        Self::of_pairs("query", query.as_bytes())
    }

    /// The fields of a form, each a string; the last of a name counts.
    #[must_use]
    pub fn of_form(body: &[u8]) -> Self {
        Self::of_pairs("body", body)
    }

    /// Of more than a thousand pairs the last count.
    fn of_pairs(source: &'static str, pairs: &[u8]) -> Self {
        let unread = form_urlencoded::parse(pairs).count().saturating_sub(MAX_MEMBERS);
        let members: Map<String, Value> = form_urlencoded::parse(pairs)
            .skip(unread)
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
            .collect();
        Self { source, members, known: Vec::new(), problems: Problems::default() }
    }

    /// A member that may be absent.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(Value, &[&str]) -> Parsed<T>,
    ) -> Option<T> {
        self.known.push(name);
        let value = self.members.get(name)?.clone();
        parse(value, &[self.source, name]).map_err(|problem| self.problems.add(*problem)).ok()
    }

    /// A member that must be there.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(Value, &[&str]) -> Parsed<T>,
    ) -> Option<T> {
        if !self.members.contains_key(name) {
            let input = Value::Object(self.members.clone());
            let loc = [self.source, name];
            self.problems.add(Problem::new("missing", &loc, "Field required", input));
            return None;
        }
        self.optional(name, parse)
    }

    /// Adds a problem with a member that was read, alone or together with others.
    pub fn reject(&mut self, name: &'static str, reason: &str) {
        let input = self.members.get(name).cloned().unwrap_or_default();
        let msg = format!("Value error, {reason}");
        self.problems.add(Problem::new("value_error", &[self.source, name], msg, input));
    }

    /// Every problem. Unknown members of a body are problems: the first hundred in their order, then their
    /// number. Unknown query parameters are allowed.
    #[must_use]
    pub fn finish(mut self) -> Problems {
        if self.source == "query" {
            return self.problems;
        }
        let known = self.known;
        let msg = "Extra inputs are not permitted";
        let mut unknown =
            self.members.into_iter().filter(|(name, _)| !known.contains(&name.as_str()));
        for (name, value) in unknown.by_ref().take(MAX_UNKNOWN_MEMBERS) {
            let name = beginning(name);
            self.problems.add(Problem::new("extra_forbidden", &["body", &name], msg, value));
        }
        let unlisted = unknown.count();
        if unlisted > 0 {
            let msg = format!("{msg}: {unlisted} more are not listed");
            self.problems.add(Problem::new("extra_forbidden", &["body"], msg, Value::Null));
        }
        self.problems
    }
}

/// An input as a problem repeats it, cut so that a response does not grow with its request.
fn shortened(input: Value) -> Value {
    if let Value::String(text) = input {
        return Value::String(beginning(text));
    }
    let mut echo = Echo::default();
    if serde_json::to_writer(&mut echo, &input).is_ok() {
        return input;
    }
    let text = String::from_utf8_lossy(&echo.0);
    Value::String(format!("{}…", text.trim_end_matches('\u{fffd}')))
}

/// A text, or its beginning.
fn beginning(mut text: String) -> String {
    if text.len() > MAX_ECHO_BYTES {
        text.truncate(text.floor_char_boundary(MAX_ECHO_BYTES));
        text.push('…');
    }
    text
}

/// A writer that keeps the first bytes and fails past them.
#[derive(Default)]
struct Echo(Vec<u8>);

impl io::Write for Echo {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_ECHO_BYTES - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room { Err(io::ErrorKind::WriteZero.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A string.
///
/// # Errors
///
/// `string_type`.
pub fn parse_string(value: Value, loc: &[&str]) -> Parsed<String> {
    match value {
        Value::String(text) => Ok(text),
        other => {
            Err(Problem::new("string_type", loc, "Input should be a valid string", other).into())
        }
    }
}

/// A text of 1 to `max` characters once the white space around it is gone.
///
/// # Errors
///
/// `string_type`, `string_too_short`, `string_too_long`.
pub fn parse_text(value: Value, loc: &[&str], max: usize) -> Parsed<String> {
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

/// Reads a body that says it is JSON, and parses it.
///
/// # Errors
///
/// As [`read_bytes`], and 422 for what is not JSON.
pub async fn read_json(headers: &HeaderMap, body: Body) -> Result<Value, AppError> {
    Ok(parse_json(&read_bytes(headers, body).await?)?)
}

/// Reads a body that says it is JSON.
///
/// # Errors
///
/// 415 for another type, 413 past 64 KiB.
pub async fn read_bytes(headers: &HeaderMap, body: Body) -> Result<Bytes, AppError> {
    let body = read_body(body).await?;
    // What is not there has no type.
    if !body.is_empty() && !headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        return Err(AppError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body must be JSON: send Content-Type: application/json",
        ));
    }
    Ok(body)
}

/// Reads a body of any type.
///
/// # Errors
///
/// 413 past 64 KiB.
pub async fn read_body(body: Body) -> Result<Bytes, AppError> {
    read_body_up_to(body, MAX_BODY_KIB).await
}

/// Reads a body of any type. One that says that it is too long is not touched.
///
/// # Errors
///
/// 413 past `max_kib`.
pub async fn read_body_up_to(body: Body, max_kib: usize) -> Result<Bytes, AppError> {
    let max_bytes = max_kib * 1024;
    let too_long = || {
        let detail = format!("The body must not be longer than {max_kib} KiB");
        AppError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(too_long());
    }
    to_bytes(body, max_bytes).await.map_err(|_| too_long())
}

/// `application/x-www-form-urlencoded`, which a page of any site can have a browser send: see
/// [`RequestOrigin::is_same_origin_form`](crate::authkit::origin::RequestOrigin::is_same_origin_form).
#[must_use]
pub fn is_form(content_type: &HeaderValue) -> bool {
    essence(content_type).as_deref() == Some("application/x-www-form-urlencoded")
}

/// A media type in small letters, without its parameters.
fn essence(content_type: &HeaderValue) -> Option<String> {
    let essence = content_type.to_str().ok()?.split(';').next()?;
    Some(essence.trim().to_ascii_lowercase())
}

/// `application/json`, or a type with the suffix `+json` (RFC 6839).
fn is_json(content_type: &HeaderValue) -> bool {
    essence(content_type).is_some_and(|essence| {
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}
