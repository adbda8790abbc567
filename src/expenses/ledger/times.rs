//! How long KV may lag, and when an attempt that failed is repeated.

/// How long an entry stays after KV has it. KV shows a write after a minute "or more".
/// <https://developers.cloudflare.com/kv/concepts/how-kv-works/>
pub(super) const KV_LAG_MAX_MILLIS: i64 = 10 * 60 * 1000;
/// The longest delay between two attempts to write to KV.
const MAX_DELAY_SECS: i64 = 300;

/// The delay after so many failures in a row: 1, 2, 4 … 300 seconds.
pub(super) fn delay_millis(failures: u32) -> i64 {
    let secs = 1_i64.checked_shl(failures.saturating_sub(1)).unwrap_or(MAX_DELAY_SECS);
    if failures > 9 { MAX_DELAY_SECS * 1000 } else { secs.min(MAX_DELAY_SECS) * 1000 }
}
