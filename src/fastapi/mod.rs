//! FastAPI's side of the API: the grammars of Pydantic and Python that input is read by, and the 422
//! responses that list everything wrong with it.
//!
//! Input is parsed once, into the domain's types or into `Problems`: each names a field and a
//! `Fault`, a typed reason. The JSON of a 422 response is one rendering of a fault; pages and tools
//! have their own.
//!
//! `decimal`, `date` and `integer` are the grammars of values, `json_error` finds where a body stops
//! being JSON, `json` reads bodies, `Fields` takes members from them, and [`mod@expense`] reads the
//! requests of the expense tracker.

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
    Fault, Problem, ProblemResponse, Problems, Source, ValidationErrorResponse,
};
