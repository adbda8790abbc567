//! Exact totals and counts, for each currency by category and by month. Amounts of different currencies
//! are never added.

use std::{borrow::Cow, cmp::Reverse, collections::BTreeMap, fmt::Write as _};

use chrono::{Datelike, Months, NaiveDate};
use edge_host::text::small;

use super::{
    amount::Total,
    model::Currency,
    row::{Figures, push_string},
    sorted::{order, sorted_by_key},
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

/// The most categories of one summary, those of each currency counted apart. Each takes some 200 bytes until the
/// response is sent, and users share an isolate's 128 MB.
pub const CATEGORIES_MAX: usize = 10_000;

/// The name under which [`SummaryBuilder`] adds up the categories beyond [`CATEGORIES_MAX`].
const OTHER_CATEGORIES: &str = "…";

/// Adds up expenses one by one.
#[derive(Debug, Default)]
pub struct SummaryBuilder {
    /// In alphabetical order. In boxes, because an insertion moves those that follow.
    currencies: Vec<(Currency, Box<CurrencySums>)>,
    /// The categories of each currency, each spelling counted.
    categories: usize,
    /// The expenses.
    added: u64,
}

#[derive(Debug, Default)]
struct CurrencySums {
    all: Sum,
    by_category: BTreeMap<String, Sum>,
    by_month: BTreeMap<(i32, u32), Sum>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    total: Total,
    count: u64,
    /// The number of expenses that were added before the first of these.
    first: u64,
}

/// A category of all currencies, in one spelling.
struct Spelling<'a> {
    name: &'a str,
    /// In small letters.
    small: Cow<'a, str>,
    count: u64,
    /// As in [`Sum`].
    first: u64,
}

/// The spelling to show for those of one name: the one used most, or of two the one added first, which is the newest
/// where expenses are added newest first.
fn shown<'a>(spellings: &[Spelling<'a>]) -> &'a str {
    let shown = spellings.iter().max_by_key(|spelling| (spelling.count, Reverse(spelling.first)));
    shown.map_or("", |spelling| spelling.name)
}

/// The names in small letters whose spellings differ, in their order, each with the spelling to show.
#[derive(Debug, Default)]
pub struct Respelled(Vec<(String, String)>);

impl Respelled {
    fn shown(&self, name: &str) -> Option<&str> {
        let name = small(name);
        let found = self.0.binary_search_by(|(other, _)| (**other).cmp(&*name)).ok()?;
        self.0.get(found).map(|(_, shown)| &**shown)
    }
}

impl Sum {
    fn add(&mut self, expense: &Figures<'_>) {
        self.total.add(expense.amount);
        self.count += 1;
    }
}

impl SummaryBuilder {
    /// Whether there are more than [`CATEGORIES_MAX`] categories. The last ones are added up as one.
    #[must_use]
    pub fn has_too_many_categories(&self) -> bool {
        self.categories > CATEGORIES_MAX
    }

    /// Whether no expense was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.currencies.is_empty()
    }

    /// The currencies, those used most first, and those used as much in alphabetical order.
    #[must_use]
    pub fn currencies(&self) -> Vec<Currency> {
        let used = self.currencies.iter().map(|(currency, sums)| (*currency, sums.all.count));
        let used = sorted_by_key(used.collect(), |(_, count)| Reverse(*count));
        used.into_iter().map(|(currency, _)| currency).collect()
    }

    /// Adds one expense.
    pub fn add(&mut self, expense: &Figures<'_>) {
        let Self { currencies, categories, added } = self;
        let first = *added;
        *added += 1;
        let sums = sums_of(currencies, expense.currency);
        sums.all.add(expense);
        match sums.by_category.get_mut(&*expense.category) {
            Some(sum) => sum.add(expense),
            None => {
                *categories += 1;
                let is_known = *categories <= CATEGORIES_MAX;
                let name = if is_known { &*expense.category } else { OTHER_CATEGORIES };
                let sum = Sum { first, ..Sum::default() };
                sums.by_category.entry(name.to_owned()).or_insert(sum).add(expense);
            }
        }
        let month = (expense.date.year(), expense.date.month());
        sums.by_month.entry(month).or_default().add(expense);
    }

    /// The categories of all currencies, those used most first. Those that differ in case only are one.
    #[must_use]
    pub fn categories(&self) -> Vec<&str> {
        let spellings = self.spellings();
        let names = spellings.chunk_by(is_same);
        let names = names.map(|spellings| {
            let count: u64 = spellings.iter().map(|spelling| spelling.count).sum();
            (shown(spellings), count)
        });
        // Names of one count stay in alphabetical order.
        let names = sorted_by_key(names.collect(), |(_, count)| Reverse(*count));
        names.into_iter().map(|(name, _)| name).collect()
    }

    /// The spellings of categories that a summary does not show: of those that differ in case only it shows one.
    #[must_use]
    pub fn respelled(&self) -> Respelled {
        let mut names = self.currencies.iter().flat_map(|(_, sums)| sums.by_category.keys());
        if names.all(|name| name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()))
        {
            return Respelled::default();
        }
        let spellings = self.spellings();
        let names = spellings.chunk_by(is_same);
        let respelled = names.filter_map(|spellings| {
            let small = spellings.first().filter(|_| spellings.len() > 1)?.small.to_string();
            Some((small, shown(spellings).to_owned()))
        });
        Respelled(respelled.collect())
    }

    /// Every spelling of a category once, those of one name after each other.
    fn spellings(&self) -> Vec<Spelling<'_>> {
        let all = self.currencies.iter().flat_map(|(_, sums)| &sums.by_category);
        let all = all.map(|(name, sum)| Spelling {
            name,
            small: small(name),
            count: sum.count,
            first: sum.first,
        });
        let all: Vec<Spelling<'_>> = all.collect();
        let order = order(all.len(), &|one, other| {
            let (one, other) = (&all[one], &all[other]);
            one.small.cmp(&other.small).then_with(|| one.name.cmp(other.name))
        });
        let mut spellings: Vec<Spelling<'_>> = Vec::with_capacity(all.len());
        for Spelling { name, small, count, first } in order.into_iter().map(|index| &all[index]) {
            match spellings.last_mut().filter(|last| last.name == *name) {
                Some(last) => {
                    last.count += count;
                    last.first = last.first.min(*first);
                }
                None => spellings.push(Spelling {
                    name,
                    small: small.clone(),
                    count: *count,
                    first: *first,
                }),
            }
        }
        spellings
    }

    /// The summary, without the spellings that are not shown.
    #[must_use]
    pub fn into_summary(self, respelled: &Respelled) -> Summary {
        let currencies = self.currencies.into_iter();
        Summary {
            currencies: currencies.map(|sums| CurrencySummary::new(sums, respelled)).collect(),
        }
    }

    /// Compares the month of `today` with the previous month, for each currency in either. The largest total of
    /// this month comes first.
    #[must_use]
    pub fn compare_months(&self, today: NaiveDate) -> Vec<MonthComparison> {
        let month = |date: NaiveDate| (date.year(), date.month());
        let (this, last) = (month(today), today.checked_sub_months(Months::new(1)).map(month));
        let comparisons = self.currencies.iter().filter_map(|(currency, sums)| {
            let this = sums.by_month.get(&this);
            let last = last.and_then(|last| sums.by_month.get(&last));
            this.or(last)?;
            let total = |sum: Option<&Sum>| sum.map(|sum| sum.total).unwrap_or_default();
            let currency = currency.to_string();
            Some(MonthComparison { currency, this: total(this), last: total(last) })
        });
        let comparisons: Vec<MonthComparison> = comparisons.collect();
        sorted_by_key(comparisons, |comparison| Reverse((comparison.this, comparison.last)))
    }
}

/// The sums of a currency, which begin at zero.
fn sums_of(
    currencies: &mut Vec<(Currency, Box<CurrencySums>)>,
    currency: Currency,
) -> &mut CurrencySums {
    let found = currencies.binary_search_by(|(other, _)| other.cmp(&currency));
    let at = found.unwrap_or_else(|at| {
        currencies.insert(at, (currency, Box::default()));
        at
    });
    &mut currencies[at].1
}

fn is_same(one: &Spelling<'_>, other: &Spelling<'_>) -> bool {
    one.small == other.small
}

impl From<SummaryBuilder> for Summary {
    fn from(sums: SummaryBuilder) -> Self {
        let respelled = sums.respelled();
        sums.into_summary(&respelled)
    }
}

impl CurrencySummary {
    fn new((currency, sums): (Currency, Box<CurrencySums>), respelled: &Respelled) -> Self {
        let by_category = sums.by_category.into_iter().map(|(category, sum)| CategorySummary {
            category,
            total: sum.total,
            count: sum.count,
        });
        let mut by_category: Vec<CategorySummary> = by_category.collect();
        if !respelled.0.is_empty() {
            for sum in &mut by_category {
                if let Some(shown) = respelled.shown(&sum.category) {
                    shown.clone_into(&mut sum.category);
                }
            }
            by_category = sorted_by_key(by_category, |sum| sum.category.clone());
            by_category.dedup_by(|next, sum| {
                let is_same = next.category == sum.category;
                if is_same {
                    sum.total = [sum.total, next.total].into_iter().sum();
                    sum.count += next.count;
                }
                is_same
            });
        }
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
                escaped_description: "x",
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

    #[test]
    fn categories_that_differ_in_case_are_one() {
        let mut sums = SummaryBuilder::default();
        // The newest expense first.
        for (category, currency) in [
            ("Büro", "EUR"),
            ("meals", "USD"),
            ("Meals", "EUR"),
            ("MEALS", "EUR"),
            ("Meals", "EUR"),
            ("BÜRO", "EUR"),
            ("rent", "EUR"),
            ("rent", "EUR"),
            ("rent", "EUR"),
            ("rent", "EUR"),
            ("rent", "EUR"),
        ] {
            sums.add(&Figures {
                escaped_description: "x",
                amount: Amount::parse("1.00").unwrap(),
                currency: Currency::parse(currency).unwrap(),
                category: category.into(),
                date: NaiveDate::from_ymd_opt(2026, 11, 23).unwrap(),
            });
        }
        // The one used most, and of two used equally the newest.
        assert_eq!(sums.categories(), ["rent", "Meals", "Büro"]);
        let summary = Summary::from(sums);
        let categories: Vec<Vec<(String, String, u64)>> = summary
            .currencies
            .into_iter()
            .map(|sums| {
                let sums = sums.by_category.into_iter();
                sums.map(|sum| (sum.category, sum.total.to_string(), sum.count)).collect()
            })
            .collect();
        let sum = |category: &str, count: u64| (category.to_owned(), format!("{count}.00"), count);
        assert_eq!(
            categories,
            [vec![sum("rent", 5), sum("Meals", 3), sum("Büro", 2)], vec![sum("Meals", 1)]]
        );
    }
}
