//! Properties of every expense: both stored forms have the same row, and a copied row is what serializing would write.

#![allow(clippy::unwrap_used, reason = "proptest's functions are no tests to clippy")]

use std::{pin::pin, sync::Arc};

use chrono::{DateTime, NaiveDate};
use edge_host::{
    KvNamespace, KvOperation,
    memory::{MemoryKv, record_events, take_events},
};
use futures_util::FutureExt;
use proptest::prelude::*;
use serde::Serialize;
use serde_json::Number;

use super::{
    amount::Amount,
    csv,
    filter::Filter,
    keys::Owner,
    model::{Category, Currency, Description, Expense, ExpenseContent, ExpenseId, Timestamp},
    record::ExpenseRecord,
    row::{Row, Rows},
    store::ExpenseStore,
    version::Version,
};

/// The JSON that a response has for an expense, by serde.
#[derive(Serialize)]
struct Serialized<'a> {
    id: String,
    description: &'a str,
    amount: Number,
    currency: &'a str,
    category: &'a str,
    date: NaiveDate,
    created_at: String,
    updated_at: String,
}

fn serialized(expense: &Expense) -> String {
    let Expense { id, content, created_at, updated_at } = expense;
    serde_json::to_string(&Serialized {
        id: id.to_string(),
        description: &content.description,
        amount: content.amount.to_string().parse().unwrap(),
        currency: &content.currency,
        category: &content.category,
        date: content.date,
        created_at: created_at.to_string(),
        updated_at: updated_at.to_string(),
    })
    .unwrap()
}

fn text(max_chars: usize) -> impl Strategy<Value = String> {
    let character = prop_oneof![
        5 => any::<char>(),
        5 => prop::char::range(' ', '~'),
        2 => prop::sample::select(vec!['"', '\'', '\\', '\n', '\0', ':', ',', '}', '=']),
    ];
    let text = prop::collection::vec(character, 1..=max_chars);
    text.prop_map(String::from_iter).prop_filter("a text", |text| !text.trim().is_empty())
}

/// Unix seconds of years with four digits and of others.
fn timestamp() -> impl Strategy<Value = Timestamp> {
    let secs = prop_oneof![1_700_000_000_i64..1_900_000_000, -99_999_999_999_i64..999_999_999_999];
    secs.prop_map(|secs| Timestamp::from_unix_secs(secs).unwrap())
}

prop_compose! {
    fn expense()(
        description in text(Description::MAX_CHARS),
        units in 1_u64..1_000_000_000_000,
        places in 2_u32..=4,
        currency in "[A-Z]{3}",
        category in text(Category::MAX_CHARS),
        days in 1_i32..3_652_059,
        created_at in timestamp(),
        updated_at in timestamp(),
    ) -> Expense {
        // A currency need not have these places: what is stored stays.
        let (unit, width) = (10_u64.pow(places), places as usize);
        let amount = format!("{}.{:0width$}", units / unit, units % unit);
        Expense {
            id: ExpenseId::new(created_at.into()),
            content: ExpenseContent {
                description: Description::parse(&description).unwrap(),
                amount: Amount::parse(&amount).unwrap(),
                currency: Currency::parse(&currency).unwrap(),
                category: Category::parse(&category).unwrap(),
                date: NaiveDate::from_num_days_from_ce_opt(days).unwrap(),
            },
            created_at,
            updated_at,
        }
    }
}

fn now<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().unwrap()
}

/// Everything that responses have of the rows in a namespace, and the one expense.
fn responses(kv: &Arc<MemoryKv>, id: ExpenseId) -> (String, String, String, Row) {
    let (store, owner) = (ExpenseStore::new(Arc::clone(kv) as _), Owner::new("user_1"));
    let rows: Rows = now(store.list(&owner, 1000, None)).unwrap().rows;
    let figures: Vec<_> = rows.iter().map(|row| row.figures().unwrap()).collect();
    assert!(figures.iter().all(|figures| Filter::default().matches(figures)));
    let row = now(store.get(&owner, id)).unwrap().unwrap();
    let json = String::from_utf8(rows.to_json()).unwrap();
    (json, csv::lines(&rows), format!("{figures:?}"), row)
}

#[test]
fn deleted_key_in_a_list_is_no_unreadable_expense() {
    let owner = Owner::new("user_1");
    let [deleted, unreadable] =
        [0, 1].map(|number| ExpenseId::new(DateTime::UNIX_EPOCH).nth(number));
    let kv = Arc::new(MemoryKv::default());
    // A row of more than 1,024 bytes has no metadata.
    for id in [deleted, unreadable] {
        kv.insert_raw(&owner.expense_key(id), "{}", None);
    }
    record_events();
    kv.hold_operation(Some(KvOperation::Get));
    let store = ExpenseStore::new(Arc::clone(&kv) as _);
    let mut listing = pin!(store.list(&owner, 1000, None));
    assert!(listing.as_mut().now_or_never().is_none(), "the values are not read yet");
    kv.remove_raw(&owner.expense_key(deleted));
    kv.hold_operation(None);
    let batch = now(listing).unwrap();
    assert_eq!(batch.rows.len(), 0);
    let events = take_events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(
        events[0].contains("expense_unreadable") && events[0].contains(&unreadable.to_string())
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stored_forms_have_the_serialized_row(expense in expense()) {
        let (old, new) = (Arc::new(MemoryKv::default()), Arc::new(MemoryKv::default()));
        let owner = Owner::new("user_1");
        let record = serde_json::to_string(&ExpenseRecord::from(&expense)).unwrap();
        // As versions without rows have written it.
        let metadata = (record.len() <= 1024).then(|| serde_json::from_str(&record).unwrap());
        old.insert_raw(&owner.expense_key(expense.id), &record, metadata);
        let store = ExpenseStore::new(Arc::clone(&new) as Arc<dyn KvNamespace>);
        now(store.put(&owner, &expense, &Row::from(&expense).stored())).unwrap();

        let json = serialized(&expense);
        let of_old = responses(&old, expense.id);
        prop_assert_eq!(&of_old.0, &format!("[{}]", json));
        prop_assert_eq!(&of_old, &responses(&new, expense.id));
        let row = of_old.3;
        prop_assert_eq!(row.json(), json);
        prop_assert_eq!(row.as_ref().expense(), Some(expense.clone()));
        prop_assert_eq!(Version::of_row(&row), Version::of(&expense));

        // Versions without rows read the value: they ignore its `row`.
        let (value, _) = new.entry(&owner.expense_key(expense.id)).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&value).unwrap();
        value.as_object_mut().unwrap().shift_remove("row");
        prop_assert_eq!(value.to_string(), record);
    }
}
