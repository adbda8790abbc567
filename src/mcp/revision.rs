//! Determines the protocol revision of a message, and compares the message with its headers.
//!
//! In revisions up to 2025-11-25 a client begins with `initialize`; since 2025-06-18 it also sends
//! `MCP-Protocol-Version` with every message. For this server these revisions differ only in batches, which
//! 2025-06-18 removed. 2024-11-05 has another transport; the server accepts its messages over this one.
//!
//! The server ignores a header with an unknown revision. The specification requires status 400, after which
//! clients stop instead of negotiating.
//!
//! Since 2026-07-28 there is no handshake: every request names its revision in `_meta` and in a header,
//! and its method and tool in headers for proxies. The server compares the headers with the body, so
//! that a proxy and the server act on the same request. For an unknown revision in `_meta` the error
//! lists the supported revisions, and the client chooses one of them.
//! <https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http>

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value, json};

use super::{
    message::{Code, Message, RpcError},
    tools,
};

/// The supported revisions, newest first.
pub const REVISIONS: [&str; 5] =
    [Revision::NEWEST, Revision::NEWEST_WITH_HANDSHAKE, "2025-06-18", "2025-03-26", "2024-11-05"];

/// The revisions without batches.
const WITHOUT_BATCHES: [&str; 3] =
    [Revision::NEWEST, Revision::NEWEST_WITH_HANDSHAKE, "2025-06-18"];

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// The member of `params._meta` with the revision.
const META_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// The two kinds of [`REVISIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// A client begins with `initialize`; later messages do not name the revision.
    WithHandshake,
    /// Each request names its revision; there is no handshake.
    Stateless,
}

impl Revision {
    const NEWEST: &'static str = "2026-07-28";
    const NEWEST_WITH_HANDSHAKE: &'static str = "2025-11-25";

    /// The revision for the response to `initialize`: the requested revision if supported, or else the
    /// newest revision with `initialize`.
    #[must_use]
    pub fn negotiate(version: &str) -> &'static str {
        REVISIONS
            .into_iter()
            .find(|known| *known == version && *known != Self::NEWEST)
            .unwrap_or(Self::NEWEST_WITH_HANDSHAKE)
    }

    /// Whether a body with these headers may be a batch. Clients of revision 2025-03-26 send no header.
    #[must_use]
    pub fn takes_batches(headers: &HeaderMap) -> bool {
        !known(headers).is_some_and(|version| WITHOUT_BATCHES.contains(&version))
    }

    /// The revision of a message. Its headers must agree with it.
    ///
    /// # Errors
    ///
    /// Status 400 for a stateless message that does not agree with its headers, and for an unsupported
    /// revision: the error lists the supported ones.
    pub fn of(message: &Message, headers: &HeaderMap) -> Result<Self, RpcError> {
        let meta = message.params.get("_meta").and_then(Value::as_object);
        let version = match meta.and_then(|meta| meta.get(META_PROTOCOL_VERSION)) {
            Some(Value::String(version)) => {
                let in_header = header(headers, &PROTOCOL_VERSION)?;
                // The specification does not say which headers a notification has.
                if message.id.is_some() && in_header.as_ref() != Some(version) {
                    return Err(mismatch("MCP-Protocol-Version", in_header.as_deref()));
                }
                let spoken = REVISIONS.into_iter().find(|spoken| spoken == version);
                spoken.ok_or_else(|| unsupported(version))?
            }
            Some(_) => return Err(invalid_meta(META_PROTOCOL_VERSION)),
            // The client learns the revision from the response to `initialize`.
            None if message.method == "initialize" => return Ok(Self::WithHandshake),
            None => match known(headers) {
                Some(version) => version,
                None => return Ok(Self::WithHandshake),
            },
        };
        if version != Self::NEWEST {
            return Ok(Self::WithHandshake);
        }
        if message.id.is_some() {
            check_request(message, meta, headers)?;
        }
        Ok(Self::Stateless)
    }
}

/// The revision of the header, if the server supports it.
fn known(headers: &HeaderMap) -> Option<&'static str> {
    let version = header(headers, &PROTOCOL_VERSION).ok()??;
    REVISIONS.into_iter().find(|known| *known == version)
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
    let method = header(headers, &METHOD)?;
    if method.as_deref() != Some(&message.method) {
        return Err(mismatch("Mcp-Method", method.as_deref()));
    }
    if message.method == tools::METHOD {
        let name = header(headers, &NAME)?.map(|name| decode(&name).unwrap_or(name));
        if name.as_deref() != message.params.get("name").and_then(Value::as_str) {
            return Err(mismatch("Mcp-Name", name.as_deref()));
        }
    }
    if !member(META_CLIENT_CAPABILITIES).is_some_and(Value::is_object) {
        return Err(invalid_meta(META_CLIENT_CAPABILITIES));
    }
    Ok(())
}

/// The value of a header that must not be repeated.
fn header(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, RpcError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    text.map(|text| Some(text.to_owned())).ok_or_else(|| mismatch(name.as_str(), None))
}

/// Decodes `=?base64?…?=`, the form of a name that is not a valid header value.
fn decode(value: &str) -> Option<String> {
    let encoded = value.strip_prefix("=?base64?")?.strip_suffix("?=")?;
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}

fn mismatch(name: &str, value: Option<&str>) -> RpcError {
    let message = match value {
        Some(value) => {
            format!("Header mismatch: {name} is {value:?}, and the message has another value")
        }
        None => format!("Header mismatch: {name} is missing, repeated or not text"),
    };
    RpcError::bad_request(Code::HeaderMismatch, &message)
}

fn unsupported(version: &str) -> RpcError {
    RpcError::bad_request(Code::UnsupportedProtocolVersion, "Unsupported protocol version")
        .with_data(json!({"supported": REVISIONS, "requested": version}))
}

fn invalid_meta(name: &str) -> RpcError {
    RpcError::bad_request(
        Code::InvalidParams,
        &format!("Invalid params: _meta[{name:?}] is missing or invalid"),
    )
}
