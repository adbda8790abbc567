//! The transport: authenticates the caller, parses messages, and handles the methods that call no tool.
//!
//! Only `Authorization: Bearer` authenticates a caller, with any access token that the API accepts, with
//! Connect on or off. The server ignores cookies, so that no site can make a browser send a valid request.

use std::sync::{Arc, LazyLock};

use axum::{
    body::Body,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, request::Parts};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    message::{Code, Incoming, Message, NotAMessage, Reply, RpcError},
    revision::{REVISIONS, Revision},
    tool,
    tools::{self, CallError, Caller},
};
use crate::{
    body::read_json_bytes, expenses::Expenses, json::ObjectText, rate_limits::CallerLimits,
};
use axum_authkit::{
    AppError, BearerUser, CurrentUser,
    browser::{JSON, is_acceptable},
    origin::RequestOrigin,
};

/// The path of the MCP endpoint.
pub const PATH: &str = "/mcp";
/// The path with the trailing slash that some clients add. A redirect would lose their `POST`.
pub const PATH_WITH_SLASH: &str = "/mcp/";

/// How long a client may cache the list of tools, which only a new version of the Worker changes.
const TTL_MILLIS: u32 = 5 * 60 * 1000;

/// The length of the result of `tools/list` without the tools.
const LIST_OVERHEAD_BYTES: usize = 400;

const INSTRUCTIONS: &str = "The signed-in user's expenses. Amounts are exact decimals; amounts of different \
    currencies are never added. summarize_expenses gives totals: do not add up list_expenses yourself. \
    A tool's error says what to mend; one that says to try again is safe to repeat as it says.";

/// The authenticated caller of an accepted request.
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

/// Handles `POST /mcp`.
pub(crate) async fn receive_message(
    Client(user): Client,
    State(expenses): State<Expenses>,
    State(limits): State<Arc<CallerLimits>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AppError> {
    let body = read_json_bytes(&headers, body).await?;
    let incoming = Incoming::parse(&body, Revision::takes_batches(&headers));
    // A request counts when it is handled.
    let is_counted = match &incoming {
        Ok(Incoming::One(message)) => message.id.is_some(),
        Ok(Incoming::Batch(messages)) => {
            messages.iter().flatten().any(|message| message.id.is_some())
        }
        Err(_) => false,
    };
    if !is_counted {
        limits.caller.check(user.id()).await?;
    }
    let incoming = match incoming {
        Ok(incoming) => incoming,
        Err(error) => return Ok(error.into_reply().into_response()),
    };
    let caller = Caller { expenses: &expenses, user: &user, limits: &limits };
    let reply = match incoming {
        Incoming::One(message) => {
            reply_to(&caller, &headers, message).await.map_err(|error| *error)?
        }
        Incoming::Batch(messages) => reply_to_batch(&caller, &headers, messages).await,
    };
    Ok(reply.into_response())
}

/// The reply to a message, or the error for a caller without the scope.
async fn reply_to(
    caller: &Caller<'_>,
    headers: &HeaderMap,
    message: Message,
) -> Result<Reply, Box<AppError>> {
    let Message { id, .. } = &message;
    let revision = match Revision::of(&message, headers) {
        Ok(revision) => revision,
        Err(error) => return Ok(error.into_reply(id.as_ref())),
    };
    let Some(id) = message.id else {
        // The server ignores `notifications/initialized` and `notifications/cancelled`.
        return Ok(Reply::NONE);
    };
    let result = match caller.limits.mcp.check(caller.user.id()).await {
        Ok(()) => result_for(caller, revision, &message.method, message.params).await,
        // The model reads the result of a tool, and not the status.
        Err(rejection) if message.method == tools::METHOD => Ok(tools::refused(&rejection)),
        Err(rejection) => return Err(Box::new(rejection.into())),
    };
    let result = match result {
        Ok(result) => result,
        Err(CallError::Protocol(error)) => return Ok(error.into_reply(Some(&id))),
        Err(CallError::Refused(error)) => return Err(error),
    };
    let result = match revision {
        Revision::Stateless => result.member("resultType", "complete").json("_meta", &*META),
        Revision::WithHandshake => result,
    };
    Ok(Reply::result(&id, result))
}

/// The length of a batch's replies past which the server refuses the remaining messages: ten lists of a
/// thousand expenses would take 36 MB of the isolate's 128 MB.
const BATCH_REPLY_MAX_BYTES: usize = 1_000_000;

/// The replies to the messages of a batch, in order. Each message sees the changes of the previous
/// messages. A refused message gets an error reply; the HTTP status and headers of the error are
/// dropped.
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
            RpcError::new(Code::InvalidRequest, words.to_owned()).into_reply(id.as_ref())
        };
        replies.push(if len_bytes > BATCH_REPLY_MAX_BYTES && id.is_some() {
            invalid("Invalid request: the batch's replies are too long, send this message alone")
        } else if message.method == "initialize" {
            invalid("Invalid request: send initialize outside of a batch")
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
) -> Result<ObjectText, CallError> {
    match (revision, method) {
        (_, tools::METHOD) => tools::call(caller, &mut params).await,
        (Revision::WithHandshake, "tools/list") => Ok(tool_list()),
        (Revision::WithHandshake, "initialize") => initialize(&params).map_err(CallError::Protocol),
        (Revision::WithHandshake, "ping") => Ok(ObjectText::with_capacity(0)),
        (Revision::Stateless, "tools/list") => Ok(cacheable(tool_list())),
        (Revision::Stateless, "server/discover") => Ok(cacheable(
            ObjectText::with_capacity(0)
                .member("supportedVersions", &REVISIONS)
                .json("capabilities", CAPABILITIES)
                .member("instructions", INSTRUCTIONS),
        )),
        _ => {
            let error = RpcError::new(Code::MethodNotFound, format!("Method not found: {method}"));
            Err(CallError::Protocol(match revision {
                // In these revisions 404 means that the session has ended.
                Revision::WithHandshake => error,
                Revision::Stateless => error.with_status(StatusCode::NOT_FOUND),
            }))
        }
    }
}

fn tool_list() -> ObjectText {
    let tools = tool::list_json();
    ObjectText::with_capacity(tools.len() + LIST_OVERHEAD_BYTES).json("tools", tools)
}

fn initialize(params: &Map<String, Value>) -> Result<ObjectText, RpcError> {
    let version = params.get("protocolVersion").and_then(Value::as_str).ok_or_else(|| {
        RpcError::new(Code::InvalidParams, "Invalid params: protocolVersion is missing")
    })?;
    Ok(ObjectText::with_capacity(0)
        .member("protocolVersion", Revision::negotiate(version))
        .json("capabilities", CAPABILITIES)
        .member("serverInfo", &SERVER_INFO)
        .member("instructions", INSTRUCTIONS))
}

/// The capabilities of the server, as JSON.
const CAPABILITIES: &str = "{\"tools\":{}}";

const SERVER_INFO: ServerInfo = ServerInfo {
    name: env!("CARGO_PKG_NAME"),
    title: "Expenses",
    version: env!("CARGO_PKG_VERSION"),
};

#[derive(Serialize)]
struct ServerInfo {
    name: &'static str,
    title: &'static str,
    version: &'static str,
}

/// `_meta` of a result in stateless revisions.
static META: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let server = "io.modelcontextprotocol/serverInfo";
    ObjectText::with_capacity(0).member(server, &SERVER_INFO).finish()
});

/// A result that is the same for every caller.
fn cacheable(result: ObjectText) -> ObjectText {
    result.member("ttlMs", &TTL_MILLIS).member("cacheScope", "public")
}

/// Refuses requests from pages of other origins. Such a page has no token, and an agent that runs in a
/// page can send its requests from a server.
///
/// DNS rebinding makes a page's own host name point at this server, so that its requests look
/// same-origin. Over https the server has no certificate for that name, and the application serves plain
/// http only on localhost.
fn check_origin(origin: &RequestOrigin, headers: &HeaderMap) -> Result<(), AppError> {
    if origin.is_cross_origin(headers) {
        let detail =
            "Pages of other sites cannot use this endpoint: connect from a server or a program";
        return Err(AppError::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(())
}

/// Requires `application/json`. The specification also requires `text/event-stream`, which this server
/// does not check, because it sends no stream.
fn check_accept(headers: &HeaderMap) -> Result<(), AppError> {
    if !is_acceptable(headers, JSON) {
        let detail = "Responses are JSON: send Accept: application/json, text/event-stream";
        return Err(AppError::new(StatusCode::NOT_ACCEPTABLE, detail));
    }
    Ok(())
}
