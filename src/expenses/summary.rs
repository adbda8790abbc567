//! Exact totals and counts, for each currency by category and by month. Amounts of different currencies
//! are never added.

use std::{cmp::Reverse, collections::BTreeMap, fmt::Write as _};

use chrono::{Datelike, Months, NaiveDate};

use super::{
    amount::Total,
    model::Currency,
    row::{Figures, push_string},
    sorted::sorted_by_key,
};

/// The totals of a user's expenses.
#[derive(Debug, Default)]
pub struct Summary {
    /// One per currency, in alphabetical order.
    pub currencies: Vec<CurrencySummary>,
}

/// The totals in one currency.
#[derive(Debug, Default)]
pub struct CurrencySummary {
    /// Three letters of ISO 4217.
    pub currency: String,
    /// The total.
    pub total: Total,
    /// The number of expenses.
    pub count: u64,
    /// The largest first.
    pub by_category: Vec<CategorySummary>,
    /// The newest first.
    pub by_month: Vec<MonthSummary>,
}

/// The total of one category.
#[derive(Debug)]
pub struct CategorySummary {
    /// The category.
    pub category: String,
    /// The total.
    pub total: Total,
    /// The number of expenses.
    pub count: u64,
}

/// The total of one month.
#[derive(Debug)]
pub struct MonthSummary {
    /// `YYYY-MM`.
    pub month: String,
    /// The total.
    pub total: Total,
    /// The number of expenses.
    pub count: u64,
}

/// The length of a category or a month with short texts, for a buffer.
const SUM_BYTES: usize = 60;

impl Summary {
    /// The JSON. serde_json would parse each total as a number first, to keep its digits.
    #[must_use]
    pub fn to_json(&self) -> String {
        let sums =
            |currency: &CurrencySummary| currency.by_category.len() + currency.by_month.len() + 2;
        let sums: usize = self.currencies.iter().map(sums).sum();
        let mut json = String::with_capacity((sums + 1) * SUM_BYTES);
        json.push_str("{\"currencies\":");
        push_array(&mut json, &self.currencies, |json, summary| {
            let CurrencySummary { currency, total, count, by_category, by_month } = summary;
            json.push_str("{\"currency\":");
            push_string(json, currency);
            push_sum(json, *total, *count);
            json.push_str(",\"by_category\":");
            push_array(json, by_category, |json, CategorySummary { category, total, count }| {
                push_group(json, "category", category, *total, *count);
            });
            json.push_str(",\"by_month\":");
            push_array(json, by_month, |json, MonthSummary { month, total, count }| {
                push_group(json, "month", month, *total, *count);
            });
            json.push('}');
        });
        json.push('}');
        json
    }
}

fn push_array<T>(json: &mut String, elements: &[T], push: impl Fn(&mut String, &T)) {
    json.push('[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        push(json, element);
    }
    json.push(']');
}

/// Adds an object with the name of a group and its sum.
fn push_group(json: &mut String, member: &str, name: &str, total: Total, count: u64) {
    json.push_str("{\"");
    json.push_str(member);
    json.push_str("\":");
    push_string(json, name);
    push_sum(json, total, count);
    json.push('}');
}

fn push_sum(json: &mut String, total: Total, count: u64) {
    // Writing to a string cannot fail.
    let _ = write!(json, ",\"total\":{total},\"count\":{count}");
}

/// The totals of this month and of the previous month in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthComparison {
    /// Three letters of ISO 4217.
    pub currency: String,
    /// The total of this month so far.
    pub this: Total,
    /// The total of the previous month.
    pub last: Total,
}

/// Compares the month of `today` with the previous month, for each currency in either. The largest total of
/// this month comes first.
pub fn compare_months<'a>(
    expenses: impl Iterator<Item = &'a Figures<'a>>,
    today: NaiveDate,
) -> Vec<MonthComparison> {
    let month = |date: NaiveDate| (date.year(), date.month());
    let last_month = today.checked_sub_months(Months::new(1)).map(month);
    let mut sums: BTreeMap<Currency, (Total, Total)> = BTreeMap::new();
    for expense in expenses {
        let of_expense = month(expense.date);
        if of_expense == month(today) {
            sums.entry(expense.currency).or_default().0.add(expense.amount);
        } else if Some(of_expense) == last_month {
            sums.entry(expense.currency).or_default().1.add(expense.amount);
        }
    }
    let comparisons: Vec<MonthComparison> = sums
        .into_iter()
        .map(|(currency, (this, last))| MonthComparison {
            currency: currency.to_string(),
            this,
            last,
        })
        .collect();
    sorted_by_key(comparisons, |comparison| Reverse((comparison.this, comparison.last)))
}

/// The most categories of one summary, those of each currency counted apart. Each takes some 200 bytes until the
/// response is sent, and users share an isolate's 128 MB.
pub const CATEGORIES_MAX: usize = 10_000;

/// Adds up expenses one by one.
#[derive(Debug, Default)]
pub struct SummaryBuilder(BTreeMap<Currency, CurrencySums>);

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
    fn add(&mut self, expense: &Figures<'_>) {
        self.total.add(expense.amount);
        self.count += 1;
    }
}

impl SummaryBuilder {
    /// Whether there are more than [`CATEGORIES_MAX`] categories.
    #[must_use]
    pub fn has_too_many_categories(&self) -> bool {
        self.0.values().map(|sums| sums.by_category.len()).sum::<usize>() > CATEGORIES_MAX
    }

    /// Adds one expense.
    pub fn add(&mut self, expense: &Figures<'_>) {
        let sums = self.0.entry(expense.currency).or_default();
        sums.all.add(expense);
        match sums.by_category.get_mut(&*expense.category) {
            Some(sum) => sum.add(expense),
            None => sums.by_category.entry(expense.category.to_string()).or_default().add(expense),
        }
        let month = (expense.date.year(), expense.date.month());
        sums.by_month.entry(month).or_default().add(expense);
    }
}

impl From<SummaryBuilder> for Summary {
    fn from(sums: SummaryBuilder) -> Self {
        Self { currencies: sums.0.into_iter().map(CurrencySummary::from).collect() }
    }
}

impl From<(Currency, CurrencySums)> for CurrencySummary {
    fn from((currency, sums): (Currency, CurrencySums)) -> Self {
        let by_category: Vec<CategorySummary> = sums
            .by_category
            .into_iter()
            .map(|(category, Sum { total, count })| CategorySummary { category, total, count })
            .collect();
        // Equal totals stay in the order of their names.
        let by_category = sorted_by_key(by_category, |category| Reverse(category.total));
        let by_month = sums.by_month.into_iter().rev().map(|((year, month), sum)| MonthSummary {
            month: format!("{year:04}-{month:02}"),
            total: sum.total,
            count: sum.count,
        });
        Self {
            currency: currency.to_string(),
            total: sums.all.total,
            count: sums.all.count,
            by_category,
            by_month: by_month.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expenses::amount::Amount;

    #[test]
    fn json_has_every_sum_with_two_decimal_places() {
        let mut sums = SummaryBuilder::default();
        for (amount, category) in [("0.10", "\"a\""), ("0.20", "b"), ("9999999999.99", "b")] {
            sums.add(&Figures {
                amount: Amount::parse(amount).unwrap(),
                currency: Currency::parse("EUR").unwrap(),
                category: category.into(),
                date: NaiveDate::from_ymd_opt(2026, 11, 23).unwrap(),
            });
        }
        let expected = r#"{"currencies":[{"currency":"EUR","total":10000000000.29,"count":3,"by_category":[{"category":"b","total":10000000000.19,"count":2},{"category":"\"a\"","total":0.10,"count":1}],"by_month":[{"month":"2026-11","total":10000000000.29,"count":3}]}]}"#;
        assert_eq!(Summary::from(sums).to_json(), expected);
        assert_eq!(Summary::default().to_json(), r#"{"currencies":[]}"#);
    }
}
