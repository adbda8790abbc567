//! The page of a user's API keys.

use std::ops::Range;

use chrono::NaiveDate;
use maud::{Markup, html};

use super::{Account, Layout, expense::date};
use crate::typed::Locale;
use axum_authkit::api_keys::ApiKey;

/// The page.
pub struct KeysPage<'a> {
    /// The account of the user.
    pub account: &'a Account,
    /// The keys; `None` on a page that answers a form.
    pub keys: Option<&'a [ApiKey]>,
    /// The form for another key.
    pub form: &'a KeyForm<'a>,
    /// The field and the name of each permission that the user can give.
    pub offered: &'a [(&'static str, &'static str)],
    /// Why the user can create no key.
    pub refusal: Option<&'a str>,
    /// The outcome of the last form.
    pub notice: Notice<'a>,
    /// How the visitor writes dates.
    pub locale: Locale,
    /// The address of the page.
    pub path: &'static str,
}

/// The form that creates a key.
#[derive(Debug, Default)]
pub struct KeyForm<'a> {
    /// The name as typed.
    pub name: &'a str,
    /// The error message of the name.
    pub name_error: Option<&'a str>,
    /// The chosen permissions.
    pub permissions: Vec<&'static str>,
    /// The error message of the permissions.
    pub permissions_error: Option<&'a str>,
}

/// The outcome of the last form.
#[derive(Debug, Clone, Copy)]
pub enum Notice<'a> {
    /// There was no form.
    None,
    /// It has created a key with this value.
    Created {
        /// The value, which no other page shows.
        value: &'a str,
    },
    /// It has revoked a key.
    Revoked,
    /// Its fields are invalid.
    Invalid,
    /// WorkOS did not create the key.
    Failed {
        /// The `detail` for API clients.
        detail: &'a str,
    },
}

/// Renders the page.
#[must_use]
pub fn page(page: &KeysPage<'_>) -> Markup {
    let KeysPage { account, keys, notice, path, .. } = page;
    let is_error = matches!(notice, Notice::Invalid | Notice::Failed { .. });
    let is_created = matches!(notice, Notice::Created { .. });
    let content = html! {
        h1 { "API keys" }
        (notice_of(*notice, page.form))
        @if !is_created {
            p {
                "A program with an API key reads and changes your expenses without a sign-in. It sends "
                code { "Authorization: Bearer sk_…" } "."
            }
        }
        @if let Some(keys) = keys { (list(keys, page.locale)) }
        @if is_created || is_error { p { a href=(path) { "Your API keys" } } }
        @if !is_created {
            section.card.narrow aria-labelledby="create" {
                h2 #create { "Create a key" }
                @match page.refusal {
                    Some(refusal) => p { (refusal) "." },
                    None => (form(page)),
                }
            }
            p.muted {
                "A revoked key works for up to 60 seconds more. A key cannot create or revoke keys, sign out or "
                "switch the organization."
            }
        }
        p { a href="/expenses" { "Back to your expenses" } }
    };
    let title = if is_error { "Error: API keys" } else { "API keys" };
    Layout { title, account: Some(account) }.page(&content)
}

fn notice_of(notice: Notice<'_>, form: &KeyForm<'_>) -> Markup {
    html! {
        @match notice {
            Notice::None => {},
            Notice::Revoked => p.notice role="status" { "The key is revoked." },
            // The focus is on the message.
            Notice::Created { value } => {
                div.notice role="status" tabindex="-1" autofocus aria-labelledby="created" {
                    h2 #created { "The key is created" }
                    p { "Copy it now: it is shown only once." }
                    p { code.secret { (value) } }
                }
            },
            Notice::Invalid => {
                div.alert role="alert" tabindex="-1" autofocus aria-labelledby="problem" {
                    h2 #problem { "No key was created" }
                    ul {
                        @if let Some(error) = form.name_error { li { a href="#name" { (error) } } }
                        @if let Some(error) = form.permissions_error { li { a href="#permissions" { (error) } } }
                    }
                }
            },
            Notice::Failed { detail } => {
                div.alert role="alert" tabindex="-1" autofocus aria-labelledby="problem" {
                    h2 #problem { "That did not work" }
                    p { (detail) "." }
                }
            },
        }
    }
}

fn list(keys: &[ApiKey], locale: Locale) -> Markup {
    let on = |words: &str, time: Option<&str>| {
        html! {
            @if let Some(day) = time.and_then(day) { "; " (words) " " (date(locale, day)) }
        }
    };
    html! {
        section.card aria-labelledby="keys" {
            h2 #keys { "Your keys" }
            @if keys.is_empty() { p.muted { "You have no API keys." } }
            ul.keys {
                @for key in keys {
                    li {
                        p { strong { bdi { (key.name) } } " " code { (key.obfuscated_value) } }
                        p.muted {
                            (key.permissions.join(", "))
                            (on("created on", Some(&key.created_at)))
                            (on("last used on", key.last_used_at.as_deref()))
                            @if key.last_used_at.is_none() { "; never used" }
                            (on("expires on", key.expires_at.as_deref()))
                        }
                        // The question before revoking, without another page.
                        details {
                            summary { "Revoke" span.vh { " " (key.name) } }
                            form.actions method="post" action={ "/api-keys/" (key.id) } {
                                p { "This cannot be undone." }
                                button.danger { "Revoke this key" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The day of an RFC 3339 time, in UTC.
fn day(time: &str) -> Option<NaiveDate> {
    let number = |range: Range<usize>| time.get(range)?.parse::<u32>().ok();
    let year = i32::try_from(number(0..4)?).ok()?;
    NaiveDate::from_ymd_opt(year, number(5..7)?, number(8..10)?)
}

fn form(page: &KeysPage<'_>) -> Markup {
    let KeyForm { name, name_error, permissions, permissions_error } = page.form;
    html! {
        form.entry method="post" action=(page.path) novalidate {
            div.field.description {
                label for="name" { "Name" }
                p.hint #name-hint { "Such as the program that will use it." }
                @if let Some(error) = name_error { p.error #name-error { (error) } }
                input #name name="name" value=(name) required maxlength="100" autocomplete="off" dir="auto"
                    aria-invalid=[name_error.map(|_| "true")]
                    aria-describedby=(if name_error.is_some() { "name-error" } else { "name-hint" });
            }
            fieldset #permissions .description tabindex="-1"
                aria-describedby=[permissions_error.map(|_| "permissions-error")] {
                legend { "The key may" }
                @if let Some(error) = permissions_error { p.error #permissions-error { (error) } }
                @for (field, scope) in page.offered {
                    label.check {
                        input #(field) type="checkbox" name=(field) checked[permissions.contains(scope)];
                        @if *field == "read" { "read expenses" } @else { "add, change and delete expenses" }
                    }
                }
            }
            button { "Create key" }
        }
    }
}
