//! The transport: authenticates the caller, reads messages, and answers the methods that call no tool.
//!
//! The caller is authenticated by `Authorization: Bearer` alone, with any access token that the API takes,
//! with Connect on or off. Cookies are ignored, so that no site can make a browser send a valid request.

use axum::{
    body::Body,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, request::Parts};
use serde_json::{Map, Value, json};

use super::{
    message::{Code, Incoming, Message, NotAMessage, Reply, RpcError},
    revision::{REVISIONS, Revision},
    tool,
    tools::{self, CallError, Caller},
};
use crate::{body::read_bytes, expenses::Expenses};
use axum_authkit::error_layer::request_id;
use axum_authkit::{
    AppError, BearerUser, CurrentUser,
    browser::{JSON, is_acceptable},
    origin::RequestOrigin,
};

/// The path.
pub const PATH: &str = "/mcp";
/// The path with a slash, which some clients add: they do not follow a redirect with a `POST`.
pub const PATH_WITH_SLASH: &str = "/mcp/";

/// How long a client may keep the list of tools, which only a new version of the Worker changes.
const TTL_MILLIS: u32 = 5 * 60 * 1000;

const INSTRUCTIONS: &str = "The signed-in user's expenses. Amounts are exact decimals; amounts of different \
    currencies are never added. summarize_expenses gives totals: do not add up list_expenses yourself. \
    A tool's error says what to mend; one that says to try again is safe to repeat as it says.";

/// The caller of a request that this transport takes.
pub(crate) struct Client(CurrentUser);

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AppError> {
        let origin = RequestOrigin::from_request_parts(parts, state).await?;
        check_origin(&origin, &parts.headers)?;
        let BearerUser(user) = BearerUser::from_request_parts(parts, state).await?;
        check_accept(&parts.headers)?;
        Ok(Self(user))
    }
}

/// `POST /mcp`.
pub(crate) async fn answer_message(
    Client(user): Client,
    State(expenses): State<Expenses>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AppError> {
    let body = read_bytes(&headers, body).await?;
    let incoming = match Incoming::parse(&body, Revision::takes_batches(&headers)) {
        Ok(incoming) => incoming,
        Err(error) => return Ok(error.into_reply().into_response()),
    };
    let request_id = request_id(&headers);
    let caller = Caller {
        expenses: &expenses,
        user: &user,
        request_id: request_id.as_deref().unwrap_or("-"),
    };
    let reply = match incoming {
        Incoming::One(message) => {
            reply_to(&caller, &headers, message).await.map_err(|error| *error)?
        }
        Incoming::Batch(messages) => reply_to_batch(&caller, &headers, messages).await,
    };
    Ok(reply.into_response())
}

/// The reply to a message, or the error of a caller without the scope.
async fn reply_to(
    caller: &Caller<'_>,
    headers: &HeaderMap,
    message: Message,
) -> Result<Reply, Box<AppError>> {
    let Message { id, .. } = &message;
    let revision = match Revision::of(&message, headers) {
        Ok(revision) => revision,
        Err(error) => return Ok(error.answering(id.as_ref())),
    };
    let Some(id) = message.id else {
        // `notifications/initialized` and `notifications/cancelled`: nothing here waits for either.
        return Ok(Reply::NONE);
    };
    let mut result = match result_for(caller, revision, &message.method, message.params).await {
        Ok(result) => result,
        Err(CallError::Protocol(error)) => return Ok(error.answering(Some(&id))),
        Err(CallError::Refused(error)) => return Err(error),
    };
    if revision == Revision::Stateless {
        result.insert("resultType".to_owned(), json!("complete"));
        let server = json!({"io.modelcontextprotocol/serverInfo": server_info()});
        result.insert("_meta".to_owned(), server);
    }
    Ok(Reply::result(&id, &Value::Object(result)))
}

/// Length of a batch's replies past which its other messages are refused: ten lists of a thousand expenses
/// would take 36 MB of the isolate's 128 MB.
const BATCH_REPLY_MAX_BYTES: usize = 1_000_000;

/// The replies to the messages of a batch, in order: each message sees the changes of the one before. A
/// refused message gets an error reply, without a status or a header of its own.
async fn reply_to_batch(
    caller: &Caller<'_>,
    headers: &HeaderMap,
    messages: Vec<Result<Message, Box<NotAMessage>>>,
) -> Reply {
    let mut replies: Vec<Reply> = Vec::with_capacity(messages.len());
    let mut len_bytes = 0;
    for message in messages {
        len_bytes += replies.last().map_or(0, Reply::len_bytes);
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                replies.push(error.into_reply());
                continue;
            }
        };
        let id = message.id.clone();
        let invalid = |words: &str| {
            RpcError::new(Code::InvalidRequest, words.to_owned()).answering(id.as_ref())
        };
        replies.push(if len_bytes > BATCH_REPLY_MAX_BYTES && id.is_some() {
            invalid("Invalid request: the batch has a long reply already, send this message alone")
        } else if message.method == "initialize" {
            invalid("Invalid request: initialize comes alone")
        } else {
            let reply = reply_to(caller, headers, message).await;
            reply.unwrap_or_else(|error| invalid(error.detail.as_str().unwrap_or("Forbidden")))
        });
    }
    Reply::batch(replies)
}

/// The result of a request.
async fn result_for(
    caller: &Caller<'_>,
    revision: Revision,
    method: &str,
    mut params: Map<String, Value>,
) -> Result<Map<String, Value>, CallError> {
    match (revision, method) {
        (_, "tools/call") => tools::call(caller, &mut params).await,
        (Revision::WithHandshake, "tools/list") => Ok(object(json!({"tools": tool::list()}))),
        (Revision::WithHandshake, "initialize") => initialize(&params).map_err(CallError::Protocol),
        (Revision::WithHandshake, "ping") => Ok(Map::new()),
        (Revision::Stateless, "tools/list") => Ok(cacheable(json!({"tools": tool::list()}))),
        (Revision::Stateless, "server/discover") => Ok(cacheable(json!({
            "supportedVersions": REVISIONS,
            "capabilities": capabilities(),
            "instructions": INSTRUCTIONS,
        }))),
        _ => {
            let error = RpcError::new(Code::MethodNotFound, format!("Method not found: {method}"));
            Err(CallError::Protocol(match revision {
                // There, 404 means that a session is over.
                Revision::WithHandshake => error,
                Revision::Stateless => error.with_status(StatusCode::NOT_FOUND),
            }))
        }
    }
}

fn initialize(params: &Map<String, Value>) -> Result<Map<String, Value>, RpcError> {
    let version = params.get("protocolVersion").and_then(Value::as_str).ok_or_else(|| {
        RpcError::new(Code::InvalidParams, "Invalid params: protocolVersion is missing")
    })?;
    Ok(object(json!({
        "protocolVersion": Revision::negotiate(version),
        "capabilities": capabilities(),
        "serverInfo": server_info(),
        "instructions": INSTRUCTIONS,
    })))
}

fn capabilities() -> Value {
    json!({"tools": {}})
}

fn server_info() -> Value {
    json!({
        "name": env!("CARGO_PKG_NAME"),
        "title": "Expenses",
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// A result that is the same for every caller.
fn cacheable(result: Value) -> Map<String, Value> {
    let mut result = object(result);
    result.insert("ttlMs".to_owned(), json!(TTL_MILLIS));
    result.insert("cacheScope".to_owned(), json!("public"));
    result
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Lets in what no page has sent, and pages of this origin. A page of another one has no token of its own,
/// and an agent that runs in one has a server to send from.
///
/// A name that a page points at this machine (DNS rebinding) looks like an origin of its own. Over https it
/// has no certificate, and the application serves plain http to localhost alone.
fn check_origin(origin: &RequestOrigin, headers: &HeaderMap) -> Result<(), AppError> {
    if origin.is_cross_origin(headers) {
        let detail = "Pages of other sites cannot use this: connect from a server or a program";
        return Err(AppError::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(())
}

/// A client has to name `text/event-stream` too. It does no harm if it does not, since no stream comes.
fn check_accept(headers: &HeaderMap) -> Result<(), AppError> {
    if !is_acceptable(headers, JSON) {
        let detail = "Answers are JSON: send Accept: application/json, text/event-stream";
        return Err(AppError::new(StatusCode::NOT_ACCEPTABLE, detail));
    }
    Ok(())
}
