//! Rows: expenses as the JSON of the API's responses. A row is stored as responses have it, so that a list copies it.
//!
//! The stored text of a row is its version, a colon, and the JSON with every `"` and `'` exchanged:
//! `1:{'id':'…','description':'Team lunch','amount':42.50,…}`. The text is a JSON string in KV's metadata, in records
//! and in the ledger's messages. Double quotes would need an escape each, which takes twice the time to write and to
//! read, and part of the 1,024 bytes of metadata. A number in JSON would not do: JavaScript writes `42.50` as `42.5`.
//!
//! The form of version 1 is exact: the members of [`Members`] in their order, without white space.

use std::{borrow::Cow, fmt::Write as _, ops::Range};

use chrono::NaiveDate;
use edge_host::{Emit as _, json};

use super::{
    amount::Amount,
    events::ExpensesEvent,
    model::{
        Category, Currency, Description, Expense, ExpenseContent, ExpenseId, Timestamp, parse_date,
    },
};

/// The version of stored rows, with the colon after it.
const VERSION: &str = "1:";
/// The length of a row without its texts, for a buffer.
const FIXED_BYTES: usize = 200;

/// One expense as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    id: ExpenseId,
    json: String,
}

impl From<&Expense> for Row {
    fn from(expense: &Expense) -> Self {
        let Expense { id, content, created_at, updated_at } = expense;
        let ExpenseContent { description, amount, currency, category, date } = content;
        let mut json = String::with_capacity(FIXED_BYTES + description.len() + category.len());
        json.extend(["{\"id\":\"", id.encode().as_str(), "\",\"description\":"]);
        push_string(&mut json, description);
        // Writing to a string cannot fail.
        let _ = write!(json, ",\"amount\":{amount},\"currency\":\"{}\",\"category\":", &**currency);
        push_string(&mut json, category);
        let _ = write!(
            json,
            ",\"date\":\"{date}\",\"created_at\":\"{created_at}\",\"updated_at\":\"{updated_at}\"}}"
        );
        Self { id: *id, json }
    }
}

/// Adds a JSON string.
pub(super) fn push_string(json: &mut String, text: &str) {
    if json::first_to_escape(text.as_bytes()).is_none() {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        // A string always serializes.
        json.push_str(&json::write(&text));
    }
}

impl Row {
    /// Reads a stored text; `None` if it is not a valid row of the expense `id` in a known version.
    pub(super) fn from_stored(id: ExpenseId, stored: &str) -> Option<Self> {
        Self::from_ledger(id, stored)
            .filter(|row| Members::parse(&row.json).is_some_and(|members| members.are_valid()))
    }

    /// Reads the stored text of a row that the ledger sends, and has made; `None` if it is not of the expense `id`, or in
    /// an unknown version. Its members are not read: a log has thousands of rows.
    pub(super) fn from_ledger(id: ExpenseId, stored: &str) -> Option<Self> {
        let mut json = content_of(stored)?.as_bytes().to_vec();
        exchange_quotes(&mut json);
        if !is_of(id, &json) {
            return None;
        }
        Some(Self { id, json: String::from_utf8(json).ok()? })
    }

    /// The stored text.
    pub(super) fn stored(&self) -> String {
        let mut stored = [VERSION, &self.json].concat().into_bytes();
        exchange_quotes(&mut stored);
        // ASCII characters are exchanged for ASCII characters.
        String::from_utf8(stored).unwrap_or_default()
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> ExpenseId {
        self.id
    }

    /// The JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The JSON.
    #[must_use]
    pub fn into_json(self) -> String {
        self.json
    }

    /// The row in the form that lists have.
    #[must_use]
    pub fn as_ref(&self) -> RowRef<'_> {
        RowRef { id: self.id, json: self.json.as_bytes() }
    }
}

/// The content of a stored text, with exchanged quotes; `None` for an unknown version.
fn content_of(stored: &str) -> Option<&str> {
    stored.strip_prefix(VERSION)
}

/// Whether a row begins with this id and ends as an object.
fn is_of(id: ExpenseId, json: &[u8]) -> bool {
    let rest = json.strip_prefix(b"{\"id\":\"");
    let rest = rest.and_then(|rest| rest.strip_prefix(id.encode().as_str().as_bytes()));
    rest.is_some_and(|rest| rest.starts_with(b"\",") && rest.ends_with(b"\"}"))
}

/// Exchanges `"` and `'`, eight bytes at a time.
fn exchange_quotes(text: &mut [u8]) {
    const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    const DOUBLE: u64 = u64::from_ne_bytes([b'"'; 8]);
    const SINGLE: u64 = u64::from_ne_bytes([b'\''; 8]);
    const DIFFERENCE: u8 = b'"' ^ b'\'';
    // The highest bit of each byte is set unless the byte is zero.
    let non_zero = |bytes: u64| ((bytes & LOW_BITS) + LOW_BITS) | bytes;
    let mut words = text.chunks_exact_mut(8);
    for word in &mut words {
        let Ok(bytes) = <[u8; 8]>::try_from(&*word) else { continue };
        let bytes = u64::from_ne_bytes(bytes);
        let is_quote = !(non_zero(bytes ^ DOUBLE) & non_zero(bytes ^ SINGLE)) & !LOW_BITS;
        let exchanged = bytes ^ ((is_quote >> 7) * u64::from(DIFFERENCE));
        word.copy_from_slice(&exchanged.to_ne_bytes());
    }
    for byte in words.into_remainder() {
        if matches!(byte, b'"' | b'\'') {
            *byte ^= DIFFERENCE;
        }
    }
}

/// A row of a list.
#[derive(Debug, Clone, Copy)]
pub struct RowRef<'a> {
    /// The id.
    pub id: ExpenseId,
    json: &'a [u8],
}

impl<'a> RowRef<'a> {
    /// The length of the JSON.
    pub(super) fn len_bytes(self) -> usize {
        self.json.len()
    }

    /// The members of the JSON, with their two texts unescaped. A row that is not in the form of its version has none:
    /// it is logged.
    #[must_use]
    pub fn texts(self) -> Option<(Members<'a>, [Cow<'a, str>; 2])> {
        self.read(|members| {
            let texts = [unescaped(members.description)?, unescaped(members.category)?];
            Some((members, texts))
        })
    }

    /// The fields that filters and sums need; `None` as with [`Self::texts`].
    #[must_use]
    pub fn figures(self) -> Option<Figures<'a>> {
        self.read(|members| members.figures())
    }

    /// The expense; `None` as with [`Self::texts`].
    #[must_use]
    pub fn expense(self) -> Option<Expense> {
        self.read(|members| members.expense(self.id))
    }

    fn read<T>(self, read: impl FnOnce(Members<'a>) -> Option<T>) -> Option<T> {
        let members = std::str::from_utf8(self.json).ok().and_then(Members::parse);
        let result = members.and_then(read);
        if result.is_none() {
            ExpensesEvent::ExpenseUnreadable { expense: &self.id.to_string() }.emit();
        }
        result
    }
}

/// The members of a row's JSON. Strings are as in the JSON, without their quotes.
#[derive(Debug, Clone, Copy)]
pub struct Members<'a> {
    /// The id.
    pub id: &'a str,
    /// With escapes.
    pub description: &'a str,
    /// Digits, a point and two to four digits.
    pub amount: &'a str,
    /// Three letters.
    pub currency: &'a str,
    /// With escapes.
    pub category: &'a str,
    /// `YYYY-MM-DD`.
    pub date: &'a str,
    /// RFC 3339.
    pub created_at: &'a str,
    /// RFC 3339.
    pub updated_at: &'a str,
}

/// The fields of an expense that filters and sums need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures<'a> {
    /// As in the JSON: few filters need its text.
    pub(super) escaped_description: &'a str,
    /// The amount.
    pub amount: Amount,
    /// The currency.
    pub currency: Currency,
    /// The category.
    pub category: Cow<'a, str>,
    /// The day the money was spent.
    pub date: NaiveDate,
}

impl<'a> Figures<'a> {
    /// What the money was spent on.
    pub(super) fn description(&self) -> Cow<'a, str> {
        unescaped(self.escaped_description).unwrap_or(Cow::Borrowed(self.escaped_description))
    }
}

impl<'a> Members<'a> {
    /// `None` if the text has not exactly the form of version 1. The fields' own rules are not checked.
    pub(super) fn parse(json: &'a str) -> Option<Self> {
        let mut rest = Reader(json);
        let members = Self {
            id: rest.string_after("{\"id\":\"")?,
            description: rest.string_after(",\"description\":\"")?,
            amount: rest.number_after(",\"amount\":")?,
            currency: rest.string_after(",\"currency\":\"")?,
            category: rest.string_after(",\"category\":\"")?,
            date: rest.string_after(",\"date\":\"")?,
            created_at: rest.string_after(",\"created_at\":\"")?,
            updated_at: rest.string_after(",\"updated_at\":\"")?,
        };
        (rest.0 == "}").then_some(members)
    }

    /// Whether every member has its form. The lengths of texts are not checked.
    fn are_valid(&self) -> bool {
        let times = [self.created_at, self.updated_at];
        self.figures().is_some()
            && unescaped(self.description).is_some()
            && times.into_iter().all(|time| Timestamp::parse(time).is_some())
    }

    fn figures(&self) -> Option<Figures<'a>> {
        Some(Figures {
            escaped_description: self.description,
            amount: Amount::parse(self.amount)?,
            currency: Currency::parse(self.currency).ok()?,
            category: unescaped(self.category)?,
            date: parse_date(self.date)?,
        })
    }

    /// The expense; `None` if a field is invalid.
    pub(super) fn expense(&self, id: ExpenseId) -> Option<Expense> {
        Some(Expense {
            id,
            content: ExpenseContent {
                description: Description::parse(&unescaped(self.description)?).ok()?,
                amount: Amount::parse(self.amount)?,
                currency: Currency::parse(self.currency).ok()?,
                category: Category::parse(&unescaped(self.category)?).ok()?,
                date: parse_date(self.date)?,
            },
            created_at: Timestamp::parse(self.created_at)?,
            updated_at: Timestamp::parse(self.updated_at)?,
        })
    }
}

/// The text of a JSON string without its quotes; `None` for an invalid escape.
fn unescaped(string: &str) -> Option<Cow<'_, str>> {
    if !string.contains('\\') {
        return Some(Cow::Borrowed(string));
    }
    serde_json::from_slice(format!("\"{string}\"").as_bytes()).ok().map(Cow::Owned)
}

/// The rest of a row that is not read yet.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    /// The string whose opening quote ends `start`, up to its closing quote.
    fn string_after(&mut self, start: &str) -> Option<&'a str> {
        let text = self.0.strip_prefix(start)?;
        let (end, _) = json::string_end(text.as_bytes())?;
        self.0 = text.get(end + 1..)?;
        text.get(..end)
    }

    /// The number after `start`.
    fn number_after(&mut self, start: &str) -> Option<&'a str> {
        let text = self.0.strip_prefix(start)?;
        let end = text.find(|character: char| !matches!(character, '0'..='9' | '.'))?;
        let (number, rest) = text.split_at(end);
        self.0 = rest;
        (!number.is_empty()).then_some(number)
    }
}

/// The rows of a list, newest first. Their texts are in one buffer.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    buffer: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Debug, Clone)]
struct Span {
    id: ExpenseId,
    json: Range<usize>,
}

impl Span {
    fn row<'a>(&self, buffer: &'a [u8]) -> RowRef<'a> {
        RowRef { id: self.id, json: buffer.get(self.json.clone()).unwrap_or_default() }
    }
}

/// The length of a row with short texts, for a buffer.
const ROW_BYTES: usize = 300;

impl Rows {
    /// No rows, with room for so many.
    pub(super) fn with_capacity(rows: usize) -> Self {
        let buffer = Vec::with_capacity(rows * ROW_BYTES);
        Self { buffer, spans: Vec::with_capacity(rows) }
    }

    /// No rows, with room for those of `other`.
    pub(super) fn like(other: &Self) -> Self {
        let buffer = Vec::with_capacity(other.buffer.len());
        Self { buffer, spans: Vec::with_capacity(other.spans.len()) }
    }

    /// Rows with these texts: `rows` has the place of each in the buffer.
    pub(super) fn new(buffer: RowBuffer, rows: Vec<(ExpenseId, Range<usize>)>) -> Self {
        let spans = rows.into_iter().map(|(id, json)| Span { id, json }).collect();
        Self { buffer: buffer.0, spans }
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The rows in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RowRef<'_>> + ExactSizeIterator {
        self.spans.iter().map(|span| span.row(&self.buffer))
    }

    /// The row at an index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<RowRef<'_>> {
        self.spans.get(index).map(|span| span.row(&self.buffer))
    }

    /// The length of the texts.
    pub(super) fn len_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Keeps the first `count` rows.
    pub(super) fn truncate(&mut self, count: usize) {
        self.spans.truncate(count);
    }

    /// Adds a row at the end.
    pub(super) fn push(&mut self, row: RowRef<'_>) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(row.json);
        self.spans.push(Span { id: row.id, json: start..self.buffer.len() });
    }

    /// Adds rows at the end.
    pub(super) fn append(&mut self, rows: &Self) {
        rows.iter().for_each(|row| self.push(row));
    }

    /// Keeps only these rows.
    pub(super) fn retain(&mut self, is_kept: impl Fn(RowRef<'_>) -> bool) {
        let Self { buffer, spans } = self;
        spans.retain(|span| is_kept(span.row(buffer)));
    }

    /// Keeps only the rows at these indices, which are in order.
    pub(super) fn keep(&mut self, indices: &[usize]) {
        let mut kept = indices.iter().peekable();
        let mut index = 0;
        self.spans.retain(|_| {
            index += 1;
            kept.next_if(|kept| **kept + 1 == index).is_some()
        });
    }

    /// The JSON array of the rows.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let bytes: usize = self.spans.iter().map(|span| span.json.len() + 1).sum();
        let mut json = Vec::with_capacity(bytes + 2);
        json.push(b'[');
        for (index, row) in self.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            json.extend_from_slice(row.json);
        }
        json.push(b']');
        json
    }
}

impl<'a> FromIterator<RowRef<'a>> for Rows {
    fn from_iter<I: IntoIterator<Item = RowRef<'a>>>(rows: I) -> Self {
        let mut collected = Self::default();
        rows.into_iter().for_each(|row| collected.push(row));
        collected
    }
}

/// The texts of rows while they are read.
#[derive(Debug, Default)]
pub(super) struct RowBuffer(Vec<u8>);

impl RowBuffer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a row; its place.
    pub(super) fn push(&mut self, row: &Row) -> Range<usize> {
        let start = self.0.len();
        self.0.extend_from_slice(row.json.as_bytes());
        start..self.0.len()
    }

    /// Adds the row of a stored text; its place. `None` for an unknown version. [`Self::is_of`] checks the row.
    pub(super) fn push_stored(&mut self, stored: &str) -> Option<Range<usize>> {
        let content = content_of(stored)?;
        let start = self.0.len();
        self.0.extend_from_slice(content.as_bytes());
        exchange_quotes(self.0.get_mut(start..)?);
        Some(start..self.0.len())
    }

    /// Whether the row in this place is of the expense with whose key it was stored.
    pub(super) fn is_of(&self, id: ExpenseId, place: &Range<usize>) -> bool {
        is_of(id, self.0.get(place.clone()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7ZZZZZZZZZ0123456789ABCDEF";

    fn json(description: &str) -> String {
        format!(
            r#"{{"id":"{ID}","description":"{description}","amount":42.50,"currency":"EUR","category":"it's","date":"2026-11-23","created_at":"2026-11-23T12:00:00Z","updated_at":"2026-11-24T00:00:01Z"}}"#
        )
    }

    fn row(description: &str) -> Row {
        Row { id: ExpenseId::parse(ID).unwrap(), json: json(description) }
    }

    #[test]
    fn row_of_an_expense_has_exactly_these_members() {
        for description in ["Team lunch", r#"\"a\" \\ 'b'\n\u0001é🧾"#] {
            let row = row(description);
            let expense = row.as_ref().expense().unwrap();
            assert_eq!(Row::from(&expense), row);
            assert_eq!(&*expense.content.category, "it's");
            assert_eq!(expense.content.amount.to_string(), "42.50");
        }
    }

    #[test]
    fn stored_text_has_a_version_and_exchanged_quotes() {
        let stored = row("say \\\"hi\\\"").stored();
        let start = format!("1:{{'id':'{ID}','description':'say \\'hi\\'','amount':42.50,");
        assert!(stored.starts_with(&start), "{stored}");
        assert!(stored.contains(r#"'category':'it"s'"#), "{stored}");
        assert_eq!(
            Row::from_stored(ExpenseId::parse(ID).unwrap(), &stored),
            Some(row("say \\\"hi\\\""))
        );
    }

    #[test]
    fn row_of_another_version_is_unreadable() {
        let id = ExpenseId::parse(ID).unwrap();
        let stored = row("x").stored();
        let content = stored.strip_prefix("1:").unwrap();
        for version in ["", "0:", "2:", "11:", "x:", ":", " 1:", "1"] {
            let stored = format!("{version}{content}");
            assert_eq!(Row::from_stored(id, &stored), None, "{stored}");
            assert_eq!(Row::from_ledger(id, &stored), None, "{stored}");
            let mut buffer = RowBuffer::default();
            let place = buffer.push_stored(&stored);
            assert!(!place.is_some_and(|place| buffer.is_of(id, &place)), "{stored}");
        }
    }

    #[test]
    fn row_of_another_expense_is_unreadable() {
        let other = ExpenseId::parse("00000000000000000000000000").unwrap();
        let stored = row("x").stored();
        assert_eq!(Row::from_stored(other, &stored), None);
        assert_eq!(Row::from_ledger(other, &stored), None);
        let mut buffer = RowBuffer::default();
        let place = buffer.push_stored(&stored).unwrap();
        assert!(buffer.is_of(ExpenseId::parse(ID).unwrap(), &place));
        assert!(!buffer.is_of(other, &place));
    }

    #[test]
    fn members_have_exactly_the_form_of_the_version() {
        let json = json("x");
        assert!(Members::parse(&json).is_some());
        for length in 0..json.len() {
            assert!(Members::parse(&json[..length]).is_none(), "{}", &json[..length]);
        }
        for (from, to) in [
            ("\"id\"", " \"id\""),
            ("42.50", "\"42.50\""),
            ("42.50", "-1"),
            ("\"x\"", "\"\n\""),
            ("\"x\"", "\"\\\n\""),
            ("\"x\"", "null"),
            ("\"x\"", "\"x\\\""),
            ("}", "}}"),
            ("}", ",\"a\":1}"),
        ] {
            let json = json.replace(from, to);
            assert!(Members::parse(&json).is_none(), "{json}");
        }
    }

    #[test]
    fn invalid_field_makes_a_row_unreadable() {
        for (from, to) in [
            ("42.50", "42.5"),
            ("42.50", "0.00"),
            ("42.50", "042.50"),
            ("42.50", "00.50"),
            ("EUR", "eur"),
            ("it's", "\\x"),
            ("it's", " "),
            ("11-23\"", "11-31\""),
            ("12:00:00Z", "12:00:60"),
            ("12:00:00Z", "24:00:00Z"),
        ] {
            let row = Row { json: json("x").replace(from, to), ..row("x") };
            assert_eq!(row.as_ref().expense(), None, "{}", row.json);
        }
    }

    #[test]
    fn quotes_are_exchanged_at_any_place() {
        for length in 0..40 {
            for at in 0..length {
                for (one, other) in [(b'"', b'\''), (b'\'', b'"')] {
                    let mut text = vec![b'\xa2'; length];
                    text[at] = one;
                    let mut exchanged = text.clone();
                    exchange_quotes(&mut exchanged);
                    text[at] = other;
                    assert_eq!(exchanged, text);
                }
            }
        }
        let mut bytes: Vec<u8> = (0..=255).chain(0..=255).collect();
        let before = bytes.clone();
        exchange_quotes(&mut bytes);
        for (before, after) in before.into_iter().zip(bytes) {
            let expected = match before {
                b'"' => b'\'',
                b'\'' => b'"',
                other => other,
            };
            assert_eq!(after, expected);
        }
    }

    #[test]
    fn kept_rows_are_those_at_the_indices() {
        let rows: Vec<Row> = ["a", "b", "c", "d"].map(row).to_vec();
        let mut kept: Rows = rows.iter().map(Row::as_ref).collect();
        kept.keep(&[1, 3]);
        assert_eq!(kept.to_json(), format!("[{},{}]", json("b"), json("d")).into_bytes());
        kept.keep(&[]);
        assert!(kept.is_empty());
        assert_eq!(kept.to_json(), b"[]");
    }
}
