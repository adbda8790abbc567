//! Which revision of the protocol a message is in, and what its headers must say.
//!
//! Until 2025-11-25 a client shakes hands by `initialize` and then sends `MCP-Protocol-Version` with
//! every message. From 2026-07-28 on there is no handshake: every request says its revision in `_meta`
//! and, as its method and its tool, in a header too, where what stands between may look. What stands
//! between must not be told another thing than the server, so headers and body are compared.
//! <https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http>

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::message::{Code, Message, RpcError};

/// What is spoken here, the newest first.
pub const REVISIONS: [&str; 3] = [Revision::NEWEST, Revision::NEWEST_WITH_HANDSHAKE, "2025-06-18"];

const PROTOCOL_VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
/// In `params._meta`.
const META_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// The ways of speaking, of which each of the [`REVISIONS`] is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// `initialize` first; messages themselves do not say which revision they are in.
    WithHandshake,
    /// Each request stands for itself.
    Stateless,
}

impl Revision {
    const NEWEST: &'static str = "2026-07-28";
    const NEWEST_WITH_HANDSHAKE: &'static str = "2025-11-25";

    /// What `initialize` answers to a client that asks for `version`: that one, else the newest in which
    /// there is an `initialize`.
    #[must_use]
    pub fn negotiate(version: &str) -> &'static str {
        REVISIONS
            .into_iter()
            .find(|known| *known == version && *known != Self::NEWEST)
            .unwrap_or(Self::NEWEST_WITH_HANDSHAKE)
    }

    /// The revision of a message, whose headers agree with it.
    ///
    /// A message that says nothing is taken for one after a handshake: not every client sends the header,
    /// and of what there is here, nothing differs between those revisions.
    ///
    /// # Errors
    ///
    /// Status 400.
    pub fn of(message: &Message, headers: &HeaderMap) -> Result<Self, RpcError> {
        let in_header = header(headers, PROTOCOL_VERSION)?;
        let meta = message.params.get("_meta").and_then(Value::as_object);
        let in_meta = match meta.and_then(|meta| meta.get(META_PROTOCOL_VERSION)) {
            None => None,
            Some(Value::String(version)) => Some(version.as_str()),
            Some(_) => return Err(invalid_meta(META_PROTOCOL_VERSION)),
        };
        let is_request = message.id.is_some();
        if is_request && in_meta.is_some() && in_meta != in_header.as_deref() {
            return Err(mismatch("MCP-Protocol-Version", in_header.as_deref()));
        }
        let Some(version) = in_header.as_deref().or(in_meta) else {
            return Ok(Self::WithHandshake);
        };
        if !REVISIONS.contains(&version) {
            return Err(unsupported(version));
        }
        // `initialize` itself is what tells the client which to name.
        let is_handshake = message.method == "initialize" && in_meta.is_none();
        if version != Self::NEWEST || is_handshake {
            return Ok(Self::WithHandshake);
        }
        // What a notification must say is left open.
        if is_request {
            check_request(message, meta, headers)?;
        }
        Ok(Self::Stateless)
    }
}

fn check_request(
    message: &Message,
    meta: Option<&Map<String, Value>>,
    headers: &HeaderMap,
) -> Result<(), RpcError> {
    let member = |name| meta.and_then(|meta| meta.get(name));
    if member(META_PROTOCOL_VERSION).is_none() {
        return Err(invalid_meta(META_PROTOCOL_VERSION));
    }
    let method = header(headers, METHOD)?;
    if method.as_deref() != Some(&message.method) {
        return Err(mismatch("Mcp-Method", method.as_deref()));
    }
    if message.method == "tools/call" {
        let name = header(headers, NAME)?.map(|name| decode(&name).unwrap_or(name));
        if name.as_deref() != message.params.get("name").and_then(Value::as_str) {
            return Err(mismatch("Mcp-Name", name.as_deref()));
        }
    }
    if !member(META_CLIENT_CAPABILITIES).is_some_and(Value::is_object) {
        return Err(invalid_meta(META_CLIENT_CAPABILITIES));
    }
    Ok(())
}

/// The one value of a header.
fn header(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, RpcError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    text.map(|text| Some(text.to_owned())).ok_or_else(|| mismatch(name, None))
}

/// The text of `=?base64?…?=`, in which a name is written that is no plain header value.
fn decode(value: &str) -> Option<String> {
    let encoded = value.strip_prefix("=?base64?")?.strip_suffix("?=")?;
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}

fn mismatch(name: &str, value: Option<&str>) -> RpcError {
    let message = match value {
        Some(value) => {
            format!("Header mismatch: {name} is {value:?}, and the message says otherwise")
        }
        None => format!("Header mismatch: {name} is missing, or no text, or there are several"),
    };
    bad_request(Code::HeaderMismatch, message)
}

fn unsupported(version: &str) -> RpcError {
    bad_request(Code::UnsupportedProtocolVersion, "Unsupported protocol version".to_owned())
        .with_data(json!({"supported": REVISIONS, "requested": version}))
}

fn invalid_meta(name: &str) -> RpcError {
    bad_request(Code::InvalidParams, format!("Invalid params: _meta[{name:?}] is missing or wrong"))
}

fn bad_request(code: Code, message: String) -> RpcError {
    RpcError::new(code, message).with_status(StatusCode::BAD_REQUEST)
}
