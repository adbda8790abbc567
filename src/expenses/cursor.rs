//! Cuts lists into pages, and seals the cursors between them. A position is an id, so that pages have each expense
//! once while others are added and deleted; KV's cursor only tells where KV goes on.
//!
//! Cursors are sealed, so that a client cannot forge one. A cursor of another user, another filter or another order is
//! refused, because its position is not valid there.

use serde::{Deserialize, Serialize};

use super::{
    filter::Filter,
    keys::Owner,
    model::{ExpenseId, parse_date},
    order::{Place, Sort},
    row::{RowRef, Rows},
};
use axum_authkit::seal::Sealer;

/// The beginning of a page.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) owner: String,
    /// The signature of the position's filter.
    pub(super) filter: String,
    /// KV's cursor for the `list` with the page's rows.
    pub(super) kv_cursor: Option<String>,
    /// The end of the `list` before, after which that `list` begins.
    #[serde(default)]
    pub(super) begin: Option<String>,
    /// The last row of that `list` on an earlier page.
    pub(super) after: Option<String>,
    /// In a list by date: the date of the last row on an earlier page, and `after` is that row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) date: Option<String>,
}

impl Position {
    /// The position after `place` in a list by date.
    pub(super) fn by_date(place: Place) -> Self {
        let (date, after) = (place.date().to_string(), place.id().to_string());
        Self { date: Some(date), after: Some(after), ..Self::default() }
    }

    /// The place after which the page begins; `None` for the first page of a list, and within the order of
    /// additions for a page that begins with a `list` of KV.
    pub(super) fn place(&self, sort: Sort) -> Option<Place> {
        let id = ExpenseId::parse(self.after.as_deref()?).ok()?;
        let date = self.date.as_deref().and_then(parse_date).unwrap_or_default();
        Some(Place::new(sort, date, id))
    }
}

/// The signature of a list. A version of the Worker without orders refuses a cursor of a list by date, because its
/// own signatures begin with a date or a colon.
fn signature(filter: &Filter, sort: Sort) -> String {
    let filter = filter.signature();
    match sort {
        Sort::Created => filter,
        Sort::Date => format!("date/{filter}"),
    }
}

/// Seals and opens cursors.
pub(super) struct Cursors(pub(super) Sealer);

impl Cursors {
    // Neither function is inlined: most lists are on one page, which needs no cursor.
    #[inline(never)]
    pub(super) fn seal(
        &self,
        owner: &Owner,
        position: Position,
        filter: &Filter,
        sort: Sort,
    ) -> String {
        let (owner, filter) = (owner.as_str().to_owned(), signature(filter, sort));
        let position = Position { owner, filter, ..position };
        // A struct of strings always serializes.
        self.0.seal(edge_host::json::write(&position).as_bytes())
    }

    /// The position of a cursor; `None` for a forged cursor, and for a cursor of another user, filter or order.
    #[inline(never)]
    pub(super) fn open(
        &self,
        owner: &Owner,
        cursor: &str,
        filter: &Filter,
        sort: Sort,
    ) -> Option<Position> {
        let opened = self.0.open(cursor).ok()?;
        let position: Position = edge_host::json::read_bytes(&opened.plaintext).ok()?;
        let is_here =
            position.owner == owner.as_str() && position.filter == signature(filter, sort);
        is_here.then_some(position)
    }
}

/// A batch of a list: one `list` of KV with the ledger's overlay.
pub(super) struct ListedBatch {
    /// The rows, newest first.
    pub(super) rows: Rows,
    /// The position of the next batch; `None` after the last one.
    pub(super) next: Option<Position>,
}

/// Selects the page's rows, at most `limit`, from the batch that begins at `position`. Returns their indices and the
/// position of the next row.
pub(super) fn paginate(
    batch: &Rows,
    position: &Position,
    next_batch: Option<Position>,
    limit: usize,
    filter: &Filter,
) -> (Vec<usize>, Option<Position>) {
    let after = position.after.as_deref();
    let is_selected = |row: RowRef<'_>| {
        after.is_none_or(|after| row.id.encode().as_str() > after)
            && (filter.is_empty() || row.figures().is_some_and(|figures| filter.matches(&figures)))
    };
    let mut selected = batch.iter().enumerate().filter(|(_, row)| is_selected(*row));
    let mut indices = Vec::with_capacity(limit.min(batch.len()));
    let mut last = None;
    for (index, row) in selected.by_ref().take(limit) {
        indices.push(index);
        last = Some(row.id);
    }
    let next = if selected.next().is_some() {
        let after = last.map(|id| id.to_string()).or_else(|| position.after.clone());
        Some(Position { after, ..position.clone() })
    } else {
        next_batch
    };
    (indices, next)
}
