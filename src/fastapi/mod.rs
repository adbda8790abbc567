//! Compatibility with FastAPI: the grammars of Pydantic and Python for input, and the 422 responses that
//! list every problem.
//!
//! The input is parsed once, into domain types or into `Problems`. Each problem names a field and a
//! `Fault`, a typed reason. The JSON of a 422 response is one rendering of a fault; pages and tools have
//! other renderings.
//!
//! `decimal`, `date` and `integer` have the grammars of values, `json` parses bodies, `json_error` locates
//! syntax errors, `Fields` parses members, and [`mod@expense`] reads the requests of the expense tracker.

mod date;
mod decimal;
pub mod expense;
mod fields;
mod integer;
mod json;
mod json_error;
mod problem;

pub(crate) use decimal::DecimalError;
pub(crate) use fields::{Fields, parse_text};
pub(crate) use json::parse_json;
pub(crate) use problem::{
    Fault, Loc, Problem, ProblemResponse, Problems, Source, ValidationErrorResponse,
};
