//! `/expenses/import`: adds the expenses of a CSV file. Programs send the file and get JSON; the page sends it in a
//! form.
//!
//! | request | response |
//! | --- | --- |
//! | `GET /expenses/import` | the page with the form |
//! | `POST /expenses/import`, `text/csv` or a form with the file | 200 with the numbers; 422 with the faults of the rows |
//! | `POST /expenses/import`, the page's form | 303 to the list; a page with the first rows of another program's file, 422 with its faults |
//!
//! A file is imported as a whole, or not at all: unless the request says to skip them, a row with a fault refuses the
//! file. The ledger adds all rows in one event, so that an import that has no response can be sent again. An expense
//! whose id the user has already stays as it is: the id stands in this Worker's own export, and is made of the content
//! for other files.
//!
//! `csv` reads the file, `multipart` the form around it, [`columns`] finds out which column is what, and [`rows`] turns
//! rows into expenses, with the messages of the form that adds one.

pub(crate) mod columns;
mod csv;
mod multipart;
pub(crate) mod rows;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, header};
use utoipa::ToSchema;

use self::{
    columns::Settings,
    rows::{FileRead, RowFault, read},
};
use crate::{
    access::Access,
    body::{UPLOAD, essence, max_bytes, read_body_up_to},
    expense_errors::not_written,
    expenses::{
        Owner, UserExpenses, ledger::client::WriteError, model::Expense, user_expenses::ImportError,
    },
    fastapi::{Fault, Loc, Problem, Problems},
    json::{JsonText, ObjectText},
    openapi::{
        Changes, NeedsScope, Protected, ReadsFile,
        schema::{ImportForm, ImportParameters},
    },
    rate_limits::CallerLimits,
    typed::Locale,
    uploads::{FILE_MAX_KIB, Room, Uploads},
    url_encoded::Parameters,
    web::{
        cookies::{Flash, ImportCounts},
        views::{import as view, respond},
        visitor::Visitor,
    },
};
use axum_authkit::{AppError, has_bearer};
use edge_host::Clock;

/// `Retry-After` while other files are imported, which takes seconds.
const BUSY_RETRY_AFTER_SECS: u32 = 5;
/// Where an import by the page leads.
const LIST: &str = "/expenses";

const NO_FILE: &str =
    "Send the file as text/csv, or in a form (multipart/form-data) as its field `file`";
const NOT_UTF_8: &str = "The file is not UTF-8: save it again as “CSV UTF-8”, and send it then";
const BUSY: &str = "Other files are being imported right now, and nothing was saved: send the file again in a moment";
const MAYBE_SAVED: &str = "Expenses cannot be reached right now, and the file may or may not have been \
    imported: send it again in a moment, which adds nothing twice";

/// The outcome of an import.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "what `import_expenses` writes, for the schema")]
struct ImportResponse {
    /// The expenses that are new.
    added: usize,
    /// The rows whose expense was there already, and stays as it is.
    unchanged: usize,
    /// The rows with a fault, with `invalid=skip`.
    skipped: usize,
}

/// Show the page that imports a file
///
/// Programs send the file right away.
#[utoipa::path(
    get,
    path = "/expenses/import",
    tag = "pages",
    security(("session" = [])),
    responses(
        (status = 200, description = "The form", content((String = "text/html"))),
        Protected, NeedsScope,
    ),
)]
pub(crate) async fn show_import(visitor: Visitor) -> Result<Response, AppError> {
    visitor.require(Access::Write)?;
    Ok(respond(StatusCode::OK, view::page(&visitor.account, None, None)))
}

/// Import expenses from CSV
///
/// A file with at most 10,000 rows and 7 MiB, whose first line names the columns. An export of this API is read as it is; columns of
/// other files are recognised, or named by the parameters. All rows are added or none: a row with a fault refuses the
/// file, unless `invalid=skip`. A file adds nothing when it is imported again; an expense that is there already stays as
/// it is. In a form the file is the field `file`, and the parameters may be fields.
#[utoipa::path(
    post,
    path = "/expenses/import",
    tag = "expenses",
    security(("session" = []), ("bearer" = []), ("api_key" = [])),
    params(ImportParameters),
    // Generators of clients do not know a body of text/csv.
    request_body(
        content = ImportForm,
        content_type = "multipart/form-data",
        description = "The file in a form; or the file itself, as `text/csv`",
    ),
    responses(
        (status = 200, description = "What was added", body = ImportResponse,
            example = json!({"added": 2, "unchanged": 0, "skipped": 0})),
        (status = 303, description = "After the page's form: to the list",
            headers(("Location" = String))),
        Protected, Changes, ReadsFile,
    ),
)]
pub(crate) async fn import_expenses(
    expenses: UserExpenses,
    State(clock): State<Arc<dyn Clock>>,
    State(limits): State<Arc<CallerLimits>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, AppError> {
    let upload = Upload::read(&limits.uploads, expenses.owner(), &headers, body).await?;
    let Upload { is_form, file, mut fields, room: _room, .. } = upload;
    if is_form && !has_bearer(&headers) {
        let detail = "Forms are for this site's own pages: send the file as text/csv instead";
        return Err(AppError::new(StatusCode::FORBIDDEN, detail));
    }
    fields.extend(Parameters::parse(query.unwrap_or_default().as_bytes()));
    let file = file.ok_or_else(|| unsupported(NO_FILE))?;
    let settings = Settings::parse(&fields)?;
    let locale = Locale::from_headers(&headers);
    let mut read =
        read(&file, &settings, locale, clock.now()).map_err(|fault| refused(vec![fault]))?;
    for field in read.columns.missing() {
        let field = field.name();
        let message = format!(
            "No column is recognised as {field}: name it by the parameter {field}, such as ?{field}=Name"
        );
        let input = read.header.join(", ");
        read.faults.push(RowFault { line: 1, field: Some(field), message, input });
    }
    let is_skipped = settings.skips_invalid && read.valid > 0;
    if !read.faults.is_empty() && !is_skipped {
        return Err(refused(read.faults));
    }
    let FileRead { expenses: rows, valid, invalid, .. } = read;
    drop(file);
    let ImportCounts { added, unchanged, skipped } =
        import(&expenses, rows, valid, invalid).await?;
    let counts = ObjectText::with_capacity(64)
        .member("added", &added)
        .member("unchanged", &unchanged)
        .member("skipped", &skipped);
    Ok(JsonText(counts.finish()).into_response())
}

/// `POST /expenses/import` for the page's form.
pub(crate) async fn import_by_form(
    visitor: Visitor,
    State(clock): State<Arc<dyn Clock>>,
    State(limits): State<Arc<CallerLimits>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AppError> {
    let upload = Upload::read(&limits.uploads, visitor.expenses.owner(), &headers, body).await?;
    let Upload { file, sent_again, fields, room: _room, .. } = upload;
    let again = |problem: &str| {
        let page = view::page(&visitor.account, Some(problem), None);
        Ok(respond(StatusCode::UNPROCESSABLE_ENTITY, page))
    };
    let sent = sent_again.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
    let Some(file) = sent.filter(|text| !text.is_empty()).or(file) else {
        return again("Choose a file first.");
    };
    if file.is_empty() {
        return again("Choose a file first. If you have chosen one, it is empty.");
    }
    let is_confirmed = fields.iter().any(|(name, value)| name == "confirm" && !value.is_empty());
    let mut settings = Settings::parse(&fields)?;
    let currency = visitor.currency.as_deref().unwrap_or(visitor.locale.currency());
    settings.currency.get_or_insert_with(|| currency.to_owned());
    let read = match read(&file, &settings, visitor.locale, clock.now()) {
        Ok(read) => read,
        Err(fault) => return again(&format!("Line {}: {}", fault.line, fault.message)),
    };
    if read.valid + read.invalid == 0 {
        return again("The file has no expenses, only the names of its columns.");
    }
    let is_wanted = read.columns.own.is_some() || is_confirmed || settings.skips_invalid;
    let is_valid = read.invalid == 0 || settings.skips_invalid;
    if is_wanted && is_valid && read.valid > 0 {
        let FileRead { expenses: rows, valid, invalid, .. } = read;
        drop(file);
        let counts = import(&visitor.expenses, rows, valid, invalid).await?;
        return Ok(visitor.cookies.redirect(LIST, Flash::Imported(counts)));
    }
    let status = match read.invalid {
        0 => StatusCode::OK,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let text = STANDARD.encode(&file);
    let preview = view::Preview { read: &read, settings: &settings, text: &text };
    Ok(respond(status, view::page(&visitor.account, None, Some(&preview))))
}

/// The body of a request: a file, or a form with one.
struct Upload {
    is_form: bool,
    file: Option<String>,
    /// The file in base64, as the page with the first rows sends it again.
    sent_again: Option<String>,
    /// The other fields of the form.
    fields: Vec<(String, String)>,
    room: Arc<Room>,
}

impl Upload {
    async fn read(
        uploads: &Uploads,
        owner: &Owner,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Self, AppError> {
        let content_type = headers.get(header::CONTENT_TYPE);
        let media_type = content_type.and_then(essence).unwrap_or_default();
        let is_form = media_type == UPLOAD;
        if !is_form && media_type != "text/csv" {
            return Err(unsupported(NO_FILE));
        }
        let room = uploads.room(owner, max_bytes(&body, FILE_MAX_KIB)?).ok_or_else(|| {
            let cause = "files of other requests take the memory that an isolate has for them";
            AppError::unavailable(BUSY, BUSY_RETRY_AFTER_SECS, cause)
        })?;
        let body = read_body_up_to(body, FILE_MAX_KIB).await?;
        let text = String::from_utf8(body).map_err(|_| invalid(NOT_UTF_8))?;
        let mut upload = Self { is_form, file: None, sent_again: None, fields: Vec::new(), room };
        if !is_form {
            upload.file = Some(text);
            return Ok(upload);
        }
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let parts = multipart::parse(content_type, &text);
        let parts = parts.ok_or_else(|| invalid("The form cannot be read: send it again"))?;
        for (name, value) in parts {
            let value = value.to_owned();
            match name {
                "file" => upload.file = Some(value),
                "text" => upload.sent_again = Some(value),
                _ => upload.fields.push((name.to_owned(), value)),
            }
        }
        Ok(upload)
    }
}

async fn import(
    expenses: &UserExpenses,
    rows: Vec<Expense>,
    valid: usize,
    invalid: usize,
) -> Result<ImportCounts, AppError> {
    let added = expenses.import(rows).await.map_err(not_imported)?;
    let [added, unchanged, skipped] = [added, valid.saturating_sub(added), invalid]
        .map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    Ok(ImportCounts { added, unchanged, skipped })
}

fn not_imported(error: ImportError) -> AppError {
    match error {
        ImportError::TooLong => {
            let detail = "The file has too much text to import it at once: import it in parts";
            AppError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        }
        ImportError::Kv(error) => {
            not_written(WriteError::NotWritten(error.to_string()), MAYBE_SAVED)
        }
        ImportError::Write(error) => not_written(error, MAYBE_SAVED),
    }
}

fn unsupported(detail: &'static str) -> AppError {
    AppError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
}

fn invalid(detail: &'static str) -> AppError {
    AppError::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

/// 422 with the faults.
fn refused(faults: Vec<RowFault>) -> AppError {
    let problem = |RowFault { line, field, message, input }| {
        Problem::new(Loc::Line(line, field), Fault::OfRow(message), input.into())
    };
    faults.into_iter().map(problem).collect::<Problems>().into()
}
