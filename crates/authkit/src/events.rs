//! The events of this crate, as [`edge_host::Event`]: [`AuthKitEvent`] has a variant for each decision that is worth
//! counting and for each failure. [`edge_host::set_sink`] says where they go; the Workers host writes them to the
//! console as JSON. No event holds a secret, an e-mail address or the id of a user or a session.

use edge_host::{Cause, UserHash};

edge_host::events! {
    /// What AuthKit reports.
    pub enum AuthKitEvent<'a> {
        /// A user signed in.
        Info SignedIn = "signed_in" {
            /// The user.
            user: UserHash,
        }
        /// A sign-in did not succeed, and the browser got a page that says so.
        Warn SignInRefused = "sign_in_refused" {
            /// `workos`: WorkOS refused the code. `authkit`: AuthKit sent an error instead of a code.
            /// `not_begun_here`: such an error for a sign-in that this browser did not begin. `used_already`: the
            /// sign-in was finished before. `cookie_not_kept`: the browser drops the sign-in's cookie.
            reason: &'a str,
            /// WorkOS's error code, where it refused.
            code: Option<&'a str>,
        }
        /// A sign-in began anew, which costs the user no click.
        Info SignInRestarted = "sign_in_restarted" {
            /// `unknown`: this browser did not begin it, or too long ago. `used_already`: it was finished before.
            /// `invalid_grant`: WorkOS refused the code.
            reason: &'a str,
        }
        /// A session has a new access token.
        Info SessionRenewed = "session_renewed" {
            /// The user.
            user: UserHash,
            /// Whether WorkOS issued it for this request, or while this request waited; else an earlier request renewed
            /// the session.
            is_fresh: bool,
            /// Whether the user switched to another organization.
            is_switch: bool,
        }
        /// WorkOS refused to renew a session, which it keeps: the user has to take another step, such as a second
        /// factor.
        Warn RenewalRefused = "renewal_refused" {
            /// The user.
            user: UserHash,
            /// WorkOS's error code, or `another_user`.
            code: &'a str,
        }
        /// A session was not renewed, because WorkOS or the session's object is unavailable. The user stays signed in,
        /// and the response is 503.
        Error RenewalFailed = "renewal_failed" {
            /// The user.
            user: UserHash,
            /// The outage.
            cause: Cause<'a>,
        }
        /// A session was renewed into another user's: WorkOS or its set-up is at fault. The session was not set.
        Error UserChanged = "user_changed" {
            /// The user of the session.
            user: UserHash,
        }
        /// A session ended.
        Info SessionEnded = "session_ended" {
            /// `sign_out`: its user signed out. `workos`: WorkOS has ended it, or the user signed out elsewhere.
            reason: &'a str,
            /// The user, where known.
            user: Option<UserHash>,
        }
        /// An administrator got a link to WorkOS's Admin Portal.
        Info PortalLinkMade = "portal_link_made" {
            /// The user.
            user: UserHash,
            /// What the link is for: `sso`, `dsync`, `domain_verification` or `audit_logs`.
            intent: &'a str,
        }
        /// A caller asked for a link to the Admin Portal and may not open it: the response is 403.
        Warn PortalRefused = "portal_refused" {
            /// The user.
            user: UserHash,
        }
        /// Credentials were refused: the response is 401, or leads to sign-in.
        Info CredentialsRefused = "credentials_refused" {
            /// `session`: no session in the request's cookies is valid. `not_a_bearer`: the header has no token.
            /// `api_key`: WorkOS does not know the API key, or not any more. Else the fault of the token: `malformed`,
            /// `algorithm`, `critical_header`, `unknown_key`, `signature`, `no_expiry`, `expired`, `not_yet_valid`,
            /// `issuer`, `audience`, `client`, `kind` or `scope`.
            reason: &'a str,
        }
        /// WorkOS accepted an API key. An isolate asks once a minute for each key.
        Info ApiKeyAccepted = "api_key_accepted" {
            /// The user or the organization that owns the key.
            user: UserHash,
            /// `user` or `organization`.
            owner: &'a str,
        }
        /// A user created an API key of their own.
        Info ApiKeyCreated = "api_key_created" {
            /// The user.
            user: UserHash,
        }
        /// A user revoked an API key of their own.
        Info ApiKeyRevoked = "api_key_revoked" {
            /// The user.
            user: UserHash,
        }
        /// WorkOS refused to list, create or delete the API keys of a user: 403 here.
        Warn ApiKeysRefused = "api_keys_refused" {
            /// The user.
            user: UserHash,
            /// WorkOS's error code.
            code: &'a str,
        }
        /// A call was refused by a rate limit: the response is 429.
        Warn RateLimited = "rate_limited" {
            /// The binding of the limit.
            binding: &'a str,
        }
        /// A key set was fetched from its issuer.
        Info KeysFetched = "keys_fetched" {
            /// `session`: the keys of session tokens. `connect`: those of AuthKit Connect.
            issuer: &'a str,
            /// The number of keys that can verify signatures.
            keys: u32,
        }
        /// A key set could not be fetched. Tokens of known keys are still verified.
        Error KeysNotFetched = "keys_not_fetched" {
            /// As in `keys_fetched`.
            issuer: &'a str,
            /// The error.
            cause: Cause<'a>,
        }
        /// The key set in KV could not be read, so it was fetched from its issuer.
        Warn KeysNotRead = "keys_not_read" {
            /// As in `keys_fetched`.
            issuer: &'a str,
            /// KV's error.
            cause: Cause<'a>,
        }
        /// A fetched key set could not be stored in KV, so other isolates fetch it too.
        Warn KeysNotStored = "keys_not_stored" {
            /// As in `keys_fetched`.
            issuer: &'a str,
            /// KV's error.
            cause: Cause<'a>,
        }
        /// A request to WorkOS has no usable response.
        Error WorkosFailed = "workos_failed" {
            /// `authenticate`: the exchange of a code or a refresh token. `revoke`: the end of a session. `document`: a
            /// key set or metadata. `memberships`: the organizations of a user. `portal`: a link to the Admin Portal.
            /// `validate_api_key`: the check of an API key. `api_keys`: the list of a user's keys, a new key, or the
            /// end of one.
            operation: &'a str,
            /// The reason: no connection, a timeout, a status, or a response that does not match WorkOS's
            /// documentation.
            cause: Cause<'a>,
        }
        /// It is unknown whether a session has a successor or an end, because its object has no response. The browser
        /// gets the session that this request has.
        Warn SessionUnknown = "session_unknown" {
            /// The outage.
            cause: Cause<'a>,
        }
        /// A sign-out could not be recorded in the session's object, so WorkOS was asked to end the session at once.
        Warn SignOutNotRecorded = "sign_out_not_recorded" {
            /// The outage.
            cause: Cause<'a>,
        }
        /// A session that a sign-in has replaced could not be marked as replaced: the response to an earlier request
        /// may restore it.
        Warn ReplacementNotRecorded = "replacement_not_recorded" {
            /// The outage.
            cause: Cause<'a>,
        }
        /// A session is not revoked at WorkOS yet. The session's object tries again.
        Warn RevocationDeferred = "revocation_deferred" {
            /// The error.
            cause: Cause<'a>,
        }
        /// A renewed session does not fit into cookies, so the old one stays.
        Error SessionNotSet = "session_not_set" {
            /// The error.
            cause: Cause<'a>,
        }
        /// A response is an error with a cause that its client is not told.
        Error RequestFailed = "request_failed" {
            /// The method, as in `request`.
            method: &'a str,
            /// The route, as in `request`.
            route: Option<&'a str>,
            /// The status.
            status: u32,
            /// The cause.
            cause: Cause<'a>,
        }
        /// A webhook was refused.
        Warn WebhookRefused = "webhook_refused" {
            /// `no_signature`, `mismatch` (another secret, or a forgery), `stale` or `not_an_event`.
            reason: &'a str,
        }
    }
}
