//! Sessions that a user has signed out of, in the isolate's memory.
//!
//! The session's keeper ([`mod@crate::session_keeper`]) has the record, which every renewal reads. A request with a
//! valid access token asks no keeper. So an isolate refuses the sessions whose sign-out it has seen, and another
//! isolate accepts a copy of the cookie until its access token expires.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use edge_host::hash::HashMap;

use crate::{session::Session, token::UntrustedToken};

/// The most sign-outs that an isolate remembers.
const MAX_REMEMBERED: usize = 10_000;

/// The sign-outs that an isolate has seen.
#[derive(Default)]
pub struct SignedOutSessions(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    ids: HashMap<String, ()>,
    /// Oldest first.
    order: VecDeque<String>,
}

impl SignedOutSessions {
    /// Whether this isolate saw the user sign out of the session.
    pub fn is_remembered(&self, session_id: &str) -> bool {
        self.remembered().ids.contains_key(session_id)
    }

    /// Remembers a sign-out.
    pub fn remember(&self, session_id: &str) {
        let mut remembered = self.remembered();
        if remembered.ids.insert(session_id.to_owned(), ()).is_some() {
            return;
        }
        remembered.order.push_back(session_id.to_owned());
        if remembered.order.len() > MAX_REMEMBERED
            && let Some(oldest) = remembered.order.pop_front()
        {
            remembered.ids.remove(&oldest);
        }
    }

    /// Ignores poisoning: the code under the lock cannot panic halfway through a change of the map.
    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session's id at WorkOS, from its access token. The token needs no verification here: WorkOS gave
/// it to this Worker, which sealed it.
#[must_use]
pub fn session_id(session: &Session) -> Option<String> {
    UntrustedToken::parse(session.access_token.expose()).ok()?.session_id_unverified()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_sign_out_is_forgotten_first() {
        let sessions = SignedOutSessions::default();
        for index in 0..=MAX_REMEMBERED {
            sessions.remember(&index.to_string());
            sessions.remember("1");
        }
        assert!(!sessions.is_remembered("0") && sessions.is_remembered("1"));
        assert!(sessions.is_remembered(&MAX_REMEMBERED.to_string()));
    }
}
