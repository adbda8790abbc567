//! The API keys of a signed-in user: [`CurrentUser::own_api_keys`] lists, creates and revokes them at WorkOS.
//!
//! Only a session manages keys. An API key cannot create another one, or its theft would outlive its revocation; a
//! client of AuthKit Connect was granted scopes, and no new credentials.

use edge_host::Emit as _;
use thiserror::Error;

use crate::{
    api_keys::ApiKeys,
    current_user::CurrentUser,
    events::AuthKitEvent,
    rejection::Rejection,
    secret::Secret,
    workos::{WorkosClient, WorkosError, api_keys::ApiKey},
};

edge_host::opaque_debug!(OwnApiKeys<'a>);

/// The API keys of one user.
pub struct OwnApiKeys<'a> {
    user: &'a CurrentUser,
    checked: &'a ApiKeys,
}

/// Why a user's API keys were not listed, or not changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OwnApiKeysError {
    /// The user has no such key. It may be another user's: whether it exists is not told.
    #[error("the user has no such API key")]
    Absent,
    /// WorkOS does not allow it, or gave no usable response.
    #[error(transparent)]
    Workos(#[from] WorkosError),
}

impl CurrentUser {
    /// The caller's own API keys; `None` without `WORKOS_API_KEYS=on`.
    ///
    /// # Errors
    ///
    /// [`Rejection::Forbidden`] for a caller without a session: an API key, a client of AuthKit Connect, a machine.
    pub fn own_api_keys(&self) -> Result<Option<OwnApiKeys<'_>>, Rejection> {
        let Some(checked) = &self.authkit().api_keys else { return Ok(None) };
        if !self.is_of_session() {
            return Err(Rejection::forbidden(
                "API keys are managed by a signed-in user only: sign in at /login",
            ));
        }
        Ok(Some(OwnApiKeys { user: self, checked }))
    }
}

impl OwnApiKeys<'_> {
    /// The keys, the newest first.
    ///
    /// # Errors
    ///
    /// [`OwnApiKeysError::Workos`].
    pub async fn list(&self) -> Result<Vec<ApiKey>, OwnApiKeysError> {
        let listed = self.client().user_api_keys(self.user.id()).await;
        listed.map_err(|error| self.report(error))
    }

    /// Creates a key in an organization of the user: the key and its value, which WorkOS tells only once.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn create(
        &self,
        organization_id: &str,
        name: &str,
        permissions: &[&str],
    ) -> Result<(ApiKey, Secret), OwnApiKeysError> {
        let id = self.user.id();
        let created =
            self.client().create_user_api_key(id, organization_id, name, permissions).await;
        let created = created.map_err(|error| self.report(error))?;
        AuthKitEvent::ApiKeyCreated { user: self.user.pseudonym() }.emit();
        Ok(created)
    }

    /// Revokes a key. This isolate refuses it from now on, others within a minute.
    ///
    /// # Errors
    ///
    /// [`OwnApiKeysError::Absent`] if the key is not the user's; else as [`list`](Self::list).
    pub async fn revoke(&self, id: &str) -> Result<(), OwnApiKeysError> {
        // WorkOS deletes any key of the environment, so the owner is checked here.
        if !self.list().await?.iter().any(|key| key.id == id) {
            return Err(OwnApiKeysError::Absent);
        }
        self.client().delete_api_key(id).await.map_err(|error| self.report(error))?;
        self.checked.forget(id);
        AuthKitEvent::ApiKeyRevoked { user: self.user.pseudonym() }.emit();
        Ok(())
    }

    fn client(&self) -> &WorkosClient {
        &self.user.authkit().client
    }

    fn report(&self, error: WorkosError) -> OwnApiKeysError {
        if let WorkosError::Refused { code, .. } = &error {
            AuthKitEvent::ApiKeysRefused { user: self.user.pseudonym(), code }.emit();
        }
        error.into()
    }
}
