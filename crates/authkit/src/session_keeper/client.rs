//! The isolate's side: sends messages to the keepers of sessions.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use edge_host::{
    Cause, Clock, Emit as _, ObjectError, ObjectErrorKind, ObjectNamespace, TimedObjects, WaitUntil,
};
use futures_util::FutureExt;
use thiserror::Error;

use super::{
    messages::{Message, Renewal, Response},
    state::hash,
};
use crate::{
    events::AuthKitEvent,
    outage::Outage,
    session::Session,
    signed_out::{SignedOutSessions, session_id},
    workos::{ClientInfo, INVALID_GRANT, WorkosClient, WorkosError},
};

/// The longest time for a message that renews: WorkOS's response takes up to ten seconds. A message whose keeper ended
/// is sent once more, so that a caller waits twice as long at most.
const RENEWAL_MAX_MILLIS: u32 = 15_000;
const _: () = assert!(edge_host::HTTP_MAX_MILLIS < RENEWAL_MAX_MILLIS);
/// The longest time for another message. Its user waits, and can go on without the keeper's response.
const MESSAGE_MAX_MILLIS: u32 = 5_000;
/// The `Retry-After` while a keeper has no response. Durable Objects move to another machine within seconds.
const RETRY_AFTER_SECS: u32 = 2;

/// The keepers in events and in the scope of a request.
const SERVICE: &str = "sessions";

/// The keepers of sessions. One per isolate.
pub struct SessionKeepers {
    renewals: TimedObjects,
    others: TimedObjects,
    workos: WorkosClient,
    signed_out: SignedOutSessions,
    clock: Arc<dyn Clock>,
}

/// The successor of a session.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// The session.
    pub session: Arc<Session>,
    /// Whether WorkOS has issued it for this request, or while this request waited.
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
    /// WorkOS or the session's keeper is unavailable. The session stays as it is.
    #[error("the session cannot be renewed now ({0})")]
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

impl SessionKeepers {
    /// Sends messages to `objects`. `workos` revokes a session whose keeper cannot be reached at its sign-out.
    #[must_use]
    pub fn new(
        objects: Arc<dyn ObjectNamespace>,
        workos: WorkosClient,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let timed = |max_millis| {
            TimedObjects::new(Arc::clone(&objects), Arc::clone(&clock), max_millis, SERVICE)
        };
        Self {
            renewals: timed(RENEWAL_MAX_MILLIS),
            others: timed(MESSAGE_MAX_MILLIS),
            workos,
            signed_out: SignedOutSessions::default(),
            clock,
        }
    }

    /// The successor of `session`. With an `organization_id`, the newest session is exchanged for one in that
    /// organization. A successor that is not fresh may have expired, and then has a successor itself.
    ///
    /// # Errors
    ///
    /// [`RefreshError`].
    pub async fn renew(
        &self,
        session: &Session,
        organization_id: Option<&str>,
        client: &ClientInfo,
    ) -> Result<Renewed, RefreshError> {
        if self.is_signed_out(session) {
            return Err(RefreshError::Ended);
        }
        let message = Message::Renew(Renewal {
            session: session.clone(),
            organization_id: organization_id.map(str::to_owned),
            client: client.clone(),
        });
        match ask(&self.renewals, session, &message).await.map_err(RefreshError::Unavailable)? {
            Response::Renewed { session, is_fresh } => {
                Ok(Renewed { session: Arc::new(session), is_fresh })
            }
            Response::Ended { is_signed_out } => {
                self.learn(session, is_signed_out);
                Err(RefreshError::Ended)
            }
            Response::Refused { code, description } => {
                Err(RefreshError::Refused { code, description })
            }
            Response::Unavailable { reason, retry_after_secs } => {
                Err(RefreshError::Unavailable(Outage { reason, retry_after_secs }))
            }
            _ => Err(RefreshError::Unavailable(outage("another response than to a renewal"))),
        }
    }

    /// The newest session to send to the browser instead of `session`. `None` if the session has ended, or if a
    /// sign-in has replaced it since the request `began`. Without a response of the keeper, it is `session`: the
    /// next request with it asks the keeper again.
    pub async fn newest(
        &self,
        session: Arc<Session>,
        began: DateTime<Utc>,
    ) -> Option<Arc<Session>> {
        if self.is_signed_out(&session) {
            return None;
        }
        let message =
            Message::Current { session: Session::clone(&session), began: began.timestamp_millis() };
        match ask(&self.others, &session, &message).await {
            Ok(Response::Current { session: Some(newest) }) => Some(Arc::new(newest)),
            Ok(Response::Replaced) => None,
            Ok(Response::Ended { is_signed_out }) => {
                self.learn(&session, is_signed_out);
                None
            }
            Ok(_) => Some(session),
            Err(outage) => {
                AuthKitEvent::SessionUnknown { cause: Cause(&outage) }.emit();
                Some(session)
            }
        }
    }

    /// Whether a sign-in has replaced the session since the request `began`. A keeper without a response counts as no.
    pub async fn is_replaced(&self, session: &Session, began: DateTime<Utc>) -> bool {
        let message =
            Message::Current { session: session.clone(), began: began.timestamp_millis() };
        matches!(ask(&self.others, session, &message).await, Ok(Response::Replaced))
    }

    /// Whether the user has signed out of the session. A keeper without a response counts as no.
    pub async fn learn_sign_out(&self, session: &Arc<Session>) -> bool {
        self.newest(Arc::clone(session), self.clock.now()).await;
        self.is_signed_out(session)
    }

    /// Records that the user has signed out of the session: no request renews it from now on, and WorkOS revokes
    /// it. If the keeper has no response, WorkOS is asked at once. The record completes when the client disconnects.
    ///
    /// # Errors
    ///
    /// [`Outage`]: the user is still signed in.
    pub async fn sign_out(
        self: &Arc<Self>,
        session: &Session,
        wait_until: &WaitUntil,
    ) -> Result<(), Outage> {
        let Some(id) = session_id(session) else { return Ok(()) };
        let (keepers, session) = (Arc::clone(self), session.clone());
        let work = async move {
            let message = Message::SignOut { session_id: id.clone() };
            let failure = match ask(&keepers.others, &session, &message).await {
                Ok(Response::Recorded) => None,
                Ok(_) => Some(outage("another response than to a sign-out")),
                Err(outage) => Some(outage),
            };
            if let Some(failure) = failure {
                AuthKitEvent::SignOutNotRecorded { cause: Cause(&failure) }.emit();
                keepers.workos.revoke_session(&id).await.map_err(|error| match error {
                    WorkosError::Unavailable(outage) => outage,
                    WorkosError::Refused { .. } => failure,
                })?;
            }
            keepers.signed_out.remember(&id);
            Ok(())
        };
        let work = work.boxed().shared();
        wait_until.keep_alive(work.clone().map(drop));
        work.await
    }

    /// Records that a sign-in replaces the session in its browser, so that the response to an earlier request
    /// does not restore it. The session itself stays valid: the browser may drop the response that carries the new
    /// one.
    pub async fn replace(self: &Arc<Self>, session: &Session, wait_until: &WaitUntil) {
        let (keepers, session) = (Arc::clone(self), session.clone());
        let message = Message::Replace { at: self.clock.now().timestamp_millis() };
        let work = async move {
            if let Err(outage) = ask(&keepers.others, &session, &message).await {
                AuthKitEvent::ReplacementNotRecorded { cause: Cause(&outage) }.emit();
            }
        };
        wait_until.finish(work).await;
    }

    /// Whether this isolate knows that the user has signed out of the session.
    #[must_use]
    pub fn is_signed_out(&self, session: &Session) -> bool {
        self.is_id_signed_out(session_id(session).as_deref())
    }

    /// Whether this isolate knows that the user has signed out of the session with this id.
    #[must_use]
    pub fn is_id_signed_out(&self, session_id: Option<&str>) -> bool {
        session_id.is_some_and(|id| self.signed_out.is_remembered(id))
    }

    fn learn(&self, session: &Session, is_signed_out: bool) {
        if is_signed_out && let Some(id) = session_id(session) {
            self.signed_out.remember(&id);
        }
    }
}

/// The name of a session's keeper: the hash of the session's id. A session without an id has a keeper for each of
/// its refresh tokens.
#[must_use]
pub fn keeper_name(session: &Session) -> String {
    match session_id(session) {
        Some(id) => hash(&id),
        None => hash(&format!("refresh token {}", session.refresh_token.expose())),
    }
}

/// Sends a message to the keeper of `session`, and again where the keeper has ended: every message may be repeated.
async fn ask(
    objects: &TimedObjects,
    session: &Session,
    message: &Message,
) -> Result<Response, Outage> {
    let (name, text) = (keeper_name(session), message.to_text());
    let unreachable = |error: ObjectError| outage(error.to_string());
    let response = match objects.send(&name, &text).await {
        Err(error) if error.kind == ObjectErrorKind::Disconnected => {
            objects.send(&name, &text).await.map_err(unreachable)?
        }
        response => response.map_err(unreachable)?,
    };
    Response::parse(&response).map_err(|fault| outage(fault.to_string()))
}

fn outage(reason: impl Into<String>) -> Outage {
    Outage { reason: reason.into(), retry_after_secs: RETRY_AFTER_SECS }
}
