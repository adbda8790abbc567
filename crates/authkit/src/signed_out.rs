//! Sessions that a user has signed out of.
//!
//! Sign-out clears the browser's cookie and sends the browser to WorkOS, which ends the session. A
//! browser that does not follow the redirect leaves the session alive at WorkOS, where a copy of the
//! cookie, or a renewal that was under way, would bring it back. This Worker therefore records each
//! sign-out itself: in the isolate's memory, which refuses the session at once, and in KV, where every
//! isolate looks before and after it renews a session.
//!
//! KV keeps a miss for a minute in the location that asked, so each of the two looks has a key of its
//! own. A location that renewed the session less than a minute before its user signed out elsewhere still
//! misses the record for the rest of that minute.
//!
//! | key | value | lives |
//! | --- | --- | --- |
//! | `authkit:signed-out:{look}:{hash}` | `1` | as long as a session cookie |
//!
//! `look` is 0 before and 1 after a renewal; `hash` is the session id's SHA-256 in base64url.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use futures_util::future::join;
use sha2::{Digest, Sha256};

use super::{session::Session, token::UntrustedToken};
use edge_host::{KV_TTL_MIN_SECS, KvError, KvNamespace, KvPut, hash::HashMap};

/// The most sign-outs that an isolate remembers. KV has older ones.
const MAX_REMEMBERED: usize = 10_000;

/// When a request asks whether a session was signed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Before its refresh token is exchanged.
    BeforeRenewal,
    /// Before the renewed session is sent to the browser.
    AfterRenewal,
}

/// The record of sign-outs. One per isolate.
pub struct SignedOutSessions {
    kv: Arc<dyn KvNamespace>,
    ttl_secs: u64,
    remembered: Mutex<IsolateCache>,
}

#[derive(Default)]
struct IsolateCache {
    ids: HashMap<String, ()>,
    /// Oldest first.
    order: VecDeque<String>,
    /// When a sign-in in the same browser replaced a session.
    replaced: HashMap<String, DateTime<Utc>>,
}

impl SignedOutSessions {
    /// Records sign-outs in `kv` for as long as a browser may keep the session cookie.
    #[must_use]
    pub fn new(kv: Arc<dyn KvNamespace>, cookie_max_age_secs: u32) -> Self {
        let ttl_secs = u64::from(cookie_max_age_secs).max(KV_TTL_MIN_SECS);
        Self { kv, ttl_secs, remembered: Mutex::default() }
    }

    /// Whether this isolate saw the user sign out of the session.
    pub fn is_remembered(&self, session_id: &str) -> bool {
        self.remembered().ids.contains_key(session_id)
    }

    /// Whether the user signed out of the session, here or in another isolate.
    ///
    /// # Errors
    ///
    /// [`KvError`] if KV fails.
    pub async fn contains(&self, session_id: &str, look: Look) -> Result<bool, KvError> {
        if self.is_remembered(session_id) {
            return Ok(true);
        }
        let is_recorded = self.kv.get(&key(session_id, look)).await?.is_some();
        if is_recorded {
            self.remember(session_id);
        }
        // The user may have signed out here while KV was asked.
        Ok(is_recorded || self.is_remembered(session_id))
    }

    /// Records a sign-out in this isolate.
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

    /// Records that a sign-in replaces the session in its browser. The session itself stays valid: the
    /// browser may drop the response that carries the new one.
    pub fn replace(&self, session_id: &str, now: DateTime<Utc>) {
        let mut remembered = self.remembered();
        if remembered.replaced.len() >= MAX_REMEMBERED {
            // A late response arrives within seconds.
            remembered.replaced.retain(|_, at| now - *at < Duration::minutes(1));
        }
        if remembered.replaced.len() < MAX_REMEMBERED {
            remembered.replaced.insert(session_id.to_owned(), now);
        }
    }

    /// Whether a sign-in has replaced the session in its browser since `began`.
    pub fn is_replaced_since(&self, session_id: &str, began: DateTime<Utc>) -> bool {
        self.remembered().replaced.get(session_id).is_some_and(|at| *at >= began)
    }

    /// Records a sign-out for every isolate.
    pub async fn publish(self: Arc<Self>, session_id: String) {
        let put = async |look| {
            let options = KvPut { expiration_ttl_secs: Some(self.ttl_secs), ..KvPut::default() };
            self.kv.put(&key(&session_id, look), "1", options).await
        };
        // The write is tried twice, because no other request repeats it.
        let put_twice = async |look| match put(look).await {
            Ok(()) => Ok(()),
            Err(_) => put(look).await,
        };
        let (before, after) =
            join(put_twice(Look::BeforeRenewal), put_twice(Look::AfterRenewal)).await;
        for error in [before, after].into_iter().filter_map(Result::err) {
            log::error!(
                "sign-out not recorded in KV, other isolates may continue the session: {error}"
            );
        }
    }

    /// A panic cannot leave the set half-written: nothing under the lock runs foreign code.
    fn remembered(&self) -> MutexGuard<'_, IsolateCache> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session's id at WorkOS, from its access token. The token needs no verification here: WorkOS gave
/// it to this Worker, which sealed it.
#[must_use]
pub fn session_id(session: &Session) -> Option<String> {
    UntrustedToken::parse(session.access_token.expose()).ok()?.session_id_unverified()
}

fn key(session_id: &str, look: Look) -> String {
    let look = match look {
        Look::BeforeRenewal => 0,
        Look::AfterRenewal => 1,
    };
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(session_id));
    format!("authkit:signed-out:{look}:{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use edge_host::{KvErrorKind, KvListing, KvOperation, memory::MemoryKv};

    fn sessions(kv: &Arc<MemoryKv>) -> Arc<SignedOutSessions> {
        Arc::new(SignedOutSessions::new(Arc::clone(kv) as _, 34_560_000))
    }

    #[tokio::test]
    async fn sign_out_is_known_here_then_in_other_isolates() {
        let kv = Arc::new(MemoryKv::default());
        let (here, there) = (sessions(&kv), sessions(&kv));
        here.remember("session_1");
        assert!(here.is_remembered("session_1") && !there.is_remembered("session_1"));
        assert!(!there.contains("session_1", Look::BeforeRenewal).await.unwrap());

        Arc::clone(&here).publish("session_1".to_owned()).await;
        for look in [Look::BeforeRenewal, Look::AfterRenewal] {
            assert!(sessions(&kv).contains("session_1", look).await.unwrap(), "{look:?}");
            assert!(!there.contains("session_2", look).await.unwrap(), "{look:?}");
        }
    }

    #[tokio::test]
    async fn record_lives_as_long_as_a_session_cookie() {
        let kv = Arc::new(MemoryKv::default());
        sessions(&kv).publish("session_1".to_owned()).await;
        for key in kv.keys() {
            assert!(!key.contains("session_1"), "{key}");
            let (_, written) = kv.entry(&key).unwrap();
            assert_eq!(written.expiration_ttl_secs, Some(34_560_000));
        }
    }

    /// A KV whose first write of each key fails.
    struct FlakyKv(Arc<MemoryKv>, Mutex<HashMap<String, ()>>);

    #[async_trait]
    impl KvNamespace for FlakyKv {
        async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
            self.0.get(key).await
        }

        async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError> {
            self.0.get_many(keys).await
        }

        async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError> {
            if self.1.lock().unwrap().insert(key.to_owned(), ()).is_none() {
                return Err(KvError::new(
                    KvOperation::Put,
                    KvErrorKind::Unavailable,
                    "injected fault",
                ));
            }
            self.0.put(key, value, options).await
        }

        async fn delete(&self, key: &str) -> Result<(), KvError> {
            self.0.delete(key).await
        }

        async fn list(
            &self,
            prefix: &str,
            limit: usize,
            cursor: Option<&str>,
        ) -> Result<KvListing, KvError> {
            self.0.list(prefix, limit, cursor).await
        }
    }

    #[tokio::test]
    async fn record_survives_one_failed_write_of_each_key() {
        let kv = Arc::new(MemoryKv::default());
        let flaky = FlakyKv(Arc::clone(&kv), Mutex::default());
        let here = Arc::new(SignedOutSessions::new(Arc::new(flaky), 3600));
        here.publish("session_1".to_owned()).await;
        for look in [Look::BeforeRenewal, Look::AfterRenewal] {
            assert!(sessions(&kv).contains("session_1", look).await.unwrap(), "{look:?}");
        }
    }

    #[tokio::test]
    async fn failing_kv_is_an_error_unless_the_isolate_knows() {
        let kv = Arc::new(MemoryKv::default());
        let sessions = sessions(&kv);
        kv.fail(Some(KvOperation::Get));
        assert!(sessions.contains("session_1", Look::BeforeRenewal).await.is_err());
        sessions.remember("session_1");
        assert!(sessions.contains("session_1", Look::BeforeRenewal).await.unwrap());
    }

    #[test]
    fn oldest_sign_out_is_forgotten_first() {
        let sessions = sessions(&Arc::default());
        for index in 0..=MAX_REMEMBERED {
            sessions.remember(&index.to_string());
            sessions.remember("1");
        }
        assert!(!sessions.is_remembered("0") && sessions.is_remembered("1"));
        assert!(sessions.is_remembered(&MAX_REMEMBERED.to_string()));
    }
}
