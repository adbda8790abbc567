//! What was spent: exact totals and counts, for each currency by category and by month. Amounts of
//! different currencies are never added.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::Datelike;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    model::{ExpenseContent, Total},
    schema,
};

/// `GET /expenses/summary`.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Summary {
    /// One for each currency, in the order of their letters.
    pub currencies: Vec<CurrencySummary>,
}

/// What was spent in one currency.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct CurrencySummary {
    /// Three letters of ISO 4217.
    #[schema(schema_with = schema::currency)]
    pub currency: String,
    /// The sum of all.
    pub total: Total,
    /// How many there are.
    pub count: u64,
    /// The largest first.
    pub by_category: Vec<CategorySummary>,
    /// The newest first.
    pub by_month: Vec<MonthSummary>,
}

/// What was spent on one category.
#[derive(Debug, Serialize, ToSchema)]
pub struct CategorySummary {
    /// The category.
    pub category: String,
    /// The sum.
    pub total: Total,
    /// How many.
    pub count: u64,
}

/// What was spent in one month.
#[derive(Debug, Serialize, ToSchema)]
pub struct MonthSummary {
    /// `YYYY-MM`.
    #[schema(schema_with = schema::month)]
    pub month: String,
    /// The sum.
    pub total: Total,
    /// How many.
    pub count: u64,
}

/// Adds up expenses, one after the other.
#[derive(Debug, Default)]
pub struct Sums(BTreeMap<String, CurrencySums>);

#[derive(Debug, Default)]
struct CurrencySums {
    all: Sum,
    by_category: BTreeMap<String, Sum>,
    by_month: BTreeMap<(i32, u32), Sum>,
}

#[derive(Debug, Default)]
struct Sum {
    total: Total,
    count: u64,
}

impl Sum {
    fn add(&mut self, expense: &ExpenseContent) {
        self.total.add(expense.amount);
        self.count += 1;
    }
}

impl Sums {
    /// Adds one expense.
    pub fn add(&mut self, expense: &ExpenseContent) {
        let sums = self.0.entry(expense.currency.clone()).or_default();
        sums.all.add(expense);
        sums.by_category.entry(expense.category.clone()).or_default().add(expense);
        let month = (expense.date.year(), expense.date.month());
        sums.by_month.entry(month).or_default().add(expense);
    }
}

impl From<Sums> for Summary {
    fn from(sums: Sums) -> Self {
        Self { currencies: sums.0.into_iter().map(CurrencySummary::from).collect() }
    }
}

impl From<(String, CurrencySums)> for CurrencySummary {
    fn from((currency, sums): (String, CurrencySums)) -> Self {
        let mut by_category: Vec<CategorySummary> = sums
            .by_category
            .into_iter()
            .map(|(category, Sum { total, count })| CategorySummary { category, total, count })
            .collect();
        // Stable: equal totals stay in the order of their names.
        by_category.sort_by_key(|category| Reverse(category.total));
        let by_month = sums.by_month.into_iter().rev().map(|((year, month), sum)| MonthSummary {
            month: format!("{year:04}-{month:02}"),
            total: sum.total,
            count: sum.count,
        });
        Self {
            currency,
            total: sums.all.total,
            count: sums.all.count,
            by_category,
            by_month: by_month.collect(),
        }
    }
}
