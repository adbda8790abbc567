//! The API keys that WorkOS keeps for an application's customers: checks a key, and lists, creates and deletes the
//! keys of a user. <https://workos.com/docs/reference/authkit/api-keys>

use http::{Method, StatusCode};
use serde_json::{Value, json};
use url::Url;

use super::{
    WorkosClient, WorkosError, failure, is_code, next_page, one_line, page_url, reported, text,
    undocumented,
};
use crate::secret::Secret;

/// The most pages that are read of one user's keys. Nobody keeps an overview of more than 500.
const MAX_PAGES: usize = 5;
/// The prefixes of WorkOS's ids, which tell users and organizations apart.
const USER_ID_PREFIX: &str = "user_";
pub(crate) const ORGANIZATION_ID_PREFIX: &str = "org_";

/// The operations, as [`AuthKitEvent::WorkosFailed`](crate::AuthKitEvent) names them.
const VALIDATE: &str = "validate_api_key";
const MANAGE: &str = "api_keys";

/// An API key, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiKey {
    /// `api_key_…`.
    pub id: String,
    /// The owner.
    pub owner: ApiKeyOwner,
    /// The name that the owner has given it.
    pub name: String,
    /// The value with most characters left out.
    pub obfuscated_value: String,
    /// The permissions of the key.
    pub permissions: Vec<String>,
    /// When it was created, RFC 3339.
    pub created_at: String,
    /// When it was last used, RFC 3339; `None` before.
    pub last_used_at: Option<String>,
    /// When it expires, RFC 3339; `None` for a key that does not.
    pub expires_at: Option<String>,
}

/// The owner of an API key. The ids of users and of organizations have different prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiKeyOwner {
    /// A user.
    User {
        /// `user_…`.
        id: String,
        /// The organization that the user created the key in.
        organization_id: Option<String>,
    },
    /// An organization.
    Organization {
        /// `org_…`.
        id: String,
    },
}

impl ApiKeyOwner {
    /// The id of the user or of the organization.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::User { id, .. } | Self::Organization { id } => id,
        }
    }

    /// The organization that the key belongs to.
    #[must_use]
    pub fn organization_id(&self) -> Option<&str> {
        match self {
            Self::User { organization_id, .. } => organization_id.as_deref(),
            Self::Organization { id } => Some(id),
        }
    }

    /// `None` for an owner whose id does not fit its type.
    fn of(owner: &Value) -> Option<Self> {
        let id = text(owner, "id")?.to_owned();
        match text(owner, "type")? {
            "user" if id.starts_with(USER_ID_PREFIX) => {
                let organization_id = text(owner, "organization_id").map(str::to_owned);
                Some(Self::User { id, organization_id })
            }
            "organization" if id.starts_with(ORGANIZATION_ID_PREFIX) => {
                Some(Self::Organization { id })
            }
            _ => None,
        }
    }
}

impl ApiKey {
    /// The key that `object` describes.
    fn of(object: &Value) -> Option<Self> {
        let text = |name| text(object, name).map(str::to_owned);
        let permissions = object.get("permissions")?.as_array()?.iter();
        Some(Self {
            id: text("id")?,
            owner: ApiKeyOwner::of(object.get("owner")?)?,
            name: text("name").unwrap_or_default(),
            obfuscated_value: text("obfuscated_value").unwrap_or_default(),
            permissions: permissions.filter_map(|it| it.as_str().map(str::to_owned)).collect(),
            created_at: text("created_at").unwrap_or_default(),
            last_used_at: text("last_used_at"),
            expires_at: text("expires_at"),
        })
    }
}

impl WorkosClient {
    /// The API key with this value; `None` if WorkOS does not know it, or not any more.
    ///
    /// # Errors
    ///
    /// [`WorkosError::Unavailable`].
    pub async fn validate_api_key(&self, value: &str) -> Result<Option<ApiKey>, WorkosError> {
        let body = edge_host::json::write(&json!({ "value": value }));
        let url = self.endpoint("/api_keys/validations");
        let response = self.ask(Method::POST, &url, body).await;
        let key = response.and_then(|response| match response {
            (StatusCode::OK, body) => match body.get("api_key") {
                Some(Value::Null) => Ok(None),
                Some(key) => ApiKey::of(key).ok_or_else(undocumented).map(Some),
                None => Err(undocumented()),
            },
            // The request has no other member that could be at fault.
            (StatusCode::UNPROCESSABLE_ENTITY, _) => Ok(None),
            (status, _) => Err(WorkosError::unavailable(format!("status {}", status.as_u16()))),
        });
        reported(VALIDATE, key)
    }

    /// The API keys of a user, the newest first.
    ///
    /// # Errors
    ///
    /// [`WorkosError::Refused`] if WorkOS keeps no keys for this user; [`WorkosError::Unavailable`].
    pub async fn user_api_keys(&self, user_id: &str) -> Result<Vec<ApiKey>, WorkosError> {
        let mut keys = Vec::new();
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let url = page_url(self.user_url(user_id)?, after.as_deref());
            let page = self.manage(Method::GET, &url, String::new()).await;
            let next = page.and_then(|page| add_page(&page, user_id, &mut keys));
            after = reported(MANAGE, next)?;
            if after.is_none() {
                break;
            }
        }
        Ok(keys)
    }

    /// Creates an API key of a user in an organization: the key and its value, which WorkOS tells only once.
    ///
    /// # Errors
    ///
    /// [`WorkosError::Refused`] where WorkOS does not allow it; [`WorkosError::Unavailable`].
    pub async fn create_user_api_key(
        &self,
        user_id: &str,
        organization_id: &str,
        name: &str,
        permissions: &[&str],
    ) -> Result<(ApiKey, Secret), WorkosError> {
        let body = json!({
            "name": name, "organization_id": organization_id, "permissions": permissions,
        });
        let url = self.user_url(user_id)?;
        let created = self.manage(Method::POST, &url, edge_host::json::write(&body)).await;
        let key = created.and_then(|created| {
            let key = ApiKey::of(&created).zip(text(&created, "value"));
            key.map(|(key, value)| (key, value.into())).ok_or_else(undocumented)
        });
        reported(MANAGE, key)
    }

    /// Deletes an API key. A key that is deleted already is no error.
    ///
    /// # Errors
    ///
    /// As [`create_user_api_key`](Self::create_user_api_key).
    pub async fn delete_api_key(&self, id: &str) -> Result<(), WorkosError> {
        let url = self.endpoint(&format!("/api_keys/{}", segment(id)?));
        match self.manage(Method::DELETE, &url, String::new()).await {
            Err(WorkosError::Refused { code, .. }) if code == NOT_FOUND => Ok(()),
            other => reported(MANAGE, other.map(drop)),
        }
    }

    fn user_url(&self, user_id: &str) -> Result<Url, WorkosError> {
        Ok(self.endpoint(&format!("/user_management/users/{}/api_keys", segment(user_id)?)))
    }

    /// Sends a request about the keys of a user.
    async fn manage(&self, method: Method, url: &Url, body: String) -> Result<Value, WorkosError> {
        let (status, body) = self.ask(method, url, body).await?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
    }

    /// Sends a request about keys: the status and the JSON of a response that succeeds or refuses. 401 is about the
    /// application's own key, and 429 and 5xx are outages.
    async fn ask(
        &self,
        method: Method,
        url: &Url,
        body: String,
    ) -> Result<(StatusCode, Value), WorkosError> {
        let response = self.exchange(method, url, body, Some(&self.config.api_key)).await?;
        match response.status() {
            // No content, or a refusal of a proxy.
            status if status.is_success() && response.body().is_empty() => {
                Ok((status, Value::Null))
            }
            status if status.is_success() => {
                let body = serde_json::from_slice(response.body()).map_err(|_| undocumented())?;
                Ok((status, body))
            }
            status @ (StatusCode::BAD_REQUEST
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::UNPROCESSABLE_ENTITY) => {
                Ok((status, serde_json::from_slice(response.body()).unwrap_or_default()))
            }
            _ => Err(failure(&response)),
        }
    }
}

/// Adds the user's keys of a page. The result is where the next page begins.
fn add_page(
    page: &Value,
    user_id: &str,
    keys: &mut Vec<ApiKey>,
) -> Result<Option<String>, WorkosError> {
    let listed = page.get("data").and_then(Value::as_array).ok_or_else(undocumented)?;
    let is_own = |key: &ApiKey| matches!(&key.owner, ApiKeyOwner::User { id, .. } if id == user_id);
    keys.extend(listed.iter().filter_map(ApiKey::of).filter(is_own));
    Ok(next_page(page))
}

/// The code of an unknown user or key.
const NOT_FOUND: &str = "not_found";

/// The error for a response that refuses a request about a user's keys.
fn refusal(status: StatusCode, body: &Value) -> WorkosError {
    // 404 has one code, so that the caller can tell it from the others.
    let code = match status {
        StatusCode::NOT_FOUND => NOT_FOUND,
        _ => text(body, "code").filter(|code| is_code(code)).unwrap_or("refused"),
    };
    let description = text(body, "message").map(one_line);
    WorkosError::Refused { code: code.to_owned(), description }
}

/// An id as a part of a path. WorkOS's ids have letters, digits and underscores.
fn segment(id: &str) -> Result<&str, WorkosError> {
    let is_plain = !id.is_empty()
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let unknown = || WorkosError::Refused { code: NOT_FOUND.to_owned(), description: None };
    is_plain.then_some(id).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{API_KEY, BASE_URL, ScriptedHttp, config, json_response};
    use crate::outage::Outage;
    use edge_host::memory::{record_events, take_events};
    use std::sync::Arc;

    const VALUE: &str = "sk_live_hunter2hunter2";

    fn key(owner: Value) -> Value {
        json!({
            "object": "api_key", "id": "api_key_1", "owner": owner, "name": "Laptop",
            "obfuscated_value": "sk_…ter2", "last_used_at": null, "expires_at": null,
            "permissions": ["expenses:read", 5], "created_at": "2026-11-23T12:00:00.000Z",
            "updated_at": "2026-11-23T12:00:00.000Z",
        })
    }

    fn of_ada() -> Value {
        key(json!({"type": "user", "id": "user_ada", "organization_id": "org_1"}))
    }

    /// A client whose requests get these responses in turn, the last one again and again.
    fn client(responses: &[(u16, Value)]) -> (WorkosClient, Arc<ScriptedHttp>) {
        let mut responses = responses.to_vec();
        let http = ScriptedHttp::new(move |_| {
            let (status, body) =
                if responses.len() > 1 { responses.remove(0) } else { responses[0].clone() };
            Ok(json_response(status, &body))
        });
        (WorkosClient::new(Arc::clone(&http) as _, Arc::new(config(&[]))), http)
    }

    async fn validate(status: u16, body: Value) -> Result<Option<ApiKey>, WorkosError> {
        client(&[(status, body)]).0.validate_api_key(VALUE).await
    }

    #[tokio::test]
    async fn validation_sends_the_value_with_the_servers_key() {
        let (client, http) = client(&[(200, json!({"api_key": of_ada()}))]);
        let key = client.validate_api_key(VALUE).await.unwrap().unwrap();
        assert_eq!((key.owner.id(), key.owner.organization_id()), ("user_ada", Some("org_1")));
        assert_eq!(key.permissions, ["expenses:read"]);
        let requests = http.requests();
        assert_eq!(requests[0].method(), Method::POST);
        assert_eq!(requests[0].uri(), &*format!("{BASE_URL}/api_keys/validations"));
        assert_eq!(requests[0].headers()["authorization"], format!("Bearer {API_KEY}"));
        assert_eq!(requests[0].body(), &*json!({"value": VALUE}).to_string());
    }

    #[tokio::test]
    async fn unknown_key_is_refused_and_an_outage_is_none() {
        assert_eq!(validate(200, json!({"api_key": null})).await, Ok(None));
        assert_eq!(validate(422, json!({"message": "value", "code": "x"})).await, Ok(None));
        for (status, body) in [
            (200, json!({})),
            (200, json!({"api_key": {"id": "api_key_1"}})),
            (200, json!("x")),
            (400, json!({"code": "invalid_request_body"})),
            (401, json!({"code": "unauthorized"})),
            (404, json!({"code": "not_found"})),
            (429, json!({})),
            (500, json!({})),
        ] {
            let result = validate(status, body.clone()).await;
            assert!(matches!(result, Err(WorkosError::Unavailable(_))), "{status} {body}");
        }
    }

    #[tokio::test]
    async fn owner_must_have_the_prefix_of_its_type() {
        for (owner, is_known) in [
            (json!({"type": "organization", "id": "org_1"}), true),
            (json!({"type": "user", "id": "user_ada"}), true),
            (json!({"type": "user", "id": "org_1"}), false),
            (json!({"type": "organization", "id": "user_ada"}), false),
            (json!({"type": "machine", "id": "org_1"}), false),
            (json!({"id": "org_1"}), false),
        ] {
            let result = validate(200, json!({"api_key": key(owner.clone())})).await;
            assert_eq!(result.is_ok(), is_known, "{owner}");
        }
    }

    #[tokio::test]
    async fn list_follows_pages_and_leaves_out_keys_of_others() {
        let others = key(json!({"type": "user", "id": "user_grace", "organization_id": "org_1"}));
        let page = |keys: Value, after: Value| {
            (200, json!({"data": keys, "list_metadata": {"before": null, "after": after}}))
        };
        let (client, http) = client(&[
            page(json!([of_ada(), others]), json!("api_key_1")),
            page(json!([of_ada()]), Value::Null),
        ]);
        assert_eq!(client.user_api_keys("user_ada").await.unwrap().len(), 2);
        let asked: Vec<String> = http.requests().iter().map(|it| it.uri().to_string()).collect();
        let path = format!("{BASE_URL}/user_management/users/user_ada/api_keys?limit=100");
        assert_eq!(asked, [path.clone(), format!("{path}&after=api_key_1")]);
    }

    #[tokio::test]
    async fn endless_list_ends_after_five_pages() {
        let page = json!({"data": [of_ada()], "list_metadata": {"after": "api_key_1"}});
        let (client, http) = client(&[(200, page)]);
        assert_eq!(client.user_api_keys("user_ada").await.unwrap().len(), MAX_PAGES);
        assert_eq!(http.requests().len(), MAX_PAGES);
    }

    #[tokio::test]
    async fn created_key_has_a_value_that_debug_hides() {
        let mut created = of_ada();
        created["value"] = VALUE.into();
        let (client, http) = client(&[(201, created)]);
        let made = client
            .create_user_api_key("user_ada", "org_1", "Laptop", &["expenses:read"])
            .await
            .unwrap();
        assert_eq!(made.1.expose(), VALUE);
        assert!(!format!("{made:?}").contains("hunter2"));
        let body =
            json!({"name": "Laptop", "organization_id": "org_1", "permissions": ["expenses:read"]});
        assert_eq!(http.requests()[0].body(), &*body.to_string());
    }

    #[tokio::test]
    async fn refusal_has_workos_code_and_message() {
        let body = json!({"code": "permission_not_enabled", "message": "Not\nallowed"});
        for (status, code) in [(403, "permission_not_enabled"), (422, "permission_not_enabled")] {
            let (client, _) = client(&[(status, body.clone())]);
            let error =
                client.create_user_api_key("user_ada", "org_1", "x", &[]).await.unwrap_err();
            let description = Some("Not allowed".to_owned());
            assert_eq!(error, WorkosError::Refused { code: code.to_owned(), description });
        }
        let (client, _) = client(&[(404, json!("nothing"))]);
        let refused = WorkosError::Refused { code: NOT_FOUND.to_owned(), description: None };
        assert_eq!(client.user_api_keys("user_ada").await, Err(refused));
    }

    #[tokio::test]
    async fn wrong_server_key_is_an_outage_for_the_user() {
        let (client, _) = client(&[(401, json!({"code": "unauthorized"}))]);
        let unavailable = Outage { reason: "status 401".to_owned(), retry_after_secs: 5 };
        let expected = Err(WorkosError::Unavailable(unavailable));
        assert_eq!(client.user_api_keys("user_ada").await, expected);
    }

    #[tokio::test]
    async fn unusable_responses_are_reported() {
        for (status, body) in [
            (200, json!({})),
            (200, json!({"data": "none", "api_key": {}})),
            (401, json!({"code": "unauthorized"})),
            (500, json!({})),
        ] {
            let (client, _) = client(&[(status, body.clone())]);
            record_events();
            client.validate_api_key(VALUE).await.unwrap_err();
            client.user_api_keys("user_ada").await.unwrap_err();
            client.create_user_api_key("user_ada", "org_1", "Laptop", &[]).await.unwrap_err();
            let events: Vec<Value> =
                take_events().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            let found: Vec<_> = events.iter().map(|it| (&it["event"], &it["operation"])).collect();
            let failed = json!("workos_failed");
            let operations = [VALIDATE, MANAGE, MANAGE].map(Value::from);
            let expected: Vec<_> =
                operations.iter().map(|operation| (&failed, operation)).collect();
            assert_eq!(found, expected, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn deleted_key_may_be_deleted_again() {
        for status in [200, 204, 404] {
            let (client, http) = client(&[(status, json!({}))]);
            assert_eq!(client.delete_api_key("api_key_1").await, Ok(()), "{status}");
            let requests = http.requests();
            assert_eq!(requests[0].method(), Method::DELETE);
            assert_eq!(requests[0].uri(), &*format!("{BASE_URL}/api_keys/api_key_1"));
        }
    }

    #[tokio::test]
    async fn id_with_other_characters_reaches_no_path() {
        let (client, http) = client(&[(200, json!({}))]);
        for id in ["", "..", "a/b", "a?b", "a%2f", "ä"] {
            assert!(client.user_api_keys(id).await.is_err(), "{id}");
            let _ = client.delete_api_key(id).await;
        }
        assert!(http.requests().is_empty());
    }
}
