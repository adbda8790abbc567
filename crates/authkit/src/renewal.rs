//! Renews the session of a caller whose access token has expired. The session's keeper performs the exchange
//! ([`mod@crate::session_keeper`]).

use std::sync::Arc;

use edge_host::{Cause, Emit as _};

use crate::{
    authkit::{AuthKit, VerifyError},
    context::RequestContext,
    events::AuthKitEvent,
    outage::Outage,
    session::Session,
    session_keeper::client::{RefreshError, Renewed},
    token::{TokenError, VerifiedClaims},
};

/// The most keepers that a renewal asks. One is enough for a session with an id. Without an id, each refresh token
/// has a keeper, which leads to the next.
const MAX_SUCCESSORS: usize = 100;

/// The reason of [`AuthKitEvent::SessionEnded`] where WorkOS has ended the session.
pub(crate) const ENDED_BY_WORKOS: &str = "workos";

impl AuthKit {
    /// Reports that a session has ended.
    pub(crate) fn report_end(&self, reason: &str, user_id: Option<&str>) {
        let user = user_id.map(|id| self.user_hasher.hash(id));
        AuthKitEvent::SessionEnded { reason, user }.emit();
    }

    /// The newest successor of this user's `session`, with its claims. Renews the session unless another
    /// request has renewed it.
    pub(crate) async fn renew(
        &self,
        session: &Session,
        user_id: &str,
        organization_id: Option<&str>,
        context: &RequestContext,
    ) -> Result<(Arc<Session>, VerifiedClaims), RefreshError> {
        let user = self.user_hasher.hash(user_id);
        let renewed = self.renew_unreported(session, user_id, organization_id, context).await;
        match &renewed {
            Ok((_, _, is_fresh)) => {
                let is_switch = organization_id.is_some();
                AuthKitEvent::SessionRenewed { user, is_fresh: *is_fresh, is_switch }.emit();
            }
            // WorkOS refuses an organization by the same error. The caller knows which one it is.
            Err(RefreshError::Ended) => {}
            Err(RefreshError::Refused { code, .. }) => {
                AuthKitEvent::RenewalRefused { user, code }.emit();
            }
            Err(RefreshError::Unavailable(outage)) => {
                AuthKitEvent::RenewalFailed { user, cause: Cause(outage) }.emit();
            }
        }
        renewed.map(|(session, claims, _)| (session, claims))
    }

    async fn renew_unreported(
        &self,
        session: &Session,
        user_id: &str,
        organization_id: Option<&str>,
        context: &RequestContext,
    ) -> Result<(Arc<Session>, VerifiedClaims, bool), RefreshError> {
        let wait_until = context.wait_until();
        let mut session = Arc::new(session.clone());
        for _ in 0..MAX_SUCCESSORS {
            let Renewed { session: newer, is_fresh } =
                self.session_keepers.renew(&session, organization_id, &context.client()).await?;
            session = newer;
            let reason = match self.verify(session.access_token.expose(), wait_until).await {
                Ok(claims) if claims.claims().sub == user_id => {
                    if organization_id.is_some() && !is_fresh {
                        continue;
                    }
                    return Ok((session, claims, is_fresh));
                }
                // A retry would get the same user, so the user must sign in.
                Ok(_) => {
                    AuthKitEvent::UserChanged { user: self.user_hasher.hash(user_id) }.emit();
                    let code = "another_user".to_owned();
                    return Err(RefreshError::Refused { code, description: None });
                }
                // An earlier request renewed the session long ago. Its successor may be valid.
                Err(VerifyError::Token(TokenError::Expired)) if !is_fresh => continue,
                Err(VerifyError::Unavailable(outage)) => {
                    return Err(RefreshError::Unavailable(outage));
                }
                Err(VerifyError::Token(error)) => {
                    format!("the renewed session's token is refused: {error}")
                }
            };
            return Err(RefreshError::Unavailable(Outage::new(reason)));
        }
        Err(RefreshError::Unavailable(Outage::new("every successor of the session has expired")))
    }
}
