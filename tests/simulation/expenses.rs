//! The model of expenses: what each read may show.
//!
//! Every write has a number, and its values name it: description `op{number}u{user}x`, category
//! `c{number}`, amount `{number}.25`. So a read tells which write each value comes from.
//!
//! A write takes effect at one moment between its request and its response; one whose outcome is unknown takes
//! effect at some moment later, or never. A read may show a value if some order of such moments explains it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::world::Span;

/// The writes of all users.
#[derive(Default)]
pub struct Expenses {
    writes: Vec<Write>,
    /// The user and the writes of each expense by its id.
    by_id: BTreeMap<String, (usize, Vec<usize>)>,
    /// When the erasure of a user began, and when it was acknowledged.
    erasures: BTreeMap<usize, (u64, Option<u64>)>,
}

#[derive(Debug, Clone)]
pub struct Write {
    user: usize,
    kind: Kind,
    began: u64,
    /// When it is known to have taken effect: its response, or the first read that shows it.
    done: Option<u64>,
    is_acknowledged: bool,
    /// It is known that it has not happened and never will.
    has_failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sets every field of a new expense.
    Add,
    /// Sets these fields.
    Change {
        description: bool,
        category: bool,
    },
    Remove,
    /// Undoes a removal; without one, changes nothing.
    Restore,
}

/// An expense in a response.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub id: String,
    pub description: String,
    pub category: String,
    pub amount: String,
}

impl Row {
    pub fn of_json(value: &Value) -> Option<Self> {
        let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let amount = match &value["amount"] {
            Value::String(amount) => amount.clone(),
            amount => amount.to_string(),
        };
        let (id, description) = (text("id")?, text("description")?);
        Some(Self { id, description, category: text("category")?, amount })
    }
}

pub fn description(op: usize, user: usize) -> String {
    format!("op{op}u{user}x")
}

pub fn category(op: usize) -> String {
    format!("c{op}")
}

pub fn amount(op: usize) -> String {
    format!("{op}.25")
}

/// Every description in a text: the write and its user.
pub fn markers(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    text.match_indices("op").filter_map(|(at, _)| parse_description(text[at..].split('x').next()?))
}

/// The write and the user of a description without its `x`.
fn parse_description(text: &str) -> Option<(usize, usize)> {
    let (op, user) = text.strip_prefix("op")?.split_once('u')?;
    Some((op.parse().ok()?, user.parse().ok()?))
}

impl Write {
    fn sets_description(&self) -> bool {
        matches!(self.kind, Kind::Add | Kind::Change { description: true, .. })
    }

    fn sets_category(&self) -> bool {
        matches!(self.kind, Kind::Add | Kind::Change { category: true, .. })
    }

    fn may_have_happened(&self) -> bool {
        self.is_acknowledged || !self.has_failed
    }

    fn is_done_before(&self, tick: u64) -> bool {
        self.done.is_some_and(|done| done < tick)
    }
}

impl Expenses {
    /// A write begins; its number. The id of an expense that is added is not known yet.
    pub fn begin(&mut self, user: usize, kind: Kind, id: Option<&str>, began: u64) -> usize {
        let op = self.writes.len();
        let write =
            Write { user, kind, began, done: None, is_acknowledged: false, has_failed: false };
        self.writes.push(write);
        if let Some((_, writes)) = id.and_then(|id| self.by_id.get_mut(id)) {
            writes.push(op);
        }
        op
    }

    /// A write is acknowledged.
    pub fn acknowledge(&mut self, op: usize, span: Span) -> Result<(), String> {
        let Write { user, kind, .. } = self.writes[op];
        if let Some((_, Some(erased))) = self.erasures.get(&user)
            && *erased < span.began
        {
            return Err(format!(
                "invariant 2: write {op} ({kind:?}) of erased user {user} succeeds"
            ));
        }
        let write = &mut self.writes[op];
        write.is_acknowledged = true;
        write.done.get_or_insert(span.ended);
        Ok(())
    }

    /// A response says that a write did not happen.
    pub fn fail(&mut self, op: usize) {
        self.writes[op].has_failed = true;
    }

    /// The id of the expense that a write has added.
    pub fn bind(&mut self, op: usize, id: &str) -> Result<(), String> {
        let user = self.writes[op].user;
        let first =
            |(_, (_, writes)): &(&String, &(usize, Vec<usize>))| writes.first() == Some(&op);
        if let Some((other, _)) = self.by_id.iter().find(first)
            && other != id
        {
            return Err(format!("invariant 2: write {op} made two expenses, {other} and {id}"));
        }
        self.by_id.entry(id.to_owned()).or_insert_with(|| (user, vec![op]));
        Ok(())
    }

    /// The ids of a user's expenses that were seen or acknowledged.
    pub fn ids(&self, user: usize) -> Vec<String> {
        let of_user = self.by_id.iter().filter(|(_, (owner, _))| *owner == user);
        of_user.map(|(id, _)| id.clone()).collect()
    }

    pub fn begin_erasure(&mut self, user: usize, began: u64) {
        self.erasures.entry(user).or_insert((began, None));
    }

    pub fn acknowledge_erasure(&mut self, user: usize, span: Span) {
        if let Some((_, acknowledged)) = self.erasures.get_mut(&user) {
            acknowledged.get_or_insert(span.ended);
        }
    }

    pub fn has_erasure(&self, user: usize) -> bool {
        self.erasures.contains_key(&user)
    }

    fn writes_of(&self, id: &str) -> Vec<usize> {
        self.by_id.get(id).map(|(_, writes)| writes.clone()).unwrap_or_default()
    }

    /// A read shows an expense.
    pub fn check_row(&mut self, user: usize, row: &Row, span: Span) -> Result<(), String> {
        let shown = || format!("expense {} ({} {})", row.id, row.description, row.category);
        if let Some((_, Some(erased))) = self.erasures.get(&user)
            && *erased < span.began
        {
            return Err(format!("invariant 2: {} of erased user {user} is back", shown()));
        }
        let by_description = parse_description(row.description.trim_end_matches('x'));
        let by_category = row.category.strip_prefix('c').and_then(|op| op.parse::<usize>().ok());
        let (Some((op, _)), Some(category_op)) = (by_description, by_category) else {
            return Err(format!("invariant 2: {} was never written", shown()));
        };
        if row.amount != amount(op) {
            return Err(format!("invariant 2: {} has amount {}", shown(), row.amount));
        }
        if !self.by_id.contains_key(&row.id) {
            // The response to the addition was lost.
            if self.writes.get(category_op).is_some_and(|write| write.kind == Kind::Add) {
                self.bind(category_op, &row.id)?;
            } else if self.writes.get(op).is_some_and(|write| write.kind == Kind::Add) {
                self.bind(op, &row.id)?;
            }
        }
        let writes = self.writes_of(&row.id);
        for write in &writes {
            let remove = &self.writes[*write];
            if remove.kind == Kind::Remove
                && remove.is_done_before(span.began)
                && !self.may_be_undone(&writes, remove, span)
            {
                return Err(format!("invariant 2: {} was deleted by write {write}", shown()));
            }
        }
        self.check_value(&writes, op, Write::sets_description, span)
            .and_then(|()| self.check_value(&writes, category_op, Write::sets_category, span))
            .map_err(|reason| format!("invariant 2: {}: {reason}", shown()))?;
        if let Some(first) = writes.first() {
            self.writes[*first].done.get_or_insert(span.ended);
        }
        for op in [op, category_op] {
            self.writes[op].done.get_or_insert(span.ended);
        }
        Ok(())
    }

    fn restores(&self, writes: &[usize]) -> impl Iterator<Item = &Write> {
        let writes = writes.iter().map(|op| &self.writes[*op]);
        writes.filter(|write| write.kind == Kind::Restore && write.may_have_happened())
    }

    /// Whether a restoration may follow a removal before a read ends.
    fn may_be_undone(&self, writes: &[usize], remove: &Write, span: Span) -> bool {
        self.restores(writes)
            .any(|write| write.began < span.ended && !write.is_done_before(remove.began))
    }

    /// Whether a restoration certainly follows a removal before a read begins.
    fn is_undone(&self, writes: &[usize], remove: &Write, span: Span) -> bool {
        self.restores(writes)
            .any(|write| write.is_done_before(span.began) && remove.is_done_before(write.began))
    }

    /// A read shows the value of `op` in a field that some writes of the expense set.
    fn check_value(
        &self,
        writes: &[usize],
        op: usize,
        sets: fn(&Write) -> bool,
        span: Span,
    ) -> Result<(), String> {
        if !writes.contains(&op) || !sets(&self.writes[op]) {
            return Err(format!("write {op} did not set it"));
        }
        let write = &self.writes[op];
        if write.began >= span.ended {
            return Err(format!("write {op} began later"));
        }
        if !write.may_have_happened() {
            return Err(format!("write {op} did not happen, by its response"));
        }
        let is_newer = |other: &&usize| {
            let newer = &self.writes[**other];
            sets(newer)
                && newer.is_done_before(span.began)
                && write.done.is_some_and(|done| done < newer.began)
        };
        match writes.iter().find(is_newer) {
            Some(newer) => {
                Err(format!("the read began after write {newer}, which is newer than {op}"))
            }
            None => Ok(()),
        }
    }

    /// A read does not show an expense.
    pub fn check_absent(&mut self, user: usize, id: &str, span: Span) -> Result<(), String> {
        if self.erasures.get(&user).is_some_and(|(began, _)| *began < span.ended) {
            return Ok(());
        }
        let writes = self.writes_of(id);
        let Some(add) = writes.first().map(|op| &self.writes[*op]) else { return Ok(()) };
        if add.user != user || !add.is_done_before(span.began) {
            return Ok(());
        }
        let removes: Vec<usize> = writes
            .iter()
            .copied()
            .filter(|op| {
                let write = &self.writes[*op];
                write.kind == Kind::Remove
                    && write.began < span.ended
                    && !write.has_failed
                    && !self.is_undone(&writes, write, span)
            })
            .collect();
        match &removes[..] {
            [] => Err(format!("invariant 2: expense {id} is missing, and nobody deleted it")),
            [only] => {
                self.writes[*only].done.get_or_insert(span.ended);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A read shows all expenses of a user, in these rows.
    pub fn check_list(&mut self, user: usize, rows: &[Row], span: Span) -> Result<(), String> {
        for pair in rows.windows(2) {
            if pair[0].id >= pair[1].id {
                return Err(format!("invariant 3: {} stands before {}", pair[0].id, pair[1].id));
            }
        }
        for id in self.ids(user) {
            if !rows.iter().any(|row| row.id == id) {
                self.check_absent(user, &id, span)?;
            }
        }
        Ok(())
    }

    /// The number of expenses that a read must show at least and may show at most.
    pub fn count_bounds(&self, user: usize, span: Span) -> (usize, usize) {
        if self.erasures.contains_key(&user) {
            return (0, usize::MAX);
        }
        let (mut min, mut max) = (0, 0);
        let is_add = |write: &&Write| write.user == user && write.kind == Kind::Add;
        let unbound = self.writes.iter().enumerate().filter(|(op, write)| {
            is_add(write)
                && write.may_have_happened()
                && !self.by_id.values().any(|(_, writes)| writes.first() == Some(op))
        });
        max += unbound.count();
        for (_, writes) in self.by_id.values().filter(|(owner, _)| *owner == user) {
            let removes = || {
                let removes = writes.iter().map(|op| &self.writes[*op]);
                removes.filter(|write| write.kind == Kind::Remove && !write.has_failed)
            };
            let is_gone = |write: &&Write| {
                write.is_done_before(span.began) && !self.may_be_undone(writes, write, span)
            };
            if removes().any(|write| is_gone(&write)) {
                continue;
            }
            max += 1;
            let add = &self.writes[writes[0]];
            let may_be_gone =
                |write: &Write| write.began < span.ended && !self.is_undone(writes, write, span);
            if add.is_done_before(span.began) && !removes().any(may_be_gone) {
                min += 1;
            }
        }
        (min, max)
    }

    /// Whether a write of this expense other than `op` may have taken effect between two ticks.
    pub fn may_have_changed(&self, id: &str, op: usize, from: u64, until: u64) -> bool {
        self.writes_of(id).iter().any(|other| {
            let write = &self.writes[*other];
            *other != op
                && write.may_have_happened()
                && write.began < until
                && write.done.is_none_or(|done| done > from)
        })
    }

    /// The write of this expense that certainly took effect between two ticks, and left another version. A restoration
    /// within the second of the last change leaves the same.
    pub fn certain_change(&self, id: &str, from: u64, until: u64) -> Option<usize> {
        let writes = self.writes_of(id);
        let has_restore = self.restores(&writes).next().is_some();
        let is_certain = |kind| match kind {
            Kind::Restore => false,
            Kind::Remove => !has_restore,
            Kind::Add | Kind::Change { .. } => true,
        };
        writes.into_iter().find(|op| {
            let write = &self.writes[*op];
            is_certain(write.kind) && write.began > from && write.is_done_before(until)
        })
    }
}
