//! JSON-RPC 2.0 as MCP uses it: one message at a time, an id that is a string or an integer and never
//! `null`, parameters that are an object. An error whose request's id could not be read has none.
//! <https://modelcontextprotocol.io/specification/2026-07-28/basic>

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{json::Json, validation::parse_json};

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
    pub fn into_response_to(self, id: Option<&Id>) -> Response {
        let mut error = json!({"code": self.code as i32, "message": self.message});
        if let Some(data) = self.data {
            error["data"] = data;
        }
        let mut answer = json!({"jsonrpc": "2.0", "error": error});
        if let Some(Id(id)) = id {
            answer["id"] = id.clone();
        }
        (self.status, Json(answer)).into_response()
    }
}

/// The answer to the request called `id`.
#[must_use]
pub fn result_of(id: &Id, result: &Value) -> Response {
    Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response()
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

impl IntoResponse for NotAMessage {
    fn into_response(self) -> Response {
        self.error.into_response_to(self.id.as_ref())
    }
}

impl Message {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// Status 400 for what is no message, 200 for parameters that are no object.
    pub fn parse(body: &[u8]) -> Result<Self, Box<NotAMessage>> {
        let value = parse_json(body).map_err(|_| {
            let error = bad_request(Code::ParseError, "Parse error: the body is not JSON");
            NotAMessage::new(None, error)
        })?;
        let invalid =
            |id, message| NotAMessage::new(id, bad_request(Code::InvalidRequest, message));
        let mut members = match value {
            Value::Object(members) => members,
            Value::Array(_) => {
                return Err(invalid(None, "Invalid request: send one message at a time"));
            }
            _ => return Err(invalid(None, "Invalid request: a message is an object")),
        };
        let id = match members.remove("id") {
            None => None,
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
                Some(Id(Value::Number(number)))
            }
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
            None => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => {
                let message = "Invalid params: they must be an object";
                return Err(NotAMessage::new(id, RpcError::new(Code::InvalidParams, message)));
            }
        };
        Ok(Self { id, method, params })
    }
}

fn bad_request(code: Code, message: &str) -> RpcError {
    RpcError::new(code, message).with_status(StatusCode::BAD_REQUEST)
}
