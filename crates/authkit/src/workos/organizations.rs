//! Organizations: the memberships of a user, and links to the Admin Portal.
//! <https://workos.com/docs/reference/authkit/organization-membership>
//! <https://workos.com/docs/reference/admin-portal/portal-link>

use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::{
    WorkosClient, WorkosError, failure, next_page, page_url, reported, text, undocumented,
};
use crate::origin::is_loopback;

/// The most pages of one user's memberships. A user with more memberships than these pages have gets the first
/// thousand.
const MAX_PAGES: usize = 10;
/// The state of a membership that a user can switch to. Another is `pending` or `inactive`.
const ACTIVE: &str = "active";

/// An organization that a user is an active member of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The organization's id.
    pub organization_id: String,
    /// The organization's name. WorkOS's emulator sends none: then it is the id.
    pub organization_name: String,
    /// The user's role in the organization.
    pub role: Option<String>,
}

impl Membership {
    /// The membership that WorkOS describes, if it is active. WorkOS's emulator ignores the parameter `statuses`.
    ///
    /// # Errors
    ///
    /// [`WorkosError::Unavailable`] for a membership without an organization.
    fn of_active(membership: &Value) -> Result<Option<Self>, WorkosError> {
        let id = text(membership, "organization_id").ok_or_else(undocumented)?;
        if text(membership, "status") != Some(ACTIVE) {
            return Ok(None);
        }
        let name = text(membership, "organization_name").filter(|name| !name.trim().is_empty());
        let role = membership.get("role").and_then(|role| text(role, "slug"));
        Ok(Some(Self {
            organization_id: id.to_owned(),
            organization_name: name.unwrap_or(id).to_owned(),
            role: role.map(str::to_owned),
        }))
    }
}

impl WorkosClient {
    /// The active memberships of a user, in WorkOS's order.
    ///
    /// # Errors
    ///
    /// [`WorkosError::Unavailable`].
    pub async fn organization_memberships(
        &self,
        user_id: &str,
    ) -> Result<Vec<Membership>, WorkosError> {
        let mut memberships = Vec::new();
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let url = page_url(self.memberships_url(user_id), after.as_deref());
            let page = self.send_as_server(Method::GET, &url, String::new()).await;
            let next = page.and_then(|page| add_page(&page, &mut memberships));
            after = reported("memberships", next)?;
            if after.is_none() {
                break;
            }
        }
        Ok(memberships)
    }

    fn memberships_url(&self, user_id: &str) -> Url {
        let mut url = self.endpoint("/user_management/organization_memberships");
        url.query_pairs_mut().append_pair("user_id", user_id).append_pair("statuses", ACTIVE);
        url
    }

    /// A link to the page of the Admin Portal for `intent`. Whoever has the link can use it once within five minutes.
    ///
    /// # Errors
    ///
    /// [`WorkosError::Unavailable`], also for a link that is not https, or http between programs of one machine.
    pub async fn portal_link(
        &self,
        organization_id: &str,
        intent: &str,
        return_url: &str,
    ) -> Result<Url, WorkosError> {
        let url = self.endpoint("/portal/generate_link");
        let body =
            json!({"organization": organization_id, "intent": intent, "return_url": return_url});
        let response = self.send_as_server(Method::POST, &url, edge_host::json::write(&body)).await;
        let link = response.and_then(|response| {
            let is_local = |link: &Url| link.scheme() == "http" && is_loopback(link);
            let base_is_local = is_local(&self.config.base_url);
            let link = text(&response, "link").and_then(|link| Url::parse(link).ok());
            link.filter(|link| link.scheme() == "https" || (base_is_local && is_local(link)))
                .ok_or_else(undocumented)
        });
        reported("portal", link)
    }

    /// The body of a successful response to a request with the API key. Every other response is an outage: no request
    /// of this module asks for something that the user decides.
    async fn send_as_server(
        &self,
        method: Method,
        url: &Url,
        body: String,
    ) -> Result<Value, WorkosError> {
        let response = self.exchange(method, url, body, Some(&self.config.api_key)).await?;
        if !response.status().is_success() {
            return Err(failure(&response));
        }
        serde_json::from_slice(response.body()).map_err(|_| undocumented())
    }
}

/// Adds the active memberships of a page. The result is where the next page begins.
fn add_page(
    page: &Value,
    memberships: &mut Vec<Membership>,
) -> Result<Option<String>, WorkosError> {
    let data = page.get("data").and_then(Value::as_array).ok_or_else(undocumented)?;
    for membership in data {
        memberships.extend(Membership::of_active(membership)?);
    }
    Ok(next_page(page))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fixtures::{API_KEY, BASE_URL, ScriptedHttp, config, json_response, response};

    fn client(http: &Arc<ScriptedHttp>, variables: &[(&str, &str)]) -> WorkosClient {
        WorkosClient::new(Arc::clone(http) as _, Arc::new(config(variables)))
    }

    fn membership(number: usize) -> Value {
        json!({
            "object": "organization_membership", "id": format!("om_{number}"), "user_id": "user_ada",
            "organization_id": format!("org_{number}"), "organization_name": format!("Number {number}"),
            "status": "active", "role": {"slug": "member"}, "directory_managed": false,
        })
    }

    #[tokio::test]
    async fn memberships_are_read_page_by_page() {
        let http = ScriptedHttp::new(|request| {
            let is_first = !request.uri().query().unwrap().contains("after=");
            let (data, after) = if is_first {
                (vec![membership(1)], Some("om 1&x"))
            } else {
                (vec![membership(2)], None)
            };
            Ok(json_response(
                200,
                &json!({"data": data, "list_metadata": {"before": null, "after": after}}),
            ))
        });
        let memberships = client(&http, &[]).organization_memberships("user_&ada").await.unwrap();
        let names: Vec<&str> = memberships.iter().map(|it| &*it.organization_name).collect();
        assert_eq!(names, ["Number 1", "Number 2"]);
        assert_eq!(memberships[0].role.as_deref(), Some("member"));
        let requests = http.requests();
        let path = format!("{BASE_URL}/user_management/organization_memberships");
        let query = "user_id=user_%26ada&statuses=active&limit=100";
        assert_eq!(requests[0].uri(), &*format!("{path}?{query}"));
        assert_eq!(requests[1].uri(), &*format!("{path}?{query}&after=om+1%26x"));
        for request in &*requests {
            assert_eq!(request.headers()["authorization"], &*format!("Bearer {API_KEY}"));
        }
    }

    #[tokio::test]
    async fn endless_pages_end_at_the_bound() {
        let page = json!({"data": [membership(1)], "list_metadata": {"after": "om_1"}});
        let http = ScriptedHttp::new(move |_| Ok(json_response(200, &page)));
        let memberships = client(&http, &[]).organization_memberships("user_ada").await.unwrap();
        assert_eq!((memberships.len(), http.requests().len()), (MAX_PAGES, MAX_PAGES));
    }

    #[tokio::test]
    async fn memberships_may_lack_name_role_and_cursor() {
        let mut pending = membership(2);
        pending["status"] = "pending".into();
        let page = json!({"data": [
            {"organization_id": "org_1", "status": "active"},
            {"organization_id": "org_2", "organization_name": " ", "status": "active", "role": null},
            pending,
        ]});
        let http = ScriptedHttp::new(move |_| Ok(json_response(200, &page)));
        let memberships = client(&http, &[]).organization_memberships("user_ada").await.unwrap();
        let expected = ["org_1", "org_2"].map(|id| Membership {
            organization_id: id.to_owned(),
            organization_name: id.to_owned(),
            role: None,
        });
        assert_eq!(memberships, expected);
    }

    #[tokio::test]
    async fn every_other_response_is_an_outage() {
        for (status, body) in [
            (401, r#"{"message": "Unauthorized"}"#),
            (403, r#"{"error": "sso_required"}"#),
            (404, "{}"),
            (422, r#"{"code": "invalid"}"#),
            (503, "down"),
            (200, "{}"),
            (200, r#"{"data": [{"organization_id": 5}]}"#),
            (200, "[]"),
            (200, ""),
        ] {
            let http = ScriptedHttp::new(move |_| Ok(response(status, body)));
            let client = client(&http, &[]);
            let memberships = client.organization_memberships("user_ada").await;
            assert!(matches!(memberships, Err(WorkosError::Unavailable(_))), "{status} {body}");
            let link = client.portal_link("org_1", "sso", "https://app.test/account").await;
            assert!(matches!(link, Err(WorkosError::Unavailable(_))), "{status} {body}");
        }
    }

    #[tokio::test]
    async fn portal_link_is_requested_with_the_key() {
        let link = "https://setup.workos.com/?token=abc";
        let http = ScriptedHttp::new(move |_| Ok(json_response(201, &json!({"link": link}))));
        let client = client(&http, &[]);
        let found = client.portal_link("org_1", "dsync", "https://app.test/account");
        assert_eq!(found.await.unwrap().as_str(), link);
        let requests = http.requests();
        assert_eq!(requests[0].uri(), &*format!("{BASE_URL}/portal/generate_link"));
        assert_eq!(requests[0].headers()["authorization"], &*format!("Bearer {API_KEY}"));
        let body: Value = serde_json::from_slice(requests[0].body()).unwrap();
        let expected = json!({
            "organization": "org_1", "intent": "dsync", "return_url": "https://app.test/account",
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn portal_link_must_be_https_or_local() {
        let local = [("WORKOS_BASE_URL", "http://localhost:4100")];
        for (link, variables, is_good) in [
            ("https://setup.workos.com?token=a", &[][..], true),
            ("https://portal.example.test/a", &[], true),
            ("http://localhost:4100/portal/sso/org_1", &local, true),
            ("http://localhost:4100/portal/sso/org_1", &[], false),
            ("http://setup.workos.com/?token=a", &local, false),
            ("javascript:alert(1)", &local, false),
            ("data:text/html,x", &[], false),
            ("/portal", &local, false),
            ("//evil.test", &[], false),
            ("", &[], false),
        ] {
            let http = ScriptedHttp::new(move |_| Ok(json_response(200, &json!({"link": link}))));
            let client = client(&http, variables);
            let found = client.portal_link("org_1", "sso", "https://app.test/");
            assert_eq!(found.await.is_ok(), is_good, "{link} {variables:?}");
        }
    }
}
