//! JSON Schemas (OpenAPI 3.1, JSON Schema 2020-12) of requests and responses, with the domain's own
//! limits. `tests/app/openapi.rs` compares them to the values that the API accepts.

use chrono::NaiveDate;
use serde_json::json;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        KnownFormat, Object, ObjectBuilder, OneOfBuilder, RefOr, Schema, SchemaFormat,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{AdditionalProperties, Type},
    },
};

use crate::{
    expenses::{
        amount::{Amount, Total},
        filter::Search,
        idempotency::IdempotencyKey,
        model::{Category, Currency, Description, ExpenseId, Timestamp},
        order::Sort,
    },
    fastapi::expense::{DEFAULT_LIMIT, SORTS},
    import::columns::FIELDS,
};
use edge_host::KV_LIST_MAX_KEYS;

/// The description of an amount in a response.
const EXACT: &str = "Exact, with two decimal places; with more in currencies that have more";

/// An expense as it is sent: [`parse_expense`](crate::fastapi::expense::parse_expense) reads it.
#[derive(Debug)]
pub enum ExpenseRequest {}

/// Changes to an expense: [`parse_patch`](crate::fastapi::expense::parse_patch) reads them.
#[derive(Debug)]
pub enum ExpensePatch {}

/// An expense as the page's own form sends it.
#[derive(Debug)]
pub enum ExpenseForm {}

/// The form that confirms a removal.
#[derive(Debug)]
pub enum DeleteForm {}

/// An expense as the API shows it.
#[derive(ToSchema)]
#[schema(as = Expense)]
#[expect(dead_code, reason = "describes the JSON of `Expense`; a test holds the two together")]
pub struct ExpenseResponse {
    /// The id, as paths have it.
    id: ExpenseId,
    #[schema(schema_with = description)]
    description: String,
    amount: Amount,
    #[schema(schema_with = currency)]
    currency: String,
    #[schema(schema_with = category)]
    category: String,
    /// The day the money was spent.
    #[schema(schema_with = date)]
    date: NaiveDate,
    /// When it was added.
    created_at: Timestamp,
    /// When it was last changed.
    updated_at: Timestamp,
}

/// `GET /expenses/summary`.
#[derive(ToSchema)]
#[schema(as = Summary)]
#[expect(dead_code, reason = "describes the JSON of `Summary`; a test holds the two together")]
pub struct SummaryResponse {
    /// One per currency, in alphabetical order.
    currencies: Vec<CurrencySummary>,
}

/// The totals in one currency.
#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
struct CurrencySummary {
    #[schema(schema_with = currency)]
    currency: String,
    /// The total.
    total: Total,
    /// The number of expenses.
    count: u64,
    /// The largest first.
    by_category: Vec<CategorySummary>,
    /// The newest first.
    by_month: Vec<MonthSummary>,
}

/// The total of one category.
#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
struct CategorySummary {
    /// The category.
    category: String,
    /// The total.
    total: Total,
    /// The number of expenses.
    count: u64,
}

/// The total of one month.
#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
struct MonthSummary {
    #[schema(schema_with = month)]
    month: String,
    /// The total.
    total: Total,
    /// The number of expenses.
    count: u64,
}

macro_rules! schema_of {
    ($type:ident, $schema:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                Schema::from($schema).into()
            }
        }
        impl ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
        }
    };
}

schema_of!(
    ExpenseRequest,
    ObjectBuilder::new()
        .description(Some("An expense as it is sent"))
        .property("description", description())
        .property("amount", amount_input())
        .property("currency", currency_input())
        .property("category", category_input())
        .property("date", date_input())
        .required("description")
        .required("amount")
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .examples([json!({"description": "Team lunch", "amount": 42.5, "category": "meals"})])
);
schema_of!(
    ExpensePatch,
    ObjectBuilder::new()
        .description(Some(
            "A JSON merge patch (RFC 7396): absent fields stay, `null` resets a field to its default",
        ))
        .property("description", description())
        .property("amount", amount_input())
        .property("currency", or_null(currency_input()))
        .property("category", or_null(category_input()))
        .property("date", or_null(date_input()))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .examples([json!({"amount": 45, "category": null})])
);
schema_of!(
    ExpenseForm,
    ObjectBuilder::new()
        .description(Some(
            "An expense as a person types it. An empty field counts as absent; unknown fields are ignored",
        ))
        .property("description", description())
        .property("amount", amount_typed())
        .property("currency", currency_typed())
        .property("category", category_input())
        .property("date", date_input())
        .required("description")
        .required("amount")
        .examples([json!({"description": "Team lunch", "amount": "42,50"})])
);
schema_of!(
    DeleteForm,
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("No fields: the request itself confirms the removal"))
        .examples([json!({})])
);
schema_of!(
    ExpenseId,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9A-HJKMNP-TV-Z]{26}$"))
        .description(Some("The id, as paths have it; the newest sorts first"))
        .examples(["7YTQKYCKQZ8PXVQ6R2M0F5N3JA"])
);
schema_of!(
    Timestamp,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("An instant in UTC"))
        .examples(["2026-11-23T18:00:00Z"])
);
schema_of!(Amount, amount().description(Some(EXACT)));
schema_of!(
    Total,
    ObjectBuilder::new()
        .schema_type(Type::Number)
        .minimum(Some(0))
        .description(Some(EXACT))
        .examples([json!(42.5)])
);

/// The header of a request that adds an expense once.
#[derive(Debug)]
pub enum IdempotencyKeyHeader {}

/// The headers of a conditional read of one expense.
#[derive(Debug)]
pub enum ReadConditions {}

/// The headers of a conditional write of one expense.
#[derive(Debug)]
pub enum WriteConditions {}

/// The parameters of a list.
#[derive(Debug)]
pub enum ListParameters {}

/// The parameters of a list without pages: order and filter.
#[derive(Debug)]
pub enum FilterParameters {}

/// The parameters of a summary: a filter without a category.
#[derive(Debug)]
pub enum SummaryParameters {}

/// How an imported file is read.
#[derive(Debug)]
pub enum ImportParameters {}

/// A file in a form.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the form that `import_expenses` reads")]
pub struct ImportForm {
    /// The CSV file, as UTF-8.
    #[schema(format = Binary)]
    file: String,
}

impl IntoParams for IdempotencyKeyHeader {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "Identifies the request: within 24 hours the same key and body respond with the \
            first expense, the same key with another body is 422";
        vec![parameter(ParameterIn::Header, "Idempotency-Key", description, idempotency_key())]
    }
}

impl IntoParams for ReadConditions {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "The `ETag`s of responses that the client has: while the expense has one of these \
            versions, the response is 304";
        vec![parameter(ParameterIn::Header, "If-None-Match", description, etags())]
    }
}

impl IntoParams for WriteConditions {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "The `ETag` of the response that the client has read: if the expense has another version, \
            nothing happens and the response is 412";
        vec![parameter(ParameterIn::Header, "If-Match", description, etags())]
    }
}

impl IntoParams for ListParameters {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let page = [
            in_query("limit", "Most rows of the page", limit()),
            in_query("cursor", "The end of the page before, from its `Link` header", cursor()),
        ];
        page.into_iter().chain(FilterParameters::into_params(place)).collect()
    }
}

impl IntoParams for FilterParameters {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let category =
            in_query("category", "Only this category, in capital or small letters", category());
        let first = [sort_parameter(), category];
        first.into_iter().chain(SummaryParameters::into_params(place)).collect()
    }
}

impl IntoParams for SummaryParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            in_query("from", "On this day or later", date()),
            in_query("to", "On this day or earlier; not earlier than from", date()),
            in_query("q", SEARCH, search()),
            in_query("min_amount", "This amount or more, in any currency", amount_limit()),
            in_query("max_amount", "This amount or less; not less than min_amount", amount_limit()),
            in_query("currency", "Only this currency", currency()),
        ]
    }
}

impl IntoParams for ImportParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let choice = |choices: &[&str]| text().enum_values(Some(choices.to_vec())).build();
        let columns = FIELDS.map(|field| {
            let name = field.name();
            let description = format!("The name of the column with the {name}, if it is not recognised; empty if there is none");
            in_query(name, &description, text().build())
        });
        let others = [
            in_query(
                "default_currency",
                "The currency of expenses without one. Default: USD",
                currency(),
            ),
            in_query(
                "dates",
                "What `03/04/2026` means. Without it a date with two meanings is a fault",
                choice(&["day-first", "month-first"]),
            ),
            in_query(
                "amounts",
                "`negative`: expenses are the negative amounts, as in a bank's statement",
                choice(&["negative"]),
            ),
            in_query(
                "invalid",
                "`skip`: rows with faults are left out. Without it they refuse the file",
                choice(&["skip"]),
            ),
        ];
        columns.into_iter().chain(others).collect()
    }
}

/// The meaning of `q`.
const SEARCH: &str = "Only expenses whose description or category contains each of these words, at most 20; case and accents are \
    ignored";

fn sort_parameter() -> Parameter {
    let description = "`date`: the newest day first, and on one day the expense added last; `created`: the expense added \
        last first";
    in_query("sort", description, sort())
}

fn in_query(name: &str, description: &str, schema: Object) -> Parameter {
    parameter(ParameterIn::Query, name, description, schema)
}

fn parameter(place: ParameterIn, name: &str, description: &str, schema: Object) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// A page as CSV.
pub const CSV_EXAMPLE: &str = "id,date,description,category,amount,currency,created_at,updated_at\r\n\
    7YTQKYCKQZ8PXVQ6R2M0F5N3JA,2026-11-23,\"Team lunch\",\"meals\",42.50,\"USD\",\
    2026-11-23T18:00:00Z,2026-11-23T18:00:00Z\r\n";

fn idempotency_key() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(IdempotencyKey::MAX_CHARS))
        .pattern(Some(IdempotencyKey::PATTERN))
        .build()
}

fn etags() -> Object {
    ObjectBuilder::new().schema_type(Type::String).build()
}

fn limit() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(KV_LIST_MAX_KEYS))
        .default(Some(json!(DEFAULT_LIMIT)))
        .build()
}

fn sort() -> Object {
    let default = SORTS.iter().find(|(_, sort)| *sort == Sort::default());
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(SORTS.map(|(name, _)| name)))
        .default(default.map(|(name, _)| json!(name)))
        .build()
}

fn search() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(Search::MAX_CHARS))
        .examples(["team lunch"])
        .build()
}

fn amount_limit() -> Object {
    amount().build()
}

fn cursor() -> Object {
    ObjectBuilder::new().schema_type(Type::String).build()
}

fn description() -> Object {
    text(
        Description::MAX_CHARS,
        "What the money was spent on; white space around it is removed",
        "Team lunch",
    )
}

fn category() -> Object {
    text(Category::MAX_CHARS, "Your own category; white space around it is removed", "meals")
}

fn text(max_chars: usize, description: &str, example: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(max_chars))
        .description(Some(description))
        .examples([example])
        .build()
}

fn currency() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(Currency::PATTERN))
        .description(Some("Three capital letters of ISO 4217"))
        .examples(["USD"])
        .build()
}

fn date() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
        .examples(["2026-11-23"])
        .build()
}

fn month() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9]{4}-[0-9]{2}$"))
        .examples(["2026-11"])
        .build()
}

fn amount() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Number)
        .exclusive_minimum(Some(0))
        .maximum(Some(9_999_999_999.99))
        .examples([json!(42.5)])
}

fn amount_input() -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String).examples(["42.50"]);
    OneOfBuilder::new()
        .item(amount())
        .item(text)
        .description(Some(
            "More than zero, at most 12 digits and the currency's decimal places by ISO 4217: 2 decimal places \
             for most, none for JPY, 3 for BHD",
        ))
        .into()
}

fn amount_typed() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(
            "With a decimal point or comma, with or without thousands separators. `1,234` is ambiguous and \
             refused",
        ))
        .examples(["42,50", "1.234,50"])
        .build()
}

fn currency_typed() -> Object {
    ObjectBuilder::from(currency())
        .pattern(Some("^[A-Za-z]{3}$"))
        .description(Some("Three letters of ISO 4217, capital or small"))
        .build()
}

fn currency_input() -> Object {
    ObjectBuilder::from(currency()).default(Some(json!(&*Currency::DEFAULT))).build()
}

fn category_input() -> Object {
    ObjectBuilder::from(category()).default(Some(json!(Category::DEFAULT))).build()
}

fn date_input() -> Object {
    let description = "The day the money was spent; today (UTC) if absent";
    ObjectBuilder::from(date()).description(Some(description)).build()
}

fn or_null(schema: Object) -> Schema {
    OneOfBuilder::new().item(schema).item(ObjectBuilder::new().schema_type(Type::Null)).into()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::Value;

    use super::*;
    use crate::expenses::{
        model::{Expense, NewExpense},
        row::Row,
        summary::{Summary, SummaryBuilder},
    };

    /// The names of a JSON object's members, sorted.
    fn names(object: &Value) -> Vec<&String> {
        let mut names: Vec<&String> = object.as_object().unwrap().keys().collect();
        names.sort();
        names
    }

    fn assert_describes<T: ToSchema>(value: &Value) {
        let schema = json!(T::schema());
        assert_eq!(names(&schema["properties"]), names(value), "{}", T::name());
        assert_eq!(schema["required"].as_array().unwrap().len(), names(value).len());
    }

    #[test]
    fn response_schemas_have_the_members_of_the_json() {
        let noon = DateTime::from_timestamp(1_795_435_200, 0).unwrap();
        let new = NewExpense {
            description: Description::parse("Lunch").unwrap(),
            amount: Amount::parse("42.50").unwrap(),
            currency: None,
            category: None,
            date: None,
        };
        let content = new.into_content(noon.date_naive());
        let mut sums = SummaryBuilder::default();
        let row = Row::from(&Expense::new(content, noon));
        sums.add(&row.as_ref().figures().unwrap());
        let summary = Summary::from(sums);
        let parsed = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        let summary = parsed(&summary.to_json());
        let currency = &summary["currencies"][0];
        assert_describes::<ExpenseResponse>(&parsed(row.json()));
        assert_describes::<SummaryResponse>(&summary);
        assert_describes::<CurrencySummary>(currency);
        assert_describes::<CategorySummary>(&currency["by_category"][0]);
        assert_describes::<MonthSummary>(&currency["by_month"][0]);
    }
}
