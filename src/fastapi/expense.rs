//! Reads the requests of the expense tracker: bodies, merge patches, and the parameters of lists and
//! summaries, from JSON, a query or the arguments of a tool.

use chrono::NaiveDate;
use serde_json::Value;

use super::{
    date::{parse_date as parse_date_text, parse_unix_date},
    decimal::{self, DecimalError},
    fields::{Fields, parse_string},
    integer::parse_positive,
    problem::{Fault, Problem, Problems, Source},
};
use crate::expenses::{
    amount::Amount,
    filter::{Filter, Search},
    idempotency::IdempotencyKey,
    model::{
        Category, Currency, Description, ExpenseChanges, ExpenseId, NewExpense, UnfitAmount, Update,
    },
    order::Sort,
};
use edge_host::KV_LIST_MAX_KEYS;

/// The rows of a page if `limit` is absent.
pub(crate) const DEFAULT_LIMIT: usize = 100;

/// The values of `sort`.
pub(crate) const SORTS: [(&str, Sort); 2] = [("date", Sort::Date), ("created", Sort::Created)];
/// [`SORTS`] in Pydantic's words.
const SORTS_EXPECTED: &str = "'date' or 'created'";

/// Reads a new expense, or the replacement of an expense.
///
/// # Errors
///
/// Every problem, in the order of the fields, then unknown members.
pub fn parse_expense(body: Value) -> Result<NewExpense, Problems> {
    let mut fields = Fields::of(body)?;
    let description = fields.required("description", parse_description);
    let places = match fields.get("currency") {
        Some(currency) => places_of(currency),
        None => Currency::DEFAULT.places(),
    };
    let amount = fields.required("amount", |value| parse_amount_of(value, Some(places)));
    let currency = fields.optional("currency", parse_currency);
    let category = fields.optional("category", parse_category);
    let date = fields.optional("date", parse_date);
    let (description, amount) = fields.finish_with(description.zip(amount))?;
    Ok(NewExpense { description, amount, currency, category, date })
}

/// Reads a JSON merge patch (RFC 7396): `null` resets a field that has a default.
///
/// # Errors
///
/// The problems of [`parse_expense`]; no field is required.
pub fn parse_patch(body: Value) -> Result<ExpenseChanges, Problems> {
    let mut fields = Fields::of(body)?;
    let changes = read_changes(&mut fields);
    fields.finish().into_result()?;
    Ok(changes)
}

/// Reads a merge patch whose object also has the expense's `id`.
///
/// # Errors
///
/// The problems of [`parse_patch`]; the id is required.
pub fn parse_patch_arguments(arguments: Value) -> Result<(ExpenseId, ExpenseChanges), Problems> {
    let mut fields = Fields::of(arguments)?;
    let id = read_id(&mut fields);
    let changes = read_changes(&mut fields);
    fields.finish_with(id).map(|id| (id, changes))
}

/// Reads an object that has only an expense's `id`.
///
/// # Errors
///
/// Every problem.
pub fn parse_id_argument(arguments: Value) -> Result<ExpenseId, Problems> {
    let mut fields = Fields::of(arguments)?;
    let id = read_id(&mut fields);
    fields.finish_with(id)
}

fn read_id(fields: &mut Fields) -> Option<ExpenseId> {
    fields.required("id", |value| {
        ExpenseId::parse(parse_string(value)?).map_err(|_| Fault::NotAnExpenseId)
    })
}

fn read_changes(fields: &mut Fields) -> ExpenseChanges {
    // Without a currency the stored one counts, which the ledger knows.
    let places = fields.get("currency").map(places_of);
    ExpenseChanges {
        description: fields.optional("description", parse_description),
        amount: fields.optional("amount", |value| parse_amount_of(value, places)),
        currency: update(fields.optional("currency", |value| or_null(value, parse_currency))),
        category: update(fields.optional("category", |value| or_null(value, parse_category))),
        date: update(fields.optional("date", |value| or_null(value, parse_date))),
    }
}

fn or_null<T>(
    value: &Value,
    parse: impl Fn(&Value) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    if value.is_null() { Ok(None) } else { parse(value).map(Some) }
}

fn update<T>(member: Option<Option<T>>) -> Update<T> {
    match member {
        None => Update::Keep,
        Some(None) => Update::Reset,
        Some(Some(value)) => Update::Set(value),
    }
}

fn parse_description(value: &Value) -> Result<Description, Fault> {
    Ok(Description::parse(parse_string(value)?)?)
}

fn parse_category(value: &Value) -> Result<Category, Fault> {
    Ok(Category::parse(parse_string(value)?)?)
}

fn parse_currency(value: &Value) -> Result<Currency, Fault> {
    Ok(Currency::parse(parse_string(value)?)?)
}

/// The decimal places of a currency that was sent. `null` is the default currency; an invalid one counts as it, and is
/// a problem of its own.
fn places_of(currency: &Value) -> u8 {
    parse_currency(currency).unwrap_or(Currency::DEFAULT).places()
}

/// An amount of a currency with so many decimal places; `None` is a currency that is not known.
fn parse_amount_of(value: &Value, places: Option<u8>) -> Result<Amount, Fault> {
    let text = match value {
        Value::Number(number) => number.as_str(),
        Value::String(text) => text,
        _ => return Err(Fault::NotADecimal),
    };
    decimal::parse_amount(text, places).map_err(Fault::Decimal)
}

/// The least or the largest amount of a filter, in any currency.
fn parse_limit(value: &Value) -> Result<Amount, Fault> {
    parse_amount_of(value, None)
}

fn parse_sort(value: &Value) -> Result<Sort, Fault> {
    let sort = SORTS.into_iter().find(|(name, _)| value.as_str() == Some(name));
    sort.map(|(_, sort)| sort).ok_or(Fault::NotOneOf(SORTS_EXPECTED))
}

fn parse_date(value: &Value) -> Result<NaiveDate, Fault> {
    let parsed = match value {
        Value::String(text) => Some(parse_date_text(text)),
        Value::Number(number) => parse_unix_date(number.as_str()),
        _ => None,
    };
    parsed.ok_or(Fault::NotADate)?.map_err(Fault::Date)
}

/// Reads an idempotency key from the header or the argument called `name`.
///
/// # Errors
///
/// The problem of the key.
pub fn parse_idempotency_key(
    value: &Value,
    (source, name): (Source, &'static str),
) -> Result<IdempotencyKey, Problems> {
    let key = parse_string(value).and_then(|key| Ok(IdempotencyKey::parse(key)?));
    key.map_err(|fault| Problem::of_field(source, name, fault, value.clone()).into())
}

/// The parameters of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// The most rows of the page.
    pub limit: usize,
    /// The sealed end of the previous page.
    pub cursor: Option<String>,
    /// The order.
    pub sort: Sort,
    /// The expenses to list.
    pub filter: Filter,
}

/// The first page of the whole list.
impl Default for ListQuery {
    fn default() -> Self {
        let (sort, filter) = (Sort::default(), Filter::default());
        Self { limit: DEFAULT_LIMIT, cursor: None, sort, filter }
    }
}

/// Reads `limit`, `cursor`, `sort` and the filter's parameters from a query string.
///
/// # Errors
///
/// Every problem.
pub fn parse_list_query(query: &str) -> Result<ListQuery, Problems> {
    if query.is_empty() {
        return Ok(ListQuery::default());
    }
    read_list(Fields::of_query(query))
}

/// Reads the parameters of a list from a JSON object. `limit` may be a number; unknown members are
/// problems.
///
/// # Errors
///
/// Every problem.
pub fn parse_list_arguments(arguments: Value) -> Result<ListQuery, Problems> {
    read_list(Fields::of(arguments)?)
}

fn read_list(mut fields: Fields) -> Result<ListQuery, Problems> {
    let limit = fields.optional("limit", |value| parse_positive(value, KV_LIST_MAX_KEYS));
    let cursor = fields.optional("cursor", |value| parse_string(value).map(str::to_owned));
    let sort = fields.optional("sort", parse_sort);
    let category = fields.optional("category", parse_category);
    let filter = read_filter(&mut fields, category);
    fields.finish().into_result()?;
    Ok(ListQuery {
        limit: limit.unwrap_or(DEFAULT_LIMIT),
        cursor: cursor.filter(|cursor| !cursor.is_empty()),
        sort: sort.unwrap_or_default(),
        filter,
    })
}

/// Reads the filter of a summary from a query string.
///
/// # Errors
///
/// Every problem.
pub fn parse_summary_query(query: &str) -> Result<Filter, Problems> {
    read_summary(Fields::of_query(query))
}

/// Reads the filter of a summary from a JSON object; unknown members are problems.
///
/// # Errors
///
/// Every problem.
pub fn parse_summary_arguments(arguments: Value) -> Result<Filter, Problems> {
    read_summary(Fields::of(arguments)?)
}

fn read_summary(mut fields: Fields) -> Result<Filter, Problems> {
    // A summary has every category.
    let filter = read_filter(&mut fields, None);
    fields.finish().into_result()?;
    Ok(filter)
}

fn read_filter(fields: &mut Fields, category: Option<Category>) -> Filter {
    let filter = Filter {
        category,
        from: fields.optional("from", parse_date),
        to: fields.optional("to", parse_date),
        search: fields.optional("q", |value| Ok(Search::parse(parse_string(value)?)?)),
        min_amount: fields.optional("min_amount", parse_limit),
        max_amount: fields.optional("max_amount", parse_limit),
        currency: fields.optional("currency", parse_currency),
    };
    if is_reversed(filter.from, filter.to) {
        fields.reject("to", Fault::RangeReversed);
    }
    if is_reversed(filter.min_amount.map(Amount::units), filter.max_amount.map(Amount::units)) {
        fields.reject("max_amount", Fault::AmountsReversed);
    }
    filter
}

fn is_reversed<T: Ord>(min: Option<T>, max: Option<T>) -> bool {
    min.zip(max).is_some_and(|(min, max)| max < min)
}

/// The problem of a change that gives an expense an amount that its currency does not have.
#[must_use]
pub fn unfit_amount(unfit: UnfitAmount) -> Problems {
    let UnfitAmount { amount, reason, .. } = unfit;
    // A number with its digits.
    let input = amount.to_string().parse().map(Value::Number).unwrap_or_default();
    let fault = Fault::Decimal(DecimalError::Amount(reason));
    Problem::of_field(Source::Body, "amount", fault, input).into()
}

/// The problem of a cursor from another list, user or filter.
#[must_use]
pub fn foreign_cursor(cursor: &str) -> Problems {
    Problem::of_field(Source::Query, "cursor", Fault::ForeignCursor, cursor.into()).into()
}

/// The problem of a summary with more than `max` categories.
#[must_use]
pub fn too_many_categories(max: usize) -> Problems {
    Problem::of_field(Source::Query, "from", Fault::TooManyCategories { max }, Value::Null).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fastapi::{parse_json, problem::Loc};
    use axum_authkit::AppError;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 23).unwrap()
    }

    /// The `type` and last `loc` of every problem.
    fn problems(body: &str) -> Vec<(&'static str, String)> {
        let parsed = parse_json(body.as_bytes()).and_then(parse_expense);
        let Err(problems) = parsed else { return Vec::new() };
        problems
            .iter()
            .map(|problem| {
                let loc = match &problem.loc {
                    Loc::Body => "body".to_owned(),
                    Loc::Position(position) => position.to_string(),
                    Loc::Field(_, name) => name.to_string(),
                    Loc::Line(line, _) => line.to_string(),
                };
                (problem.fault.kind(), loc)
            })
            .collect()
    }

    fn problem(body: &str) -> (&'static str, String) {
        let problems = problems(body);
        assert_eq!(problems.len(), 1, "{body}: {problems:?}");
        problems.into_iter().next().unwrap()
    }

    #[test]
    fn absent_fields_get_their_defaults() {
        let body = parse_json(br#"{"description": " Lunch ", "amount": 42.50}"#).unwrap();
        let content = parse_expense(body).unwrap().into_content(today());
        assert_eq!(&*content.description, "Lunch");
        assert_eq!(content.amount.to_string(), "42.50");
        assert_eq!((&*content.currency, &*content.category), ("USD", "other"));
        assert_eq!(content.date, today());
    }

    #[test]
    fn parse_expense_reports_every_problem_in_order() {
        let body = r#"{"zebra": 1, "date": "x", "currency": "usd", "description": 5, "ape": 1}"#;
        assert_eq!(
            problems(body),
            [
                ("string_type", "description".into()),
                ("missing", "amount".into()),
                ("string_pattern_mismatch", "currency".into()),
                ("date_from_datetime_parsing", "date".into()),
                ("extra_forbidden", "zebra".into()),
                ("extra_forbidden", "ape".into()),
            ]
        );
    }

    #[test]
    fn missing_field_repeats_the_whole_input() {
        let body = json!({"description": "x"});
        let error = AppError::from(parse_expense(body.clone()).unwrap_err());
        assert_eq!(
            error.detail,
            json!([{"type": "missing", "loc": ["body", "amount"], "msg": "Field required", "input": body}])
        );
    }

    #[test]
    fn bodies_other_than_objects_are_refused() {
        assert_eq!(problem(""), ("missing", "body".into()));
        assert_eq!(problem("{\"a\":"), ("json_invalid", "5".into()));
        assert_eq!(problem("{\"é\":}"), ("json_invalid", "5".into()), "in characters");
        assert_eq!(
            problem("\u{feff}[x"),
            ("json_invalid", "1".into()),
            "after the byte order mark"
        );
        assert_eq!(problem("[]"), ("model_attributes_type", "body".into()));
        assert_eq!(problem("null"), ("model_attributes_type", "body".into()));
    }

    #[test]
    fn lengths_count_characters_after_trimming() {
        let body = |description: &str| json!({"description": description, "amount": 1}).to_string();
        assert!(problems(&body(&format!("  {}  ", "é".repeat(200)))).is_empty());
        assert_eq!(problem(&body(&"é".repeat(201))).0, "string_too_long");
        assert_eq!(problem(&body(" \t\n ")).0, "string_too_short");
    }

    #[test]
    fn amount_problems_have_pydantics_types() {
        for (amount, kind) in [
            ("null", "decimal_type"),
            ("true", "decimal_type"),
            ("[1]", "decimal_type"),
            ("\"abc\"", "decimal_parsing"),
            ("\"NaN\"", "finite_number"),
            ("0", "greater_than"),
            ("1.005", "decimal_max_places"),
            ("12345678901", "decimal_whole_digits"),
            ("1e400", "decimal_max_digits"),
        ] {
            let body = format!(r#"{{"description": "x", "amount": {amount}}}"#);
            assert_eq!(problem(&body), (kind, "amount".into()), "{amount}");
        }
    }

    #[test]
    fn problem_repeats_the_input_digit_by_digit() {
        let body =
            parse_json(br#"{"description": "x", "amount": 1.23456789012345678901}"#).unwrap();
        let problems = parse_expense(body).unwrap_err();
        assert_eq!(problems.iter().next().unwrap().input.to_string(), "1.23456789012345678901");
    }

    #[test]
    fn limit_is_an_integer_from_1_to_1000() {
        let limit = |text: &str| parse_list_query(&format!("limit={text}"));
        assert_eq!(limit("1").unwrap().limit, 1);
        assert_eq!(limit("1000").unwrap().limit, 1000);
        assert_eq!(limit("1_0.0").unwrap().limit, 10);
        for (text, kind) in [
            ("", "int_parsing"),
            ("x", "int_parsing"),
            ("1.5", "int_parsing"),
            ("1.", "int_parsing"),
            ("1__0", "int_parsing"),
            ("-", "int_parsing"),
            ("0", "greater_than_equal"),
            ("-5", "greater_than_equal"),
            ("1001", "less_than_equal"),
            ("99999999999999999999999", "less_than_equal"),
        ] {
            assert_eq!(
                limit(text).unwrap_err().iter().next().unwrap().fault.kind(),
                kind,
                "{text}"
            );
        }
    }

    #[test]
    fn query_reports_every_problem_and_ignores_unknown_parameters() {
        let problems = parse_list_query("limit=0&from=x&to=2026-02-30&category=&zebra=1");
        let problems = problems.unwrap_err();
        let found: Vec<_> = problems
            .iter()
            .map(|problem| (problem.fault.kind(), problem.field().unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                ("greater_than_equal", "limit"),
                ("string_too_short", "category"),
                ("date_from_datetime_parsing", "from"),
                ("date_from_datetime_parsing", "to"),
            ]
        );
        let query = parse_list_query("zebra=1&limit=5&limit=7").unwrap();
        assert_eq!(query.limit, 7, "the last of equal names counts");
    }

    #[test]
    fn sort_is_a_literal() {
        let sort = |text: &str| parse_list_query(&format!("sort={text}")).map(|query| query.sort);
        assert_eq!(parse_list_query("").unwrap().sort, Sort::Created);
        assert_eq!((sort("date"), sort("created")), (Ok(Sort::Date), Ok(Sort::Created)));
        for text in ["", "Date", "date%20", "amount"] {
            let problems = sort(text).unwrap_err();
            let problem = problems.iter().next().unwrap();
            assert_eq!((problem.fault.kind(), problem.field()), ("literal_error", Some("sort")));
            assert_eq!(problem.fault.to_string(), "Input should be 'date' or 'created'");
        }
    }

    #[test]
    fn patch_changes_named_fields_and_null_resets() {
        let body = json!({"description": "x", "amount": 1, "currency": "EUR", "category": "a", "date": "2026-01-01"});
        let content = parse_expense(body).unwrap().into_content(today());
        let patched = |patch: Value| {
            parse_patch(patch).map(|changes| changes.apply(content.clone(), today()).unwrap())
        };
        assert_eq!(patched(json!({})).unwrap(), content);
        let changed = patched(json!({"amount": "2.5"})).unwrap();
        assert_eq!((changed.amount.to_string(), &*changed.currency), ("2.50".into(), "EUR"));
        let reset = patched(json!({"currency": null, "category": null, "date": null})).unwrap();
        assert_eq!((&*reset.currency, &*reset.category, reset.date), ("USD", "other", today()));
        let problems =
            patched(json!({"description": null, "amount": null, "id": "x"})).unwrap_err();
        let kinds: Vec<_> = problems.iter().map(|problem| problem.fault.kind()).collect();
        assert_eq!(kinds, ["string_type", "decimal_type", "extra_forbidden"]);
    }
}
