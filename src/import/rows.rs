//! The rows of a file as expenses. A date or an amount with two meanings is a fault, and a setting tells which one is
//! meant.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{
    columns::{Columns, FIELDS, Settings},
    csv::{COLUMNS_MAX, Malformed, Record, Records},
};
use crate::{
    expenses::{
        csv,
        model::{Currency, Expense, ExpenseContent, ExpenseId, Timestamp},
        sorted::sorted_by_key,
    },
    typed::{
        Locale,
        expense::{Field, TypedExpense},
    },
};

/// The most rows of a file.
const ROWS_MAX: usize = 10_000;
/// The most faults that a response lists.
const FAULTS_MAX: usize = 100;
/// The longest name of a column, in bytes: the page shows each one several times.
const NAME_MAX_BYTES: usize = 200;
/// The longest beginning of a cell that a fault repeats, in characters.
const INPUT_MAX_CHARS: usize = 200;
/// The first rows, which the page shows.
const FIRST_ROWS: usize = 5;

/// A fault of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowFault {
    /// The line of the file on which the row begins, from 1.
    pub(crate) line: usize,
    /// The field, by its name in the API.
    pub(crate) field: Option<&'static str>,
    /// A sentence that says what to do.
    pub(crate) message: String,
    /// The cell.
    pub(crate) input: String,
}

impl RowFault {
    fn new(line: usize, field: Option<&'static str>, message: &str, input: &str) -> Self {
        let input = input.chars().take(INPUT_MAX_CHARS).collect();
        Self { line, field, message: message.to_owned(), input }
    }

    fn of_line(line: usize, message: &str) -> Self {
        Self::new(line, None, message, "")
    }
}

impl From<Malformed> for RowFault {
    fn from(error: Malformed) -> Self {
        Self::of_line(error.line(), &error.to_string())
    }
}

/// A file as it was read.
#[derive(Debug)]
pub(crate) struct FileRead<'a> {
    /// The names of the columns.
    pub(crate) header: Vec<Cow<'a, str>>,
    /// The column of each field.
    pub(crate) columns: Columns,
    /// The first rows.
    pub(crate) first: Vec<Record<'a>>,
    /// The valid rows, each id once.
    pub(crate) expenses: Vec<Expense>,
    /// The number of valid rows.
    pub(crate) valid: usize,
    /// The number of the others.
    pub(crate) invalid: usize,
    /// The first faults.
    pub(crate) faults: Vec<RowFault>,
    /// Whether a date has two meanings.
    pub(crate) has_unclear_date: bool,
}

/// Reads a file, whose first line has the names of the columns.
///
/// # Errors
///
/// The fault of a file that cannot be read as a whole.
pub(super) fn read<'a>(
    file: &'a str,
    settings: &Settings,
    locale: Locale,
    now: DateTime<Utc>,
) -> Result<FileRead<'a>, RowFault> {
    let mut records = Records::of(file);
    let Some(Record { cells: header, .. }) = records.next()? else {
        return Err(RowFault::of_line(
            1,
            "The file is empty: its first line must have the names of the columns.",
        ));
    };
    if header.len() > COLUMNS_MAX || header.iter().any(|name| name.len() > NAME_MAX_BYTES) {
        let message = "The first line must have the names of the columns: at most 100, and none longer than 200 letters.";
        return Err(RowFault::of_line(1, message));
    }
    let columns = Columns::of(&header, settings);
    let mut read = FileRead {
        header,
        columns,
        first: Vec::new(),
        expenses: Vec::new(),
        valid: 0,
        invalid: 0,
        faults: Vec::new(),
        has_unclear_date: false,
    };
    let is_complete = read.columns.missing().next().is_none();
    let context = Context { settings, locale, now };
    let mut found = Vec::new();
    while let Some(record) = records.next()? {
        if read.valid + read.invalid == ROWS_MAX {
            let message = format!("The file has more than {ROWS_MAX} rows: import it in parts.");
            return Err(RowFault::of_line(record.line, &message));
        }
        match is_complete.then(|| read.expense(&record, &context)) {
            Some(Ok(expense)) => {
                read.valid += 1;
                found.push(expense);
            }
            Some(Err(faults)) => {
                read.invalid += 1;
                read.faults.extend(faults);
                read.faults.truncate(FAULTS_MAX);
            }
            None => read.invalid += 1,
        }
        if read.first.len() < FIRST_ROWS {
            read.first.push(record);
        }
    }
    read.expenses = with_own_ids(found);
    Ok(read)
}

/// The settings that the rows of a file share.
struct Context<'a> {
    settings: &'a Settings,
    locale: Locale,
    now: DateTime<Utc>,
}

/// The expense of a row, and whether its id is made of its content.
type Found = (Expense, bool);

impl FileRead<'_> {
    fn expense(
        &mut self,
        record: &Record<'_>,
        context: &Context<'_>,
    ) -> Result<Found, Vec<RowFault>> {
        let Record { line, cells } = record;
        if cells.len() != self.header.len() {
            let (count, expected) = (cells.len(), self.header.len());
            let message = format!(
                "The row has {count} cells, and the first line of the file has {expected}: check its quotation marks."
            );
            return Err(vec![RowFault::of_line(*line, &message)]);
        }
        let cell = |column: usize| cells.get(column).map_or("", |cell| cell.trim());
        let own = self.columns.own.map(|own| own.map(cell));
        if let Some(expense) = own.and_then(csv::parse_line) {
            return Ok((expense, false));
        }
        let [date, description, category, amount, currency] =
            self.columns.of.map(|column| column.map_or("", cell));
        let mut faults = Vec::new();
        let mut add = |field: &'static str, message: &str, input: &str| {
            faults.push(RowFault::new(*line, Some(field), message, input));
        };
        let Context { settings, locale, now } = context;
        let day = read_date(date, settings.is_day_first);
        if day.is_none() {
            self.has_unclear_date = true;
            let message = "The date has two meanings: say whether day or month comes first.";
            add(Field::Date.name(), message, date);
        }
        let is_own = own.is_some();
        let text = |text: &str| if is_own { csv::unmarked(text) } else { text.to_owned() };
        let (amount, is_unsigned) = match settings.is_negative {
            true => (amount.trim_start_matches(['-', '−']), !amount.starts_with(['-', '−'])),
            false => (amount, false),
        };
        if is_unsigned {
            let message = "The amount is not negative, so it is no expense of this file.";
            add(Field::Amount.name(), message, amount);
        }
        let otherwise = settings.currency.as_deref().unwrap_or(&Currency::DEFAULT);
        let input = TypedExpense {
            description: text(description),
            amount: amount.to_owned(),
            currency: if currency.is_empty() { otherwise } else { currency }.to_owned(),
            category: text(category),
            // A date with two meanings has its fault.
            date: day.unwrap_or_else(|| now.date_naive().to_string()),
        };
        let locale = if is_own { Locale::default() } else { *locale };
        let content = input.to_content(now.date_naive(), locale).map_err(|errors| {
            let of_field =
                |field| FIELDS.into_iter().zip(self.columns.of).find(|(of, _)| *of == field);
            for error in errors {
                let column = of_field(error.field).and_then(|(_, column)| column);
                add(error.field.name(), &error.message, column.map_or("", cell));
            }
        });
        let [id, .., created_at, updated_at] = own.unwrap_or_default();
        let id = Some(id).filter(|id| !id.is_empty()).map(ExpenseId::parse).transpose();
        if id.is_err() {
            let message = "This is no id of an expense: leave the cell empty for a new one.";
            add("id", message, own.unwrap_or_default()[0]);
        }
        match (content, id) {
            (Ok(content), Ok(id)) if faults.is_empty() => {
                let time = |text| Timestamp::parse(text).unwrap_or((*now).into());
                let is_of_content = id.is_none();
                let id = id.unwrap_or_else(|| id_of(&content));
                let (created_at, updated_at) = (time(created_at), time(updated_at));
                Ok((Expense { id, content, created_at, updated_at }, is_of_content))
            }
            _ => Err(faults),
        }
    }
}

/// The id of an expense whose file has none: made of its content, so that another import of the file adds nothing.
fn id_of(content: &ExpenseContent) -> ExpenseId {
    let digest = Sha256::digest(TypedExpense::canonical(content));
    let digest = digest.first_chunk().copied().unwrap_or_default();
    ExpenseId::of_import(content.date, u128::from_be_bytes(digest))
}

/// The expenses, each id once. Rows with the same id are one expense; equal rows without an id stay separate expenses.
fn with_own_ids(found: Vec<Found>) -> Vec<Expense> {
    let mut expenses: Vec<Expense> = Vec::with_capacity(found.len());
    let (mut last, mut count) = (None, 0);
    for (expense, is_of_content) in sorted_by_key(found, |(expense, _)| expense.id) {
        count = if last == Some(expense.id) { count + 1 } else { 0 };
        last = Some(expense.id);
        if count == 0 || is_of_content {
            expenses.push(Expense { id: expense.id.nth(count), ..expense });
        }
    }
    expenses
}

/// A date as year, month and day, if it has three numbers of which one is a year; else the text. `None` if it has two
/// meanings.
fn read_date(text: &str, is_day_first: Option<bool>) -> Option<String> {
    let is_separator = |character: char| !character.is_ascii_digit();
    let mut numbers = text.split(is_separator).filter(|number| !number.is_empty());
    let (first, second, third) = match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(first), Some(second), Some(third)) => (first, second, third),
        (Some(date), None, None) if date.len() == 8 && date == text => {
            (&date[..4], &date[4..6], &date[6..])
        }
        _ => return Some(text.to_owned()),
    };
    let (year, month, day) = match (first.len(), third.len()) {
        (4, _) => (first, second, third),
        (1 | 2, 4) => {
            let number = |text: &str| text.parse::<u8>().unwrap_or_default();
            // Not in the time that may follow.
            let has_full_stop =
                text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('.');
            let is_day_first = match is_day_first {
                _ if has_full_stop => true,
                Some(is_day_first) => is_day_first,
                None if number(first) > 12 || first == second => true,
                None if number(second) > 12 => false,
                None => return None,
            };
            if is_day_first { (third, second, first) } else { (third, first, second) }
        }
        _ => return Some(text.to_owned()),
    };
    Some(format!("{year}-{month:0>2}-{day:0>2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_435_200, 0).unwrap()
    }

    fn reading<'a>(file: &'a str, settings: &Settings) -> FileRead<'a> {
        read(file, settings, Locale::default(), noon()).unwrap()
    }

    /// Line, field and message of each fault.
    fn faults(file: &str, settings: &Settings) -> Vec<(usize, &'static str, String)> {
        let fault = |fault: RowFault| (fault.line, fault.field.unwrap_or_default(), fault.message);
        reading(file, settings).faults.into_iter().map(fault).collect()
    }

    #[test]
    fn dates_are_read_in_every_order_of_their_numbers() {
        for (text, is_day_first, expected) in [
            ("2026-11-03", None, Some("2026-11-03")),
            ("2026/1/3", None, Some("2026-01-03")),
            ("2026-11-03T23:59:00Z", None, Some("2026-11-03")),
            ("20261103", None, Some("2026-11-03")),
            ("3.11.2026", None, Some("2026-11-03")),
            ("3. 11. 2026", Some(false), Some("2026-11-03")),
            ("23/11/2026", None, Some("2026-11-23")),
            ("11/23/2026 14:05", None, Some("2026-11-23")),
            ("3/3/2026", None, Some("2026-03-03")),
            ("03/11/2026", None, None),
            ("03/11/2026", Some(true), Some("2026-11-03")),
            ("03/11/2026", Some(false), Some("2026-03-11")),
            ("03/11/2026 09:00:00.000", Some(false), Some("2026-03-11")),
            ("03/11/2026 2:05 p.m.", None, None),
            ("03-11-26", None, Some("03-11-26")),
            ("3 Nov 2026", None, Some("3 Nov 2026")),
            ("", None, Some("")),
        ] {
            assert_eq!(read_date(text, is_day_first).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn rows_of_a_bank_become_expenses() {
        let file = "Buchungstag;Verwendungszweck;Betrag;Währung\n23.11.2026;Bäckerei;-1.234,50;EUR\n24.11.2026;Lohn;2.000,00;EUR\n";
        let settings = Settings { is_negative: true, ..Settings::default() };
        let read = reading(file, &settings);
        let [expense] = &read.expenses[..] else { panic!("{read:?}") };
        let ExpenseContent { description, amount, currency, category, date } = &expense.content;
        assert_eq!((&**description, amount.to_string()), ("Bäckerei", "1234.50".to_owned()));
        assert_eq!(
            (&**currency, &**category, date.to_string()),
            ("EUR", "other", "2026-11-23".to_owned())
        );
        let message = "The amount is not negative, so it is no expense of this file.".to_owned();
        assert_eq!(faults(file, &settings), [(3, "amount", message)]);
    }

    #[test]
    fn every_fault_has_its_line_and_field() {
        let file = "date,description,amount,currency\n\n2026-02-30,,x,euro\n\"2026-01-01\",\"two\nlines\",1.005,\n03/04/2026,a,\"1,234\",\n1,2\n";
        let faults = faults(file, &Settings::default());
        let places: Vec<(usize, &str)> =
            faults.iter().map(|(line, field, _)| (*line, *field)).collect();
        assert_eq!(
            places,
            [
                (3, "description"),
                (3, "amount"),
                (3, "currency"),
                (3, "date"),
                (4, "amount"),
                (6, "date"),
                (6, "amount"),
                (7, "")
            ]
        );
        assert!(faults[7].2.starts_with("The row has 2 cells"), "{faults:?}");
        let read = reading(file, &Settings::default());
        assert_eq!((read.valid, read.invalid, read.has_unclear_date), (0, 4, true));
    }

    #[test]
    fn ids_depend_on_the_content_alone() {
        let file = "date,description,amount\n2026-11-01,Coffee,2\n2026-11-01,Coffee,2.00\n2026-11-01,Tea,2\n";
        let ids = |file: &str, now| {
            let read = read(file, &Settings::default(), Locale::default(), now).unwrap();
            read.expenses.iter().map(|expense| expense.id).collect::<Vec<_>>()
        };
        let first = ids(file, noon());
        assert_eq!(first.len(), 3, "equal rows stay separate expenses");
        assert!(first[0] < first[1] && first[1] < first[2]);
        let reordered =
            "Amount;Payee;Day\n2;Tea;1.11.2026\n2,00;Coffee;1.11.2026\n2;Coffee;1.11.2026\n";
        assert_eq!(ids(reordered, noon() + chrono::Duration::days(9)), first);
        let more = format!("{file}2026-11-01,Coffee,2\n");
        assert!(first.iter().all(|id| ids(&more, noon()).contains(id)));
    }

    #[test]
    fn file_without_rows_or_columns_is_refused() {
        let read_of = |file| read(file, &Settings::default(), Locale::default(), noon());
        assert_eq!(read_of("").unwrap_err().line, 1);
        assert_eq!(read_of("a,b\n\"x").unwrap_err().line, 2);
        let unknown = reading("a,b\n1,2\n", &Settings::default());
        assert_eq!((unknown.valid, unknown.invalid, unknown.first.len()), (0, 1, 1));
        let rows = "2026-01-01,x,1\n".repeat(ROWS_MAX + 1);
        let fault = read_of(&format!("date,description,amount\n{rows}")).unwrap_err();
        assert_eq!((fault.line, fault.field), (ROWS_MAX + 2, None));
    }
}
