//! The Admin Portal of WorkOS, where an administrator of an organization sets up single sign-on, a directory, domains
//! and audit logs. <https://workos.com/docs/admin-portal>
//!
//! `WORKOS_PORTAL_PERMISSION` names the role or the permission of those who may open it. Only the token of a session
//! counts: a client that a user let in, or a machine, does not act for the whole organization.

use edge_host::Emit as _;
use thiserror::Error;
use url::Url;

use crate::{
    current_user::CurrentUser, events::AuthKitEvent, outage::Outage, rejection::Rejection,
    workos::WorkosError,
};

/// The hosts of the portal's pages, which its links redirect to.
const PORTAL_ORIGINS: &str = "https://*.workos.com";
/// The end of the names of these hosts.
const PORTAL_DOMAIN: &str = ".workos.com";

/// What an administrator wants to do in the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortalIntent {
    /// Set up single sign-on.
    Sso,
    /// Connect a directory.
    DirectorySync,
    /// Verify a domain.
    DomainVerification,
    /// Read the audit logs.
    AuditLogs,
}

impl PortalIntent {
    /// Every intent.
    pub const ALL: [Self; 4] =
        [Self::Sso, Self::DirectorySync, Self::DomainVerification, Self::AuditLogs];

    /// Its name in WorkOS's API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sso => "sso",
            Self::DirectorySync => "dsync",
            Self::DomainVerification => "domain_verification",
            Self::AuditLogs => "audit_logs",
        }
    }

    /// The intent with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|intent| intent.name() == name)
    }
}

/// Why there is no link to the portal.
#[derive(Debug, Error)]
pub enum PortalError {
    /// The caller may not open the portal.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// WorkOS has no usable response.
    #[error("{0}")]
    Unavailable(Outage),
}

impl CurrentUser {
    /// Whether the caller may open the portal of the organization that the session acts in.
    #[must_use]
    pub fn may_open_portal(&self) -> bool {
        self.portal_organization().is_ok()
    }

    /// The organization whose portal the caller may open.
    fn portal_organization(&self) -> Result<&str, Rejection> {
        self.refuse_api_key()?;
        if !self.is_of_session() {
            let detail = "The Admin Portal needs a session: the token of a client cannot open it";
            return Err(Rejection::forbidden(detail));
        }
        let permission = &self.context().authkit().config.portal_permission;
        if !(self.has_role(permission) || self.has_permission(permission)) {
            return Err(Rejection::forbidden(format!(
                "The Admin Portal needs the role or permission {permission}: ask an administrator of your \
                 organization"
            )));
        }
        self.require_organization()
    }

    /// Rejects a caller who may not open the portal, and reports it.
    ///
    /// # Errors
    ///
    /// [`Rejection::Forbidden`] without the role or permission of `WORKOS_PORTAL_PERMISSION`, without an organization,
    /// or without a session.
    pub fn require_portal(&self) -> Result<&str, Rejection> {
        self.portal_organization().inspect_err(|_| {
            AuthKitEvent::PortalRefused { user: self.pseudonym() }.emit();
        })
    }

    /// A link to the portal of the caller's organization, which is good once and for five minutes. The portal leads
    /// back to `return_path` of this application.
    ///
    /// # Errors
    ///
    /// [`PortalError`].
    pub async fn portal_link(
        &self,
        intent: PortalIntent,
        return_path: &str,
    ) -> Result<Url, PortalError> {
        let organization = self.require_portal()?;
        let context = self.context();
        let return_url = context.origin()?.join(return_path);
        let authkit = context.authkit();
        let link = authkit.client.portal_link(organization, intent.name(), return_url.as_str());
        let link = link
            .await
            .map_err(|error| PortalError::Unavailable(WorkosError::into_outage(error)))?;
        AuthKitEvent::PortalLinkMade { user: self.pseudonym(), intent: intent.name() }.emit();
        Ok(link)
    }

    /// The origins that a page with the portal's form allows in the `form-action` of its Content Security Policy: the
    /// portal's, beside those of [`form_origins`](crate::AuthKit::form_origins).
    #[must_use]
    pub fn portal_form_origins(&self) -> Vec<String> {
        let mut origins = self.context().authkit().form_origins();
        origins.push(PORTAL_ORIGINS.to_owned());
        origins
    }

    /// Whether the policy of such a page allows a redirect to `link`. The portal can have a domain of its own, which
    /// only WorkOS knows: then the browser needs a page with the link.
    #[must_use]
    pub fn may_be_redirected_to(&self, link: &Url) -> bool {
        let is_workos = link.scheme() == "https"
            && link.port().is_none()
            && link.host_str().is_some_and(|host| host.ends_with(PORTAL_DOMAIN));
        is_workos || link.origin() == self.context().authkit().config.base_url.origin()
    }
}
