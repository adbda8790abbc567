//! The version of an expense, and conditions on it: a change can require the version that its sender has read.

use super::{keys::sha256_hex, model::Expense, row::Row};

/// Identifies the content of one expense: a hash of its JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// Half of a SHA-256, in hexadecimal digits.
    const DIGITS: usize = 32;

    /// The version of `expense`: that of its row.
    #[must_use]
    pub fn of(expense: &Expense) -> Self {
        Self::of_row(&Row::from(expense))
    }

    /// The version of the expense in `row`.
    #[must_use]
    pub fn of_row(row: &Row) -> Self {
        let mut hash = sha256_hex(row.json().as_bytes());
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
