//! The grammars of Pydantic and Python and FastAPI's 422 responses.

pub mod date;
pub mod expense;
pub mod input;
pub mod json_error;
