//! Browsers: several tabs with one cookie jar.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use edge_host::Clock;
use futures_util::future::join_all;
use http::{Method, header, request::Builder};
use serde_json::json;
use url::form_urlencoded;

use super::{
    actions::{self, Caller, request},
    expenses::{Kind, amount, category, description},
    sessions::{CookieSession, SESSION_COOKIE, session_cookie},
    world::{Reply, World},
};

/// A tab of a browser.
#[derive(Clone)]
pub struct Tab {
    world: Arc<World>,
    name: String,
    user: usize,
    location: usize,
    jar: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Tab {
    pub fn new(world: &Arc<World>, name: &str, user: usize, location: usize) -> Self {
        let name = name.to_owned();
        Self { world: Arc::clone(world), name, user, location, jar: Arc::default() }
    }

    /// Another tab of the same browser.
    pub fn beside(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    pub async fn run(self, actions: usize) {
        for _ in 0..actions {
            if self.world.is_over() {
                return;
            }
            if self.session().is_none() {
                self.sign_in().await;
            } else {
                self.act().await;
            }
            self.world.pause().await;
        }
    }

    async fn act(&self) {
        match self.world.simulation.within(0..100) {
            0..25 => actions::act(self).await,
            25..50 => self.open_page().await,
            50..62 => self.add_by_form().await,
            62..70 => self.remove_by_form().await,
            70..82 => self.request_together().await,
            82..88 => self.switch_organization().await,
            88..93 => self.show_me().await,
            _ => self.sign_out().await,
        }
    }

    fn session(&self) -> Option<CookieSession> {
        self.jar.lock().unwrap().get(SESSION_COOKIE).and_then(|value| CookieSession::open(value))
    }

    fn page(&self, path: &str) -> Builder {
        request(Method::GET, path)
            .header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
    }

    /// Sends a form of one of the Worker's own pages.
    async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Option<Reply> {
        let request = request(Method::POST, path)
            .header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-mode", "navigate");
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(request, body).await
    }

    async fn sign_in(&self) {
        let Some(login) = self.send(self.page("/login"), String::new()).await else { return };
        if login.status != 302 {
            return;
        }
        // A deleted user cannot sign in.
        if self.world.expenses().has_erasure(self.user) {
            return;
        }
        self.world.simulation.sleep(self.world.simulation.within(0..2_000)).await;
        let callback = self.world.workos.approve(login.header("location"), self.user);
        let Some(callback) = callback else {
            let location = login.header("location").to_owned();
            self.world.violate(format!("invariant 5: /login leads to {location}"));
            return;
        };
        self.send(self.page(&callback), String::new()).await;
    }

    async fn sign_out(&self) {
        let Some(session) = self.session() else { return };
        self.world.sessions().begin_sign_out(&session.id, self.world.tick());
        let Some(reply) = self.submit("/logout", &[]).await else { return };
        let location = reply.header("location").to_owned();
        if reply.status != 303 || !location.contains("/user_management/sessions/logout") {
            return;
        }
        // Another tab may have signed in again meanwhile.
        let Some((_, id)) =
            form_urlencoded::parse(location.split('?').nth(1).unwrap_or_default().as_bytes())
                .find(|(name, _)| name == "session_id")
        else {
            return;
        };
        self.world.sessions().begin_sign_out(&id, reply.span.began);
        self.world.sessions().acknowledge_sign_out(&id, reply.span.ended);
        // Some browsers do not follow the redirect.
        if self.world.simulation.chance(700) {
            self.world.workos.end_session(&id);
        }
    }

    /// Opens a page, and sometimes leaves it before it is there.
    async fn open_page(&self) {
        let Some(reply) = self.send(self.page("/expenses"), String::new()).await else { return };
        if !matches!(reply.status.as_u16(), 200 | 302 | 403 | 429 | 503) {
            self.world.violate(format!("invariant 5: GET /expenses: page {}", reply.status));
        }
    }

    /// Several requests at the same time, as a page's script and images send them.
    async fn request_together(&self) {
        let number = self.world.simulation.within(2..5);
        join_all((0..number).map(|_| actions::list(self))).await;
    }

    async fn show_me(&self) {
        let Some(reply) = self.send(request(Method::GET, "/me"), String::new()).await else {
            return;
        };
        let id = reply.json()["user"]["id"].as_str().unwrap_or_default().to_owned();
        if reply.status == 200 && id != super::workos::user_id(self.user) {
            self.world.violate(format!("invariant 4: {} is {id}", self.name));
        }
    }

    async fn switch_organization(&self) {
        let number = self.world.simulation.within(0..4);
        let organization =
            if number == 3 { "org_closed".to_owned() } else { format!("org_{number}") };
        let request =
            request(Method::POST, "/organization").header(header::CONTENT_TYPE, "application/json");
        let body = json!({"organization_id": organization}).to_string();
        let (sent, workos) = (self.session(), &self.world.workos);
        let is_over = |CookieSession { id, .. }| {
            let known = workos.session(&id).unwrap_or_default();
            known.ended_at.is_some() || workos.has_lost_exchange(&id)
        };
        let Some(reply) = self.send(request, body).await else { return };
        match reply.status.as_u16() {
            200 if reply.json()["organization_id"] == *organization => {}
            403 if organization == "org_closed" => {}
            // WorkOS sends one code for a refused organization and for a session that is over.
            403 if reply.body.contains("invalid_grant") && sent.is_some_and(is_over) => {}
            401 | 429 | 503 => {}
            status => {
                let text =
                    format!("invariant 5: switch to {organization}: {status}: {}", reply.body);
                self.world.violate(text);
            }
        }
    }

    async fn add_by_form(&self) {
        let op = self.world.expenses().begin(self.user, Kind::Add, None, self.world.tick());
        let (description, category) = (description(op, self.user), category(op));
        let fields = [
            ("idempotency_key", format!("form-{op}")),
            ("description", description),
            ("amount", amount(op)),
            ("currency", "USD".to_owned()),
            ("category", category),
            ("date", "2026-11-23".to_owned()),
        ];
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        // An impatient user sends the form again.
        let mut may_have_happened = false;
        for _ in 0..3 {
            match self.submit("/expenses", &fields).await {
                Some(reply) if reply.status == 303 => {
                    let notice = reply.set_cookies().into_iter().find_map(|cookie| {
                        let (_, notice) = cookie.split_once("expenses-notice=added.")?;
                        notice.split(';').next().map(str::to_owned)
                    });
                    let id = notice.unwrap_or_default();
                    let mut expenses = self.world.expenses();
                    let bound = expenses.bind(op, &id);
                    let acknowledged = expenses.acknowledge(op, reply.span);
                    drop(expenses);
                    self.world.check(bound.and(acknowledged));
                    return;
                }
                Some(reply) if actions::is_refusal(&reply) || reply.status == 403 => {}
                Some(reply) if matches!(reply.status.as_u16(), 409 | 503) => {
                    may_have_happened = true
                }
                Some(reply) => {
                    self.world.violate(format!("invariant 5: form: {}", reply.status));
                }
                None => may_have_happened = true,
            }
            self.world.simulation.sleep(self.world.simulation.within(50..2_000)).await;
        }
        if !may_have_happened {
            self.world.expenses().fail(op);
        }
    }

    async fn remove_by_form(&self) {
        let ids = self.world.expenses().ids(self.user);
        let id = self
            .world
            .simulation
            .random(|random| (!ids.is_empty()).then(|| ids[random.usize(..ids.len())].clone()));
        let Some(id) = id else { return };
        let op = self.world.expenses().begin(self.user, Kind::Remove, Some(&id), self.world.tick());
        let path = format!("/expenses/{id}/delete");
        if let Some(reply) = self.submit(&path, &[]).await {
            actions::removed(self, op, &id, &reply);
        }
    }

    fn keep_cookies(&self, reply: &Reply) {
        let mut jar = self.jar.lock().unwrap();
        for header in reply.set_cookies() {
            let Some((name, value)) =
                header.split(';').next().and_then(|pair| pair.split_once('='))
            else {
                continue;
            };
            if header.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Caller for Tab {
    fn world(&self) -> &Arc<World> {
        &self.world
    }

    fn user(&self) -> usize {
        self.user
    }

    async fn send(&self, request: Builder, body: String) -> Option<Reply> {
        let cookies: Vec<String> = {
            let jar = self.jar.lock().unwrap();
            jar.iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        let sent = self.session();
        let mut request = request.header("sec-fetch-site", "same-origin");
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        let request = request.body(body.into()).unwrap();
        let path = request.uri().path().to_owned();
        let location = self.world.near(self.location);
        let reply = self.world.send(&self.name, self.user, location, request).await?;
        if let Some(sent) =
            sent.filter(|_| !matches!(path.as_str(), "/login" | "/callback" | "/logout"))
        {
            let now = self.world.simulation.now_millis();
            let result = self.world.sessions().check(&self.world.workos, now, &sent, &reply);
            self.world.check(result);
        }
        let set = reply.set_cookies().into_iter().filter_map(session_cookie);
        let set: Vec<String> = set
            .map(|value| CookieSession::open(value).map_or_else(|| "none".to_owned(), |set| set.id))
            .collect();
        if !set.is_empty() {
            self.world.simulation.trace(|| format!("{}: cookie of {}", self.name, set.join(", ")));
        }
        self.keep_cookies(&reply);
        Some(reply)
    }
}
