//! Durable Objects in memory. Their storage lasts; their instances end whenever a test evicts them.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Poll, Waker},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, select},
};

use crate::{
    Cause, Clock, Emit as _, HostEvent, OBJECT_VALUE_MAX_BYTES, Object, ObjectContext, ObjectError,
    ObjectErrorKind, ObjectFault, ObjectNamespace, ObjectStorage, Scope, Scoped,
};

opaque_debug!(MemoryObjectStorage, MemoryObjects);

/// Makes an instance of a class.
type Class = dyn Fn(ObjectContext) -> Arc<dyn Object> + Send + Sync;
/// Runs work beside events.
type Spawn = dyn Fn(BoxFuture<'static, ()>) + Send + Sync;

/// The objects of one class, in memory.
#[derive(Clone)]
pub struct MemoryObjects(Arc<Shared>);

struct Shared {
    class: Box<Class>,
    spawn: Box<Spawn>,
    slots: Mutex<BTreeMap<String, Slot>>,
    faults: Mutex<Faults>,
}

#[derive(Default)]
struct Slot {
    storage: Arc<MemoryObjectStorage>,
    instance: Option<Instance>,
    requests: usize,
}

#[derive(Clone)]
struct Instance {
    object: Arc<dyn Object>,
    life: Arc<Life>,
}

#[derive(Default)]
struct Faults {
    is_unreachable: bool,
    loses_responses: bool,
}

/// Whether an instance still runs; its events await its end.
#[derive(Default)]
struct Life(Mutex<(bool, Vec<Waker>)>);

impl Life {
    fn end(&self) {
        let wakers = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = true;
            std::mem::take(&mut state.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    async fn ended(&self) {
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.0 {
                return Poll::Ready(());
            }
            if !state.1.iter().any(|waker| waker.will_wake(context.waker())) {
                state.1.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

impl MemoryObjects {
    /// Objects that `class` makes; `spawn` runs their background work.
    #[must_use]
    pub fn new(
        class: impl Fn(ObjectContext) -> Arc<dyn Object> + Send + Sync + 'static,
        spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            class: Box::new(class),
            spawn: Box::new(spawn),
            slots: Mutex::default(),
            faults: Mutex::default(),
        }))
    }

    /// Makes every message fail before an object has it.
    pub fn set_unreachable(&self, is_unreachable: bool) {
        self.faults().is_unreachable = is_unreachable;
    }

    /// Makes every message fail after the object has responded.
    pub fn lose_responses(&self, loses_responses: bool) {
        self.faults().loses_responses = loses_responses;
    }

    /// Ends the object's instance with everything that it does. Its storage stays.
    pub fn evict(&self, name: &str) {
        let instance = self.slots().get_mut(name).and_then(|slot| slot.instance.take());
        if let Some(instance) = instance {
            instance.life.end();
        }
    }

    /// Ends every instance.
    pub fn evict_all(&self) {
        for name in self.names() {
            self.evict(&name);
        }
    }

    /// The names of all objects that were sent a message, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.slots().keys().cloned().collect()
    }

    /// The storage of an object.
    #[must_use]
    pub fn storage(&self, name: &str) -> Arc<MemoryObjectStorage> {
        Arc::clone(&self.slots().entry(name.to_owned()).or_default().storage)
    }

    /// The number of messages and alarms since the last call, of all objects.
    #[must_use]
    pub fn take_requests(&self) -> usize {
        self.slots().values_mut().map(|slot| std::mem::take(&mut slot.requests)).sum()
    }

    /// The earliest alarm that is set, and its object.
    #[must_use]
    pub fn next_alarm(&self) -> Option<(DateTime<Utc>, String)> {
        self.alarms().into_iter().min()
    }

    /// Every alarm that is set, and its object.
    #[must_use]
    pub fn alarms(&self) -> Vec<(DateTime<Utc>, String)> {
        let slots = self.slots();
        let alarms = slots.iter().filter_map(|(name, slot)| Some((slot.storage.alarm()?, name)));
        alarms.map(|(at, name)| (at, name.clone())).collect()
    }

    /// Runs the alarm of an object, which counts as no longer set. If it fails or the object ends meanwhile, it
    /// is set again for `retry_at`.
    pub async fn run_alarm(&self, name: &str, retry_at: DateTime<Utc>) {
        let storage = self.storage(name);
        storage.take_alarm();
        let Instance { object, life } = self.instance(name);
        let has_run = {
            let ended = life.ended();
            futures_util::pin_mut!(ended);
            matches!(select(ended, object.alarm()).await, Either::Right((Ok(()), _)))
        };
        if !has_run && storage.alarm().is_none() {
            storage.replace_alarm(Some(retry_at));
        }
    }

    /// Runs every alarm that is due by `clock`, until none is.
    pub async fn run_due_alarms(&self, clock: &dyn Clock) {
        while let Some((at, name)) = self.next_alarm().filter(|(at, _)| *at <= clock.now()) {
            self.run_alarm(&name, at + chrono::Duration::seconds(2)).await;
        }
    }

    fn instance(&self, name: &str) -> Instance {
        let storage = {
            let mut slots = self.slots();
            let slot = slots.entry(name.to_owned()).or_default();
            slot.requests += 1;
            if let Some(instance) = &slot.instance {
                return instance.clone();
            }
            Arc::clone(&slot.storage)
        };
        let life = Arc::new(Life::default());
        // The namespace owns its instances, and they must not own it.
        let (namespace, spawned_in) = (Arc::downgrade(&self.0), Arc::clone(&life));
        let context = ObjectContext::new(storage, move |work| {
            let Some(shared) = Weak::upgrade(&namespace) else { return };
            let life = Arc::clone(&spawned_in);
            (shared.spawn)(
                async move {
                    let ended = life.ended();
                    futures_util::pin_mut!(ended);
                    select(ended, work).await;
                }
                .boxed(),
            );
        });
        // The class's own code runs without a lock.
        let instance = Instance { object: (self.0.class)(context), life };
        self.slots().entry(name.to_owned()).or_default().instance = Some(instance.clone());
        instance
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ObjectNamespace for MemoryObjects {
    async fn send(&self, name: &str, message: &str) -> Result<String, ObjectError> {
        let disconnected = |reason: &str| ObjectError::new(ObjectErrorKind::Disconnected, reason);
        if self.faults().is_unreachable {
            return Err(disconnected("made unreachable"));
        }
        let Instance { object, life } = self.instance(name);
        let response = {
            let ended = life.ended();
            futures_util::pin_mut!(ended);
            // An instance that has ended does not run again, even if it could go on.
            // An object knows nothing of the request that sends a message.
            let receive = Scoped::new(Scope::default(), object.receive(message));
            match select(ended, receive).await {
                Either::Left(_) => return Err(disconnected("the object was evicted")),
                Either::Right((response, _)) => response,
            }
        };
        if self.faults().loses_responses {
            return Err(disconnected("the response was lost"));
        }
        response.map_err(|fault| {
            HostEvent::ObjectFailed { cause: Cause(&fault) }.emit();
            ObjectError::new(ObjectErrorKind::Failed, fault.0)
        })
    }
}

/// The storage of one object, in memory.
#[derive(Default)]
pub struct MemoryObjectStorage(Mutex<Stored>);

#[derive(Default)]
struct Stored {
    rows: BTreeMap<String, String>,
    alarm: Option<DateTime<Utc>>,
    rows_written: usize,
    /// The operations that succeed before all others fail; `None` for all.
    successes_left: Option<usize>,
}

impl MemoryObjectStorage {
    /// The time of the alarm.
    #[must_use]
    pub fn alarm(&self) -> Option<DateTime<Utc>> {
        self.stored().alarm
    }

    /// The number of rows written since the last call, as they are billed.
    #[must_use]
    pub fn take_rows_written(&self) -> usize {
        std::mem::take(&mut self.stored().rows_written)
    }

    /// Makes every operation fail.
    pub fn fail(&self, is_failing: bool) {
        self.stored().successes_left = is_failing.then_some(0);
    }

    /// Lets `successes` more operations succeed, and then makes every one fail.
    pub fn fail_after(&self, successes: usize) {
        self.stored().successes_left = Some(successes);
    }

    fn take_alarm(&self) {
        self.stored().alarm = None;
    }

    fn replace_alarm(&self, at: Option<DateTime<Utc>>) {
        self.stored().alarm = at;
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every row whose key begins with `prefix`, in order.
    ///
    /// # Errors
    ///
    /// [`ObjectFault`] when the storage fails.
    pub fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, ObjectFault> {
        self.page(prefix, "", usize::MAX)
    }

    fn begin(&self) -> Result<MutexGuard<'_, Stored>, ObjectFault> {
        let mut stored = self.stored();
        match &mut stored.successes_left {
            Some(0) => return Err(ObjectFault::new("made to fail")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(stored)
    }
}

impl ObjectStorage for MemoryObjectStorage {
    fn get(&self, key: &str) -> Result<Option<String>, ObjectFault> {
        Ok(self.begin()?.rows.get(key).cloned())
    }

    fn page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, String)>, ObjectFault> {
        let stored = self.begin()?;
        let from = stored.rows.range(prefix.to_owned()..).filter(|(key, _)| key.as_str() > after);
        let rows = from.take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(rows.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn put(&self, key: &str, value: &str) -> Result<(), ObjectFault> {
        self.put_all(&[(key.to_owned(), value.to_owned())])
    }

    fn put_all(&self, rows: &[(String, String)]) -> Result<(), ObjectFault> {
        let mut stored = self.begin()?;
        if rows.iter().any(|(key, value)| key.len() + value.len() > OBJECT_VALUE_MAX_BYTES) {
            return Err(ObjectFault::new("the value is too long"));
        }
        stored.rows_written += rows.len();
        stored.rows.extend(rows.iter().cloned());
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), ObjectFault> {
        let mut stored = self.begin()?;
        if stored.rows.remove(key).is_some() {
            stored.rows_written += 1;
        }
        Ok(())
    }

    fn delete_all(&self) -> Result<(), ObjectFault> {
        let mut stored = self.begin()?;
        stored.rows_written += stored.rows.len();
        stored.rows.clear();
        stored.alarm = None;
        Ok(())
    }

    fn set_alarm(&self, at: Option<DateTime<Utc>>) -> Result<(), ObjectFault> {
        let mut stored = self.begin()?;
        stored.rows_written += 1;
        stored.alarm = at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::BackgroundTasks;

    /// Appends each message to a row, and responds with the row.
    struct Appender(ObjectContext);

    #[async_trait]
    impl Object for Appender {
        async fn receive(&self, message: &str) -> Result<String, ObjectFault> {
            let storage = self.0.storage();
            let text = storage.get("text")?.unwrap_or_default() + message;
            storage.put("text", &text)?;
            if message == "wait" {
                std::future::pending::<()>().await;
            }
            Ok(text)
        }

        async fn alarm(&self) -> Result<(), ObjectFault> {
            self.receive("!").await.map(drop)
        }
    }

    fn objects() -> MemoryObjects {
        let tasks = BackgroundTasks::default();
        MemoryObjects::new(|context| Arc::new(Appender(context)), move |work| tasks.spawn(work))
    }

    #[tokio::test]
    async fn storage_outlives_an_instance() {
        let objects = objects();
        assert_eq!(objects.send("a", "1").await.unwrap(), "1");
        objects.evict("a");
        assert_eq!(objects.send("a", "2").await.unwrap(), "12");
        assert_eq!(objects.send("b", "3").await.unwrap(), "3");
        assert_eq!(objects.take_requests(), 3);
        assert_eq!(objects.storage("a").take_rows_written(), 2);
    }

    #[tokio::test]
    async fn eviction_ends_a_message_after_its_writes() {
        let objects = objects();
        let waiting = objects.send("a", "wait");
        let evicted = async { objects.evict("a") };
        let (response, ()) = futures_util::future::join(waiting, evicted).await;
        let error = response.unwrap_err();
        assert_eq!(error.kind, ObjectErrorKind::Disconnected);
        assert!(error.may_have_run());
        assert_eq!(objects.send("a", ".").await.unwrap(), "wait.");
    }

    #[tokio::test]
    async fn instances_end_with_their_namespace() {
        let made: Arc<Mutex<Option<Weak<Appender>>>> = Arc::default();
        let latest = Arc::clone(&made);
        let class = move |context| {
            let object = Arc::new(Appender(context));
            *latest.lock().unwrap() = Some(Arc::downgrade(&object));
            object as _
        };
        let objects = MemoryObjects::new(class, drop);
        objects.send("a", "1").await.unwrap();
        drop(objects);
        assert!(made.lock().unwrap().take().unwrap().upgrade().is_none());
    }

    #[tokio::test]
    async fn alarm_runs_once_at_its_time() {
        let objects = objects();
        let clock = crate::memory::ManualClock::default();
        let at = clock.now() + chrono::Duration::seconds(60);
        objects.storage("a").set_alarm(Some(at)).unwrap();
        objects.run_due_alarms(&clock).await;
        assert_eq!(objects.next_alarm(), Some((at, "a".to_owned())));
        clock.advance(chrono::Duration::seconds(60));
        objects.run_due_alarms(&clock).await;
        assert_eq!(objects.next_alarm(), None);
        assert_eq!(objects.send("a", ".").await.unwrap(), "!.");
    }
}
