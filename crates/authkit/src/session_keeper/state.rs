//! The stored state of a session's keeper, and the decisions that follow from it.
//!
//! The row `session` is JSON: the version, the newest session (sealed, with the hashes and times that decisions
//! need), the hashes of spent refresh tokens, and the times of events. All tokens are sealed or hashed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use edge_host::ObjectFault;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::messages::parse;
use crate::{session::Session, token::UntrustedToken};

/// The key of the only row.
pub const ROW: &str = "session";
/// The version of the row.
const VERSION: u32 = 1;
/// The spent refresh tokens that a keeper recognizes by their hashes. It recognizes older ones by the time at which
/// their access token was issued.
const SPENT_MAX: usize = 32;
/// The delay from a sign-out to the revocation at WorkOS: a browser follows the redirect to WorkOS within
/// seconds, and WorkOS then ends the session itself.
const REVOCATION_DELAY_SECS: i64 = 60;
/// The longest delay between two attempts to revoke a session.
const REVOCATION_RETRY_MAX_SECS: i64 = 24 * 60 * 60;
/// How long a browser may send requests with the session before, after a sign-in has replaced it: until it has the
/// response, on a slow connection, and as far as clocks differ.
const REPLACEMENT_MILLIS: i64 = 10_000;

/// A SHA-256 in base64url, which identifies a token without revealing it.
pub type TextHash = String;

/// The hash of a token or an id.
#[must_use]
pub fn hash(text: &str) -> TextHash {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

/// The facts of a session that decisions need. Times are Unix time in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The hash of the refresh token.
    pub refresh: TextHash,
    /// The hash of the access token.
    pub access: TextHash,
    /// The hash of the session id at WorkOS, if the access token has one.
    pub session: Option<TextHash>,
    /// When WorkOS issued the access token.
    pub issued_at: Option<i64>,
    /// When the access token expires.
    pub expires_at: Option<i64>,
}

impl Facts {
    /// The facts of a session. Its access token needs no verification here: WorkOS gave it to this Worker, which
    /// sealed it.
    #[must_use]
    pub fn of(session: &Session) -> Self {
        let token = UntrustedToken::parse(session.access_token.expose()).ok();
        let claims = token.and_then(|token| token.session_claims_unverified()).unwrap_or_default();
        Self {
            refresh: hash(session.refresh_token.expose()),
            access: hash(session.access_token.expose()),
            session: claims.session_id.as_deref().map(hash),
            issued_at: claims.issued_at.map(|at| at.timestamp()),
            expires_at: claims.expires_at.map(|at| at.timestamp()),
        }
    }

    fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|at| now.timestamp() >= at)
    }
}

/// The newest session of a keeper.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Newest {
    facts: Facts,
    /// The session, sealed; `None` once it has ended.
    sealed: Option<String>,
}

/// A revocation at WorkOS that is due.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Revocation {
    /// The session's id at WorkOS, sealed.
    sealed_id: String,
    /// The attempts that have failed.
    attempts: u32,
    /// When the next attempt is due, in milliseconds.
    at: i64,
}

/// The state of a keeper's session. Times are Unix time in milliseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    newest: Option<Newest>,
    /// The newest last.
    #[serde(default)]
    spent: Vec<TextHash>,
    /// When WorkOS has refused the newest refresh token.
    #[serde(default)]
    ended_at: Option<i64>,
    #[serde(default)]
    signed_out_at: Option<i64>,
    #[serde(default)]
    revocation: Option<Revocation>,
    /// When a sign-in has replaced the session in its browser.
    #[serde(default)]
    replaced_at: Option<i64>,
    /// When no browser can have a cookie of the session any more.
    #[serde(default)]
    forget_at: i64,
    /// When the object's alarm is set.
    #[serde(default)]
    alarm_at: Option<i64>,
}

#[derive(Serialize)]
struct StoredRow<'a> {
    v: u32,
    state: &'a State,
}

#[derive(Deserialize)]
struct ReadRow {
    state: State,
}

/// How the session of a message relates to the newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The keeper does not know it, and no newer one.
    New,
    /// It is the newest.
    Newest,
    /// The newest session follows it.
    Behind,
}

/// A keeper's decision about a request to renew a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The session has ended.
    Ended,
    /// The newest session is the response.
    UseNewest,
    /// The session of the message is exchanged.
    ExchangePresented,
    /// The newest session is exchanged.
    ExchangeNewest,
}

impl State {
    /// Reads the row.
    ///
    /// # Errors
    ///
    /// [`ObjectFault`] for an unknown version or another form.
    pub fn parse(row: &str) -> Result<Self, ObjectFault> {
        parse::<ReadRow>("row", row, VERSION).map(|row| row.state)
    }

    /// The row.
    #[must_use]
    pub fn to_row(&self) -> String {
        edge_host::json::write(&StoredRow { v: VERSION, state: self })
    }

    /// How `presented` relates to the newest session.
    #[must_use]
    pub fn relation(&self, presented: &Facts) -> Relation {
        let Some(Newest { facts, .. }) = &self.newest else { return Relation::New };
        if presented.refresh == facts.refresh {
            // WorkOS has returned the refresh token unchanged, with another access token.
            let is_same = presented.access == facts.access;
            return if is_same { Relation::Newest } else { Relation::Behind };
        }
        // A token that the keeper does not know, and that was issued at the time of the newest or later, is that of
        // a new sign-in, to which WorkOS has given the same session id.
        let is_later = presented.issued_at.is_some() && presented.issued_at >= facts.issued_at;
        let is_new = is_later && !self.spent.contains(&presented.refresh);
        if is_new { Relation::New } else { Relation::Behind }
    }

    /// Whether the user has signed out of the session.
    #[must_use]
    pub fn is_signed_out(&self) -> bool {
        self.signed_out_at.is_some()
    }

    /// Whether `presented` has ended. A new sign-in with the same session id continues the session.
    #[must_use]
    pub fn has_ended(&self, presented: &Facts) -> bool {
        let has_ended = self.ended_at.is_some() && self.relation(presented) != Relation::New;
        self.is_signed_out() || has_ended
    }

    /// Whether a sign-in has replaced the session since a request `began`, or so shortly before that the browser may
    /// have sent the request without the new cookie.
    #[must_use]
    pub fn is_replaced_since(&self, began: i64) -> bool {
        self.replaced_at.is_some_and(|at| at + REPLACEMENT_MILLIS >= began)
    }

    /// Decides about a request to renew `presented`. `has_waited`: an exchange has ended meanwhile, so that the
    /// newest session is fresh. A switch of the organization is an exchange of its own, unless it `has_waited`
    /// for the same switch.
    #[must_use]
    pub fn decide(
        &self,
        presented: &Facts,
        is_switch: bool,
        has_waited: bool,
        now: DateTime<Utc>,
    ) -> Decision {
        if self.has_ended(presented) {
            return Decision::Ended;
        }
        match (self.relation(presented), &self.newest) {
            (Relation::Behind, Some(newest)) => {
                // A session without an id, or with another one, has a keeper of its own.
                let is_kept_here =
                    newest.facts.session.is_some() && newest.facts.session == presented.session;
                let is_due = is_switch || newest.facts.has_expired(now);
                if is_due && is_kept_here && !has_waited {
                    Decision::ExchangeNewest
                } else {
                    Decision::UseNewest
                }
            }
            (Relation::New | Relation::Newest, _) | (Relation::Behind, None) => {
                if is_switch && has_waited {
                    Decision::UseNewest
                } else {
                    Decision::ExchangePresented
                }
            }
        }
    }

    /// The session that is exchanged by this decision.
    #[must_use]
    pub fn exchanged_by<'a>(
        &'a self,
        decision: Decision,
        presented: &'a Facts,
    ) -> Option<&'a Facts> {
        match decision {
            Decision::ExchangePresented => Some(presented),
            Decision::ExchangeNewest => self.newest.as_ref().map(|newest| &newest.facts),
            Decision::Ended | Decision::UseNewest => None,
        }
    }

    /// The newest session, sealed.
    ///
    /// # Errors
    ///
    /// [`ObjectFault`] if the row has none.
    pub fn sealed(&self) -> Result<&str, ObjectFault> {
        let sealed = self.newest.as_ref().and_then(|newest| newest.sealed.as_deref());
        sealed.ok_or_else(|| ObjectFault::new("the row of a session keeper has no session"))
    }

    /// Records the successor of the session that was exchanged.
    pub fn renew(&mut self, exchanged: &Facts, successor: Facts, sealed: String) {
        let previous = self.newest.take().map(|newest| newest.facts.refresh);
        for refresh in previous.into_iter().chain([exchanged.refresh.clone()]) {
            self.spend(&refresh, &successor.refresh);
        }
        self.newest = Some(Newest { facts: successor, sealed: Some(sealed) });
        self.ended_at = None;
    }

    /// Records that WorkOS has refused the refresh token of `exchanged`. The session has ended, unless the keeper
    /// has another token of it.
    pub fn refuse(&mut self, exchanged: &Facts, now: DateTime<Utc>) {
        match &mut self.newest {
            // The newest token of the keeper may still work.
            Some(newest) if newest.facts.refresh != exchanged.refresh => {
                self.spend(&exchanged.refresh, "");
                return;
            }
            Some(newest) => newest.sealed = None,
            newest @ None => *newest = Some(Newest { facts: exchanged.clone(), sealed: None }),
        }
        self.ended_at = Some(now.timestamp_millis());
    }

    /// Records that the user has signed out. WorkOS revokes the session later; `sealed_id` is its id.
    pub fn sign_out(&mut self, sealed_id: String, now: DateTime<Utc>) {
        if self.is_signed_out() {
            return;
        }
        self.signed_out_at = Some(now.timestamp_millis());
        if let Some(newest) = &mut self.newest {
            newest.sealed = None;
        }
        let at = (now + Duration::seconds(REVOCATION_DELAY_SECS)).timestamp_millis();
        self.revocation = Some(Revocation { sealed_id, attempts: 0, at });
    }

    /// The sealed id of a session that WorkOS must revoke now.
    #[must_use]
    pub fn due_revocation(&self, now: DateTime<Utc>) -> Option<&str> {
        let revocation = self.revocation.as_ref()?;
        (revocation.at <= now.timestamp_millis()).then_some(&revocation.sealed_id)
    }

    /// Records that WorkOS has revoked the session, or does not know it.
    pub fn end_revocation(&mut self) {
        self.revocation = None;
    }

    /// Sets the time of the next attempt to revoke the session.
    pub fn retry_revocation(&mut self, now: DateTime<Utc>) {
        if let Some(revocation) = &mut self.revocation {
            revocation.attempts += 1;
            let factor = 1_i64 << revocation.attempts.min(16);
            let secs = (REVOCATION_DELAY_SECS * factor).min(REVOCATION_RETRY_MAX_SECS);
            revocation.at = (now + Duration::seconds(secs)).timestamp_millis();
        }
    }

    /// Records that a sign-in has replaced the session in its browser.
    pub fn replace(&mut self, at: i64) {
        self.replaced_at = self.replaced_at.max(Some(at));
    }

    /// Keeps the state until `at` at least.
    pub fn keep_until(&mut self, at: DateTime<Utc>) {
        self.forget_at = self.forget_at.max(at.timestamp_millis());
    }

    /// Whether no browser can have a cookie of the session any more.
    #[must_use]
    pub fn is_forgotten(&self, now: DateTime<Utc>) -> bool {
        now.timestamp_millis() >= self.forget_at
    }

    /// The time to which the object must set its alarm; `None` if the alarm that is set comes early enough.
    pub fn next_alarm(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let revocation = self.revocation.as_ref().map(|revocation| revocation.at);
        let due = revocation.unwrap_or(self.forget_at).min(self.forget_at);
        let is_set = |at: i64| at > now.timestamp_millis() && at <= due;
        if self.alarm_at.is_some_and(is_set) {
            return None;
        }
        self.alarm_at = Some(due);
        DateTime::from_timestamp_millis(due)
    }

    /// Records that the alarm has run, so that none is set.
    pub fn end_alarm(&mut self) {
        self.alarm_at = None;
    }

    fn spend(&mut self, refresh: &str, successor: &str) {
        if refresh == successor || self.spent.iter().any(|spent| spent == refresh) {
            return;
        }
        if self.spent.len() >= SPENT_MAX {
            self.spent.remove(0);
        }
        self.spent.push(refresh.to_owned());
    }
}
