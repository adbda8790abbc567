//! What belongs to one request while it runs: its id, its user, and its waits for services.
//!
//! The scope of the request whose task is polled stands in a variable of the thread, so that code anywhere below the
//! request's handler finds it. [`Scoped`] puts it there for each poll and takes it out again.

use std::{
    cell::RefCell,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use http::HeaderValue;

use super::event::UserHash;
use crate::Clock;

/// The most services of one request. The waits for others are not counted.
const SERVICES_MAX: usize = 4;

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// A request's calls of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The service, as [`measure`] was told.
    pub service: &'static str,
    /// How many calls have ended.
    pub operations: u32,
    /// The sum of their times. Calls at the same time count each, so that it may exceed the request's time.
    pub millis: u32,
}

/// What belongs to one request.
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

    fn note(&mut self, service: &'static str, millis: u32) {
        for slot in &mut self.tallies {
            let tally = slot.get_or_insert(Tally { service, operations: 0, millis: 0 });
            if tally.service == service {
                tally.operations += 1;
                tally.millis = tally.millis.saturating_add(millis);
                return;
            }
        }
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

/// Runs `call`, a call of `service`, and notes its time in the scope of the current request. On Workers time stands
/// still except for I/O: the time of a call is the wait for it.
pub async fn measure<T>(
    service: &'static str,
    clock: &dyn Clock,
    call: impl Future<Output = T>,
) -> T {
    if in_current(|_| ()).is_none() {
        return call.await;
    }
    let began = clock.now();
    let result = call.await;
    let millis = (clock.now() - began).num_milliseconds();
    CURRENT.with_borrow_mut(|current| {
        if let Some(scope) = current {
            scope.note(service, u32::try_from(millis).unwrap_or(0));
        }
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ManualClock;
    use futures_util::{
        FutureExt,
        future::{join, ready},
    };

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
                measure(service, &clock, async {
                    clock.advance(chrono::Duration::milliseconds(7))
                })
                .await;
            }
            in_current(|scope| (scope.tally("kv"), scope.tally("ledger"), scope.tally("none")))
        };
        let (kv, ledger, none) = Scoped::new(scope("id"), work.boxed()).await.unwrap();
        assert_eq!((kv.operations, kv.millis), (2, 14));
        assert_eq!((ledger.operations, ledger.millis), (1, 7));
        assert_eq!((none.operations, none.millis), (0, 0));
    }

    #[tokio::test]
    async fn services_beyond_the_most_are_not_counted() {
        let clock = ManualClock::default();
        let work = async {
            for service in ["a", "b", "c", "d", "e"] {
                measure(service, &clock, ready(())).await;
            }
            in_current(|scope| scope.tallies().count())
        };
        assert_eq!(Scoped::new(scope("id"), work.boxed()).await, Some(SERVICES_MAX));
    }
}
