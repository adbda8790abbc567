//! One exchange per sign-in: a cookie of a sign-in lets its browser have one code exchanged, and not
//! one request to WorkOS for every code that it invents.
//!
//! An isolate remembers the sign-ins that it has exchanged a code for, by the hash of their `state`,
//! until they are too old to be finished. Once WorkOS has answered, with tokens or a refusal, the
//! sign-in is over. While WorkOS could not be reached the same code may be tried again, and no other.
//!
//! Another isolate does not know, and may exchange once more; a code is good for one use at WorkOS.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use sha2::{Digest, Sha256};

use super::{secret::Secret, sign_in::PendingSignIn};
use edge_host::hash::HashMap;

/// Sign-ins that an isolate remembers, in about 2 MB. What passes the bound is forgotten oldest first;
/// to have one forgotten takes as many sign-ins, begun and exchanged within ten minutes in one isolate,
/// as there is room for, and gains a single exchange.
const MAX_REMEMBERED: usize = 10_000;
/// Outgoing requests end after ten seconds: an exchange that has not ended by then never will, because
/// the browser went away and the runtime dropped the request.
const EXCHANGE_MAX_SECS: i64 = 15;
/// How often one code is tried while WorkOS does not answer.
const MAX_TRIES: u8 = 10;

type CodeHash = [u8; 32];

/// The sign-ins that an isolate has exchanged a code for.
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
    /// WorkOS could not be reached, or could not tell.
    Unanswered,
    Answered,
}

impl CodeExchanges {
    /// Whether `code` may be exchanged for this sign-in now. The caller that is told so tells how it
    /// ended, by [`end`](Self::end) or [`put_off`](Self::put_off).
    #[must_use]
    pub fn begin(&self, sign_in: &PendingSignIn, code: &Secret, now: DateTime<Utc>) -> bool {
        let code: CodeHash = Sha256::digest(code.expose()).into();
        let mut attempts = self.attempts();
        if let Some(attempt) = attempts.get_mut(sign_in.id()) {
            let may_go_on = match attempt.progress {
                Progress::Running { since } => now - since >= Duration::seconds(EXCHANGE_MAX_SECS),
                Progress::Unanswered => true,
                Progress::Answered => false,
            };
            if !may_go_on || attempt.code != code || attempt.tries >= MAX_TRIES {
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

    /// WorkOS has answered: the sign-in is over.
    pub fn end(&self, sign_in: &PendingSignIn) {
        self.set(sign_in, Progress::Answered);
    }

    /// WorkOS could not tell: the same code may be tried again.
    pub fn put_off(&self, sign_in: &PendingSignIn) {
        self.set(sign_in, Progress::Unanswered);
    }

    fn set(&self, sign_in: &PendingSignIn, progress: Progress) {
        if let Some(attempt) = self.attempts().get_mut(sign_in.id()) {
            attempt.progress = progress;
        }
    }

    /// A panic cannot leave the map half-written: nothing under the lock runs foreign code.
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
    fn answered_sign_in_exchanges_no_further_code() {
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
    fn unanswered_code_is_tried_again_and_no_other() {
        let exchanges = CodeExchanges::default();
        let sign_in = sign_in(&sealer(), noon());
        for _ in 0..MAX_TRIES {
            assert!(exchanges.begin(&sign_in, &code("a"), noon()));
            exchanges.put_off(&sign_in);
            assert!(!exchanges.begin(&sign_in, &code("b"), noon()));
        }
        assert!(!exchanges.begin(&sign_in, &code("a"), noon()));
    }

    #[test]
    fn running_exchange_admits_no_second_until_it_ends() {
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
        assert!(!exchanges.begin(&second, &code("a"), noon()), "the expired one made room");
        fill(1);
        assert!(exchanges.begin(&second, &code("a"), noon()), "the oldest made room");
    }
}
