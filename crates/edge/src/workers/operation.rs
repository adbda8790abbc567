//! Operations of the runtime that end later: KV, messages, requests, timers. JavaScript starts one for a waiter, a
//! number, and settles it once.

use std::{
    cell::RefCell,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::executor::{enter, next_id};
use crate::table::Table;

/// The outcome of an operation.
#[derive(Debug)]
pub enum Outcome {
    /// Its result. JavaScript encodes text as UTF-8.
    Bytes(Vec<u8>),
    /// It has no result.
    Nothing,
    /// It failed, for this reason.
    Failed(String),
    /// It did not end in time.
    TimedOut,
}

#[derive(Default)]
struct Waiter {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

thread_local! {
    static WAITERS: RefCell<Table<Waiter>> = const { RefCell::new(Table::new()) };
    /// Where JavaScript writes text for this module.
    static INBOX: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An operation under way. Its outcome is dropped with it.
pub struct Operation {
    waiter: u32,
    on_drop: Option<fn(u32)>,
}

impl Operation {
    /// Starts an operation by `start`, which hands the waiter to JavaScript.
    pub fn start(start: impl FnOnce(u32)) -> Self {
        let waiter = next_id();
        WAITERS.with_borrow_mut(|waiters| waiters.insert(waiter, Waiter::default()));
        start(waiter);
        Self { waiter, on_drop: None }
    }

    /// Calls `stop` with the waiter when the operation is dropped before its outcome.
    pub fn on_drop(self, stop: fn(u32)) -> Self {
        let mut operation = self;
        operation.on_drop = Some(stop);
        operation
    }
}

impl Future for Operation {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let outcome = WAITERS.with_borrow_mut(|waiters| {
            let waiter = waiters.get_mut(self.waiter)?;
            if waiter.outcome.is_none() {
                waiter.waker = Some(context.waker().clone());
            }
            waiter.outcome.take()
        });
        let Some(outcome) = outcome else { return Poll::Pending };
        self.on_drop = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        WAITERS.with_borrow_mut(|waiters| waiters.remove(self.waiter));
        if let Some(stop) = self.on_drop {
            stop(self.waiter);
        }
    }
}

/// The number of operations under way.
pub fn live() -> usize {
    WAITERS.with_borrow(Table::len)
}

/// The outcomes by number, as in `isolate.js`.
const BYTES: u32 = 0;
const NOTHING: u32 = 1;
const FAILED: u32 = 2;

/// Settles an operation. JavaScript calls this.
pub extern "C" fn settle(waiter: u32, kind: u32, length: u32) {
    let outcome = match kind {
        BYTES => Outcome::Bytes(take_inbox(length)),
        NOTHING => Outcome::Nothing,
        FAILED => Outcome::Failed(String::from_utf8_lossy(&take_inbox(length)).into_owned()),
        _ => Outcome::TimedOut,
    };
    enter(|| {
        let waker = WAITERS.with_borrow_mut(|waiters| {
            // Nobody waits any more.
            let waiter = waiters.get_mut(waiter)?;
            waiter.outcome = Some(outcome);
            waiter.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    });
}

/// An inbox up to this size is reused; a larger one is handed on with the text that it holds. The same number is in
/// `isolate.js`.
const INBOX_BYTES: usize = 64 * 1024;

/// The first `length` bytes of the inbox.
pub fn take_inbox(length: u32) -> Vec<u8> {
    let length = length as usize;
    INBOX.with_borrow_mut(|inbox| {
        if inbox.len() > INBOX_BYTES {
            let mut bytes = mem::take(inbox);
            bytes.truncate(length);
            return bytes;
        }
        inbox.get(..length).unwrap_or_default().to_vec()
    })
}

/// Reads the first `length` bytes of the inbox in place.
pub fn read_inbox<T>(length: u32, read: impl FnOnce(&[u8]) -> T) -> T {
    INBOX.with_borrow(|inbox| read(inbox.get(..length as usize).unwrap_or_default()))
}

/// Makes an inbox of `size` bytes and returns its address. JavaScript calls this.
pub extern "C" fn renew_inbox(size: u32) -> u32 {
    INBOX.with_borrow_mut(|inbox| {
        // Never grown in place: that would copy the old text.
        *inbox = vec![0; size as usize];
        inbox.as_ptr() as u32
    })
}
