//! A class of objects.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture};

use super::{error::ObjectFault, storage::ObjectStorage};

opaque_debug!(ObjectContext);

/// One object of a class. The host may end it at any time and make it again at its next event: what must last is
/// in its storage.
///
/// Events run concurrently: while one awaits, another one may run. What an event does between two awaits is
/// never interrupted.
#[async_trait]
pub trait Object: Send + Sync {
    /// Responds to a message.
    ///
    /// # Errors
    ///
    /// [`ObjectFault`]: the sender gets [`ObjectErrorKind::Failed`](super::ObjectErrorKind::Failed).
    async fn receive(&self, message: &str) -> Result<String, ObjectFault>;

    /// Runs at the time that [`ObjectStorage::set_alarm`] has set, once, and again later if it fails or if the
    /// object ends meanwhile. When it runs, no alarm is set.
    ///
    /// # Errors
    ///
    /// [`ObjectFault`]: the alarm runs again after some seconds. A class that sets no alarm needs no function.
    async fn alarm(&self) -> Result<(), ObjectFault> {
        Err(ObjectFault::new("the class has no alarm"))
    }
}

/// The host of an object, as the object sees it.
#[derive(Clone)]
pub struct ObjectContext {
    storage: Arc<dyn ObjectStorage>,
    spawn: Arc<Spawn>,
}

type Spawn = dyn Fn(BoxFuture<'static, ()>) + Send + Sync;

impl ObjectContext {
    /// The context of an object with this storage; `spawn` runs work beside the object's events.
    #[must_use]
    pub fn new(
        storage: Arc<dyn ObjectStorage>,
        spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static,
    ) -> Self {
        Self { storage, spawn: Arc::new(spawn) }
    }

    /// The object's storage.
    #[must_use]
    pub fn storage(&self) -> &dyn ObjectStorage {
        &*self.storage
    }

    /// Runs `work` beside the object's events, also after the response to the current one. It ends when the
    /// object ends.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        (self.spawn)(work.boxed());
    }
}
