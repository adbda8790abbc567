//! The orders of a list, and the rows that come first in one. KV has the order of additions alone, so that a list by
//! date reads every row and keeps those of its page.

use std::cmp::Reverse;

use chrono::NaiveDate;

use super::{
    model::ExpenseId,
    row::{RowRef, Rows},
    sorted::order,
};

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// The expense added last comes first.
    #[default]
    Created,
    /// The newest day comes first, and on one day the expense added last.
    Date,
}

/// The place of an expense in an order. It differs between any two expenses, so that a page can begin after it
/// while others are added and deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// All expenses have one day in the order of additions.
    day: Reverse<NaiveDate>,
    /// Ids sort newest first.
    id: ExpenseId,
}

impl Place {
    pub(super) fn new(sort: Sort, date: NaiveDate, id: ExpenseId) -> Self {
        let day = if sort == Sort::Date { date } else { NaiveDate::MAX };
        Self { day: Reverse(day), id }
    }

    pub(super) fn date(self) -> NaiveDate {
        self.day.0
    }

    pub(super) fn id(self) -> ExpenseId {
        self.id
    }
}

/// Rows above the limit that are kept before they are sorted: sorting more rows at a time takes fewer steps.
const SPARE_ROWS: usize = 64;

/// The first rows of an order, of those that are added in any order.
#[derive(Debug)]
pub(super) struct FirstRows {
    /// The place after which the rows begin.
    after: Option<Place>,
    max_rows: usize,
    max_bytes: usize,
    /// The places of `rows`.
    places: Vec<Place>,
    rows: Rows,
    /// Rows from here on are left out.
    end: Option<Place>,
}

impl FirstRows {
    /// At most `max_rows` rows after a place, with at most `max_bytes` of text; at least one row.
    pub(super) fn new(after: Option<Place>, max_rows: usize, max_bytes: usize) -> Self {
        let (places, rows) = (Vec::with_capacity(SPARE_ROWS), Rows::with_capacity(SPARE_ROWS));
        Self { after, max_rows, max_bytes, places, rows, end: None }
    }

    /// Adds a row, unless it is not one of the first. At most twice the limits are kept, and [`SPARE_ROWS`].
    pub(super) fn add(&mut self, place: Place, row: RowRef<'_>) {
        if self.after.is_some_and(|after| place <= after)
            || self.end.is_some_and(|end| place >= end)
        {
            return;
        }
        self.places.push(place);
        self.rows.push(row);
        let is_full = self.rows.len() > self.max_rows + self.max_rows.max(SPARE_ROWS);
        if is_full || self.rows.len_bytes() / 2 > self.max_bytes {
            self.sort(SPARE_ROWS);
        }
    }

    /// Sorts the rows, leaves out those beyond the limits, and makes room for `spare` others.
    fn sort(&mut self, spare: usize) {
        let places = &self.places;
        let order = order(places.len(), &|left, right| places[left].cmp(&places[right]));
        let mut bytes = 0;
        let kept = order.iter().take(self.max_rows).take_while(|index| {
            let before = bytes;
            bytes += self.rows.get(**index).map_or(0, RowRef::len_bytes);
            before == 0 || bytes <= self.max_bytes
        });
        let kept = kept.count();
        if let Some(first_out) = order.get(kept) {
            self.end = Some(self.places[*first_out]);
        }
        let order = &order[..kept];
        let mut rows = Rows::with_capacity(kept + spare);
        order.iter().filter_map(|index| self.rows.get(*index)).for_each(|row| rows.push(row));
        self.rows = rows;
        self.places = order.iter().map(|index| self.places[*index]).collect();
    }

    /// The rows in order with their places, and whether there are more.
    pub(super) fn finish(mut self) -> (Rows, Vec<Place>, bool) {
        self.sort(0);
        (self.rows, self.places, self.end.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expenses::row::Row;

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, day).unwrap()
    }

    fn row(number: usize) -> Row {
        let id = format!("{number:026}");
        let stored = format!(
            "1:{{'id':'{id}','description':'x','amount':1.00,'currency':'USD','category':'a','date':'2026-01-01','created_at':'2026-01-01T00:00:00Z','updated_at':'2026-01-01T00:00:00Z'}}"
        );
        Row::from_stored(ExpenseId::parse(&id).unwrap(), &stored).unwrap()
    }

    /// The numbers of the rows and whether there are more, of `count` rows whose days rise from 1 to 9 again and again.
    fn first(after: Option<(u32, usize)>, max_rows: usize, max_bytes: usize) -> (Vec<usize>, bool) {
        let rows: Vec<Row> = (0..1_000).map(row).collect();
        let place = |day, number: usize| Place::new(Sort::Date, date(day), rows[number].id());
        let after = after.map(|(day, number)| place(day, number));
        let mut first = FirstRows::new(after, max_rows, max_bytes);
        for (number, row) in rows.iter().enumerate() {
            let day = u32::try_from(number % 9).unwrap() + 1;
            first.add(place(day, number), row.as_ref());
            assert!(first.rows.len() <= 2 * max_rows + SPARE_ROWS + 1);
        }
        let (rows, places, has_more) = first.finish();
        assert!(places.is_sorted() && places.len() == rows.len());
        (rows.iter().map(|row| row.id.to_string().parse().unwrap()).collect(), has_more)
    }

    #[test]
    fn first_rows_are_those_of_the_newest_days() {
        assert_eq!(first(None, 3, usize::MAX), (vec![8, 17, 26], true));
        assert_eq!(first(Some((9, 17)), 2, usize::MAX), (vec![26, 35], true));
        let all = first(None, 2_000, usize::MAX);
        assert_eq!((all.0.len(), all.1), (1_000, false));
        assert_eq!(first(Some((1, 981)), 5, usize::MAX), (vec![990, 999], false));
        assert_eq!(first(Some((1, 999)), 5, usize::MAX), (vec![], false));
    }

    #[test]
    fn bytes_limit_the_rows_down_to_one() {
        let bytes = row(0).json().len();
        assert_eq!(first(None, 100, 3 * bytes), (vec![8, 17, 26], true));
        assert_eq!(first(Some((9, 8)), 100, 3 * bytes - 1), (vec![17, 26], true));
        assert_eq!(first(None, 100, 1), (vec![8], true));
    }

    #[test]
    fn order_of_additions_ignores_days() {
        let [older, newer] = [row(2), row(1)].map(|row| row.id());
        let place = |day, id| Place::new(Sort::Created, date(day), id);
        assert!(place(1, newer) < place(9, older));
        assert!(Place::new(Sort::Date, date(9), older) < Place::new(Sort::Date, date(1), newer));
    }
}
