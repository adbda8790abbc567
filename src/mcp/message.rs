//! JSON-RPC 2.0 as MCP uses it: an id that is a string or a whole number and never `null`, parameters
//! that are an object. An error whose request's id could not be read has none. A body is one message;
//! until revision 2025-03-26 it may be a batch.
//! <https://modelcontextprotocol.io/specification/2026-07-28/basic>
//! <https://modelcontextprotocol.io/specification/2025-03-26/basic#batching>

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Number, Value, json};

use crate::{
    fastapi::{Fault, parse_json},
    json::Json,
};

/// Most messages of a batch. Most calls cost up to four operations on KV, and an invocation on Workers'
/// free plan has 50 subrequests; calls past that number fail, each with an error of its own.
const BATCH_MAX_MESSAGES: usize = 10;

/// The messages of a body.
#[derive(Debug)]
pub enum Incoming {
    /// As every revision has it.
    One(Message),
    /// As revision 2025-03-26 has it too, at most `BATCH_MAX_MESSAGES`: each is read by itself.
    Batch(Vec<Result<Message, Box<NotAMessage>>>),
}

/// What a client has sent.
#[derive(Debug)]
pub struct Message {
    /// `None` for a notification, which gets no answer.
    pub id: Option<Id>,
    /// What is wanted.
    pub method: String,
    /// Empty where there are none.
    pub params: Map<String, Value>,
}

/// The name of a request, which its answer has too.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Id(Value);

/// The codes of errors: JSON-RPC 2.0, section 5.1, then MCP's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The body is not JSON.
    ParseError = -32700,
    /// It is, and no message.
    InvalidRequest = -32600,
    /// There is no such method in the revision.
    MethodNotFound = -32601,
    /// The method's parameters are wrong, or name a tool that is not there.
    InvalidParams = -32602,
    /// A header says something else than the message, or is missing.
    HeaderMismatch = -32020,
    /// The revision is not spoken here.
    UnsupportedProtocolVersion = -32022,
}

/// Why a message has no result.
#[derive(Debug)]
pub struct RpcError {
    code: Code,
    message: String,
    data: Option<Value>,
    /// The HTTP status. A client that tells the errors of a protocol from the transport's wants 200
    /// where nothing says otherwise.
    status: StatusCode,
}

impl RpcError {
    /// An error of the protocol's: status 200.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None, status: StatusCode::OK }
    }

    /// With another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With what a program can read.
    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }

    /// The answer to the request called `id`.
    #[must_use]
    pub fn answering(self, id: Option<&Id>) -> Reply {
        let mut error = json!({"code": self.code as i32, "message": self.message});
        if let Some(data) = self.data {
            error["data"] = data;
        }
        let mut answer = json!({"jsonrpc": "2.0", "error": error});
        if let Some(Id(id)) = id {
            answer["id"] = id.clone();
        }
        Reply { status: self.status, body: Some(answer) }
    }
}

/// What a message is answered with.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    /// `None` for a notification.
    body: Option<Value>,
}

impl Reply {
    /// A notification gets no answer.
    pub const NONE: Self = Self { status: StatusCode::ACCEPTED, body: None };

    /// The result of the request called `id`.
    #[must_use]
    pub fn result(id: &Id, result: &Value) -> Self {
        let body = json!({"jsonrpc": "2.0", "id": id, "result": result});
        Self { status: StatusCode::OK, body: Some(body) }
    }

    /// The length of the body as JSON, in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.body.as_ref().map_or(0, |body| body.to_string().len())
    }

    /// The replies to the messages of a batch.
    #[must_use]
    pub fn batch(replies: Vec<Self>) -> Self {
        let answers: Vec<Value> = replies.into_iter().filter_map(|reply| reply.body).collect();
        if answers.is_empty() {
            return Self::NONE;
        }
        Self { status: StatusCode::OK, body: Some(Value::Array(answers)) }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        match self.body {
            Some(body) => (self.status, Json(body)).into_response(),
            None => self.status.into_response(),
        }
    }
}

/// Why a body is no message.
#[derive(Debug)]
pub struct NotAMessage {
    /// What could be read of it.
    id: Option<Id>,
    error: RpcError,
}

impl NotAMessage {
    fn new(id: Option<Id>, error: RpcError) -> Box<Self> {
        Box::new(Self { id, error })
    }
}

impl NotAMessage {
    /// The answer to it.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        self.error.answering(self.id.as_ref())
    }
}

impl Incoming {
    /// Reads a body, which may be a batch where `takes_batches`.
    ///
    /// # Errors
    ///
    /// As `Message::read`, and status 400 for a batch that may not be one or has too many messages.
    pub fn parse(body: &[u8], takes_batches: bool) -> Result<Self, Box<NotAMessage>> {
        let value = parse_json(body).map_err(|problems| {
            let mut faults = problems.iter().map(|problem| &problem.fault);
            let too_long = faults.find(|fault| matches!(fault, Fault::TooManyMembers { .. }));
            let error = match too_long {
                Some(fault) => {
                    bad_request(Code::InvalidRequest, &format!("Invalid request: {fault}"))
                }
                None => bad_request(Code::ParseError, "Parse error: the body is not JSON"),
            };
            NotAMessage::new(None, error)
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
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// Status 400 for a value that is not a message, 200 for parameters that are not an object.
    fn read(value: Value) -> Result<Self, Box<NotAMessage>> {
        let Value::Object(mut members) = value else {
            return Err(invalid(None, "Invalid request: a message is an object"));
        };
        let id = match members.remove("id") {
            None => None,
            Some(Value::Number(number)) if is_whole(&number) => Some(Id(Value::Number(number))),
            Some(Value::String(id)) => Some(Id(Value::String(id))),
            Some(_) => {
                return Err(invalid(None, "Invalid request: an id is a string or an integer"));
            }
        };
        if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err(invalid(id, "Invalid request: \"jsonrpc\" must be \"2.0\""));
        }
        let method = match members.remove("method") {
            Some(Value::String(method)) => method,
            // Nothing is ever asked of a client that it could answer.
            None => return Err(invalid(id, "Invalid request: there is no \"method\"")),
            Some(_) => return Err(invalid(id, "Invalid request: a method is a string")),
        };
        let params = match members.remove("params") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => {
                let message = "Invalid params: they must be an object";
                return Err(NotAMessage::new(id, RpcError::new(Code::InvalidParams, message)));
            }
        };
        Ok(Self { id, method, params })
    }
}

/// Clients whose language has one type of numbers write an integer as `1.0`.
fn is_whole(number: &Number) -> bool {
    number.as_f64().is_some_and(|value| value.fract() == 0.0)
}

fn invalid(id: Option<Id>, message: &str) -> Box<NotAMessage> {
    NotAMessage::new(id, bad_request(Code::InvalidRequest, message))
}

fn bad_request(code: Code, message: &str) -> RpcError {
    RpcError::new(code, message).with_status(StatusCode::BAD_REQUEST)
}
