//! The erasure of a deleted user: reads are empty and writes are refused at once; alarms delete the keys in KV.
//!
//! An alarm deletes as many keys as one invocation may. KV's `list` can miss new keys and show deleted ones for a
//! minute, so alarms go on until a `list` is empty, and one looks again ten minutes later: a write that KV
//! performs late restores nothing. Before an alarm deletes keys it sets another one, because the deletion may end with
//! its instance. A repeated `user.deleted` sets the alarm of an unfinished erasure again.

use edge_host::{ObjectFault, json};
use serde::{Deserialize, Serialize};

use super::{
    messages::{VERSION, parse, versioned},
    times::KV_LAG_MAX_MILLIS,
};
use crate::expenses::erase::Erased;

/// KV can show deleted keys for a minute.
const NEXT_LOOK_MILLIS: i64 = 60 * 1000;

#[derive(Serialize, Deserialize)]
struct ErasureRow {
    v: u32,
    at: i64,
    emptied_at: Option<i64>,
    is_done: bool,
}

versioned!(ErasureRow);

/// The progress of an erasure.
pub(super) struct Erasure {
    at: i64,
    /// When KV had no key for the first time.
    emptied_at: Option<i64>,
    is_done: bool,
    /// When the next alarm deletes keys. Not stored.
    next_at: i64,
}

impl Erasure {
    pub(super) fn new(now: i64) -> Self {
        Self { at: now, emptied_at: None, is_done: false, next_at: now }
    }

    #[inline(never)]
    pub(super) fn parse(row: &str) -> Result<Self, ObjectFault> {
        let ErasureRow { at, emptied_at, is_done, .. } = parse("row of the erasure", row)?;
        let next_at = emptied_at.map_or(at, |at| at + KV_LAG_MAX_MILLIS);
        Ok(Self { at, emptied_at, is_done, next_at })
    }

    pub(super) fn row(&self) -> String {
        let Self { at, emptied_at, is_done, .. } = *self;
        json::write(&ErasureRow { v: VERSION, at, emptied_at, is_done })
    }

    /// When an alarm is to delete keys; `None` when all is done.
    pub(super) fn due_at(&self) -> Option<i64> {
        (!self.is_done).then_some(self.next_at)
    }

    /// Notes what an alarm has deleted. The result is whether the row changes.
    pub(super) fn note(&mut self, erased: &Erased, now: i64) -> bool {
        let Erased { keys, is_complete } = erased;
        let before = (self.emptied_at, self.is_done);
        if *keys > 0 || !is_complete {
            self.emptied_at = None;
            self.next_at = now + NEXT_LOOK_MILLIS;
        } else if self.emptied_at.is_some() {
            self.is_done = true;
        } else {
            self.emptied_at = Some(now);
            self.next_at = now + KV_LAG_MAX_MILLIS;
        }
        before != (self.emptied_at, self.is_done)
    }
}
