//! Renews a session: exchanges its refresh token for new tokens (RFC 6749, section 6) once, even if many
//! concurrent requests carry the session.
//!
//! WorkOS accepts a refresh token once. A page that loads ten resources with an expired session sends the token
//! ten times, and all ten requests must stay signed in:
//!
//! - Within an isolate, one request exchanges the token and the others wait for its result. They check the
//!   isolate's memory at short intervals, because a request on Workers may not await another request's I/O. The
//!   exchange continues when its browser disconnects.
//! - Across isolates, KV stores the renewed session under the hash of the spent token, sealed, for as long as
//!   browsers may still send the old session. KV caches a miss for a minute in the location that read the key,
//!   so each look has a key of its own: one look before the exchange, and two after an exchange that WorkOS
//!   refused because another isolate's came first.
//!
//! | key | value | lives |
//! | --- | --- | --- |
//! | `authkit:rotated:{n}:{hash}` | sealed `{"spent": hash, "session": …}` | 10 minutes, or 5 longer than the old access token, at most a day |
//!
//! `n` is the look, 0 to 2, and `hash` the refresh token's SHA-256 in base64url. Two events end a session: its
//! user signs out ([`super::signed_out`]), or WorkOS responds `invalid_grant` and no other request has renewed
//! it.

use crate::outage::Outage;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use futures_util::{
    FutureExt,
    future::{join, join_all},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    seal::Sealer,
    secret::Secret,
    session::Session,
    signed_out::{Look, SignedOutSessions, session_id},
    workos::{ClientInfo, Grant, INVALID_GRANT, WorkosClient, WorkosError},
};
use edge_host::{
    Clock, HTTP_MAX_MILLIS, KV_READ_MAX_MILLIS, KV_TTL_MIN_SECS, KV_WRITE_MAX_MILLIS, KvError,
    KvNamespace, KvPut, WaitUntil, fair::FairMap,
};

/// The interval at which a request checks for the result of another request's exchange.
const WAIT_STEP_MILLIS: u32 = 10;
/// The pauses before the looks in KV that follow a refused exchange. A location that has not read a key yet
/// sees a write to it within seconds.
const LATE_LOOKS_MILLIS: [u32; 2] = [400, 3600];
/// The look before the exchange, and the looks after a refused one.
const LOOKS: usize = 1 + LATE_LOOKS_MILLIS.len();

/// The longest time until an exchange has WorkOS's response: the first look in KV, and the request.
const RESPONSE_MAX_MILLIS: u32 = KV_READ_MAX_MILLIS + HTTP_MAX_MILLIS;
/// The longest time of an exchange that WorkOS refuses, which then looks for another isolate's result.
const REFUSED_MAX_MILLIS: u32 = RESPONSE_MAX_MILLIS
    + LATE_LOOKS_MILLIS[0]
    + KV_READ_MAX_MILLIS
    + LATE_LOOKS_MILLIS[1]
    + KV_READ_MAX_MILLIS;
/// Workers cancels background work 30 s after the client disconnects or has its response.
/// <https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil>
const WAIT_UNTIL_MAX_MILLIS: u32 = 30_000;
const _: () = assert!(REFUSED_MAX_MILLIS <= WAIT_UNTIL_MAX_MILLIS);
const _: () = assert!(RESPONSE_MAX_MILLIS + KV_WRITE_MAX_MILLIS <= WAIT_UNTIL_MAX_MILLIS);

/// The time after which a waiting request takes an exchange without a result for cancelled, and exchanges the
/// token itself. A renewed session is in the isolate's memory before. Only an exchange that WorkOS refused may
/// run longer, up to [`REFUSED_MAX_MILLIS`]; WorkOS then refuses the waiting request's exchange too.
const EXCHANGE_MAX_SECS: i64 = 15;
const _: () = assert!(RESPONSE_MAX_MILLIS as i64 <= EXCHANGE_MAX_SECS * 1000);

/// The time for which an isolate remembers an ended session. Later requests with its cookie cause no exchange.
const ENDED_MEMORY_SECS: i64 = 60;
/// The time for which an isolate remembers another failure, so that concurrent requests share it and the next
/// attempt of the user reaches WorkOS.
const FAILURE_MEMORY_SECS: i64 = 1;
/// The time for which a session counts as renewed when WorkOS returned its refresh token unchanged.
const NOT_ROTATED_MEMORY_SECS: i64 = 2;
/// The shortest time for which a spent token leads to its successor.
const ROTATION_TTL_MIN_SECS: i64 = 10 * 60;
const _: () = assert!(ROTATION_TTL_MIN_SECS >= KV_TTL_MIN_SECS as i64);
/// The longest time for which a spent token leads to its successor.
const ROTATION_TTL_MAX_SECS: i64 = 24 * 60 * 60;
/// The time for which a spent token leads to its successor after the old access token has expired.
const ROTATION_TTL_MARGIN_SECS: i64 = 5 * 60;
/// The most rotations that an isolate remembers. It then forgets the oldest of the user with the most
/// rotations, and reads the successor from KV.
const MAX_REMEMBERED: usize = 1000;

/// Renews sessions. One per isolate.
pub struct Refresher {
    client: WorkosClient,
    kv: Arc<dyn KvNamespace>,
    sealer: Sealer,
    signed_out: Arc<SignedOutSessions>,
    clock: Arc<dyn Clock>,
    /// Each rotation belongs to the user of its session.
    rotations: Mutex<FairMap<TokenHash, (DateTime<Utc>, Rotation)>>,
}

/// The SHA-256 of a refresh token in base64url, which identifies it in maps and keys without revealing it.
type TokenHash = String;

/// The state of a refresh token in this isolate.
#[derive(Clone)]
enum Rotation {
    Exchanging,
    Done(Arc<Session>),
    Failed(RefreshError),
}

/// The successor of a session.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// The session.
    pub session: Arc<Session>,
    /// Whether this request exchanged the token, and not an earlier or concurrent one.
    pub is_fresh: bool,
}

/// Why a session was not renewed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RefreshError {
    /// WorkOS no longer knows the session, or its user has signed out.
    #[error("the session has ended")]
    Ended,
    /// WorkOS requires a step of the user first, such as another way to sign in or a second factor.
    #[error("WorkOS refused: {code}")]
    Refused {
        /// WorkOS's error code, such as `sso_required`.
        code: String,
        /// WorkOS's description of the error.
        description: Option<String>,
    },
    /// WorkOS is unavailable. The session stays as it is.
    #[error("WorkOS is unavailable ({0})")]
    Unavailable(Outage),
}

impl From<WorkosError> for RefreshError {
    fn from(error: WorkosError) -> Self {
        match error {
            WorkosError::Refused { code, .. } if code == INVALID_GRANT => Self::Ended,
            WorkosError::Refused { code, description } => Self::Refused { code, description },
            WorkosError::Unavailable(outage) => Self::Unavailable(outage),
        }
    }
}

/// The record in KV: the successor of a spent refresh token.
#[derive(Serialize, Deserialize)]
struct RotationRecord {
    /// Binds the record to its KV key: a record that is copied to another key is ignored.
    spent: TokenHash,
    session: Session,
}

/// A request's next step, by the state of the isolate's memory.
enum Step {
    Use(Arc<Session>),
    Fail(RefreshError),
    Wait,
    Exchange,
}

/// An exchange with all that it needs, because it may outlive its request.
struct Exchange {
    refresher: Arc<Refresher>,
    session: Session,
    session_id: Option<String>,
    hash: TokenHash,
    organization_id: Option<String>,
    requester: ClientInfo,
    ttl_secs: u64,
    wait_until: WaitUntil,
}

impl Refresher {
    /// Stores renewed sessions in `kv`, sealed by `sealer`, and renews no session in `signed_out`.
    #[must_use]
    pub fn new(
        client: WorkosClient,
        kv: Arc<dyn KvNamespace>,
        sealer: Sealer,
        signed_out: Arc<SignedOutSessions>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            client,
            kv,
            sealer,
            signed_out,
            clock,
            rotations: Mutex::new(FairMap::new(MAX_REMEMBERED)),
        }
    }

    /// The successor of `session`, from an exchange by this request or an earlier one. `expires_at` is the
    /// expiry of the session's access token, if it is known. With an `organization_id`, the newest session of
    /// the chain is exchanged for one in that organization.
    ///
    /// # Errors
    ///
    /// [`RefreshError`].
    pub async fn refresh(
        self: &Arc<Self>,
        session: &Session,
        expires_at: Option<DateTime<Utc>>,
        organization_id: Option<&str>,
        requester: &ClientInfo,
        wait_until: &WaitUntil,
    ) -> Result<Renewed, RefreshError> {
        let mut session = session.clone();
        let session_id = session_id(&session);
        if organization_id.is_some() {
            session = Session::clone(&*self.newest_remembered(Arc::new(session)));
        }
        let mut hash = token_hash(&session.refresh_token);
        loop {
            // Also after each wait, during which the user may have signed out.
            if self.is_id_signed_out(session_id.as_deref()) {
                return Err(RefreshError::Ended);
            }
            match self.next_step(session.user_id(), &hash) {
                // Another request has renewed the session during the wait.
                Step::Use(newer) if organization_id.is_some() => {
                    let newer_hash = token_hash(&newer.refresh_token);
                    if newer_hash == hash {
                        self.clock.sleep(WAIT_STEP_MILLIS).await;
                    }
                    session = Session::clone(&newer);
                    hash = newer_hash;
                }
                Step::Use(session) => return Ok(Renewed { session, is_fresh: false }),
                Step::Fail(error) => return Err(error),
                Step::Wait => self.clock.sleep(WAIT_STEP_MILLIS).await,
                Step::Exchange => {
                    let exchange = Exchange {
                        refresher: Arc::clone(self),
                        session: session.clone(),
                        session_id: session_id.clone(),
                        hash: hash.clone(),
                        organization_id: organization_id.map(str::to_owned),
                        requester: requester.clone(),
                        ttl_secs: self.rotation_ttl_secs(expires_at),
                        wait_until: wait_until.clone(),
                    };
                    let exchange = exchange.run().boxed().shared();
                    wait_until.keep_alive(exchange.clone().map(drop));
                    let renewed = exchange.await?;
                    if renewed.is_fresh || organization_id.is_none() {
                        return Ok(renewed);
                    }
                }
            }
        }
    }

    /// The newest session to send to the browser: the newest successor of `session` in this isolate's memory or
    /// in KV, or `session` itself. `None` if the user has signed out of it, or signed in again since the
    /// request `began`.
    pub async fn newest(
        &self,
        session: Arc<Session>,
        began: DateTime<Utc>,
    ) -> Option<Arc<Session>> {
        let newest = self.newest_remembered(session);
        let hash = token_hash(&newest.refresh_token);
        let id = session_id(&newest);
        if id.as_ref().is_some_and(|id| self.signed_out.is_replaced_since(id, began)) {
            return None;
        }
        let is_signed_out = async {
            match &id {
                Some(id) => self.signed_out.contains(id, Look::AfterRenewal).await,
                None => Ok(false),
            }
        };
        let (stored, is_signed_out) = join(self.look(0, &hash), is_signed_out).await;
        // A failing KV counts as empty: the cookie still leads to the newest session at the next request, and
        // the next renewal checks the sign-out again.
        if is_signed_out.unwrap_or_default() {
            return None;
        }
        Some(stored.ok().flatten().unwrap_or(newest))
    }

    /// Records that the user has signed out of the session. It is refused from now on, and neither a late
    /// response nor another isolate restores it.
    pub async fn sign_out(&self, session: &Session, wait_until: &WaitUntil) {
        let Some(id) = session_id(session) else { return };
        self.signed_out.remember(&id);
        let publish = Arc::clone(&self.signed_out).publish(id);
        wait_until.finish(publish).await;
    }

    /// Records that a sign-in replaces the session in its browser, so that the response to an earlier request
    /// does not restore it.
    pub fn replace(&self, session: &Session) {
        if let Some(id) = session_id(session) {
            self.signed_out.replace(&id, self.clock.now());
        }
    }

    /// Whether this isolate knows that the user has signed out of the session.
    pub fn is_signed_out(&self, session: &Session) -> bool {
        self.is_id_signed_out(session_id(session).as_deref())
    }

    /// Whether this isolate knows that the user has signed out of the session with this id.
    pub fn is_id_signed_out(&self, session_id: Option<&str>) -> bool {
        session_id.is_some_and(|id| self.signed_out.is_remembered(id))
    }

    /// The newest successor in this isolate's memory. The loop has a bound, because a WorkOS that returned
    /// earlier tokens again would close the chain to a circle.
    fn newest_remembered(&self, session: Arc<Session>) -> Arc<Session> {
        let mut newest = session;
        for _ in 0..MAX_REMEMBERED {
            match self.remembered_successor(&token_hash(&newest.refresh_token)) {
                Some(newer) => newest = newer,
                None => break,
            }
        }
        newest
    }

    fn remembered_successor(&self, hash: &str) -> Option<Arc<Session>> {
        match self.rotations().get(hash) {
            Some((_, Rotation::Done(session))) if token_hash(&session.refresh_token) != hash => {
                Some(Arc::clone(session))
            }
            _ => None,
        }
    }

    fn next_step(&self, user_id: &str, hash: &str) -> Step {
        let now = self.clock.now();
        let mut rotations = self.rotations();
        if let Some((at, rotation)) = rotations.get(hash) {
            let is_within = |secs| now - *at < Duration::seconds(secs);
            match rotation {
                Rotation::Done(session) => {
                    let is_rotated = token_hash(&session.refresh_token) != hash;
                    if is_rotated || is_within(NOT_ROTATED_MEMORY_SECS) {
                        return Step::Use(Arc::clone(session));
                    }
                }
                Rotation::Exchanging if is_within(EXCHANGE_MAX_SECS) => return Step::Wait,
                Rotation::Failed(error) => {
                    let memory_secs = match error {
                        RefreshError::Ended => ENDED_MEMORY_SECS,
                        RefreshError::Refused { .. } | RefreshError::Unavailable(_) => {
                            FAILURE_MEMORY_SECS
                        }
                    };
                    if is_within(memory_secs) {
                        return Step::Fail(error.clone());
                    }
                }
                Rotation::Exchanging => {}
            }
        }
        rotations.insert(user_id, hash.to_owned(), (now, Rotation::Exchanging), 1);
        Step::Exchange
    }

    fn remember(&self, user_id: &str, hash: &str, rotation: Rotation) {
        let now = self.clock.now();
        let mut rotations = self.rotations();
        rotations.insert(user_id, hash.to_owned(), (now, rotation), 1);
        rotations.retain(|(at, _)| now - *at < Duration::seconds(ROTATION_TTL_MIN_SECS));
    }

    /// Removes the exchange of `hash` that is under way, so that the next request exchanges the token.
    fn forget_attempt(&self, hash: &str) {
        let mut rotations = self.rotations();
        if matches!(rotations.get(hash), Some((_, Rotation::Exchanging))) {
            rotations.remove(hash);
        }
    }

    /// The time for which browsers may still send the old session.
    fn rotation_ttl_secs(&self, expires_at: Option<DateTime<Utc>>) -> u64 {
        let left = expires_at.map_or(0, |at| (at - self.clock.now()).num_seconds());
        let secs =
            (left + ROTATION_TTL_MARGIN_SECS).clamp(ROTATION_TTL_MIN_SECS, ROTATION_TTL_MAX_SECS);
        secs.unsigned_abs()
    }

    /// The successor that another isolate has stored, by the key of look `n`.
    async fn look(&self, n: usize, hash: &str) -> Result<Option<Arc<Session>>, KvError> {
        let Some(sealed) = self.kv.get(&rotation_key(n, hash)).await? else { return Ok(None) };
        let record =
            self.sealer.open(&sealed).ok().and_then(|opened| {
                serde_json::from_slice::<RotationRecord>(&opened.plaintext).ok()
            });
        let successor = record.filter(|record| record.spent == hash);
        Ok(successor.map(|record| Arc::new(record.session)))
    }

    async fn store(self: Arc<Self>, hash: TokenHash, session: Arc<Session>, ttl_secs: u64) {
        let record = RotationRecord { spent: hash, session: Session::clone(&session) };
        let sealed = self.sealer.seal(&serde_json::to_vec(&record).unwrap_or_default());
        let puts = (0..LOOKS).map(async |n| {
            let options = KvPut { expiration_ttl_secs: Some(ttl_secs), ..KvPut::default() };
            self.kv.put(&rotation_key(n, &record.spent), &sealed, options).await
        });
        for error in join_all(puts).await.into_iter().filter_map(Result::err) {
            log::warn!("a renewed session cannot be stored for other isolates: {error}");
        }
    }

    /// Ignores poisoning: the code under the lock cannot panic halfway through a change of the map.
    fn rotations(&self) -> MutexGuard<'_, FairMap<TokenHash, (DateTime<Utc>, Rotation)>> {
        self.rotations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rotation_key(n: usize, hash: &str) -> String {
    format!("authkit:rotated:{n}:{hash}")
}

impl Exchange {
    async fn run(self) -> Result<Renewed, RefreshError> {
        let outcome = self.outcome().await;
        let Self { refresher, session, hash, organization_id, .. } = &self;
        match &outcome {
            // `renewed` or `found` has remembered it, before the write to KV.
            Ok(_) => {}
            // An error for one organization does not concern the session itself.
            Err(_) if organization_id.is_some() => refresher.forget_attempt(hash),
            Err(error) => {
                refresher.remember(session.user_id(), hash, Rotation::Failed(error.clone()))
            }
        }
        outcome
    }

    async fn outcome(&self) -> Result<Renewed, RefreshError> {
        let Self { refresher, session, hash, .. } = self;
        let (found, is_signed_out) = join(refresher.look(0, hash), self.is_signed_out()).await;
        if is_signed_out {
            return Err(RefreshError::Ended);
        }
        match found {
            Ok(Some(found)) => return Ok(self.found(found)),
            Ok(None) => {}
            // Without KV, WorkOS's response decides.
            Err(error) => log::warn!("a renewed session cannot be looked up: {error}"),
        }
        let grant = Grant::RefreshToken {
            refresh_token: &session.refresh_token,
            organization_id: self.organization_id.as_deref(),
        };
        match refresher.client.authenticate(grant, &self.requester).await {
            // The user has signed out during the exchange, so the renewed session is discarded.
            Ok(_) if refresher.is_id_signed_out(self.session_id.as_deref()) => {
                Err(RefreshError::Ended)
            }
            Ok(response) => Ok(self.renewed(Session::from(response)).await),
            Err(error) => match RefreshError::from(error) {
                RefreshError::Ended => self.find_concurrent_renewal().await,
                other => Err(other),
            },
        }
    }

    /// Whether the user has signed out, in this isolate or another. While KV fails, WorkOS decides: it refuses
    /// a session whose browser followed the redirect of the sign-out.
    async fn is_signed_out(&self) -> bool {
        let Some(id) = &self.session_id else { return false };
        let is_signed_out = self.refresher.signed_out.contains(id, Look::BeforeRenewal).await;
        is_signed_out.unwrap_or_else(|error| {
            log::warn!("a sign-out cannot be looked up: {error}");
            false
        })
    }

    /// The result of another isolate's exchange, after WorkOS has refused the token: that exchange may have
    /// spent the token a moment ago.
    async fn find_concurrent_renewal(&self) -> Result<Renewed, RefreshError> {
        let Self { refresher, hash, .. } = self;
        for (index, millis) in LATE_LOOKS_MILLIS.into_iter().enumerate() {
            refresher.clock.sleep(millis).await;
            if let Some(session) = refresher.remembered_successor(hash) {
                return Ok(Renewed { session, is_fresh: false });
            }
            match refresher.look(1 + index, hash).await {
                Ok(Some(found)) => return Ok(self.found(found)),
                Ok(None) => {}
                Err(error) => {
                    return Err(RefreshError::Unavailable(Outage {
                        reason: format!("another renewal cannot be looked up: {error}"),
                        retry_after_secs: 1,
                    }));
                }
            }
        }
        Err(RefreshError::Ended)
    }

    fn found(&self, session: Arc<Session>) -> Renewed {
        self.refresher.remember(
            self.session.user_id(),
            &self.hash,
            Rotation::Done(Arc::clone(&session)),
        );
        Renewed { session, is_fresh: false }
    }

    /// Remembers the renewed session at once, and stores it for other isolates without delaying the response.
    async fn renewed(&self, session: Session) -> Renewed {
        let Self { refresher, hash, ttl_secs, wait_until, .. } = self;
        let is_rotated = session.refresh_token != self.session.refresh_token;
        let session = Arc::new(session);
        refresher.remember(self.session.user_id(), hash, Rotation::Done(Arc::clone(&session)));
        if is_rotated {
            let store = Arc::clone(refresher).store(hash.clone(), Arc::clone(&session), *ttl_secs);
            wait_until.finish(store).await;
        }
        Renewed { session, is_fresh: true }
    }
}

fn token_hash(token: &Secret) -> TokenHash {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token.expose()))
}

#[cfg(test)]
mod tests;
