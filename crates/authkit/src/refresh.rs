//! Renewing a session: trading its refresh token for new tokens (RFC 6749, section 6) once, however
//! many requests come with it at the same time.
//!
//! A refresh token is good for one use. A page that loads ten things with an expired session sends
//! it ten times, and nine of them must not be signed out for it:
//!
//! - Within an isolate one request exchanges the token, and the others look for its result. They
//!   look again after a short sleep, because a request on Workers may not await another's I/O. The
//!   exchange itself goes on when the browser that began it goes away.
//! - Across isolates the new session is left in KV for whoever comes with the old one: sealed, under
//!   the hash of the spent token, for as long as the old session may still be shown. KV remembers for
//!   a minute, where it was asked, that there was nothing; so each look has a key of its own: one
//!   before the exchange, and two for those whose exchange was refused because they came second.
//!
//! | key | value | lives |
//! | --- | --- | --- |
//! | `authkit:rotated:{n}:{hash}` | sealed `{"spent": hash, "session": …}` | 10 minutes, or 5 longer than the old access token, at most a day |
//!
//! `n` is the look, 0 to 2, and `hash` the refresh token's SHA-256 in base64url. Two events end a
//! session: its user signs out ([`super::signed_out`]), or WorkOS answers `invalid_grant` when no other
//! request has renewed it.

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
use edge_host::{Clock, KvError, KvNamespace, KvPut, WaitUntil, fair::FairMap};

/// How often a request looks for the result of another's exchange.
const WAIT_STEP_MILLIS: u32 = 10;
/// After this long whoever was exchanging is gone.
const EXCHANGE_MAX_SECS: i64 = 15;
/// How long an isolate remembers that a session has ended, or that WorkOS could not renew it now: the
/// requests that came together share that answer too.
const ENDED_MEMORY_SECS: i64 = 60;
const FAILURE_MEMORY_SECS: i64 = 1;
/// How long after an exchange that was refused another isolate's result is looked for, each time under
/// the next key.
const LATE_LOOKS_MILLIS: [u32; 2] = [400, 3600];
/// The look before the exchange and those after it.
const LOOKS: usize = 1 + LATE_LOOKS_MILLIS.len();
/// How long a refresh token that WorkOS has not rotated is as good as fresh.
const NOT_ROTATED_MEMORY_SECS: i64 = 2;
/// How long a spent token leads to its successor, at the least and at the most.
const ROTATION_TTL_MIN_SECS: i64 = 10 * 60;
const ROTATION_TTL_MAX_SECS: i64 = 24 * 60 * 60;
/// How much longer than the access token that came with it.
const ROTATION_TTL_MARGIN_SECS: i64 = 5 * 60;
/// An isolate that has seen more rotations forgets the oldest of the user who has the most; KV still has
/// them.
const MAX_REMEMBERED: usize = 1000;

/// Renews sessions. One per isolate.
pub struct Refresher {
    client: WorkosClient,
    kv: Arc<dyn KvNamespace>,
    sealer: Sealer,
    signed_out: Arc<SignedOutSessions>,
    clock: Arc<dyn Clock>,
    /// Each belongs to the user of its session.
    rotations: Mutex<FairMap<TokenHash, (DateTime<Utc>, Rotation)>>,
}

/// A refresh token's name in maps and keys; the token does not show in it.
type TokenHash = String;

/// What this isolate knows of a refresh token, and since when.
#[derive(Clone)]
enum Rotation {
    Exchanging,
    Done(Arc<Session>),
    Failed(RefreshError),
}

/// A session that comes after another.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// The session.
    pub session: Arc<Session>,
    /// Whether WorkOS has given it for this very request, and not for one before it.
    pub is_fresh: bool,
}

/// Why a session has no successor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RefreshError {
    /// WorkOS knows the session no more.
    #[error("the session has ended")]
    Ended,
    /// WorkOS wants something of the user first: another way to sign in, a second factor, ….
    #[error("WorkOS refused: {code}")]
    Refused {
        /// WorkOS's word for it, such as `sso_required`.
        code: String,
        /// What it said beside it.
        description: Option<String>,
    },
    /// WorkOS could not tell. The session is as good as it was.
    #[error("WorkOS is unavailable ({reason})")]
    Unavailable {
        /// For the log.
        reason: String,
        /// Seconds after which to ask again.
        retry_after_secs: u32,
    },
}

impl From<WorkosError> for RefreshError {
    fn from(error: WorkosError) -> Self {
        match error {
            WorkosError::Refused { code, .. } if code == INVALID_GRANT => Self::Ended,
            WorkosError::Refused { code, description } => Self::Refused { code, description },
            WorkosError::Unavailable { reason, retry_after_secs } => {
                Self::Unavailable { reason, retry_after_secs }
            }
        }
    }
}

/// The successor of a spent refresh token, as it lies in KV.
#[derive(Serialize, Deserialize)]
struct RotationRecord {
    /// Binds the record to its key, so that nobody's record can be moved under another's.
    spent: TokenHash,
    session: Session,
}

/// What a look at an isolate's memory tells a request to do.
enum Step {
    Use(Arc<Session>),
    Fail(RefreshError),
    Wait,
    Exchange,
}

/// Everything an exchange needs, owned: it may outlive the request that began it.
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
    /// Leaves rotated sessions in `kv`, sealed by `sealer`; renews no session that `signed_out` holds.
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

    /// The session that comes after `session`: exchanged now, or by whoever came first.
    /// `expires_at` is when its access token does, if that is known. With an `organization_id` the
    /// newest session of the chain is exchanged once more, into that organization.
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
            // Also for requests that waited: the user may have signed out meanwhile.
            if self.is_signed_out(session_id.as_deref()) {
                return Err(RefreshError::Ended);
            }
            match self.next_step(session.user_id(), &hash) {
                // Another has renewed it while this one waited.
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

    /// The session that the browser gets instead of `session`: the newest one that is known to have
    /// come after it, here or in another isolate, or `session` itself. `None` when the user has signed
    /// out of it meanwhile, or in again since the request `began`.
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
        let (left, is_signed_out) = join(self.look(0, &hash), is_signed_out).await;
        // A failing KV counts as empty: the cookie that is set then leads to the newest session, and
        // the next renewal looks again whether the user has signed out.
        if is_signed_out.unwrap_or_default() {
            return None;
        }
        Some(left.ok().flatten().unwrap_or(newest))
    }

    /// Records that the user has signed out of the session: it is refused from now on, and neither a
    /// late response nor another isolate brings it back.
    pub async fn sign_out(&self, session: &Session, wait_until: &WaitUntil) {
        let Some(id) = session_id(session) else { return };
        self.signed_out.remember(&id);
        let publish = Arc::clone(&self.signed_out).publish(id);
        wait_until.finish(publish).await;
    }

    /// Records that a sign-in replaces the session in its browser, so that no response that was under way
    /// puts it back.
    pub fn replace(&self, session: &Session) {
        if let Some(id) = session_id(session) {
            self.signed_out.replace(&id, self.clock.now());
        }
    }

    /// Whether this isolate knows that the user has signed out of the session.
    pub fn is_over(&self, session: &Session) -> bool {
        self.is_signed_out(session_id(session).as_deref())
    }

    /// Whether this isolate knows that the user has signed out of the session with this id.
    pub fn is_signed_out(&self, session_id: Option<&str>) -> bool {
        session_id.is_some_and(|id| self.signed_out.is_remembered(id))
    }

    /// The end of the chain that this isolate knows. Bounded: an AuthKit that gave the same tokens
    /// again would make a circle.
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
                        RefreshError::Refused { .. } | RefreshError::Unavailable { .. } => {
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

    /// Forgets that `hash` is being exchanged, as if nobody had tried.
    fn forget_attempt(&self, hash: &str) {
        let mut rotations = self.rotations();
        if matches!(rotations.get(hash), Some((_, Rotation::Exchanging))) {
            rotations.remove(hash);
        }
    }

    /// Long enough that nobody who still shows the spent session is signed out for it.
    fn rotation_ttl_secs(&self, expires_at: Option<DateTime<Utc>>) -> u64 {
        let left = expires_at.map_or(0, |at| (at - self.clock.now()).num_seconds());
        let secs =
            (left + ROTATION_TTL_MARGIN_SECS).clamp(ROTATION_TTL_MIN_SECS, ROTATION_TTL_MAX_SECS);
        secs.unsigned_abs()
    }

    /// The successor that another isolate has left, at the `n`th look.
    async fn look(&self, n: usize, hash: &str) -> Result<Option<Arc<Session>>, KvError> {
        let Some(sealed) = self.kv.get(&rotation_key(n, hash)).await? else { return Ok(None) };
        let record =
            self.sealer.open(&sealed).ok().and_then(|opened| {
                serde_json::from_slice::<RotationRecord>(&opened.plaintext).ok()
            });
        let successor = record.filter(|record| record.spent == hash);
        Ok(successor.map(|record| Arc::new(record.session)))
    }

    async fn leave(self: Arc<Self>, hash: TokenHash, session: Arc<Session>, ttl_secs: u64) {
        let record = RotationRecord { spent: hash, session: Session::clone(&session) };
        let sealed = self.sealer.seal(&serde_json::to_vec(&record).unwrap_or_default());
        let puts = (0..LOOKS).map(async |n| {
            let options = KvPut { expiration_ttl_secs: Some(ttl_secs), ..KvPut::default() };
            self.kv.put(&rotation_key(n, &record.spent), &sealed, options).await
        });
        for error in join_all(puts).await.into_iter().filter_map(Result::err) {
            log::warn!("a renewed session cannot be left for other isolates: {error}");
        }
    }

    /// A panic cannot leave the map half-written: nothing under the lock runs foreign code.
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
            // IsolateCache already, the moment that it was known.
            Ok(_) => {}
            // What WorkOS says of one organization says nothing of the session.
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
            // WorkOS is asked then, and says how it is.
            Err(error) => log::warn!("a renewed session cannot be looked for: {error}"),
        }
        let grant = Grant::RefreshToken {
            refresh_token: &session.refresh_token,
            organization_id: self.organization_id.as_deref(),
        };
        match refresher.client.authenticate(grant, &self.requester).await {
            // The user has signed out while WorkOS answered: the new session is thrown away.
            Ok(_) if refresher.is_signed_out(self.session_id.as_deref()) => {
                Err(RefreshError::Ended)
            }
            Ok(answer) => Ok(self.renewed(Session::from(answer)).await),
            Err(error) => match RefreshError::from(error) {
                RefreshError::Ended => self.look_for_who_was_first().await,
                other => Err(other),
            },
        }
    }

    /// Whether the user has signed out, here or in another isolate. Where KV fails, WorkOS decides: it
    /// refuses sessions whose browser followed the sign-out there.
    async fn is_signed_out(&self) -> bool {
        let Some(id) = &self.session_id else { return false };
        let is_signed_out = self.refresher.signed_out.contains(id, Look::BeforeRenewal).await;
        is_signed_out.unwrap_or_else(|error| {
            log::warn!("a sign-out cannot be looked for: {error}");
            false
        })
    }

    /// WorkOS knows the token no more. Someone else may have spent it, this very moment.
    async fn look_for_who_was_first(&self) -> Result<Renewed, RefreshError> {
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
                    return Err(RefreshError::Unavailable {
                        reason: format!("and who was first cannot be looked for: {error}"),
                        retry_after_secs: 1,
                    });
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

    /// Remembers the new session at once, and leaves it for other isolates while the answer is
    /// already on its way.
    async fn renewed(&self, session: Session) -> Renewed {
        let Self { refresher, hash, ttl_secs, wait_until, .. } = self;
        let is_rotated = session.refresh_token != self.session.refresh_token;
        let session = Arc::new(session);
        refresher.remember(self.session.user_id(), hash, Rotation::Done(Arc::clone(&session)));
        if is_rotated {
            let leave = Arc::clone(refresher).leave(hash.clone(), Arc::clone(&session), *ttl_secs);
            wait_until.finish(leave).await;
        }
        Renewed { session, is_fresh: true }
    }
}

fn token_hash(token: &Secret) -> TokenHash {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token.expose()))
}

#[cfg(test)]
mod tests;
