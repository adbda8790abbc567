//! The events of the domain.

use edge_host::{Cause, UserHash};

edge_host::events! {
    /// What the domain reports. Those of a ledger happen in its Durable Object, which knows no request.
    pub enum ExpensesEvent<'a> {
        /// The response to a read is from KV alone, because the ledger has none: it may lag by a minute.
        Error ReadWithoutLedger = "read_without_ledger" {
            /// The ledger's error.
            cause: Cause<'a>,
        }
        /// KV did not take a write. The ledger has committed it, and repeats it.
        Warn KvDeferred = "kv_deferred" {
            /// The owner of the ledger.
            user: Option<UserHash>,
            /// `put` or `delete`.
            operation: &'a str,
            /// As in `kv_failed`.
            kind: &'a str,
        }
        /// The expenses of a file are committed.
        Info Imported = "imported" {
            /// The owner of the ledger.
            user: Option<UserHash>,
            /// The expenses that the ledger did not have.
            expenses: u32,
        }
        /// The log of a ledger has grown by another 1,000 entries. An entry leaves it ten to eleven minutes after KV
        /// has it.
        Warn LedgerLogGrown = "ledger_log_grown" {
            /// The owner of the ledger.
            user: Option<UserHash>,
            /// The entries.
            entries: u32,
        }
        /// The log of a ledger is full, and the write was refused with 503: it has 20,000 entries or 10 MB, or would
        /// have more than 15,000 after an import.
        Error LedgerLogFull = "ledger_log_full" {
            /// The owner of the ledger.
            user: Option<UserHash>,
        }
        /// The transfer of a ledger's writes to KV ended with a failure of the object's storage. An alarm begins it
        /// again.
        Error TransferFailed = "transfer_failed" {
            /// The owner of the ledger.
            user: Option<UserHash>,
            /// The fault.
            cause: Cause<'a>,
        }
        /// A deleted user's data is erased from now on: reads are empty, and writes are refused.
        Info ErasureBegun = "erasure_begun" {
            /// The deleted user.
            user: Option<UserHash>,
        }
        /// Keys of a deleted user were deleted from KV.
        Info KeysErased = "keys_erased" {
            /// The deleted user.
            user: Option<UserHash>,
            /// The number of keys.
            keys: u32,
            /// Whether no key was left.
            is_complete: bool,
        }
        /// The erasure of a deleted user is complete: ten minutes after the last key KV still has none.
        Info Erased = "erased" {
            /// The deleted user.
            user: Option<UserHash>,
        }
        /// Keys of a deleted user could not be deleted. An alarm tries again.
        Warn ErasureDeferred = "erasure_deferred" {
            /// The deleted user.
            user: Option<UserHash>,
            /// KV's error.
            cause: Cause<'a>,
        }
        /// A stored expense cannot be read, and is left out of lists.
        Error ExpenseUnreadable = "expense_unreadable" {
            /// Its id.
            expense: &'a str,
        }
        /// A key under an owner's prefix does not end in an expense's id, and is left out of lists.
        Error KeyMalformed = "key_malformed" {}
    }
}
