//! The query of the list's page: how it is read, and how links and redirects write it.

use chrono::NaiveDate;
use url::form_urlencoded;

use crate::{
    expenses::{
        amount::Amount,
        filter::{Filter, Search},
        order::Sort,
    },
    fastapi::expense::{ListQuery, SORTS, parse_list_query},
    paging::LIST_PARAMETERS,
    typed::{Locale, amount::typed_amount},
    url_encoded::Parameters,
};

/// The order of a page unless `sort` says otherwise.
const DEFAULT_SORT: (&str, &str) = ("sort", "date");

/// The values of the filter's fields, in the order of [`FilterInput::NAMES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterInput(Vec<String>);

impl FilterInput {
    /// The names of the fields.
    pub const NAMES: [&str; 7] =
        ["from", "to", "category", "q", "min_amount", "max_amount", "currency"];

    /// The values that `value` gives for the names.
    pub fn new(value: impl Fn(&str) -> String) -> Self {
        Self(Self::NAMES.into_iter().map(value).collect())
    }

    /// The values of a filter; `amount` writes the amounts.
    pub fn of(filter: &Filter, amount: impl Fn(&Amount) -> String) -> Self {
        let Filter { category, from, to, search, min_amount, max_amount, currency } = filter;
        let day = |day: &Option<NaiveDate>| day.map(|day| day.to_string());
        let text = |text: Option<&str>| text.map(str::to_owned);
        let values = vec![
            day(from),
            day(to),
            text(category.as_deref()),
            text(search.as_ref().map(Search::text)),
            min_amount.as_ref().map(&amount),
            max_amount.as_ref().map(&amount),
            text(currency.as_deref()),
        ];
        Self(values.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Whether the filter selects all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(String::is_empty)
    }

    /// The names and values.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        Self::NAMES.into_iter().zip(self.0.iter().map(String::as_str))
    }

    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> &str {
        self.fields().find(|(field, _)| *field == name).map_or("", |(_, value)| value)
    }
}

/// The query of a page. Its form's empty fields count as absent.
pub(super) struct PageQuery {
    parameters: Parameters,
    /// The query of the API's list, in the page's order.
    pub(super) filtering: String,
    /// The fields that are not in it, and why.
    pub(super) refused: Vec<(&'static str, String)>,
}

impl PageQuery {
    /// Reads a query whose amounts and currency are as people type them.
    pub(super) fn parse(query: &str, locale: Locale) -> Self {
        let parameters = Parameters::parse(query.as_bytes());
        let currency = parameters.get("currency").unwrap_or_default().trim().to_ascii_uppercase();
        // Of equal names the last counts.
        let mut filtering = form_urlencoded::Serializer::new(String::new());
        filtering.append_pair(DEFAULT_SORT.0, DEFAULT_SORT.1);
        let mut refused = Vec::new();
        for (name, value) in parameters.iter() {
            let mut known = LIST_PARAMETERS.into_iter().chain(["cursor"]);
            let Some(name) = known.find(|known| *known == name && !value.trim().is_empty()) else {
                continue;
            };
            match name {
                "min_amount" | "max_amount" => match typed_amount(value, &currency, locale) {
                    // The link to the next page is made of it, and read as typed again.
                    Ok(amount) => filtering.append_pair(name, &unambiguous(amount)),
                    Err(message) => {
                        refused.push((name, message));
                        continue;
                    }
                },
                "currency" => filtering.append_pair(name, &currency),
                _ => filtering.append_pair(name, value),
            };
        }
        let filtering = filtering.finish();
        Self { parameters, filtering, refused }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).filter(|value| !value.trim().is_empty())
    }

    /// The order, in a query whose `sort` is valid.
    pub(super) fn sort(&self) -> Sort {
        if self.get("sort") == Some("created") { Sort::Created } else { Sort::Date }
    }

    /// The filter as it was typed.
    pub(super) fn filter_input(&self) -> FilterInput {
        FilterInput::new(|name| self.get(name).unwrap_or_default().to_owned())
    }
}

/// An amount in an address or in a filter's field: never three decimal places, which would have two meanings.
pub fn unambiguous(amount: String) -> String {
    match amount.split_once('.') {
        Some((_, places)) if places.len() == 3 => amount + "0",
        _ => amount,
    }
}

/// `?from=…&category=…` of a page's list, or an empty text for all expenses by date.
pub(super) fn list_query(filter: &Filter, sort: Sort) -> String {
    query(filter, (sort != Sort::Date).then_some(sort))
}

/// The query of the CSV with the page's list.
pub(super) fn csv_query(filter: &Filter, sort: Sort) -> String {
    query(filter, (sort != Sort::default()).then_some(sort))
}

/// The query in `return_to`, with the list's own parameters alone; an empty text if it is not a valid query of a list.
pub(super) fn rebuilt(return_to: &str) -> String {
    let (name, value) = DEFAULT_SORT;
    // Of equal names the last counts.
    let query = format!("{name}={value}&{}", return_to.trim_start_matches('?'));
    match parse_list_query(&query) {
        Ok(ListQuery { filter, sort, .. }) => list_query(&filter, sort),
        Err(_) => String::new(),
    }
}

/// `?return_to=…` for a link to a page that leads back to the list with the query `list`.
pub(super) fn return_query(list: &str) -> String {
    if list.is_empty() {
        return String::new();
    }
    let mut query = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
    query.append_pair("return_to", list);
    query.finish()
}

fn query(filter: &Filter, sort: Option<Sort>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in FilterInput::of(filter, |amount| unambiguous(amount.to_string())).fields()
    {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    if let Some(sort) = sort {
        query.append_pair("sort", sort_name(sort));
    }
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

/// The order's name in a query.
pub(super) fn sort_name(sort: Sort) -> &'static str {
    SORTS.into_iter().find(|(_, named)| *named == sort).map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue, header::ACCEPT_LANGUAGE};

    #[test]
    fn return_address_is_made_of_the_lists_own_parameters() {
        for (return_to, expected) in [
            ("", ""),
            ("?", ""),
            ("?sort=date", ""),
            ("sort=created", "?sort=created"),
            ("?category=a%26b&evil=1&from=2026-01-01", "?from=2026-01-01&category=a%26b"),
            (
                "?q=%20caf%C3%A9%20&min_amount=1&max_amount=2.5",
                "?q=caf%C3%A9&min_amount=1.00&max_amount=2.50",
            ),
            ("?currency=EUR&cursor=abc&limit=7", "?currency=EUR"),
            ("?currency=euro", ""),
            ("//evil.test/", ""),
            ("https://evil.test/?q=a", ""),
            ("?q=a%0D%0ALocation:%20x", "?q=a%0D%0ALocation%3A+x"),
            ("?from=2026-01-02&to=2026-01-01", ""),
        ] {
            assert_eq!(rebuilt(return_to), expected, "{return_to}");
            assert_eq!(rebuilt(&rebuilt(return_to)), expected, "{return_to}");
        }
        assert_eq!(return_query(""), "");
        assert_eq!(return_query("?q=a&sort=created"), "?return_to=%3Fq%3Da%26sort%3Dcreated");
    }

    #[test]
    fn query_of_the_next_page_is_read_as_the_first_one() {
        let french = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static("fr"))]);
        let locale = Locale::from_headers(&french);
        let typed = PageQuery::parse("currency=tnd&min_amount=1%2C234", locale);
        let next = PageQuery::parse(&typed.filtering, locale);
        assert_eq!((typed.refused, next.refused), (vec![], vec![]));
        assert!(next.filtering.ends_with("&currency=TND&min_amount=1.2340"), "{}", next.filtering);
    }
}
