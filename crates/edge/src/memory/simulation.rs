//! A deterministic executor: one thread, virtual time, one seeded random source.
//!
//! The seed decides which ready task runs next and every choice that code makes by [`Simulation::random`]. Time
//! stands still while a task is ready, and jumps to the next timer when none is. The same seed gives the same
//! run; [`Simulation::fingerprint`] shows it.
//!
//! Code under test gets its time by [`Clock`] and its randomness by [`random_bytes`](crate::random_bytes), which
//! the simulation seeds. Maps of [`hash`](crate::hash) therefore have the same order in each run; std's maps do
//! not, and must not be iterated by code under test.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fastrand::Rng;
use futures_util::{FutureExt, future::BoxFuture};

use super::clock::{NOON_UNIX_SECS, yield_now};
use crate::{Clock, random::seeded::Seeded};

opaque_debug!(Simulation, Task<T>);

/// Mixed into the seed for [`random_bytes`](crate::random_bytes), so that a change of the code under test which draws more bytes
/// does not change the order of tasks.
const BYTES_SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// The lines of the trace that are kept.
const TRACE_MAX_LINES: usize = 20_000;

/// A deterministic executor with a clock. Clones are the same simulation.
#[derive(Clone)]
pub struct Simulation(Arc<Shared>);

struct Shared {
    seed: u64,
    state: Mutex<State>,
    ready: Arc<Ready>,
}

struct State {
    random: Rng,
    now_millis: i64,
    next_id: u64,
    tasks: BTreeMap<TaskId, Option<BoxFuture<'static, ()>>>,
    timers: BTreeMap<(i64, u64), Waker>,
    fingerprint: u64,
    polls: u64,
    faults: BTreeMap<&'static str, u64>,
    last_fault: BTreeMap<&'static str, DateTime<Utc>>,
    trace: VecDeque<String>,
}

/// A task of a [`Simulation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId(u64);

#[derive(Default)]
struct Ready(Mutex<Vec<TaskId>>);

impl Ready {
    fn tasks(&self) -> MutexGuard<'_, Vec<TaskId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: TaskId) {
        let mut tasks = self.tasks();
        if !tasks.contains(&id) {
            tasks.push(id);
        }
    }
}

struct TaskWaker {
    id: TaskId,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.add(self.id);
    }
}

/// Why a run ended before its main task did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stalled {
    /// No task is ready and no timer is set.
    Deadlock,
    /// The tasks were polled more often than the run allows.
    TooLong,
}

impl Simulation {
    /// A simulation at noon of 2026-11-23, UTC, whose choices `seed` makes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: Rng::with_seed(seed),
            now_millis: NOON_UNIX_SECS * 1000,
            next_id: 0,
            tasks: BTreeMap::new(),
            timers: BTreeMap::new(),
            fingerprint: seed,
            polls: 0,
            faults: BTreeMap::new(),
            last_fault: BTreeMap::new(),
            trace: VecDeque::new(),
        };
        Self(Arc::new(Shared { seed, state: Mutex::new(state), ready: Arc::default() }))
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// Runs tasks until `main` is done, and drops the others. [`random_bytes`](crate::random_bytes) is seeded
    /// meanwhile, on this thread.
    ///
    /// # Errors
    ///
    /// [`Stalled`] if `main` cannot go on, or after `max_polls` polls of tasks.
    pub fn run<T: Send + 'static>(
        &self,
        max_polls: u64,
        main: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Stalled> {
        let _seeded = Seeded::new(Rng::with_seed(self.0.seed ^ BYTES_SEED));
        let outcome: Arc<Mutex<Option<T>>> = Arc::default();
        let result = Arc::clone(&outcome);
        self.spawn(async move {
            let value = main.await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        });
        let take = || outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let end = loop {
            if let Some(value) = take() {
                break Ok(value);
            }
            if self.state().polls >= max_polls {
                break Err(Stalled::TooLong);
            }
            if !self.step() {
                break Err(Stalled::Deadlock);
            }
        };
        // A task that is dropped may end other tasks.
        loop {
            let tasks = std::mem::take(&mut self.state().tasks);
            if tasks.is_empty() {
                break;
            }
        }
        self.0.ready.tasks().clear();
        end
    }

    /// Polls one ready task, or lets time pass to the next timer. Returns whether either was possible.
    fn step(&self) -> bool {
        let id = {
            let mut state = self.state();
            let mut ready = self.0.ready.tasks();
            if ready.is_empty() {
                drop(ready);
                let Some(((at, _), waker)) = state.timers.pop_first() else { return false };
                state.now_millis = state.now_millis.max(at);
                drop(state);
                waker.wake();
                return true;
            }
            let index = state.random.usize(..ready.len());
            ready.swap_remove(index)
        };
        let Some(mut task) = self.begin_poll(id) else { return true };
        let waker = Waker::from(Arc::new(TaskWaker { id, ready: Arc::clone(&self.0.ready) }));
        let is_done = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut state = self.state();
        if is_done {
            state.tasks.remove(&id);
        } else if let Some(slot) = state.tasks.get_mut(&id) {
            *slot = Some(task);
            return true;
        }
        drop(state);
        // The task is done, or has ended itself.
        drop(task);
        true
    }

    fn begin_poll(&self, id: TaskId) -> Option<BoxFuture<'static, ()>> {
        let mut state = self.state();
        let task = state.tasks.get_mut(&id)?.take()?;
        state.polls += 1;
        state.mix(id.0);
        Some(task)
    }

    /// Adds a task.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> TaskId {
        let mut state = self.state();
        let id = TaskId(state.next_id());
        state.tasks.insert(id, Some(work.boxed()));
        drop(state);
        self.0.ready.add(id);
        id
    }

    /// Adds a task with a result, which the returned future has.
    pub fn start<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let slot: Arc<Mutex<Slot<T>>> = Arc::default();
        let done = Done(Arc::clone(&slot));
        let id = self.spawn(async move {
            let value = work.await;
            done.lock().value = Some(value);
        });
        Task { id, slot }
    }

    /// Drops a task at the await where it stands.
    pub fn end(&self, id: TaskId) {
        let task = self.state().tasks.remove(&id);
        drop(task);
    }

    /// Returns after other tasks may have run.
    pub async fn yield_now(&self) {
        yield_now().await;
    }

    /// Makes a choice with the simulation's random source.
    pub fn random<T>(&self, choose: impl FnOnce(&mut Rng) -> T) -> T {
        choose(&mut self.state().random)
    }

    /// Whether an event with this probability takes place.
    #[must_use]
    pub fn chance(&self, per_mille: u32) -> bool {
        per_mille > 0 && self.random(|random| random.u32(..1000)) < per_mille
    }

    /// A number within a range whose end is excluded.
    #[must_use]
    pub fn within(&self, range: std::ops::Range<u32>) -> u32 {
        self.random(|random| random.u32(range))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_millis(&self) -> i64 {
        self.state().now_millis
    }

    /// Counts a fault of this kind, and adds it to the trace.
    pub fn note_fault(&self, kind: &'static str) {
        let now = self.now();
        let mut state = self.state();
        *state.faults.entry(kind).or_default() += 1;
        state.last_fault.insert(kind, now);
        drop(state);
        self.trace(|| format!("fault: {kind}"));
    }

    /// The number of faults of each kind.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.state().faults.clone()
    }

    /// The time of the last fault whose kind begins with `prefix`.
    #[must_use]
    pub fn last_fault(&self, prefix: &str) -> Option<DateTime<Utc>> {
        let state = self.state();
        let of_kind = state.last_fault.iter().filter(|(kind, _)| kind.starts_with(prefix));
        of_kind.map(|(_, at)| *at).max()
    }

    /// Appends a line to the trace, with the time.
    pub fn trace(&self, line: impl FnOnce() -> String) {
        let mut state = self.state();
        let millis = state.now_millis - NOON_UNIX_SECS * 1000;
        let line = format!("{:>6}.{:03} {}", millis / 1000, millis % 1000, line());
        for byte in line.bytes() {
            state.mix(byte.into());
        }
        if state.trace.len() == TRACE_MAX_LINES {
            state.trace.pop_front();
        }
        state.trace.push_back(line);
    }

    /// The newest lines of the trace.
    #[must_use]
    pub fn trace_lines(&self) -> Vec<String> {
        self.state().trace.iter().cloned().collect()
    }

    /// A hash of every poll, its order, and every line of the trace.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.state().fingerprint
    }

    /// The number of polls of tasks.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.state().polls
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn mix(&mut self, value: u64) {
        let mixed = self.fingerprint.rotate_left(5) ^ value;
        self.fingerprint = mixed.wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

#[async_trait]
impl Clock for Simulation {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.now_millis()).unwrap_or_default()
    }

    async fn sleep(&self, millis: u32) {
        let at = self.now_millis() + i64::from(millis);
        Timer { simulation: self.clone(), at, id: None }.await;
    }
}

/// Is ready at its time. Time does not stop for a timer that was dropped.
struct Timer {
    simulation: Simulation,
    at: i64,
    id: Option<u64>,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let simulation = self.simulation.clone();
        let mut state = simulation.state();
        let id = match self.id {
            Some(_) if state.now_millis >= self.at => return Poll::Ready(()),
            Some(id) => id,
            // Even a sleep of 0 ms lets other tasks run.
            None => *self.id.insert(state.next_id()),
        };
        state.timers.insert((self.at, id), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let timer = self.simulation.state().timers.remove(&(self.at, id));
            drop(timer);
        }
    }
}

struct Slot<T> {
    value: Option<T>,
    is_over: bool,
    waker: Option<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { value: None, is_over: false, waker: None }
    }
}

/// Tells the waiter that the task is over, with a value or without.
struct Done<T>(Arc<Mutex<Slot<T>>>);

impl<T> Done<T> {
    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Done<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.lock();
            slot.is_over = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The result of a task; `None` if the task was ended. Dropping it does not end the task.
pub struct Task<T> {
    id: TaskId,
    slot: Arc<Mutex<Slot<T>>>,
}

impl<T> Task<T> {
    /// The task.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }
}

impl<T> Future for Task<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_over {
            return Poll::Ready(slot.value.take());
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random_bytes;

    fn run(seed: u64) -> (Vec<String>, u64) {
        let simulation = Simulation::new(seed);
        let inner = simulation.clone();
        let end = simulation.run(10_000, async move {
            let tasks: Vec<_> = (0..5)
                .map(|number| {
                    let simulation = inner.clone();
                    inner.start(async move {
                        for round in 0..3 {
                            let [byte] = random_bytes();
                            simulation.trace(|| format!("{number} {round} {byte}"));
                            let millis = simulation.within(0..50);
                            simulation.sleep(millis).await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                assert_eq!(task.await, Some(()));
            }
        });
        assert_eq!(end, Ok(()));
        (simulation.trace_lines(), simulation.fingerprint())
    }

    #[test]
    fn same_seed_gives_the_same_run() {
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).0, run(2).0);
    }

    #[test]
    fn time_jumps_to_the_next_timer() {
        let simulation = Simulation::new(1);
        let inner = simulation.clone();
        let began = simulation.now();
        simulation.run(100, async move { inner.sleep(3_600_000).await }).unwrap();
        assert_eq!(simulation.now() - began, chrono::Duration::hours(1));
    }

    #[test]
    fn dropped_timer_does_not_move_the_clock() {
        let simulation = Simulation::new(1);
        let inner = simulation.clone();
        let began = simulation.now();
        let race = async move {
            let slow = std::pin::pin!(inner.sleep(60_000));
            futures_util::future::select(slow, inner.sleep(10)).await;
        };
        simulation.run(100, race).unwrap();
        assert_eq!(simulation.now() - began, chrono::Duration::milliseconds(10));
    }

    #[test]
    fn ended_task_has_no_result() {
        let simulation = Simulation::new(1);
        let inner = simulation.clone();
        let ended = async move {
            let task = inner.start(std::future::pending::<()>());
            inner.end(task.id());
            task.await
        };
        assert_eq!(simulation.run(100, ended), Ok(None));
        assert_eq!(simulation.run(100, std::future::pending::<()>()), Err(Stalled::Deadlock));
    }

    #[test]
    fn random_bytes_are_the_system_s_after_a_run() {
        let bytes = || Simulation::new(1).run(10, async { random_bytes::<16>() }).unwrap();
        assert_eq!(bytes(), bytes());
        assert_ne!(random_bytes::<16>(), random_bytes::<16>());
    }
}
