//! The API keys at the scripted AuthKit.

use std::sync::{Mutex, MutexGuard};

use http::{Method, Uri};
use serde_json::{Value, json};

use super::authkit::TestUser;

/// The variables of a Worker that takes API keys.
pub const VARIABLES: &[(&str, &str)] = &[("WORKOS_API_KEYS", "on")];

#[derive(Default)]
pub struct FakeApiKeys(Mutex<State>);

#[derive(Default)]
struct State {
    /// The values and the keys, the oldest first.
    keys: Vec<(String, Value)>,
    refusal: Option<(u16, Value)>,
    count: usize,
}

impl FakeApiKeys {
    /// A key that this user owns; its value.
    pub fn of_user(&self, user: TestUser, permissions: &[&str]) -> String {
        let owner = json!({"type": "user", "id": user.id, "organization_id": "org_1"});
        self.create(owner, "Laptop", json!(permissions))["value"].as_str().unwrap().to_owned()
    }

    /// A key that this organization owns; its value.
    pub fn of_organization(&self, id: &str, permissions: &[&str]) -> String {
        let owner = json!({"type": "organization", "id": id});
        self.create(owner, "Robot", json!(permissions))["value"].as_str().unwrap().to_owned()
    }

    /// Deletes the key with this value.
    pub fn revoke(&self, value: &str) {
        self.state().keys.retain(|(known, _)| known != value);
    }

    /// The id of the key with this value.
    pub fn id_of(&self, value: &str) -> String {
        let state = self.state();
        let (_, key) = state.keys.iter().find(|(known, _)| known == value).unwrap();
        key["id"].as_str().unwrap().to_owned()
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.state().keys.len()
    }

    /// Makes every request about a user's keys fail with this status and body.
    pub fn refuse(&self, refusal: Option<(u16, Value)>) {
        self.state().refusal = refusal;
    }

    /// The response; `None` for a path that is not about API keys.
    pub fn respond(&self, method: &Method, uri: &Uri, body: &Value) -> Option<(u16, Value)> {
        let path = uri.path();
        if path == "/api_keys/validations" {
            let state = self.state();
            let known = state.keys.iter().find(|(value, _)| body["value"] == value.as_str());
            return Some((200, json!({"api_key": known.map(|(_, key)| key)})));
        }
        let user_id = path.strip_prefix("/user_management/users/");
        let user_id = user_id.and_then(|rest| rest.strip_suffix("/api_keys"));
        let key_id = path.strip_prefix("/api_keys/");
        user_id.or(key_id)?;
        if let Some(refusal) = self.state().refusal.clone() {
            return Some(refusal);
        }
        Some(match (method.as_str(), user_id, key_id) {
            ("GET", Some(user_id), _) => {
                let state = self.state();
                let own: Vec<&Value> = state.keys.iter().rev().map(|(_, key)| key).collect();
                let own: Vec<_> =
                    own.into_iter().filter(|key| key["owner"]["id"] == user_id).collect();
                (200, json!({"data": own, "list_metadata": {"before": null, "after": null}}))
            }
            ("POST", Some(user_id), _) => {
                let organization_id = &body["organization_id"];
                let owner =
                    json!({"type": "user", "id": user_id, "organization_id": organization_id});
                let name = body["name"].as_str().unwrap();
                (201, self.create(owner, name, body["permissions"].clone()))
            }
            ("DELETE", _, Some(id)) => {
                let mut state = self.state();
                let before = state.keys.len();
                state.keys.retain(|(_, key)| key["id"] != id);
                (if state.keys.len() < before { 204 } else { 404 }, Value::Null)
            }
            _ => (404, json!({"code": "not_found"})),
        })
    }

    fn create(&self, owner: Value, name: &str, permissions: Value) -> Value {
        let mut state = self.state();
        state.count += 1;
        let value = format!("sk_live_hunter2hunter2hunter{}", state.count);
        let mut key = json!({
            "object": "api_key", "id": format!("api_key_{}", state.count), "owner": owner, "name": name,
            "obfuscated_value": format!("sk_…ter{}", state.count), "permissions": permissions,
            "created_at": "2026-11-23T12:00:00.000Z", "updated_at": "2026-11-23T12:00:00.000Z",
            "last_used_at": null, "expires_at": null,
        });
        state.keys.push((value.clone(), key.clone()));
        key["value"] = value.into();
        key
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}
