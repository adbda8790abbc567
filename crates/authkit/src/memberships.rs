//! The organizations of a user, which an isolate keeps for a minute: a user who opens the account's page again, or
//! switches there and back, causes one request to WorkOS.
//!
//! A request that finds nothing asks WorkOS itself, because requests share no I/O: two at once cause two requests.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Duration, Utc};
use edge_host::Clock;

use crate::workos::{WorkosClient, WorkosError, organizations::Membership};

/// How long an isolate keeps the memberships of a user.
const KEPT_SECS: i64 = 60;
/// The most memberships that an isolate keeps, with one more for each user: about a megabyte. The oldest leave first.
/// Each user has one entry, so that no user evicts others by many requests.
const MAX_KEPT: usize = 4_000;

/// The memberships of an application's users.
pub(crate) struct Memberships {
    client: WorkosClient,
    clock: Arc<dyn Clock>,
    known: KnownMemberships,
}

/// The memberships that an isolate has fetched.
#[derive(Default)]
struct KnownMemberships(Mutex<VecDeque<Known>>);

struct Known {
    user_id: Box<str>,
    memberships: Arc<[Membership]>,
    fetched_at: DateTime<Utc>,
}

impl Memberships {
    pub(crate) fn new(client: WorkosClient, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock, known: KnownMemberships::default() }
    }

    /// The active memberships of a user, at most a minute old.
    ///
    /// # Errors
    ///
    /// [`WorkosError::Unavailable`].
    pub(crate) async fn of(&self, user_id: &str) -> Result<Arc<[Membership]>, WorkosError> {
        if let Some(known) = self.known.get(user_id, self.clock.now()) {
            return Ok(known);
        }
        let memberships = self.client.organization_memberships(user_id).await?;
        let memberships: Arc<[Membership]> = memberships.into();
        self.known.insert(user_id, &memberships, self.clock.now());
        Ok(memberships)
    }
}

impl KnownMemberships {
    fn get(&self, user_id: &str, now: DateTime<Utc>) -> Option<Arc<[Membership]>> {
        let known = self.known();
        let found = known.iter().find(|known| *known.user_id == *user_id)?;
        let is_fresh = now - found.fetched_at < Duration::seconds(KEPT_SECS);
        is_fresh.then(|| Arc::clone(&found.memberships))
    }

    fn insert(&self, user_id: &str, memberships: &Arc<[Membership]>, fetched_at: DateTime<Utc>) {
        let mut known = self.known();
        known.retain(|known| *known.user_id != *user_id);
        let memberships = Arc::clone(memberships);
        known.push_back(Known { user_id: user_id.into(), memberships, fetched_at });
        let weight = |known: &Known| known.memberships.len() + 1;
        let mut sum: usize = known.iter().map(weight).sum();
        while sum > MAX_KEPT {
            let Some(oldest) = known.pop_front() else { break };
            sum -= weight(&oldest);
        }
    }

    /// Ignores poisoning: the code under the lock cannot panic halfway through a change.
    fn known(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::noon;

    fn memberships(count: usize) -> Arc<[Membership]> {
        let membership = Membership {
            organization_id: "org_1".to_owned(),
            organization_name: "One".to_owned(),
            role: None,
        };
        vec![membership; count].into()
    }

    #[test]
    fn memberships_are_kept_for_a_minute() {
        let known = KnownMemberships::default();
        known.insert("user_ada", &memberships(2), noon());
        let after = |secs| known.get("user_ada", noon() + Duration::seconds(secs));
        assert_eq!(after(0).unwrap().len(), 2);
        assert!(after(59).is_some() && after(60).is_none());
        assert!(known.get("user_grace", noon()).is_none());
        known.insert("user_ada", &memberships(1), noon() + Duration::seconds(60));
        assert_eq!(after(61).unwrap().len(), 1);
        assert_eq!(known.known().len(), 1);
    }

    #[test]
    fn oldest_memberships_leave_first() {
        let known = KnownMemberships::default();
        for user in 0..5 {
            known.insert(&format!("user_{user}"), &memberships(999), noon());
        }
        assert!(known.get("user_0", noon()).is_none());
        assert!((1..5).all(|user| known.get(&format!("user_{user}"), noon()).is_some()));
        // Longer than everything that is kept.
        known.insert("user_5", &memberships(MAX_KEPT), noon());
        assert!(known.known().is_empty());
    }
}
