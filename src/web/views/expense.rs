//! One expense: the form that adds or edits it, its page, and the question before deleting.

use chrono::NaiveDate;
use maud::{Markup, html};

use super::{Account, Layout, consistency_note, permitted_note};
use crate::{
    expenses::{
        ledger::overlay::Consistency,
        model::{Expense, ExpenseId, Timestamp},
        sorted::sorted_by_key,
    },
    typed::{
        Locale,
        expense::{Field, FieldError, TypedExpense},
    },
    web::{expense_form::FormInput, list_query::return_query},
};
use edge_host::VisitorTimeZone;

/// Currencies that the form suggests; any three letters are valid.
const CURRENCIES: [&str; 20] = [
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "INR", "JPY", "MXN",
    "NOK", "NZD", "PLN", "SEK", "SGD", "USD", "ZAR",
];
/// Most of the visitor's own currencies that the form suggests.
const OFFERED_CURRENCIES: usize = 20;
/// Categories that the form suggests beside the visitor's own.
const CATEGORIES: [&str; 6] = ["groceries", "health", "housing", "leisure", "meals", "travel"];
/// Most categories that the form suggests: nobody reads a longer list.
const OFFERED_CATEGORIES: usize = 30;

/// A form with the fields of an expense.
#[derive(Debug, Clone, Copy)]
pub struct Form<'a> {
    /// The expense that the form edits; `None` in the form that adds.
    pub id: Option<ExpenseId>,
    /// The values of the fields.
    pub input: &'a FormInput,
    /// The errors of the fields.
    pub errors: &'a [FieldError],
    /// The visitor's categories.
    pub categories: &'a [&'a str],
    /// The visitor's currencies, those used most first.
    pub currencies: &'a [&'a str],
    /// How the visitor writes amounts.
    pub locale: Locale,
    /// Whether an expense was just added, and another one follows: the form has the focus, and its first field is
    /// described by the message.
    pub is_next: bool,
}

impl Form<'_> {
    /// The form. It switches the browser's own checks off, whose messages have a language and a place of
    /// their own.
    #[must_use]
    pub fn markup(&self) -> Markup {
        let FormInput { expense, idempotency_key, version, return_to } = self.input;
        let TypedExpense { description, amount, currency, category, date } = expense;
        let action = self.id.map_or_else(|| "/expenses".to_owned(), |id| format!("/expenses/{id}"));
        let mut categories: Vec<&str> =
            self.categories.iter().copied().take(OFFERED_CATEGORIES).collect();
        categories.extend(CATEGORIES);
        categories = sorted_by_key(categories, |name| *name);
        categories.dedup();
        let mut currencies: Vec<&str> =
            self.currencies.iter().copied().take(OFFERED_CURRENCIES).collect();
        let used = currencies.len();
        currencies.extend(CURRENCIES.iter().filter(|code| !self.currencies[..used].contains(code)));
        html! {
            form.entry method="post" action=(action) novalidate {
                @if self.id.is_none() {
                    input type="hidden" name="idempotency_key" value=(idempotency_key);
                } @else if !version.is_empty() {
                    input type="hidden" name="version" value=(version);
                }
                (return_field(return_to))
                (self.field(Field::Description, "Description", description, None))
                (self.field(Field::Amount, "Amount", amount, None))
                (self.field(Field::Currency, "Currency", currency, Some("currencies")))
                (self.field(Field::Category, "Category", category, Some("categories")))
                (self.field(Field::Date, "Date", date, None))
                (datalist("currencies", &currencies))
                (datalist("categories", &categories))
                button { @if self.id.is_none() { "Add expense" } @else { "Save changes" } }
            }
        }
    }

    fn field(&self, field: Field, label: &str, value: &str, list: Option<&str>) -> Markup {
        let name = field.name();
        let error = self.errors.iter().find(|error| error.field == field);
        let is_required = field != Field::Category;
        let is_first = field == Field::Description && self.is_next;
        let description = match error {
            Some(_) => Some(format!("{name}-error")),
            None => is_first.then(|| "notice".to_owned()),
        };
        html! {
            div class={ "field " (name) } {
                label for=(name) { (label) @if !is_required { span.muted { " (optional)" } } }
                @if let Some(error) = error { p.error id={ (name) "-error" } { (error.message) } }
                input id=(name) name=(name) value=(value) list=[list]
                    type=(if field == Field::Date { "date" } else { "text" })
                    inputmode=[(field == Field::Amount).then_some("decimal")]
                    autocapitalize=[(field == Field::Currency).then_some("characters")]
                    autocomplete=[(field != Field::Description).then_some("off")]
                    dir=[matches!(field, Field::Description | Field::Category).then_some("auto")]
                    required[is_required]
                    aria-invalid=[error.map(|_| "true")]
                    aria-describedby=[description]
                    autofocus[is_first];
            }
        }
    }
}

fn datalist(id: &str, options: &[&str]) -> Markup {
    html! {
        datalist id=(id) { @for option in options { option value=(option) {} } }
    }
}

/// The field with the query of the list that a form leads back to.
pub(super) fn return_field(return_to: &str) -> Markup {
    html! {
        @if !return_to.is_empty() { input type="hidden" name="return_to" value=(return_to); }
    }
}

/// Why a form is shown again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned<'a> {
    /// Fields are invalid.
    Invalid,
    /// The form has already added an expense with other values.
    SentBefore,
    /// The expense was changed after the form was shown; this is the expense now.
    Changed(&'a Expense),
    /// The session has ended.
    SignedOut,
    /// The session could not be checked, or the expense not be saved.
    Unavailable {
        /// The `detail` for API clients.
        detail: &'a str,
        /// The request's ID.
        request_id: Option<&'a str>,
    },
}

/// The page of a form that failed, with its input and what to do next.
#[must_use]
pub fn returned(form: &Form, why: Returned, account: Option<&Account>) -> Markup {
    let heading = if form.id.is_none() { "Add an expense" } else { "Edit expense" };
    let title = format!("Error: {heading}");
    let content = html! {
        h1 { (heading) }
        // The focus is on the message.
        div.alert role="alert" tabindex="-1" autofocus aria-labelledby="problem" {
            @match why {
                Returned::Invalid => {
                    h2 #problem { "Not saved" }
                    ul {
                        @for error in form.errors {
                            li { a href={ "#" (error.field.name()) } { (error.message) } }
                        }
                    }
                },
                Returned::SentBefore => {
                    h2 #problem { "This form has already added an expense" }
                    p {
                        "It was sent before with other values, and those were saved. To add these values as "
                        "well, choose “Add expense” again."
                    }
                },
                Returned::Changed(now) => {
                    h2 #problem { "The expense was changed meanwhile" }
                    p {
                        "Not saved. Since this form was shown, the expense has become “"
                        bdi { (&*now.content.description) } "”, "
                        (form.locale.money(now.content.amount, &now.content.currency)) ", "
                        bdi { (&*now.content.category) } ", " (date(form.locale, now.content.date)) "."
                    }
                    p { "Your input is kept. To replace these values by yours, choose “Save changes” again." }
                },
                Returned::SignedOut => {
                    h2 #problem { "You are signed out" }
                    p {
                        "Not saved. Your input is kept: "
                        a href="/login" target="_blank" { "sign in in a new tab" }
                        ", then come back to this one and send the form again."
                    }
                },
                Returned::Unavailable { detail, request_id } => {
                    h2 #problem { "This may not have been saved" }
                    p { (detail) "." }
                    p {
                        "Your input is kept."
                        @if form.id.is_none() { " Sending the form again adds no second expense." }
                    }
                    @if let Some(id) = request_id {
                        p.muted { "If you ask for help, give this request ID: " code { (id) } }
                    }
                },
            }
        }
        section.card.narrow { (form.markup()) }
        p { a href="/expenses" { "Back to your expenses" } }
    };
    Layout { title: &title, account }.page(&content)
}

/// `GET /expenses/{id}`: the expense, with the form that edits it.
#[must_use]
pub fn page(
    expense: &Expense,
    form: &Form,
    consistency: Consistency,
    time_zone: &VisitorTimeZone,
    account: &Account,
) -> Markup {
    let content = &expense.content;
    let day =
        |timestamp: Timestamp| html! { (date(form.locale, time_zone.date(timestamp.into()))) };
    let markup = html! {
        p { a href="/expenses" { "Back to your expenses" } }
        h1 { bdi { (&*content.description) } }
        (consistency_note(consistency))
        p.total { (form.locale.money(content.amount, &content.currency)) }
        p.muted {
            "Added on " (day(expense.created_at))
            @if expense.updated_at != expense.created_at { ", changed on " (day(expense.updated_at)) }
            "."
        }
        @if account.may_write() {
            section.card.narrow aria-labelledby="change" {
                h2 #change { "Edit expense" }
                (form.markup())
            }
            @let back = return_query(&form.input.return_to);
            p { a.danger href={ "/expenses/" (expense.id) "/delete" (back) } { "Delete this expense" } }
        } @else {
            p.muted { bdi { (&*content.category) } ", " (date(form.locale, content.date)) }
            (permitted_note(account))
        }
    };
    Layout { title: &content.description, account: Some(account) }.page(&markup)
}

/// `GET /expenses/{id}/delete`: the question before deleting. Without an `expense` its record cannot be read.
#[must_use]
pub fn confirm_delete(
    id: ExpenseId,
    expense: Option<&Expense>,
    consistency: Consistency,
    locale: Locale,
    account: &Account,
    return_to: &str,
) -> Markup {
    let markup = html! {
        h1 { "Delete this expense?" }
        (consistency_note(consistency))
        section.card.narrow {
            @if let Some(Expense { content, .. }) = expense {
                p.total { (locale.money(content.amount, &content.currency)) }
                p { bdi { (&*content.description) } }
                p.muted { bdi { (&*content.category) } ", " (date(locale, content.date)) }
                p { "The next page has a button to undo it." }
            } @else {
                p { "Its stored record cannot be read. Deleting it cannot be undone." }
            }
            form.actions method="post" action={ "/expenses/" (id) "/delete" } {
                (return_field(return_to))
                button.danger { "Delete" }
                a href={ "/expenses" (return_to) @if !return_to.is_empty() { "#list" } } { "Cancel" }
            }
        }
    };
    Layout { title: "Delete this expense?", account: Some(account) }.page(&markup)
}

/// A date, for people and for machines.
#[must_use]
pub fn date(locale: Locale, date: NaiveDate) -> Markup {
    html! { time datetime=(date) { (locale.date(date)) } }
}
