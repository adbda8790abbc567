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
//!   the hash of the spent token, for as long as the old session may still be shown. It lies under
//!   two keys, because KV remembers for a minute, where it was asked, that there was nothing: one to
//!   look at before the exchange, one for those whose exchange was refused because they came second.
//!
//! | key | value | lives |
//! | --- | --- | --- |
//! | `authkit:rotated:{hash}` | sealed `{"spent": hash, "session": …}` | 10 minutes, or the old token's life and 5 more |
//! | `authkit:rotated-late:{hash}` | the same | the same |
//!
//! `hash` is the refresh token's SHA-256 in base64url. Only WorkOS's `invalid_grant` ends a session.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    client::{ClientError, Grant, Requester, WorkosClient},
    seal::Sealer,
    secret::Secret,
    session::Session,
};
use crate::runtime::{Clock, KvNamespace, KvPut, WaitUntil};

/// How often a request looks for the result of another's exchange.
const WAIT_STEP_MILLIS: u32 = 10;
/// After this long whoever was exchanging is gone.
const EXCHANGE_MAX_SECS: i64 = 15;
/// How long an isolate remembers that a token was refused, or that WorkOS could not answer: the
/// requests that came together share that answer too.
const REFUSAL_MEMORY_SECS: i64 = 10;
const OUTAGE_MEMORY_SECS: i64 = 1;
/// How long after an exchange that was refused another isolate's result is looked for, and when.
const LATE_LOOKS_MILLIS: [u32; 4] = [100, 200, 400, 800];
/// How long a spent token leads to its successor, at the least and at the most.
const ROTATION_TTL_MIN_SECS: i64 = 10 * 60;
const ROTATION_TTL_MAX_SECS: i64 = 24 * 60 * 60;
/// How much longer than the access token that came with it.
const ROTATION_TTL_MARGIN_SECS: i64 = 5 * 60;
/// An isolate that has seen more rotations forgets the oldest; KV still has them.
const MAX_REMEMBERED: usize = 1000;
/// An answer that took longer than this looks in KV, too, for what became of its session meanwhile.
const LATE_ANSWER_SECS: i64 = 2;

/// Renews sessions. One per isolate.
pub struct Refresher {
    client: WorkosClient,
    kv: Arc<dyn KvNamespace>,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    rotations: Mutex<HashMap<TokenHash, (DateTime<Utc>, Rotation)>>,
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

impl From<ClientError> for RefreshError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { code, .. } if code == "invalid_grant" => Self::Ended,
            ClientError::Refused { code, description } => Self::Refused { code, description },
            ClientError::Unavailable { reason, retry_after_secs } => {
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
    hash: TokenHash,
    organization_id: Option<String>,
    requester: Requester,
    ttl_secs: u64,
}

impl Refresher {
    /// Leaves rotated sessions in `kv`, sealed by `sealer`.
    #[must_use]
    pub fn new(
        client: WorkosClient,
        kv: Arc<dyn KvNamespace>,
        sealer: Sealer,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { client, kv, sealer, clock, rotations: Mutex::default() }
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
        requester: &Requester,
        wait_until: Option<&WaitUntil>,
    ) -> Result<Renewed, RefreshError> {
        let mut session = session.clone();
        let mut hash = token_hash(&session.refresh_token);
        loop {
            match self.next_step(&hash) {
                Step::Use(newer) if organization_id.is_some() => {
                    session = Session::clone(&newer);
                    hash = token_hash(&session.refresh_token);
                }
                Step::Use(session) => return Ok(Renewed { session, is_fresh: false }),
                Step::Fail(error) => return Err(error),
                Step::Wait => self.clock.sleep(WAIT_STEP_MILLIS).await,
                Step::Exchange => {
                    let exchange = Exchange {
                        refresher: Arc::clone(self),
                        session: session.clone(),
                        hash: hash.clone(),
                        organization_id: organization_id.map(str::to_owned),
                        requester: requester.clone(),
                        ttl_secs: self.rotation_ttl_secs(expires_at),
                    };
                    let exchange = exchange.run().boxed().shared();
                    if let Some(wait_until) = wait_until {
                        wait_until.run(exchange.clone().map(drop).boxed());
                    }
                    let renewed = exchange.await?;
                    if renewed.is_fresh || organization_id.is_none() {
                        return Ok(renewed);
                    }
                }
            }
        }
    }

    /// The newest session that is known to have come after `session`, which a request has had in
    /// its hands since `since`; `None` when it is the newest itself.
    pub async fn successor(&self, session: &Session, since: DateTime<Utc>) -> Option<Arc<Session>> {
        let mut newest = None;
        let mut hash = token_hash(&session.refresh_token);
        while let Some(newer) = self.remembered_successor(&hash) {
            hash = token_hash(&newer.refresh_token);
            newest = Some(newer);
        }
        let is_late = self.clock.now() - since > Duration::seconds(LATE_ANSWER_SECS);
        if newest.is_none() && is_late {
            newest = self.look(EARLY_PREFIX, &hash).await;
        }
        newest
    }

    fn remembered_successor(&self, hash: &str) -> Option<Arc<Session>> {
        match self.rotations().get(hash) {
            Some((_, Rotation::Done(session))) => Some(Arc::clone(session)),
            _ => None,
        }
    }

    fn next_step(&self, hash: &str) -> Step {
        let now = self.clock.now();
        let mut rotations = self.rotations();
        if let Some((at, rotation)) = rotations.get(hash) {
            let is_within = |secs| now - *at < Duration::seconds(secs);
            match rotation {
                Rotation::Done(session) => return Step::Use(Arc::clone(session)),
                Rotation::Exchanging if is_within(EXCHANGE_MAX_SECS) => return Step::Wait,
                Rotation::Failed(error @ RefreshError::Unavailable { .. })
                    if is_within(OUTAGE_MEMORY_SECS) =>
                {
                    return Step::Fail(error.clone());
                }
                Rotation::Failed(RefreshError::Ended) if is_within(REFUSAL_MEMORY_SECS) => {
                    return Step::Fail(RefreshError::Ended);
                }
                Rotation::Exchanging | Rotation::Failed(_) => {}
            }
        }
        rotations.insert(hash.to_owned(), (now, Rotation::Exchanging));
        Step::Exchange
    }

    fn remember(&self, hash: TokenHash, outcome: &Result<Arc<Session>, RefreshError>) {
        let now = self.clock.now();
        let rotation = match outcome {
            Ok(session) => Rotation::Done(Arc::clone(session)),
            Err(error) => Rotation::Failed(error.clone()),
        };
        let mut rotations = self.rotations();
        // A refresh token that was not rotated has no successor: remembered as its own, it would be
        // looked up in a circle.
        if outcome.as_ref().is_ok_and(|session| token_hash(&session.refresh_token) == hash) {
            rotations.remove(&hash);
        } else {
            rotations.insert(hash, (now, rotation));
        }
        rotations.retain(|_, (at, _)| now - *at < Duration::seconds(ROTATION_TTL_MIN_SECS));
        if rotations.len() > MAX_REMEMBERED {
            let oldest = rotations.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(oldest) = oldest.map(|(hash, _)| hash.clone()) {
                rotations.remove(&oldest);
            }
        }
    }

    /// Long enough that nobody who still shows the spent session is signed out for it.
    fn rotation_ttl_secs(&self, expires_at: Option<DateTime<Utc>>) -> u64 {
        let left = expires_at.map_or(0, |at| (at - self.clock.now()).num_seconds());
        let secs =
            (left + ROTATION_TTL_MARGIN_SECS).clamp(ROTATION_TTL_MIN_SECS, ROTATION_TTL_MAX_SECS);
        secs.unsigned_abs()
    }

    /// The successor that another isolate has left. That KV fails is as if there were none: WorkOS
    /// is asked then, and says how it is.
    async fn look(&self, prefix: &str, hash: &str) -> Option<Arc<Session>> {
        let sealed = match self.kv.get(&format!("{prefix}{hash}")).await {
            Ok(sealed) => sealed?,
            Err(error) => {
                log::warn!("rotated sessions cannot be looked up: {error}");
                return None;
            }
        };
        let opened = self.sealer.open(&sealed).ok()?;
        let record: RotationRecord = serde_json::from_slice(&opened.plaintext).ok()?;
        (record.spent == hash).then(|| Arc::new(record.session))
    }

    async fn leave(&self, hash: &str, session: &Session, ttl_secs: u64) {
        let record = RotationRecord { spent: hash.to_owned(), session: session.clone() };
        let sealed = self.sealer.seal(&serde_json::to_vec(&record).unwrap_or_default());
        for prefix in [LATE_PREFIX, EARLY_PREFIX] {
            let options = KvPut { expiration_ttl_secs: Some(ttl_secs), ..KvPut::default() };
            if let Err(error) = self.kv.put(&format!("{prefix}{hash}"), &sealed, options).await {
                log::warn!("a rotated session cannot be left for other isolates: {error}");
            }
        }
    }

    /// A panic cannot leave the map half-written: nothing under the lock runs foreign code.
    fn rotations(&self) -> MutexGuard<'_, HashMap<TokenHash, (DateTime<Utc>, Rotation)>> {
        self.rotations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const EARLY_PREFIX: &str = "authkit:rotated:";
const LATE_PREFIX: &str = "authkit:rotated-late:";

impl Exchange {
    async fn run(self) -> Result<Renewed, RefreshError> {
        let outcome = self.outcome().await;
        let session = outcome.clone().map(|renewed| renewed.session);
        self.refresher.remember(self.hash, &session);
        outcome
    }

    async fn outcome(&self) -> Result<Renewed, RefreshError> {
        let Self { refresher, session, hash, .. } = self;
        if let Some(found) = refresher.look(EARLY_PREFIX, hash).await {
            return Ok(Renewed { session: found, is_fresh: false });
        }
        let grant = Grant::RefreshToken {
            refresh_token: &session.refresh_token,
            organization_id: self.organization_id.as_deref(),
        };
        match refresher.client.authenticate(grant, &self.requester).await {
            Ok(answer) => {
                let renewed = Session::from(answer);
                if renewed.refresh_token != session.refresh_token {
                    refresher.leave(hash, &renewed, self.ttl_secs).await;
                }
                Ok(Renewed { session: Arc::new(renewed), is_fresh: true })
            }
            Err(error) => match RefreshError::from(error) {
                // Someone else may have been first, this very moment.
                RefreshError::Ended => {
                    for millis in LATE_LOOKS_MILLIS {
                        refresher.clock.sleep(millis).await;
                        if let Some(found) = refresher.look(LATE_PREFIX, hash).await {
                            return Ok(Renewed { session: found, is_fresh: false });
                        }
                    }
                    Err(RefreshError::Ended)
                }
                other => Err(other),
            },
        }
    }
}

fn token_hash(token: &Secret) -> TokenHash {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token.expose()))
}
