//! JSON of requests and responses, with numbers digit by digit: `read` reads requests, `write` writes responses.

mod read;
mod write;

pub use read::{MAX_MEMBERS, ParseError, parse, parse_body, without_byte_order_mark};
pub(crate) use write::object;
pub use write::{Json, JsonText, ObjectText};
