//! What a host adds to a request, in its extensions, and what a response tells the host in its own.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::{FutureExt, future::BoxFuture};

use crate::{Scope, Scoped, in_current};

opaque_debug!(VisitorTimeZone, WaitUntil);

/// Finishes work that outlives the response, as `waitUntil()` does on Workers. It belongs to one request
/// and travels in its extensions.
///
/// The default is a host without background work: [`finish`](Self::finish) then awaits the work.
#[derive(Clone, Default)]
pub struct WaitUntil(Option<Arc<RunInBackground>>);

type RunInBackground = dyn Fn(BoxFuture<'static, ()>) + Send + Sync;

impl WaitUntil {
    /// Hands work to `run`.
    #[must_use]
    pub fn new(run: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(run)))
    }

    /// Keeps shared work alive when the request that awaits it is dropped. Does nothing on a host without
    /// background work.
    pub fn keep_alive(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(run) = &self.0 {
            run(in_scope(work.boxed()));
        }
    }

    /// Runs `work` in the background; awaits it on a host without.
    pub async fn finish(&self, work: impl Future<Output = ()> + Send + 'static) {
        match &self.0 {
            Some(run) => run(in_scope(work.boxed())),
            None => work.await,
        }
    }
}

/// The work, in the scope of the request that leaves it to be done.
fn in_scope(work: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
    match in_current(Scope::continued) {
        Some(scope) => Scoped::new(scope, work).boxed(),
        None => work,
    }
}

/// The time zone of a request's sender, which the host derives from the client's address. It belongs to one
/// request and is one of its extensions; the default is UTC.
#[derive(Clone, Default)]
pub struct VisitorTimeZone(Option<Arc<LocalDate>>);

/// Returns the calendar date of an instant in one time zone, `None` where the zone is not known.
type LocalDate = dyn Fn(DateTime<Utc>) -> Option<NaiveDate> + Send + Sync;

impl VisitorTimeZone {
    /// A time zone by its calendar. `local_date` is called only for pages that show a date.
    #[must_use]
    pub fn new(
        local_date: impl Fn(DateTime<Utc>) -> Option<NaiveDate> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(local_date)))
    }

    /// The visitor's calendar date at `instant`; the date in UTC where the host knows no time zone.
    #[must_use]
    pub fn date(&self, instant: DateTime<Utc>) -> NaiveDate {
        let local_date = self.0.as_ref().and_then(|local_date| local_date(instant));
        local_date.unwrap_or_else(|| instant.date_naive())
    }
}

/// An extension of a response: every `GET` of the same URL has this response for as long as the isolate lives, whatever
/// its headers, so that the host may send it again without a call of the application.
#[derive(Debug, Clone, Copy)]
pub struct Repeatable;
