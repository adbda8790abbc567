//! The cookies of pages. Neither holds a secret, a description or an amount.
//!
//! | cookie | value | seconds |
//! | --- | --- | --- |
//! | `expenses-notice` | the kind of the message that the next page shows, and the id of an expense or numbers | 60 |
//! | `expenses-currency` | the currency of the expense that was added last | 400 days |
//!
//! On https the names begin with `__Host-`, so that no other host of the domain sets them.

use axum::response::Response;
use axum_authkit::{
    browser::redirect,
    config::{HOST_PREFIX, SameSite},
    cookie::{Cookie, RequestCookies},
    origin::RequestOrigin,
};
use http::{HeaderMap, StatusCode, header, request::Parts};

use crate::expenses::model::{Currency, ExpenseId};

const FLASH: &str = "__Host-expenses-notice";
/// Longer than a redirect takes. A message that no page has shown by then is out of date.
const FLASH_SECS: u32 = 60;

const CURRENCY: &str = "__Host-expenses-currency";
/// The longest that browsers keep a cookie: 400 days (RFC 6265bis, section 5.5).
const CURRENCY_SECS: u32 = 400 * 24 * 60 * 60;

/// The result of a form, which the next page tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flash {
    /// An expense was added.
    Added(ExpenseId),
    /// An expense was changed.
    Changed(ExpenseId),
    /// An expense was deleted.
    Deleted(ExpenseId),
    /// A deleted expense was restored.
    Restored(ExpenseId),
    /// The session was switched to another organization.
    Switched,
    /// An API key was revoked.
    Revoked,
    /// A file was imported.
    Imported(ImportCounts),
}

/// The numbers of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportCounts {
    /// The new expenses.
    pub added: u32,
    /// The rows whose expense was there already.
    pub unchanged: u32,
    /// The rows that could not be read.
    pub skipped: u32,
}

impl Flash {
    /// `{kind}.{id}`, `imported.{added}.{unchanged}.{skipped}`, or the kind alone.
    fn text(self) -> String {
        let (kind, id) = match self {
            Self::Added(id) => ("added.", id),
            Self::Changed(id) => ("changed.", id),
            Self::Deleted(id) => ("deleted.", id),
            Self::Restored(id) => ("restored.", id),
            Self::Switched => return "switched".to_owned(),
            Self::Revoked => return "revoked".to_owned(),
            Self::Imported(ImportCounts { added, unchanged, skipped }) => {
                return format!("imported.{added}.{unchanged}.{skipped}");
            }
        };
        format!("{kind}{id}")
    }

    fn parse(text: &str) -> Option<Self> {
        let Some((kind, id)) = text.split_once('.') else {
            return match text {
                "switched" => Some(Self::Switched),
                "revoked" => Some(Self::Revoked),
                _ => None,
            };
        };
        if kind == "imported" {
            let mut counts = id.split('.').map_while(|count| count.parse().ok());
            let [added, unchanged, skipped] = [counts.next()?, counts.next()?, counts.next()?];
            return Some(Self::Imported(ImportCounts { added, unchanged, skipped }));
        }
        let id = ExpenseId::parse(id).ok()?;
        match kind {
            "added" => Some(Self::Added(id)),
            "changed" => Some(Self::Changed(id)),
            "deleted" => Some(Self::Deleted(id)),
            "restored" => Some(Self::Restored(id)),
            _ => None,
        }
    }
}

/// The cookies of pages on one origin.
#[derive(Debug, Clone, Copy)]
pub struct PageCookies {
    is_secure: bool,
}

impl PageCookies {
    /// The cookies of pages on this origin.
    #[must_use]
    pub fn on(origin: &RequestOrigin) -> Self {
        Self { is_secure: origin.is_secure() }
    }

    /// The cookies of pages on the request's origin.
    #[must_use]
    pub fn of_parts(parts: &Parts) -> Self {
        RequestOrigin::of_parts(parts).map_or(Self { is_secure: true }, |origin| Self::on(&origin))
    }

    fn name(self, name: &'static str) -> &'static str {
        if self.is_secure { name } else { name.strip_prefix(HOST_PREFIX).unwrap_or(name) }
    }

    fn cookie(self, name: &'static str, max_age_secs: u32) -> Cookie<'static> {
        Cookie {
            name: self.name(name),
            path: "/",
            max_age_secs,
            domain: None,
            same_site: SameSite::Lax,
            secure: self.is_secure,
        }
    }

    /// The message that the page of this request shows, and the currency that the browser has used last.
    #[must_use]
    pub fn read(self, headers: &HeaderMap) -> (Option<Flash>, Option<Currency>) {
        let cookies = RequestCookies::from_headers(headers);
        let flash = cookies.values(self.name(FLASH)).find_map(Flash::parse);
        let currency =
            cookies.values(self.name(CURRENCY)).find_map(|code| Currency::parse(code).ok());
        (flash, currency)
    }

    /// Removes the message with the response that shows it: a page shows it once.
    pub fn clear_flash(self, response: &mut Response) {
        response.headers_mut().append(header::SET_COOKIE, self.cookie(FLASH, 0).clear());
    }

    /// 303 to a page, which shows the message.
    #[must_use]
    pub fn redirect(self, location: &str, flash: Flash) -> Response {
        let mut response = redirect(StatusCode::SEE_OTHER, location);
        let cookie = self.cookie(FLASH, FLASH_SECS).set(&flash.text());
        response.headers_mut().append(header::SET_COOKIE, cookie);
        response
    }

    /// The response, after which the form begins with this currency.
    #[must_use]
    pub fn remember(self, currency: Currency, mut response: Response) -> Response {
        let cookie = self.cookie(CURRENCY, CURRENCY_SECS).set(&currency);
        response.headers_mut().append(header::SET_COOKIE, cookie);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7ZZZZZZZZZ0123456789ABCDEF";

    fn sent(cookies: PageCookies, flash: Flash) -> String {
        let response = cookies.redirect("/expenses", flash);
        response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned()
    }

    #[test]
    fn flash_is_read_from_its_cookie() {
        let id = ExpenseId::parse(ID).unwrap();
        for is_secure in [true, false] {
            let cookies = PageCookies { is_secure };
            for flash in [
                Flash::Added(id),
                Flash::Changed(id),
                Flash::Deleted(id),
                Flash::Restored(id),
                Flash::Switched,
                Flash::Revoked,
                Flash::Imported(ImportCounts { added: 1, unchanged: 0, skipped: 10_000 }),
            ] {
                let cookie = sent(cookies, flash);
                let pair = cookie.split(';').next().unwrap();
                let mut headers = HeaderMap::new();
                headers.insert(header::COOKIE, pair.parse().unwrap());
                assert_eq!(cookies.read(&headers), (Some(flash), None));
                let other = PageCookies { is_secure: !is_secure };
                assert_eq!(other.read(&headers), (None, None));
            }
        }
    }

    #[test]
    fn currency_is_read_from_its_cookie() {
        let cookies = PageCookies { is_secure: false };
        for (cookie, code) in
            [("=EUR", Some("EUR")), ("=eur", None), ("=<b>", None), ("=", None), ("2=EUR", None)]
        {
            let mut headers = HeaderMap::new();
            let cookie = format!("expenses-currency{cookie}");
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            assert_eq!(cookies.read(&headers).1.as_deref(), code, "{cookie}");
        }
    }

    #[test]
    fn flash_of_unknown_form_is_none() {
        for text in [
            "",
            "imported.1.2",
            "imported.1.2.x",
            "added",
            "added.",
            "added.x",
            "unknown.7ZZZZZZZZZ0123456789ABCDEF",
            ".",
        ] {
            assert_eq!(Flash::parse(text), None, "{text}");
        }
    }

    #[test]
    fn flash_cookie_is_short_lived_and_own() {
        let cookie = sent(PageCookies { is_secure: true }, Flash::Switched);
        assert_eq!(
            cookie,
            "__Host-expenses-notice=switched; Path=/; Max-Age=60; SameSite=Lax; HttpOnly; Secure"
        );
        let cookie = sent(PageCookies { is_secure: false }, Flash::Switched);
        assert!(cookie.starts_with("expenses-notice=switched; ") && !cookie.contains("Secure"));
    }
}
