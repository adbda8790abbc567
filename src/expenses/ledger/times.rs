//! How long KV may lag, and when an attempt that failed is repeated.

use super::messages::UnknownVersion;

/// How long an entry stays after KV has it. KV shows a write after a minute "or more".
/// <https://developers.cloudflare.com/kv/concepts/how-kv-works/>
pub(super) const KV_LAG_MAX_MILLIS: i64 = 10 * 60 * 1000;
/// After so many failures in a row the delay is eight seconds.
const LONG_PAUSE_FAILURES: u32 = 4;
/// The longest delay between two attempts to write to KV.
const MAX_DELAY_SECS: i64 = 300;

/// The delay after so many failures in a row: 1, 2, 4 … 300 seconds.
pub(super) fn delay_millis(failures: u32) -> i64 {
    let secs = 1_i64.checked_shl(failures.saturating_sub(1)).unwrap_or(MAX_DELAY_SECS);
    if failures > 9 { MAX_DELAY_SECS * 1000 } else { secs.min(MAX_DELAY_SECS) * 1000 }
}

/// A pause of a ledger's work in KV after failures in a row. A long one is stored: the runtime ends an instance that
/// gets no event for ten seconds, and the next one would begin with a delay of one second again.
/// <https://developers.cloudflare.com/durable-objects/concepts/durable-object-lifecycle/>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pause {
    failures: u32,
    /// When it ends, in Unix milliseconds.
    pub(super) until: i64,
}

impl Pause {
    #[inline(never)]
    pub(super) fn parse(row: &str) -> Result<Self, UnknownVersion> {
        let unknown = UnknownVersion("row of the pause");
        let (failures, until) = row.split_once(' ').ok_or(unknown)?;
        let failures = failures.parse().map_err(|_| unknown)?;
        Ok(Self { failures, until: until.parse().map_err(|_| unknown)? })
    }

    pub(super) fn row(self) -> String {
        format!("{} {}", self.failures, self.until)
    }

    /// The pause after another failure at `now`.
    pub(super) fn after_failure(self, now: i64) -> Self {
        let failures = self.failures + 1;
        Self { failures, until: now + delay_millis(failures) }
    }

    /// Whether the instance may end before the pause does.
    pub(super) fn is_long(self) -> bool {
        self.failures >= LONG_PAUSE_FAILURES
    }
}
