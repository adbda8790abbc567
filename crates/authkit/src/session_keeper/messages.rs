//! The messages to a session's keeper and its responses, as JSON:
//!
//! ```json
//! {"v": 1, "message": {"renew": {"session": {…}, "organization_id": null, "client": {…}}}}
//! {"v": 1, "response": {"renewed": {"session": {…}, "is_fresh": true}}}
//! ```
//!
//! During a deployment, an isolate and a keeper may run different versions of this code. A message or a response
//! with an unknown version is an outage.

use edge_host::{ObjectFault, json};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{session::Session, workos::ClientInfo};

/// The version of messages and responses.
const VERSION: u32 = 1;

/// A message to a keeper. Times are Unix time in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Asks for the successor of a session whose access token has expired.
    Renew(Renewal),
    /// Asks for the session to send to the browser in the response to a request.
    Current {
        /// The session that the request has used.
        session: Session,
        /// When the request began.
        began: i64,
    },
    /// Records that the user has signed out.
    SignOut {
        /// The session's id at WorkOS, to revoke it there.
        session_id: String,
    },
    /// Records that a sign-in has replaced the session in its browser.
    Replace {
        /// When the sign-in ended.
        at: i64,
    },
}

/// A request to renew a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Renewal {
    /// The session in the request's cookie.
    pub session: Session,
    /// The organization to switch to; `None` keeps the session's organization.
    #[serde(default)]
    pub organization_id: Option<String>,
    /// The browser.
    #[serde(default)]
    pub client: ClientInfo,
}

/// A keeper's response.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// To [`Message::Renew`].
    Renewed {
        /// The newest session.
        session: Session,
        /// Whether WorkOS has issued it while the request waited.
        is_fresh: bool,
    },
    /// The session has ended.
    Ended {
        /// Whether its user has signed out.
        is_signed_out: bool,
    },
    /// WorkOS requires a step of the user before it renews the session.
    Refused {
        /// WorkOS's error code.
        code: String,
        /// WorkOS's description of the error.
        description: Option<String>,
    },
    /// WorkOS is unavailable.
    Unavailable {
        /// The reason, for the log.
        reason: String,
        /// Seconds after which the client may retry.
        retry_after_secs: u32,
    },
    /// To [`Message::Current`].
    Current {
        /// The newest session; `None` if it is the one in the message.
        session: Option<Session>,
    },
    /// To [`Message::Current`]: a sign-in has replaced the session since the request began.
    Replaced,
    /// To [`Message::SignOut`] and [`Message::Replace`]: the event is stored.
    Recorded,
}

/// The version of a message, a response or a stored row; other members are ignored.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

#[derive(Serialize, Deserialize)]
struct MessageText<T> {
    v: u32,
    message: T,
}

#[derive(Serialize, Deserialize)]
struct ResponseText<T> {
    v: u32,
    response: T,
}

impl Message {
    /// The message as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        edge_host::json::write(&MessageText { v: VERSION, message: self })
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`ObjectFault`] for an unknown version or another form.
    pub fn parse(text: &str) -> Result<Self, ObjectFault> {
        parse::<MessageText<Self>>("message", text, VERSION).map(|text| text.message)
    }
}

impl Response {
    /// The response as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        edge_host::json::write(&ResponseText { v: VERSION, response: self })
    }

    /// Reads a response.
    ///
    /// # Errors
    ///
    /// [`ObjectFault`] for an unknown version or another form.
    pub fn parse(text: &str) -> Result<Self, ObjectFault> {
        parse::<ResponseText<Self>>("response", text, VERSION).map(|text| text.response)
    }
}

/// Reads JSON with this version. The fault does not quote the text, which holds tokens.
pub(super) fn parse<T: DeserializeOwned>(
    what: &str,
    text: &str,
    version: u32,
) -> Result<T, ObjectFault> {
    let malformed = |_| ObjectFault::new(format!("a {what} of a session keeper is malformed"));
    let Version { v } = json::read(text).map_err(malformed)?;
    if v != version {
        return Err(ObjectFault::new(format!(
            "a {what} of a session keeper has version {v}, and this code reads version {version}"
        )));
    }
    json::read(text).map_err(malformed)
}
