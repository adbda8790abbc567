//! Schemas of what the API reads and writes (OpenAPI 3.1, that is JSON Schema 2020-12), with the
//! validation's own limits. `tests/app/openapi.rs` holds what they allow against what is accepted.

use serde_json::json;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        KnownFormat, Object, ObjectBuilder, OneOfBuilder, RefOr, Schema, SchemaFormat,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{AdditionalProperties, Type},
    },
};

use super::{
    idempotency::IDEMPOTENCY_KEY_MAX_CHARS,
    model::{Amount, ExpenseId, Timestamp, Total},
};
use crate::{
    fastapi::expense::{
        CATEGORY_MAX_CHARS, CURRENCY_PATTERN, DEFAULT_CATEGORY, DEFAULT_CURRENCY, DEFAULT_LIMIT,
        DESCRIPTION_MAX_CHARS,
    },
    runtime::KV_LIST_MAX_KEYS,
};

/// An expense as it is sent: what [`crate::fastapi::expense::parse_expense`] reads.
#[derive(Debug)]
pub enum ExpenseRequest {}

/// Changes to an expense: what [`crate::fastapi::expense::parse_patch`] reads.
#[derive(Debug)]
pub enum ExpensePatch {}

/// An expense as the page's own form sends it: what [`crate::web::expense_form::Typed`] reads.
#[derive(Debug)]
pub enum ExpenseForm {}

/// The form of the question before an expense is deleted.
#[derive(Debug)]
pub enum DeleteForm {}

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
            "A JSON merge patch (RFC 7396): what is not named stays, `null` puts a default back",
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
            "An expense as it is typed. A field that is empty is as one that is left out; fields that \
             are not known do no harm",
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
        .description(Some("No fields: that it is sent says it all"))
        .examples([json!({})])
);
schema_of!(
    ExpenseId,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9A-HJKMNP-TV-Z]{26}$"))
        .description(Some("A name in paths; the newest sorts first"))
        .examples(["7YTQKYCKQZ8PXVQ6R2M0F5N3JA"])
);
schema_of!(
    Timestamp,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("A moment in UTC"))
        .examples(["2026-11-23T18:00:00Z"])
);
schema_of!(Amount, amount().description(Some("Exact, with two decimal places")));
schema_of!(
    Total,
    ObjectBuilder::new()
        .schema_type(Type::Number)
        .minimum(Some(0))
        .description(Some("Exact, with two decimal places"))
        .examples([json!(42.5)])
);

/// The header that [`crate::api`] reads when an expense is made.
#[derive(Debug)]
pub enum IdempotencyKey {}

/// What [`crate::fastapi::expense::parse_list_query`] reads.
#[derive(Debug)]
pub enum ListParameters {}

/// What [`crate::fastapi::expense::parse_list_query`] reads of an operation that has no pages.
#[derive(Debug)]
pub enum FilterParameters {}

/// What [`crate::fastapi::expense::parse_summary_query`] reads.
#[derive(Debug)]
pub enum SummaryParameters {}

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "Names the attempt: the same key and body within 24 hours answer with the \
            first expense, the same key with another body is 422";
        vec![parameter(ParameterIn::Header, "Idempotency-Key", description, idempotency_key())]
    }
}

impl IntoParams for ListParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let [from, to] = range();
        vec![
            in_query("limit", "Rows at the most", limit()),
            in_query("cursor", "Where the page before has ended: comes with its `Link`", cursor()),
            in_query("category", "Only this category", category()),
            from,
            to,
        ]
    }
}

impl IntoParams for FilterParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let [from, to] = range();
        vec![in_query("category", "Only this category", category()), from, to]
    }
}

impl IntoParams for SummaryParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let [from, to] = range();
        vec![from, to, in_query("currency", "Only this currency", currency())]
    }
}

fn range() -> [Parameter; 2] {
    [
        in_query("from", "On this day or later", date()),
        in_query("to", "On this day or earlier; not earlier than from", date()),
    ]
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

/// A page as a table.
pub const CSV_EXAMPLE: &str = "id,date,description,category,amount,currency,created_at,updated_at\r\n\
    7YTQKYCKQZ8PXVQ6R2M0F5N3JA,2026-11-23,\"Team lunch\",\"meals\",42.50,\"USD\",\
    2026-11-23T18:00:00Z,2026-11-23T18:00:00Z\r\n";

fn idempotency_key() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(IDEMPOTENCY_KEY_MAX_CHARS))
        .pattern(Some("^[ -~]+$"))
        .build()
}

fn limit() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(KV_LIST_MAX_KEYS))
        .default(Some(json!(DEFAULT_LIMIT)))
        .build()
}

fn cursor() -> Object {
    ObjectBuilder::new().schema_type(Type::String).build()
}

/// The schema of [`super::model::ExpenseContent`]'s `description`.
pub(super) fn description() -> Object {
    text(DESCRIPTION_MAX_CHARS, "What it was for; white space around it is cut off", "Team lunch")
}

/// The schema of [`super::model::ExpenseContent`]'s `category`.
pub(super) fn category() -> Object {
    text(CATEGORY_MAX_CHARS, "A word of your own; white space around it is cut off", "meals")
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

/// The schema of [`super::model::ExpenseContent`]'s `currency`.
pub(super) fn currency() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(CURRENCY_PATTERN))
        .description(Some("Three capital letters of ISO 4217"))
        .examples(["USD"])
        .build()
}

/// The schema of a day.
pub(super) fn date() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
        .examples(["2026-11-23"])
        .build()
}

/// The schema of a month of [`super::summary::MonthSummary`].
pub(super) fn month() -> Object {
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
            "More than zero, at most 12 digits and 2 decimal places; as a number or as its text",
        ))
        .into()
}

fn amount_typed() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(
            "With a decimal point or comma, with or without thousands separators. `1,234` can be read in \
             two ways and is refused",
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
    ObjectBuilder::from(currency()).default(Some(json!(DEFAULT_CURRENCY))).build()
}

fn category_input() -> Object {
    ObjectBuilder::from(category()).default(Some(json!(DEFAULT_CATEGORY))).build()
}

fn date_input() -> Object {
    let description = "The day it was spent; today (UTC) where it is left out";
    ObjectBuilder::from(date()).description(Some(description)).build()
}

fn or_null(schema: Object) -> Schema {
    OneOfBuilder::new().item(schema).item(ObjectBuilder::new().schema_type(Type::Null)).into()
}
