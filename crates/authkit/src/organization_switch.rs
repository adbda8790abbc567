//! Switches the session of a caller to another organization, by a renewal for that organization.

use std::sync::Arc;

use thiserror::Error;

use crate::{
    current_user::CurrentUser, renewal::ENDED_BY_WORKOS, session_keeper::client::RefreshError,
    workos::INVALID_GRANT,
};

/// Why a session was not switched to another organization.
#[derive(Debug, Error)]
pub enum SwitchError {
    /// The request has a bearer token, which belongs to one organization.
    #[error("the caller has no session")]
    NoSession,
    /// WorkOS did not renew the session for the organization.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
}

impl CurrentUser {
    /// Switches to another organization. The response hands the browser the new session.
    ///
    /// # Errors
    ///
    /// [`SwitchError`].
    pub async fn switch_organization(self, organization_id: &str) -> Result<Self, SwitchError> {
        let session = self.session().ok_or(SwitchError::NoSession)?;
        let authkit = self.context().authkit();
        let update = self.context().session_update();
        let user_id = self.id();
        let renew = async |organization_id| {
            authkit.renew(session, user_id, organization_id, self.context()).await
        };
        match renew(Some(organization_id)).await {
            Ok((renewed, claims)) => {
                update.set(Arc::clone(&renewed));
                Ok(Self::with_session(claims, renewed, self.context()))
            }
            // WorkOS sends `invalid_grant` for an ended session and for a refused organization. A renewal
            // without the organization distinguishes them.
            Err(RefreshError::Ended) => {
                let (renewed, _) = renew(None).await.inspect_err(|error| {
                    if *error == RefreshError::Ended {
                        authkit.report_end(ENDED_BY_WORKOS, Some(user_id));
                        update.end();
                    }
                })?;
                update.set(renewed);
                let code = INVALID_GRANT.to_owned();
                Err(RefreshError::Refused { code, description: None }.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}
