//! The version of an expense, and conditions on it: a change can require the version that its sender has read.

use sha2::{Digest, Sha256};

use super::{
    model::{Expense, Timestamp},
    record::ExpenseRecord,
    row::{Members, RowRef},
};

/// Identifies the content of one expense: a hash of its record. Equal versions have equal JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// Half of a SHA-256, in hexadecimal digits.
    const DIGITS: usize = 32;

    /// The version of `expense`.
    #[must_use]
    pub fn of(expense: &Expense) -> Self {
        // A struct of strings and numbers always serializes.
        let record = serde_json::to_vec(&ExpenseRecord::from(expense)).unwrap_or_default();
        Self::of_hash(&Sha256::digest(&record))
    }

    /// The version of the expense in `row`: the same hash, of the members as they are in the row. `None` for a row
    /// that cannot be read.
    #[must_use]
    pub fn of_row(row: RowRef<'_>) -> Option<Self> {
        let Members {
            description, amount, currency, category, date, created_at, updated_at, ..
        } = row.members()?;
        let secs = |time| Timestamp::parse(time).map(|time| time.unix_secs().to_string());
        let (created_at, updated_at) = (secs(created_at)?, secs(updated_at)?);
        let record = [
            ("{\"description\":\"", description),
            ("\",\"amount\":\"", amount),
            ("\",\"currency\":\"", currency),
            ("\",\"category\":\"", category),
            ("\",\"date\":\"", date),
            ("\",\"created_at\":", &created_at),
            (",\"updated_at\":", &updated_at),
            ("}", ""),
        ];
        let mut hash = Sha256::new();
        for (name, value) in record {
            hash.update(name);
            hash.update(value);
        }
        Some(Self::of_hash(&hash.finalize()))
    }

    fn of_hash(hash: &[u8]) -> Self {
        let mut hash = base16ct::lower::encode_string(hash);
        hash.truncate(Self::DIGITS);
        Self(hash)
    }

    /// The version in the form that clients get.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The versions that a condition names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// Every version.
    Any,
    /// These versions. A text that is no version matches nothing.
    Listed(Vec<String>),
}

impl Versions {
    /// Whether the condition names `version`; `None` is the version of a record that cannot be read.
    #[must_use]
    pub fn contain(&self, version: Option<&Version>) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => version.is_some_and(|version| listed.contains(&version.0)),
        }
    }
}

/// A condition on the version of an existing expense. The default is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// The expense has one of these versions.
    pub is_one_of: Option<Versions>,
    /// The expense has none of these versions.
    pub is_none_of: Option<Versions>,
}

impl Condition {
    /// The condition that the expense has the version with this text.
    #[must_use]
    pub fn is(version: String) -> Self {
        let is_one_of = Some(Versions::Listed(vec![version]));
        Self { is_one_of, is_none_of: None }
    }

    /// Whether an expense meets the condition; `version` computes its version, and `None` is the version of a record
    /// that cannot be read.
    #[must_use]
    pub fn is_met_by(&self, version: impl FnOnce() -> Option<Version>) -> bool {
        if *self == Self::default() {
            return true;
        }
        let version = version();
        self.is_one_of.as_ref().is_none_or(|versions| versions.contain(version.as_ref()))
            && !self.is_none_of.as_ref().is_some_and(|versions| versions.contain(version.as_ref()))
    }
}
