//! The model of sessions: when a response may sign a browser out, and when it must not sign one in.

use std::collections::BTreeMap;

use axum_authkit::{
    seal::{Purpose, Sealer},
    secret::Secret,
    session::Session,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    workos::WorkOs,
    world::{PASSWORD, Reply},
};

pub const SESSION_COOKIE: &str = "__Host-wos-session";
/// The leeway of clocks that a check grants.
const LEEWAY_SECS: i64 = 120;

/// The sign-outs of sessions.
#[derive(Default)]
pub struct Sessions {
    sign_outs: BTreeMap<String, SignOut>,
}

struct SignOut {
    began: u64,
    acknowledged: Option<u64>,
}

/// The session in a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieSession {
    pub id: String,
    pub expires_at_secs: i64,
}

impl CookieSession {
    pub fn open(sealed: &str) -> Option<Self> {
        let sealer = Sealer::new(Purpose::Session, &Secret::from(PASSWORD), None);
        let session = Session::open(sealed, &sealer).ok()?.session;
        let payload = session.access_token.expose().split('.').nth(1)?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        Some(Self {
            id: claims["sid"].as_str()?.to_owned(),
            expires_at_secs: claims["exp"].as_i64()?,
        })
    }
}

/// The value of a session cookie in a `Set-Cookie` header; an empty value removes the cookie.
pub fn session_cookie(set_cookie: &str) -> Option<&str> {
    let (pair, _) = set_cookie.split_once(';')?;
    let (name, value) = pair.split_once('=')?;
    (name == SESSION_COOKIE).then_some(value)
}

impl Sessions {
    pub fn begin_sign_out(&mut self, id: &str, tick: u64) {
        let sign_out = SignOut { began: tick, acknowledged: None };
        self.sign_outs.entry(id.to_owned()).or_insert(sign_out);
    }

    pub fn acknowledge_sign_out(&mut self, id: &str, tick: u64) {
        if let Some(sign_out) = self.sign_outs.get_mut(id) {
            sign_out.acknowledged.get_or_insert(tick);
        }
    }

    /// Checks that WorkOS has ended every session that was signed out of, whether or not the browser has followed
    /// the redirect.
    pub fn check_revoked(&self, workos: &WorkOs) -> Result<(), String> {
        for (id, _) in self.sign_outs.iter().filter(|(_, sign_out)| sign_out.acknowledged.is_some())
        {
            if workos.session(id).is_some_and(|session| session.ended_at.is_none()) {
                return Err(format!("invariant 1: {id} was signed out, and is alive at WorkOS"));
            }
        }
        Ok(())
    }

    /// Checks the response to a request with this session.
    pub fn check(
        &self,
        workos: &WorkOs,
        now_millis: i64,
        sent: &CookieSession,
        reply: &Reply,
    ) -> Result<(), String> {
        let id = &sent.id;
        let span = reply.span;
        let known = workos.session(id).unwrap_or_default();
        let sign_out = self.sign_outs.get(id);
        let removes = reply.set_cookies().into_iter().filter_map(session_cookie).any(str::is_empty);
        let leads_to_login = reply.status == 302 && reply.header("location").starts_with("/login");
        let may_be_over = known.ended_at.is_some_and(|at| at <= now_millis)
            || sign_out.is_some_and(|sign_out| sign_out.began < span.ended)
            || workos.has_lost_exchange(id);
        if (removes || leads_to_login || reply.status == 401) && !may_be_over {
            return Err(format!("invariant 1: {id} is alive, and the response signs it out"));
        }

        let is_signed_out = sign_out
            .and_then(|sign_out| sign_out.acknowledged)
            .is_some_and(|acknowledged| acknowledged < span.began);
        let began_secs = span.began_millis / 1000;
        let has_ended = known.ended_at.is_some_and(|at| at < span.began_millis)
            && known.last_exp + LEEWAY_SECS < began_secs;
        let is_authorized = reply.status.is_success() || reply.status == 303;
        if is_authorized && is_signed_out && sent.expires_at_secs + LEEWAY_SECS < began_secs {
            return Err(format!("invariant 1: {id} was signed out, and is renewed"));
        }
        if is_authorized && has_ended {
            return Err(format!("invariant 1: {id} has ended, and is served"));
        }
        let set = reply.set_cookies().into_iter().filter_map(session_cookie);
        let set = set.filter_map(CookieSession::open).find(|session| session.id == *id);
        if set.is_some() && (is_signed_out || has_ended) {
            return Err(format!("invariant 1: {id} is over, and a response sets it again"));
        }
        Ok(())
    }
}
