//! A message to the keeper of a session, or its response.

use axum_authkit::session_keeper::messages::{Message, Response};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(message) = Message::parse(text) {
        let written = message.to_text();
        assert_eq!(Message::parse(&written).map(|again| again.to_text()).ok(), Some(written));
    }
    if let Ok(response) = Response::parse(text) {
        let written = response.to_text();
        assert_eq!(Response::parse(&written).map(|again| again.to_text()).ok(), Some(written));
    }
}
