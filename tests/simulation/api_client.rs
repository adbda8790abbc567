//! Programs with a bearer token.

use std::sync::{Arc, Mutex};

use edge_host::Clock;
use http::{header, request::Builder};

use super::{
    actions::{self, Caller},
    world::{Reply, World},
};

/// Programs get another token before theirs expires.
const TOKEN_USE_MILLIS: i64 = 100_000;

pub struct ApiClient {
    world: Arc<World>,
    pub name: String,
    user: usize,
    location: usize,
    token: Mutex<(i64, String)>,
}

impl ApiClient {
    pub fn new(world: &Arc<World>, name: &str, user: usize, location: usize) -> Self {
        let token = Mutex::new((i64::MIN, String::new()));
        Self { world: Arc::clone(world), name: name.to_owned(), user, location, token }
    }

    pub async fn run(self, actions: usize) {
        for _ in 0..actions {
            if self.world.is_over() {
                return;
            }
            actions::act(&self).await;
            self.world.pause().await;
        }
    }

    fn token(&self) -> String {
        let now = self.world.simulation.now_millis();
        let mut token = self.token.lock().unwrap();
        if token.0 < now {
            *token = (now + TOKEN_USE_MILLIS, self.world.workos.access_token(self.user));
        }
        token.1.clone()
    }
}

impl Caller for ApiClient {
    fn world(&self) -> &Arc<World> {
        &self.world
    }

    fn user(&self) -> usize {
        self.user
    }

    async fn send(&self, request: Builder, body: String) -> Option<Reply> {
        let bearer = format!("Bearer {}", self.token());
        let request = request.header(header::AUTHORIZATION, bearer).body(body.into()).unwrap();
        let location = self.world.near(self.location);
        let reply = self.world.send(&self.name, self.user, location, request).await?;
        if reply.status == 401 && !self.world.expenses().has_erasure(self.user) {
            self.world.violate(format!("invariant 5: a valid token is refused: {}", reply.body));
        }
        Some(reply)
    }
}

/// Waits for a program to begin.
pub async fn begin_later(world: &World) {
    let millis = world.simulation.within(0..3_000);
    world.simulation.sleep(millis).await;
}
