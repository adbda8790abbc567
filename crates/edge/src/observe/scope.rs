//! The scope of a request while it runs: its id, its user, and its waits for services.
//!
//! The scope of the request whose task is polled stands in a variable of the thread, so that code anywhere below the
//! request's handler finds it. [`Scoped`] puts it there for each poll and takes it out again.

use std::{
    cell::RefCell,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use chrono::{DateTime, Utc};
use http::HeaderValue;

use super::event::UserHash;
use crate::Clock;

opaque_debug!(Scoped<F>, Wait);

/// The most services of one request. The waits for others are not counted.
const SERVICES_MAX: usize = 4;

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// A request's calls of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The service, as [`Wait::begin`] was told.
    pub service: &'static str,
    /// How many calls have begun.
    pub operations: u32,
    /// The sum of the times of those that have ended. Calls at the same time count each, so that it may exceed the
    /// request's time.
    pub millis: u32,
}

/// The scope of a request.
#[derive(Debug, Default)]
pub struct Scope {
    request_id: Option<HeaderValue>,
    user: Option<UserHash>,
    tallies: [Option<Tally>; SERVICES_MAX],
}

impl Scope {
    /// The scope of the request with this id, which all of its events carry.
    #[must_use]
    pub fn new(request_id: Option<HeaderValue>) -> Self {
        Self { request_id, ..Self::default() }
    }

    /// The request's id.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_ref().and_then(|id| id.to_str().ok())
    }

    /// The user whose token was verified last.
    #[must_use]
    pub fn user(&self) -> Option<UserHash> {
        self.user
    }

    /// The calls of a service; of no call at all if there were none.
    #[must_use]
    pub fn tally(&self, service: &'static str) -> Tally {
        let known = self.tallies.iter().flatten().find(|tally| tally.service == service);
        known.copied().unwrap_or(Tally { service, operations: 0, millis: 0 })
    }

    /// The calls of all services.
    pub fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.tallies.iter().flatten()
    }

    /// A scope for work of the same request that goes on after its response, without the calls so far.
    #[must_use]
    pub fn continued(&self) -> Self {
        Self { request_id: self.request_id.clone(), user: self.user, ..Self::default() }
    }

    /// Runs `work` in this scope.
    pub fn run<T>(&mut self, work: impl FnOnce() -> T) -> T {
        // Nothing holds a borrow of the thread's scope across a call of other code.
        let outer = CURRENT.replace(Some(mem::take(self)));
        let result = work();
        *self = CURRENT.replace(outer).unwrap_or_default();
        result
    }

    fn tally_mut(&mut self, service: &'static str) -> Option<&mut Tally> {
        let mut slots = self.tallies.iter_mut();
        let slot = slots.find(|slot| slot.is_none_or(|tally| tally.service == service))?;
        Some(slot.get_or_insert(Tally { service, operations: 0, millis: 0 }))
    }
}

/// A future that runs in a scope.
pub struct Scoped<F> {
    scope: Scope,
    future: F,
}

impl<F> Scoped<F> {
    /// Runs `future` in `scope`.
    pub fn new(scope: Scope, future: F) -> Self {
        Self { scope, future }
    }
}

impl<F: Future + Unpin> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { scope, future } = &mut *self;
        scope.run(|| Pin::new(future).poll(context))
    }
}

/// Calls `read` with the scope of the current request; `None` outside of one.
pub fn in_current<T>(read: impl FnOnce(&Scope) -> T) -> Option<T> {
    CURRENT.with_borrow(|current| current.as_ref().map(read))
}

/// Notes the user of the current request: the one whose token was verified.
pub fn note_user(user: UserHash) {
    CURRENT.with_borrow_mut(|current| {
        if let Some(scope) = current {
            scope.user = Some(user);
        }
    });
}

/// Gives an id to the current request, which arrived without one.
pub fn name_request(id: HeaderValue) {
    CURRENT.with_borrow_mut(|current| {
        if let Some(scope) = current {
            scope.request_id = Some(id);
        }
    });
}

/// Calls `read` with the id of the current request.
pub fn with_request_id(read: impl FnOnce(Option<&str>)) {
    let id = in_current(|scope| scope.request_id.clone()).flatten();
    read(id.as_ref().and_then(|id| id.to_str().ok()));
}

/// A call of a service under way, in the scope of the current request. On Workers time stands still except for I/O: the
/// time of a call is the wait for it.
#[must_use]
pub struct Wait {
    service: &'static str,
    /// `None` outside of a request.
    began: Option<DateTime<Utc>>,
}

impl Wait {
    /// A call of `service` begins.
    #[inline(never)]
    pub fn begin(service: &'static str, clock: &dyn Clock) -> Self {
        let is_noted = in_tally(service, |tally| tally.operations += 1);
        Self { service, began: is_noted.then(|| clock.now()) }
    }

    /// The call has ended. A call that is dropped before counts without its time.
    #[inline(never)]
    pub fn end(self, clock: &dyn Clock) {
        let Some(began) = self.began else { return };
        let millis = u32::try_from((clock.now() - began).num_milliseconds()).unwrap_or(0);
        in_tally(self.service, |tally| tally.millis = tally.millis.saturating_add(millis));
    }
}

/// Changes the tally of a service in the scope of the current request, and returns whether there is one.
fn in_tally(service: &'static str, change: impl FnOnce(&mut Tally)) -> bool {
    CURRENT.with_borrow_mut(|current| {
        let tally = current.as_mut().and_then(|scope| scope.tally_mut(service));
        tally.map(change).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ManualClock;
    use futures_util::{FutureExt, future::join};

    fn scope(id: &'static str) -> Scope {
        Scope::new(Some(HeaderValue::from_static(id)))
    }

    fn current_id() -> Option<String> {
        let mut seen = None;
        with_request_id(|id| seen = id.map(str::to_owned));
        seen
    }

    /// Is pending once.
    async fn yield_once() {
        let mut has_waited = false;
        std::future::poll_fn(|context| {
            if mem::replace(&mut has_waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    #[tokio::test]
    async fn scopes_of_interleaved_requests_stay_apart() {
        let request = |id: &'static str| {
            let work = async move {
                assert_eq!(current_id().as_deref(), Some(id));
                yield_once().await;
                assert_eq!(current_id().as_deref(), Some(id));
            };
            Scoped::new(scope(id), work.boxed())
        };
        join(request("first"), request("second")).await;
        assert_eq!(current_id(), None);
    }

    #[tokio::test]
    async fn scope_counts_calls_by_service() {
        let clock = ManualClock::default();
        let work = async {
            for service in ["kv", "ledger", "kv"] {
                let wait = Wait::begin(service, &clock);
                clock.advance(chrono::Duration::milliseconds(7));
                wait.end(&clock);
            }
            in_current(|scope| (scope.tally("kv"), scope.tally("ledger"), scope.tally("none")))
        };
        let (kv, ledger, none) = Scoped::new(scope("id"), work.boxed()).await.unwrap();
        assert_eq!((kv.operations, kv.millis), (2, 14));
        assert_eq!((ledger.operations, ledger.millis), (1, 7));
        assert_eq!((none.operations, none.millis), (0, 0));
    }

    #[tokio::test]
    async fn call_that_is_dropped_counts_without_its_time() {
        let clock = ManualClock::default();
        let work = async {
            drop(Wait::begin("kv", &clock));
            in_current(|scope| scope.tally("kv"))
        };
        let tally = Scoped::new(scope("id"), work.boxed()).await.unwrap();
        assert_eq!((tally.operations, tally.millis), (1, 0));
    }

    #[tokio::test]
    async fn services_beyond_the_most_are_not_counted() {
        let clock = ManualClock::default();
        let work = async {
            for service in ["a", "b", "c", "d", "e"] {
                Wait::begin(service, &clock).end(&clock);
            }
            in_current(|scope| scope.tallies().count())
        };
        assert_eq!(Scoped::new(scope("id"), work.boxed()).await, Some(SERVICES_MAX));
    }
}
