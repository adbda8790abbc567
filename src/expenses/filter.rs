//! Selects the expenses of a list, a summary or an export.

use std::fmt::Write as _;

use chrono::NaiveDate;
use edge_host::text::{folded, small};

use super::{
    amount::Amount,
    model::{Category, Currency, TextError, trimmed_text},
    row::Figures,
};

/// A selection of expenses. A field that is `None` selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this category, in capital or small letters.
    pub category: Option<Category>,
    /// On this day or later.
    pub from: Option<NaiveDate>,
    /// On this day or earlier.
    pub to: Option<NaiveDate>,
    /// Only expenses with these words.
    pub search: Option<Search>,
    /// This amount or more.
    pub min_amount: Option<Amount>,
    /// This amount or less.
    pub max_amount: Option<Amount>,
    /// Only this currency.
    pub currency: Option<Currency>,
}

impl Filter {
    /// Whether the filter selects every expense.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A text that differs between different filters.
    pub(super) fn signature(&self) -> String {
        let Self { category, from, to, search, min_amount, max_amount, currency } = self;
        let mut signature = String::new();
        // Released versions know the first three fields: their cursors stay valid, and they refuse others.
        let has_amounts = min_amount.is_some() || max_amount.is_some();
        if has_amounts || search.is_some() || currency.is_some() {
            signature.push_str(currency.as_deref().unwrap_or_default());
            for amount in [min_amount, max_amount] {
                signature.push('/');
                // Writing to a string cannot fail.
                let _ = amount.map(|amount| write!(signature, "{amount}"));
            }
            // Words contain no white space, and the others no slash.
            for word in search.iter().flat_map(|search| &search.words) {
                signature.push(' ');
                signature.push_str(word);
            }
            signature.push('\n');
        }
        let day = |date: &Option<NaiveDate>| date.map(|date| date.to_string()).unwrap_or_default();
        // A date has no colon, and a category is never empty.
        let category = category.as_deref().unwrap_or_default();
        let _ = write!(signature, "{}:{}:{category}", day(from), day(to));
        signature
    }

    /// Whether the filter selects an expense.
    #[must_use]
    pub fn matches(&self, expense: &Figures<'_>) -> bool {
        let Self { category, from, to, search, min_amount, max_amount, currency } = self;
        from.is_none_or(|from| from <= expense.date)
            && to.is_none_or(|to| expense.date <= to)
            && currency.is_none_or(|currency| currency == expense.currency)
            && min_amount.is_none_or(|min| min.units() <= expense.amount.units())
            && max_amount.is_none_or(|max| expense.amount.units() <= max.units())
            && category.as_ref().is_none_or(|category| is_same_name(category, &expense.category))
            && search.as_ref().is_none_or(|search| search.finds(expense))
    }
}

/// Whether two names differ at most in capital and small letters.
pub(crate) fn is_same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
        || !one.is_ascii() && !other.is_ascii() && small(one) == small(other)
}

/// Words that expenses are searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    text: String,
    /// As texts are compared.
    words: Vec<String>,
}

impl Search {
    /// The most characters.
    pub const MAX_CHARS: usize = 200;
    /// The most different words: each one is looked for in each text.
    pub const MAX_WORDS: usize = 20;

    /// Reads words with white space between them.
    ///
    /// # Errors
    ///
    /// [`TextError`].
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let text = trimmed_text(text, Self::MAX_CHARS)?;
        let folded = folded(text);
        let mut words: Vec<&str> = Vec::new();
        for word in folded.split_whitespace() {
            if words.contains(&word) {
                continue;
            }
            if words.len() == Self::MAX_WORDS {
                return Err(TextError::TooManyWords { max_words: Self::MAX_WORDS });
            }
            words.push(word);
        }
        let words = words.into_iter().map(str::to_owned).collect();
        Ok(Self { text: text.to_owned(), words })
    }

    /// The text, without white space around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the description or the category contains each of the words.
    fn finds(&self, expense: &Figures<'_>) -> bool {
        let description = expense.description();
        let texts = [folded(&description), folded(&expense.category)];
        self.words.iter().all(|word| texts.iter().any(|text| text.contains(&**word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expenses::model::{Description, Expense, ExpenseContent};
    use crate::expenses::row::Row;
    use chrono::DateTime;

    fn row(description: &str, category: &str) -> Row {
        let noon = DateTime::from_timestamp(1_795_435_200, 0).unwrap();
        let content = ExpenseContent {
            description: Description::parse(description).unwrap(),
            amount: Amount::parse("42.50").unwrap(),
            currency: Currency::parse("EUR").unwrap(),
            category: Category::parse(category).unwrap(),
            date: noon.date_naive(),
        };
        Row::from(&Expense::new(content, noon))
    }

    fn selects(filter: &Filter, row: &Row) -> bool {
        filter.matches(&row.as_ref().figures().unwrap())
    }

    #[test]
    fn search_ignores_case_and_accents() {
        for (words, description, is_found) in [
            ("lunch", "Team LUNCH", true),
            ("LUNCH team", "Team lunch", true),
            ("lun ch", "lunch", true),
            ("lunch dinner", "lunch", false),
            ("cafe", "Café Müller", true),
            ("CAFÉ", "cafe muller", true),
            ("muller", "Café MÜLLER", true),
            ("müller", "muller", true),
            ("strasse", "Straße", true),
            ("STRASSE", "straße", true),
            ("straße", "STRASSE", true),
            ("smorrebrod", "Smørrebrød", true),
            ("smørrebrød", "Smorrebrod", true),
            ("lunch", "Ｌｕｎｃｈ", true),
            ("１２", "12", true),
            ("東京", "夜の東京", true),
            ("京東", "夜の東京", false),
            ("оплата", "ОПЛАТА", true),
            ("\"a\" \\", "say \"A\" \\ b", true),
            ("n", "a\nb", false),
            ("\u{301}", "anything", true),
            ("🍜", "lunch 🍜", true),
            ("é", "cafe\u{301}", true),
            ("travel", "Taxi", true),
            ("taxi REISE", "Taxi", false),
            ("taxi tràvel", "Taxi", true),
        ] {
            let filter =
                Filter { search: Some(Search::parse(words).unwrap()), ..Filter::default() };
            let row = row(description, "Travel");
            assert_eq!(selects(&filter, &row), is_found, "{words} in {description}");
        }
        assert_eq!(Search::parse(" \u{3000}"), Err(TextError::Empty));
        assert_eq!(Search::parse(" a  b ").unwrap().text(), "a  b");
        // One character that is compared as four words.
        let search = Search::parse(&"\u{fdfa}".repeat(200)).unwrap();
        assert!(search.words.len() < 6, "each word once: {:?}", search.words);
        let words: String = ('a'..='u').flat_map(|letter| [letter, ' ']).collect();
        assert_eq!(Search::parse(&words), Err(TextError::TooManyWords { max_words: 20 }));
        assert!(Search::parse(&words.replace('u', "A")).is_ok());
    }

    #[test]
    fn category_ignores_case_alone() {
        for (one, other, is_same) in [
            ("meals", "Meals", true),
            ("BÜRO", "büro", true),
            ("buro", "büro", false),
            ("ΟΔΟΣ", "οδος", true),
            ("meals", "meal", false),
            ("ß", "ss", false),
        ] {
            let filter = Filter { category: Category::parse(one).ok(), ..Filter::default() };
            assert_eq!(selects(&filter, &row("x", other)), is_same, "{one} {other}");
        }
    }

    #[test]
    fn amounts_and_currency_include_their_limits() {
        let row = row("x", "y");
        let amount = |text| Amount::parse(text);
        for (min_amount, max_amount, currency, is_selected) in [
            (amount("42.50"), amount("42.50"), "EUR", true),
            (amount("42.51"), None, "EUR", false),
            (None, amount("42.49"), "EUR", false),
            (None, None, "USD", false),
        ] {
            let currency = Currency::parse(currency).ok();
            let filter = Filter { min_amount, max_amount, currency, ..Filter::default() };
            assert_eq!(selects(&filter, &row), is_selected, "{filter:?}");
        }
    }

    #[test]
    fn signatures_differ_between_filters() {
        let search = |text| Some(Search::parse(text).unwrap());
        let filters = [
            Filter::default(),
            Filter { category: Category::parse("a").ok(), ..Filter::default() },
            Filter { from: NaiveDate::from_ymd_opt(2026, 1, 1), ..Filter::default() },
            Filter { to: NaiveDate::from_ymd_opt(2026, 1, 1), ..Filter::default() },
            Filter { search: search("a"), ..Filter::default() },
            Filter { search: search("a b"), ..Filter::default() },
            Filter { search: search("/1.00/a"), ..Filter::default() },
            Filter { min_amount: Amount::parse("1.00"), ..Filter::default() },
            Filter { max_amount: Amount::parse("1.00"), ..Filter::default() },
            Filter { currency: Currency::parse("USD").ok(), ..Filter::default() },
        ];
        for (index, one) in filters.iter().enumerate() {
            for other in &filters[..index] {
                assert_ne!(one.signature(), other.signature());
            }
        }
        let known = Filter {
            category: Category::parse("a:b").ok(),
            to: NaiveDate::from_ymd_opt(2026, 1, 1),
            ..Filter::default()
        };
        assert_eq!(known.signature(), ":2026-01-01:a:b", "as released versions have it");
    }
}
