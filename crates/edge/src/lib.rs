//! What the crate needs of the machine it runs on, as traits: time, outgoing HTTP, key-value
//! storage. And randomness, which `getrandom` already makes the same everywhere.
//!
//! `platform` implements the traits for Workers; the tests have a settable clock, a scripted AuthKit
//! and the namespace of [`memory`]. Implementations deal with `Send`, callers never.

pub mod fair;
pub mod hash;
#[cfg(feature = "memory")]
pub mod memory;
mod timed_kv;
#[cfg(target_arch = "wasm32")]
pub mod workers;

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use thiserror::Error;

pub use timed_kv::{KV_READ_MAX_MILLIS, KV_WRITE_MAX_MILLIS, TimedKv};

/// The environment of an application: its configuration, and the services that it uses.
pub trait Host {
    /// The value of a variable or a secret; `None` where it is not set.
    fn var(&self, name: &str) -> Option<String>;

    /// The key-value namespace that is bound to a name; `None` where there is no such binding.
    fn kv(&self, binding: &str) -> Option<Arc<dyn KvNamespace>>;

    /// The wall clock.
    fn clock(&self) -> Arc<dyn Clock>;

    /// The client for outgoing requests.
    fn http_client(&self) -> Arc<dyn HttpClient>;
}

/// Makes a crate a Worker that serves every request by one axum router.
///
/// The argument is a `fn(&impl Host) -> Router`. It runs once in an isolate, at the first request. The
/// macro stands at the root of a crate of type `cdylib`; on any other target than wasm it expands to
/// nothing.
#[macro_export]
macro_rules! serve {
    ($build:path) => {
        #[cfg(target_arch = "wasm32")]
        mod __edge_host {
            use ::std::cell::OnceCell;
            use $crate::workers::{
                private::{Context, Env, Request, Router, js_sys, wasm_bindgen, wasm_bindgen_futures},
                serve,
            };

            ::std::thread_local! {
                static ROUTER: OnceCell<Router> = const { OnceCell::new() };
            }

            #[wasm_bindgen::prelude::wasm_bindgen(start, wasm_bindgen = $crate::workers::private::wasm_bindgen)]
            pub fn start() {
                $crate::workers::start();
            }

            #[wasm_bindgen::prelude::wasm_bindgen(
                wasm_bindgen = $crate::workers::private::wasm_bindgen,
                wasm_bindgen_futures = $crate::workers::private::wasm_bindgen_futures,
                js_sys = $crate::workers::private::js_sys
            )]
            pub async fn fetch(
                request: Request,
                env: Env,
                context: Context,
            ) -> Result<wasm_bindgen::JsValue, wasm_bindgen::JsValue> {
                serve(request, env, context, &ROUTER, $build).await
            }
        }
    };
}

/// Wall-clock time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The time now. On Workers it stands still between two I/O operations.
    fn now(&self) -> DateTime<Utc>;

    /// Returns after `millis` milliseconds: the only way to wait for what another request is doing,
    /// because a request on Workers may not await I/O that another one began.
    async fn sleep(&self, millis: u32);

    /// Returns after `millis` milliseconds, for a race with what may not take longer. Apart from
    /// [`Self::sleep`] because a clock that is set by hand lets time pass for who sleeps, and not for
    /// who only takes care.
    async fn time_limit(&self, millis: u32) {
        self.sleep(millis).await;
    }
}

/// Sends one HTTP request and reads the whole answer. Redirects are not followed.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// # Errors
    ///
    /// [`HttpClientError`] when there is no answer at all; any status is an answer.
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpClientError>;
}

/// Why an outgoing request has no answer.
#[derive(Debug, Error)]
pub enum HttpClientError {
    /// No answer within the client's own limit.
    #[error("no answer in time")]
    Timeout,
    /// The connection failed, or the answer broke off.
    #[error("connection failed")]
    Connection,
}

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
            run(work.boxed());
        }
    }

    /// Runs `work` in the background; awaits it on a host without.
    pub async fn finish(&self, work: impl Future<Output = ()> + Send + 'static) {
        match &self.0 {
            Some(run) => run(work.boxed()),
            None => work.await,
        }
    }
}

/// The time zone of the person who sent a request, as the host tells it from the client's address. It
/// belongs to one request and travels in its extensions; the default is UTC.
#[derive(Clone, Default)]
pub struct VisitorTimeZone(Option<Arc<LocalDate>>);

/// Returns the calendar date of an instant in one time zone, `None` where the zone is not known.
type LocalDate = dyn Fn(DateTime<Utc>) -> Option<NaiveDate> + Send + Sync;

impl VisitorTimeZone {
    /// A time zone by its calendar. `local_date` is called only by pages that show a date.
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

/// A Workers KV namespace, with KV's own rules: keys of at most 512 bytes, metadata of at most
/// 1,024 bytes of JSON, `list` in the keys' byte order, 1,000 a page.
#[async_trait]
pub trait KvNamespace: Send + Sync {
    /// The value at `key`, or `None`.
    async fn get(&self, key: &str) -> Result<Option<String>, KvError>;

    /// The values at up to [`KV_BULK_MAX_KEYS`] keys, in their order, for the price of one read.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, KvError>;

    /// Writes `value` at `key`, replacing what was there.
    async fn put(&self, key: &str, value: &str, options: KvPut<'_>) -> Result<(), KvError>;

    /// Removes `key`; that there is none is not an error.
    async fn delete(&self, key: &str) -> Result<(), KvError>;

    /// Up to `limit` (1–1,000) keys that begin with `prefix`, in byte order, from `cursor` on.
    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<KvListing, KvError>;
}

/// What is written beside a value.
#[derive(Debug, Clone, Copy, Default)]
pub struct KvPut<'a> {
    /// JSON that `list` returns with the key; at most [`KV_METADATA_MAX_BYTES`].
    pub metadata: Option<&'a str>,
    /// Seconds after which the key is gone; at least 60.
    pub expiration_ttl_secs: Option<u64>,
}

/// What `list` answers, as KV's own JSON: it is read once, by who knows what the metadata is.
#[derive(Debug, Clone)]
pub struct KvListing(Vec<u8>);

/// One page of keys, whose metadata is `M`.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "M: Deserialize<'de>")]
pub struct KvPage<'a, M> {
    /// The keys in order, each with its metadata.
    #[serde(borrow)]
    pub keys: Vec<KvKey<'a, M>>,
    list_complete: bool,
    cursor: Option<String>,
}

/// A key and what `list` tells of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "M: Deserialize<'de>")]
pub struct KvKey<'a, M> {
    /// The whole key, prefix included.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The metadata it was written with.
    pub metadata: Option<M>,
}

impl KvListing {
    /// An answer of KV's: `{"keys": [{"name", "metadata"}], "list_complete", "cursor"}`.
    #[must_use]
    pub fn from_json(json: Vec<u8>) -> Self {
        Self(json)
    }

    /// The page.
    ///
    /// # Errors
    ///
    /// [`KvError`] when the answer is not as documented, or some metadata is no `M`.
    pub fn page<'a, M: Deserialize<'a>>(&'a self) -> Result<KvPage<'a, M>, KvError> {
        serde_json::from_slice(&self.0).map_err(|_| KvError {
            operation: "list",
            reason: "an answer that is not as documented".to_owned(),
        })
    }
}

impl<M> KvPage<'_, M> {
    /// Where the next page begins; `None` on the last.
    #[must_use]
    pub fn next_cursor(&self) -> Option<&str> {
        self.cursor.as_deref().filter(|_| !self.list_complete)
    }
}

/// KV could not tell, or could not write. Nothing is known of the key.
#[derive(Debug, Clone, Error)]
#[error("KV {operation} failed: {reason}")]
pub struct KvError {
    /// `get`, `put`, `delete` or `list`.
    pub operation: &'static str,
    /// What the runtime said; holds no value and no key.
    pub reason: String,
}

impl KvError {
    /// Whether it was a write that failed. Then it may have taken place all the same, now or later.
    #[must_use]
    pub fn is_of_write(&self) -> bool {
        matches!(self.operation, "put" | "delete")
    }
}

/// Longest key KV takes.
/// <https://developers.cloudflare.com/kv/platform/limits/>
pub const KV_KEY_MAX_BYTES: usize = 512;
/// Most metadata KV takes with a key, as serialized JSON.
/// <https://developers.cloudflare.com/kv/platform/limits/>
pub const KV_METADATA_MAX_BYTES: usize = 1024;
/// Most keys in one `list`.
/// <https://developers.cloudflare.com/kv/api/list-keys/>
pub const KV_LIST_MAX_KEYS: usize = 1000;

/// Shortest time to live that KV takes, in seconds.
/// <https://developers.cloudflare.com/kv/api/write-key-value-pairs/>
pub const KV_TTL_MIN_SECS: u64 = 60;

/// Most keys in one bulk `get`.
/// <https://developers.cloudflare.com/kv/api/read-key-value-pairs/>
pub const KV_BULK_MAX_KEYS: usize = 100;

/// Fresh bytes from the system's cryptographic generator (Web Crypto on Workers).
///
/// # Panics
///
/// When the system has no randomness: nothing can be sealed then, and going on would be worse.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "see # Panics")]
    getrandom::getrandom(&mut bytes).expect("the system generator answers");
    bytes
}
