//! JSON-RPC 2.0 with the restrictions of MCP: an id is a string or an integer, parameters are an object.
//! The response to a request with an unreadable id has no id. A body is one message, or a batch in
//! revisions up to 2025-03-26.
//! <https://modelcontextprotocol.io/specification/2026-07-28/basic>
//! <https://modelcontextprotocol.io/specification/2025-03-26/basic#batching>

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Number, Value};

use crate::json::{JsonText, ObjectText, ParseError, parse_body, without_byte_order_mark};

/// The most messages of a batch. Most calls need up to four KV operations, and an invocation on Workers'
/// free plan has 50 subrequests. Calls past that limit fail one by one.
const BATCH_MAX_MESSAGES: usize = 10;

/// The version of the protocol.
const JSON_RPC: &str = "2.0";
/// The length of a response without its result, with a short id.
const HEAD_BYTES: usize = 100;

/// The messages of a body.
#[derive(Debug)]
pub enum Incoming {
    /// One message.
    One(Message),
    /// A batch of revision 2025-03-26 with at most `BATCH_MAX_MESSAGES` messages, each parsed separately.
    Batch(Vec<Result<Message, Box<NotAMessage>>>),
}

/// A request or a notification.
#[derive(Debug)]
pub struct Message {
    /// `None` for a notification, which gets no response.
    pub id: Option<Id>,
    /// The method.
    pub method: String,
    /// The parameters; empty if the message has no `params`.
    pub params: Map<String, Value>,
}

/// The id of a request, which its response repeats.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Id(Value);

/// Error codes of JSON-RPC 2.0, section 5.1, and of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The body is not JSON.
    ParseError = -32700,
    /// The body is JSON, but not a message.
    InvalidRequest = -32600,
    /// The revision has no such method.
    MethodNotFound = -32601,
    /// The parameters are invalid, or name an unknown tool.
    InvalidParams = -32602,
    /// A header contradicts the message, or is missing.
    HeaderMismatch = -32020,
    /// The server does not support the revision.
    UnsupportedProtocolVersion = -32022,
}

/// An error of the protocol.
#[derive(Debug)]
pub struct RpcError {
    code: Code,
    message: String,
    data: Option<Value>,
    /// The HTTP status: 200 by default, so that a client does not report a transport error.
    status: StatusCode,
}

impl RpcError {
    /// An error with status 200.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None, status: StatusCode::OK }
    }

    /// An error with status 400.
    #[must_use]
    pub fn bad_request(code: Code, message: &str) -> Self {
        Self::new(code, message).with_status(StatusCode::BAD_REQUEST)
    }

    /// Sets the HTTP status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Adds data for programs.
    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }

    /// The error response to the request with this id.
    #[must_use]
    pub fn into_reply(self, id: Option<&Id>) -> Reply {
        let mut error = ObjectText::with_capacity(0)
            .member("code", &(self.code as i32))
            .member("message", &self.message);
        if let Some(data) = &self.data {
            error = error.member("data", data);
        }
        let mut response =
            ObjectText::with_capacity(0).member("jsonrpc", JSON_RPC).json("error", error.finish());
        if let Some(id) = id {
            response = response.member("id", id);
        }
        Reply { status: self.status, body: Some(response.finish()) }
    }
}

/// The response to a message.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    /// JSON; `None` for a notification.
    body: Option<Vec<u8>>,
}

impl Reply {
    /// The response to a notification.
    pub const NONE: Self = Self { status: StatusCode::ACCEPTED, body: None };

    /// The response with the result of the request with this id.
    #[must_use]
    pub fn result(id: &Id, result: ObjectText) -> Self {
        let body = ObjectText::with_capacity(result.len_bytes() + HEAD_BYTES)
            .member("jsonrpc", JSON_RPC)
            .member("id", id)
            .json("result", result.finish());
        Self { status: StatusCode::OK, body: Some(body.finish()) }
    }

    /// The length of the body as JSON, in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.body.as_ref().map_or(0, Vec::len)
    }

    /// The replies to the messages of a batch.
    #[must_use]
    pub fn batch(replies: Vec<Self>) -> Self {
        let responses: Vec<Vec<u8>> = replies.into_iter().filter_map(|reply| reply.body).collect();
        if responses.is_empty() {
            return Self::NONE;
        }
        let body = [b"[".as_slice(), &responses.join(&b','), b"]"].concat();
        Self { status: StatusCode::OK, body: Some(body) }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        match self.body {
            Some(body) => (self.status, JsonText(body)).into_response(),
            None => self.status.into_response(),
        }
    }
}

/// A body that is not a message: the error to respond with.
#[derive(Debug)]
pub struct NotAMessage {
    /// The id, if it is readable.
    id: Option<Id>,
    error: RpcError,
}

impl NotAMessage {
    fn new(id: Option<Id>, error: RpcError) -> Box<Self> {
        Box::new(Self { id, error })
    }

    /// The error response.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        self.error.into_reply(self.id.as_ref())
    }
}

impl Incoming {
    /// Parses a body. It may be a batch if `takes_batches`.
    ///
    /// # Errors
    ///
    /// The errors of `Message::read`, and status 400 for a batch that is not allowed or too long.
    pub fn parse(body: &[u8], takes_batches: bool) -> Result<Self, Box<NotAMessage>> {
        let value = parse_body(without_byte_order_mark(body)).map_err(|error| {
            NotAMessage::new(
                None,
                match error {
                    ParseError::Syntax(_) => {
                        RpcError::bad_request(Code::ParseError, "Parse error: the body is not JSON")
                    }
                    ParseError::TooManyMembers => RpcError::bad_request(
                        Code::InvalidRequest,
                        &format!("Invalid request: {error}"),
                    ),
                },
            )
        })?;
        match value {
            Value::Array(_) if !takes_batches => {
                Err(invalid(None, "Invalid request: send one message at a time"))
            }
            Value::Array(messages) if (1..=BATCH_MAX_MESSAGES).contains(&messages.len()) => {
                Ok(Self::Batch(messages.into_iter().map(Message::read).collect()))
            }
            Value::Array(_) => {
                let message = format!("Invalid request: send 1 to {BATCH_MAX_MESSAGES} messages");
                Err(invalid(None, &message))
            }
            message => Message::read(message).map(Self::One),
        }
    }
}

impl Message {
    /// Parses a message.
    ///
    /// # Errors
    ///
    /// Status 400 for a value that is not a message, and for a notification's parameters that are not an object; 200
    /// for those of a request.
    fn read(value: Value) -> Result<Self, Box<NotAMessage>> {
        let Value::Object(mut members) = value else {
            return Err(invalid(None, "Invalid request: a message must be an object"));
        };
        let id = match members.remove("id") {
            None => None,
            Some(Value::Number(number)) if is_whole(&number) => Some(Id(Value::Number(number))),
            Some(Value::String(id)) => Some(Id(Value::String(id))),
            Some(_) => {
                return Err(invalid(
                    None,
                    "Invalid request: \"id\" must be a string or an integer",
                ));
            }
        };
        if members.get("jsonrpc").and_then(Value::as_str) != Some(JSON_RPC) {
            return Err(invalid(id, "Invalid request: \"jsonrpc\" must be \"2.0\""));
        }
        let method = match members.remove("method") {
            Some(Value::String(method)) => method,
            // The server sends no requests, so a message without a method is not a response either.
            None => return Err(invalid(id, "Invalid request: \"method\" is missing")),
            Some(_) => return Err(invalid(id, "Invalid request: \"method\" must be a string")),
        };
        let params = match members.remove("params") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => {
                let message = "Invalid params: \"params\" must be an object";
                let error = RpcError::new(Code::InvalidParams, message);
                // A notification has no other response than its status.
                let status = if id.is_some() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
                return Err(NotAMessage::new(id, error.with_status(status)));
            }
        };
        Ok(Self { id, method, params })
    }
}

/// The largest exponent of a number that a client in JavaScript can write.
const MAX_EXPONENT: i32 = 308;

/// Whether a number is an integer. Clients in languages with one number type write `1.0`. `Number::as_f64` would answer
/// the same, with tables of 10 kB.
fn is_whole(number: &Number) -> bool {
    let (digits, exponent) = match number.as_str().split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse().ok()),
        None => (number.as_str(), Some(0)),
    };
    let Some(exponent) =
        exponent.filter(|exponent| (-MAX_EXPONENT..=MAX_EXPONENT).contains(exponent))
    else {
        return false;
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let count = |digits: &str| i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let decimals = fraction.trim_end_matches('0');
    if !decimals.is_empty() {
        return count(decimals) <= exponent;
    }
    let significant = whole.trim_end_matches('0');
    let trailing_zeros = count(whole) - count(significant);
    matches!(significant, "" | "-") || -exponent <= trailing_zeros
}

fn invalid(id: Option<Id>, message: &str) -> Box<NotAMessage> {
    NotAMessage::new(id, RpcError::bad_request(Code::InvalidRequest, message))
}
