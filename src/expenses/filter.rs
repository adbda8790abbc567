//! Selects the expenses of a list, a summary or an export.

use chrono::NaiveDate;
use thiserror::Error;

use super::{model::Category, row::Figures};

/// A selection of expenses. A field that is `None` selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    category: Option<Category>,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
}

/// The error for a last day before the first day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the last day comes before the first")]
pub struct RangeReversed;

impl Filter {
    /// Expenses of exactly `category`, on `from` or later, on `to` or earlier.
    ///
    /// # Errors
    ///
    /// [`RangeReversed`].
    pub fn new(
        category: Option<Category>,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
    ) -> Result<Self, RangeReversed> {
        match (from, to) {
            (Some(from), Some(to)) if to < from => Err(RangeReversed),
            _ => Ok(Self { category, from, to }),
        }
    }

    /// The category, if the filter has one.
    #[must_use]
    pub fn category(&self) -> Option<&str> {
        self.category.as_deref()
    }

    /// The first day, if the filter has one.
    #[must_use]
    pub fn from(&self) -> Option<NaiveDate> {
        self.from
    }

    /// The last day, if the filter has one.
    #[must_use]
    pub fn to(&self) -> Option<NaiveDate> {
        self.to
    }

    /// Whether the filter selects every expense.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A text that differs between different filters.
    pub(super) fn signature(&self) -> String {
        let day = |date: Option<NaiveDate>| date.map(|date| date.to_string()).unwrap_or_default();
        // A date has no colon, and a category is never empty.
        let category = self.category().unwrap_or_default();
        format!("{}:{}:{category}", day(self.from), day(self.to))
    }

    /// Whether the filter selects an expense.
    #[must_use]
    pub fn matches(&self, expense: &Figures<'_>) -> bool {
        self.category.as_ref().is_none_or(|category| **category == *expense.category)
            && self.from.is_none_or(|from| from <= expense.date)
            && self.to.is_none_or(|to| expense.date <= to)
    }
}
