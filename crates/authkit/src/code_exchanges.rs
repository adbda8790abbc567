//! Limits each sign-in to one code exchange. Without the limit, a browser with one sign-in cookie could
//! cause a request to WorkOS for every code that it invents.
//!
//! An isolate remembers each sign-in whose code it exchanges, by the hash of the `state`, until the sign-in
//! expires. A response from WorkOS, with tokens or a refusal, ends the sign-in. While WorkOS is unavailable,
//! the browser may try the same code again, and no other code.
//!
//! Isolates do not share this memory, so another isolate may send the code once more. WorkOS accepts a code
//! once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use sha2::{Digest, Sha256};

use crate::{secret::Secret, sign_in::PendingSignIn};
use edge_host::{HTTP_MAX_MILLIS, hash::HashMap};

/// The most sign-ins that an isolate remembers, in about 2 MB of memory. A full memory forgets its oldest
/// sign-in. An attacker who wants a sign-in forgotten begins and exchanges this many in one isolate within
/// ten minutes, and gains a single exchange.
const MAX_REMEMBERED: usize = 10_000;
/// The time after which an exchange without a result counts as cancelled: the runtime cancels it when its
/// browser disconnects.
const EXCHANGE_MAX_SECS: i64 = 15;
const _: () = assert!(HTTP_MAX_MILLIS as i64 <= EXCHANGE_MAX_SECS * 1000);
/// The most exchanges of one code while WorkOS is unavailable. A user who reloads the page stays below it.
const MAX_TRIES: u8 = 10;

type CodeHash = [u8; 32];

/// The sign-ins whose code this isolate exchanges or has exchanged.
#[derive(Default)]
pub struct CodeExchanges(Mutex<HashMap<String, Attempt>>);

struct Attempt {
    code: CodeHash,
    tries: u8,
    progress: Progress,
    /// Unix time in seconds.
    expires_at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Running {
        since: DateTime<Utc>,
    },
    /// WorkOS was unavailable.
    Unavailable,
    /// WorkOS responded with tokens or a refusal.
    Completed,
}

impl CodeExchanges {
    /// Whether the caller may exchange `code` for this sign-in now. A caller that gets `true` reports the
    /// result by [`end`](Self::end) or [`allow_retry`](Self::allow_retry).
    #[must_use]
    pub fn begin(&self, sign_in: &PendingSignIn, code: &Secret, now: DateTime<Utc>) -> bool {
        let code: CodeHash = Sha256::digest(code.expose()).into();
        let mut attempts = self.attempts();
        if let Some(attempt) = attempts.get_mut(sign_in.id()) {
            let may_retry = match attempt.progress {
                Progress::Running { since } => now - since >= Duration::seconds(EXCHANGE_MAX_SECS),
                Progress::Unavailable => true,
                Progress::Completed => false,
            };
            if !may_retry || attempt.code != code || attempt.tries >= MAX_TRIES {
                return false;
            }
            attempt.tries += 1;
            attempt.progress = Progress::Running { since: now };
            return true;
        }
        make_room(&mut attempts, now);
        let attempt = Attempt {
            code,
            tries: 1,
            progress: Progress::Running { since: now },
            expires_at: sign_in.expires_at(),
        };
        attempts.insert(sign_in.id().to_owned(), attempt);
        true
    }

    /// Records a response from WorkOS, which ends the sign-in.
    pub fn end(&self, sign_in: &PendingSignIn) {
        self.set(sign_in, Progress::Completed);
    }

    /// Records that WorkOS was unavailable, so that the browser may try the same code again.
    pub fn allow_retry(&self, sign_in: &PendingSignIn) {
        self.set(sign_in, Progress::Unavailable);
    }

    fn set(&self, sign_in: &PendingSignIn, progress: Progress) {
        if let Some(attempt) = self.attempts().get_mut(sign_in.id()) {
            attempt.progress = progress;
        }
    }

    /// Ignores poisoning: the code under the lock cannot panic halfway through a change of the map.
    fn attempts(&self) -> MutexGuard<'_, HashMap<String, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(attempts: &mut HashMap<String, Attempt>, now: DateTime<Utc>) {
    if attempts.len() < MAX_REMEMBERED {
        return;
    }
    attempts.retain(|_, attempt| now.timestamp() < attempt.expires_at);
    while attempts.len() >= MAX_REMEMBERED {
        let oldest = attempts.iter().min_by_key(|(_, attempt)| attempt.expires_at);
        let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { return };
        attempts.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        seal::{Purpose, Sealer},
        sign_in::{ReturnTo, SignInState},
    };

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_435_200, 0).unwrap()
    }

    fn sealer() -> Sealer {
        let password = Secret::from("a password of at least 32 characters");
        Sealer::new(Purpose::SignInState, &password, None)
    }

    fn sign_in(sealer: &Sealer, now: DateTime<Utc>) -> PendingSignIn {
        PendingSignIn::begin(&SignInState::new(ReturnTo::default(), false, sealer), now)
    }

    fn code(text: &str) -> Secret {
        Secret::from(text)
    }

    #[test]
    fn completed_sign_in_exchanges_no_further_code() {
        let exchanges = CodeExchanges::default();
        let sign_in = sign_in(&sealer(), noon());
        assert!(exchanges.begin(&sign_in, &code("a"), noon()));
        exchanges.end(&sign_in);
        for text in ["a", "b"] {
            assert!(!exchanges.begin(&sign_in, &code(text), noon()), "{text}");
        }
        assert!(exchanges.begin(&self::sign_in(&sealer(), noon()), &code("a"), noon()));
    }

    #[test]
    fn sign_in_retries_only_the_same_code_after_outage() {
        let exchanges = CodeExchanges::default();
        let sign_in = sign_in(&sealer(), noon());
        for _ in 0..MAX_TRIES {
            assert!(exchanges.begin(&sign_in, &code("a"), noon()));
            exchanges.allow_retry(&sign_in);
            assert!(!exchanges.begin(&sign_in, &code("b"), noon()));
        }
        assert!(!exchanges.begin(&sign_in, &code("a"), noon()));
    }

    #[test]
    fn running_exchange_blocks_another_for_15_seconds() {
        let exchanges = CodeExchanges::default();
        let sign_in = sign_in(&sealer(), noon());
        assert!(exchanges.begin(&sign_in, &code("a"), noon()));
        assert!(!exchanges.begin(&sign_in, &code("a"), noon() + Duration::seconds(14)));
        assert!(exchanges.begin(&sign_in, &code("a"), noon() + Duration::seconds(15)));
    }

    #[test]
    fn full_memory_forgets_expired_sign_ins_then_the_oldest() {
        let (exchanges, sealer) = (CodeExchanges::default(), sealer());
        let first = sign_in(&sealer, noon() - Duration::minutes(20));
        let second = sign_in(&sealer, noon());
        for sign_in in [&first, &second] {
            assert!(exchanges.begin(sign_in, &code("a"), noon()));
            exchanges.end(sign_in);
        }
        let fill = |count| {
            for _ in 0..count {
                let sign_in = sign_in(&sealer, noon() + Duration::seconds(1));
                assert!(exchanges.begin(&sign_in, &code("a"), noon()));
                assert!(exchanges.attempts().len() <= MAX_REMEMBERED);
            }
        };
        fill(MAX_REMEMBERED - 1);
        assert!(
            !exchanges.begin(&second, &code("a"), noon()),
            "the expired sign-in was evicted first"
        );
        fill(1);
        assert!(exchanges.begin(&second, &code("a"), noon()), "the oldest sign-in was evicted");
    }
}
