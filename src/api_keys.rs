//! `/api-keys`: the signed-in user's own API keys, which WorkOS keeps. Programs get JSON, browsers a page.
//!
//! | request | response |
//! | --- | --- |
//! | `GET /api-keys` | the keys, without values; on the page also the form for another one |
//! | `POST /api-keys` | 201 with the value of the new key, which no other response has; 422 with the faults |
//! | `DELETE /api-keys/{id}` | 204 |
//! | `POST /api-keys/{id}`, a form | 303 to the list |
//!
//! Without `WORKOS_API_KEYS=on` every request gets 404. One function serves all operations, because each handler with
//! more extractors of its own would add kilobytes to the bundle.

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use maud::Markup;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    access::Access,
    body::{read_body, read_json},
    expenses::model::trimmed_text,
    fastapi::{Fault, Fields, parse_text},
    json::{JsonText, ObjectText},
    negotiation::is_own_form,
    openapi::{
        Changes, ErrorResponse, FindsKey, NeedsScope, Protected, ReadsBody, schema::DeleteForm,
    },
    rate_limits::AccountCaller,
    typed::Locale,
    url_encoded::Parameters,
    web::{
        cookies::{self, PageCookies},
        views::{
            Account,
            api_keys::{KeyForm, KeysPage, Notice, page},
            respond,
        },
    },
};
use axum_authkit::{
    AppError, CurrentUser, Rejection,
    api_keys::ApiKey,
    browser::wants_html,
    origin::RequestOrigin,
    own_api_keys::{OwnApiKeys, OwnApiKeysError},
    secret::Secret,
    workos::WorkosError,
};

/// The path of the list.
const PATH: &str = "/api-keys";
/// The longest name of a key.
const NAME_MAX_CHARS: usize = 100;
/// The field of each permission in the form, in the order of [`Access::SCOPES`].
const FIELDS: [&str; 2] = ["read", "write"];
const _: () = assert!(FIELDS.len() == Access::SCOPES.len());
/// [`Access::SCOPES`], as Pydantic lists allowed values.
const PERMISSIONS: &str = "'expenses:read' or 'expenses:write'";

/// The most keys of a user. `GET /api-keys` lists 500 at most, and only a key that it lists can be revoked there.
const KEYS_MAX: usize = 100;

const TOO_MANY: &str =
    "You have 100 API keys, and cannot have more: revoke one that nothing uses, at /api-keys";
const IMPERSONATED: &str = "A key would outlive the impersonation: only the user can create one";
const NO_ORGANIZATION: &str = "WorkOS keeps the API keys of users in organizations, and your session has none: \
    sign in to an organization first";

/// `POST /api-keys`.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "what `create_api_key` reads, for the schema")]
struct ApiKeyRequest {
    /// A name by which its owner recognizes the key.
    #[schema(min_length = 1, max_length = 100, example = "Laptop")]
    name: String,
    /// The permissions of the key.
    #[schema(min_items = 1)]
    permissions: Vec<ApiKeyPermission>,
}

/// A permission of an API key.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "as above")]
enum ApiKeyPermission {
    #[schema(rename = "expenses:read")]
    Read,
    #[schema(rename = "expenses:write")]
    Write,
}

/// An API key without its value.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "what `describe` writes, for the schema")]
struct ApiKeyResponse {
    #[schema(example = "api_key_01JD5Q3V9J8Y3N5M0A7ZK2W4XB")]
    id: String,
    name: String,
    /// The value with most characters left out.
    #[schema(example = "sk_…4XB")]
    obfuscated_value: String,
    /// Its permissions at WorkOS, of which this API knows two.
    permissions: Vec<String>,
    /// The organization in which it was created.
    organization_id: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// `null` before its first use.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// `null` for a key that does not expire.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A new API key.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "as above")]
struct CreatedApiKeyResponse {
    #[serde(flatten)]
    key: ApiKeyResponse,
    /// The value for `Authorization: Bearer`, which cannot be read again.
    #[schema(example = "sk_…")]
    value: String,
}

/// The operation of a request.
#[derive(Debug, Clone, Copy)]
enum Operation {
    List,
    Create,
    Revoke,
    RevokeByForm,
}

/// List your API keys
///
/// The newest first, without their values. Only a session may: a browser's, or its access token.
#[utoipa::path(
    get,
    path = "/api-keys",
    tag = "api-keys",
    security(("session" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The keys", body = [ApiKeyResponse]),
        Protected, NeedsScope, FindsKey,
    ),
)]
pub(crate) async fn list_api_keys(
    AccountCaller(caller): AccountCaller,
    request: Request,
) -> Result<Response, AppError> {
    perform(Operation::List, caller, request).await
}

/// Create an API key
///
/// The response has its value, which cannot be read again. A key has permissions that its user has. Its
/// requests act as the user, and cannot manage keys.
#[utoipa::path(
    post,
    path = "/api-keys",
    tag = "api-keys",
    security(("session" = []), ("bearer" = [])),
    request_body = ApiKeyRequest,
    responses(
        (status = 201, description = "The key, with its value", body = CreatedApiKeyResponse),
        (status = 409, description = "The user has 100 keys", body = ErrorResponse),
        Protected, Changes, ReadsBody, FindsKey,
    ),
)]
pub(crate) async fn create_api_key(
    AccountCaller(caller): AccountCaller,
    request: Request,
) -> Result<Response, AppError> {
    perform(Operation::Create, caller, request).await
}

/// Revoke an API key
///
/// Requests with the key get 401 from now on, in some places up to 60 seconds later.
#[utoipa::path(
    delete,
    path = "/api-keys/{id}",
    tag = "api-keys",
    security(("session" = []), ("bearer" = [])),
    params(("id" = String, Path, description = "The key's id")),
    responses(
        (status = 204, description = "It is revoked"),
        Protected, Changes, FindsKey,
    ),
)]
pub(crate) async fn revoke_api_key(
    AccountCaller(caller): AccountCaller,
    request: Request,
) -> Result<Response, AppError> {
    perform(Operation::Revoke, caller, request).await
}

/// Revoke an API key by the page's own form
///
/// Programs use `DELETE`.
#[utoipa::path(
    post,
    path = "/api-keys/{id}",
    tag = "pages",
    security(("session" = [])),
    params(("id" = String, Path, description = "The key's id")),
    request_body(content = DeleteForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "To the list", headers(("Location" = String))),
        (status = 405, description = "No form of this site's own page"),
        Protected, Changes, FindsKey,
    ),
)]
pub(crate) async fn revoke_api_key_by_form(
    AccountCaller(caller): AccountCaller,
    request: Request,
) -> Result<Response, AppError> {
    perform(Operation::RevokeByForm, caller, request).await
}

async fn perform(
    operation: Operation,
    caller: CurrentUser,
    request: Request,
) -> Result<Response, AppError> {
    let (parts, body) = request.into_parts();
    let keys = caller.own_api_keys()?;
    let keys = keys.ok_or_else(|| AppError::new(StatusCode::NOT_FOUND, "Not Found"))?;
    let origin = RequestOrigin::of_parts(&parts);
    let is_form = origin.is_some_and(|origin| is_own_form(&parts.headers, &origin));
    let page = PageOf { caller: &caller, parts: &parts };
    match operation {
        Operation::List => list_keys(&keys, &page).await,
        Operation::Create => create_key(&keys, &page, is_form, body).await,
        Operation::RevokeByForm if !is_form => {
            Err(AppError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
                .with_header(header::ALLOW, HeaderValue::from_static("DELETE")))
        }
        Operation::Revoke | Operation::RevokeByForm => revoke_key(&keys, &parts, operation).await,
    }
}

async fn list_keys(keys: &OwnApiKeys<'_>, page: &PageOf<'_>) -> Result<Response, AppError> {
    let listed = keys.list().await.map_err(failed)?;
    let PageOf { parts, .. } = page;
    if !wants_html(&parts.headers) {
        return Ok(JsonText(describe_all(&listed)).into_response());
    }
    let cookies = PageCookies::of_parts(parts);
    let is_revoked = cookies.read(&parts.headers).0 == Some(cookies::Flash::Revoked);
    let notice = if is_revoked { Notice::Revoked } else { Notice::None };
    let page = page.show(Some(&listed), &KeyForm::default(), notice);
    let mut response = respond(StatusCode::OK, page);
    if is_revoked {
        cookies.clear_flash(&mut response);
    }
    Ok(response)
}

async fn create_key(
    keys: &OwnApiKeys<'_>,
    page: &PageOf<'_>,
    is_form: bool,
    body: Body,
) -> Result<Response, AppError> {
    let mut fields = Parameters::default();
    let mut new_key = None;
    if is_form {
        fields = Parameters::parse(&read_body(body).await?);
    } else {
        new_key = Some(read_new_key(page.parts, body).await?);
    }
    let form = KeyForm::from_fields(&fields);
    let (name, permissions) = match new_key {
        Some(new_key) => new_key,
        None if form.is_valid() => (form.name.trim().to_owned(), form.permissions.clone()),
        None => {
            let page = page.show(None, &form, Notice::Invalid);
            return Ok(respond(StatusCode::UNPROCESSABLE_ENTITY, page));
        }
    };
    for permission in &permissions {
        page.caller.require_scope(permission)?;
    }
    let organization_id = organization_of_new_keys(page.caller)?;
    match create(keys, organization_id, &name, &permissions).await {
        Ok((_, value)) if is_form => {
            let page = page.show(None, &form, Notice::Created { value: value.expose() });
            Ok(respond(StatusCode::CREATED, page))
        }
        Ok((key, value)) => {
            let created = describe(ObjectText::with_capacity(512), &key, Some(&value));
            Ok((StatusCode::CREATED, JsonText(created.finish())).into_response())
        }
        Err(error) if !is_form => Err(error),
        Err(error) => {
            let detail = error.detail.as_str().unwrap_or_default();
            let page = page.show(None, &form, Notice::Failed { detail }).into_string();
            Err(error.with_page(page))
        }
    }
}

async fn revoke_key(
    keys: &OwnApiKeys<'_>,
    parts: &Parts,
    operation: Operation,
) -> Result<Response, AppError> {
    let id = parts.uri.path().rsplit('/').next().unwrap_or_default();
    keys.revoke(id).await.map_err(failed)?;
    Ok(match operation {
        Operation::RevokeByForm => {
            PageCookies::of_parts(parts).redirect(PATH, cookies::Flash::Revoked)
        }
        _ => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Creates a key for a user with fewer than [`KEYS_MAX`].
async fn create(
    keys: &OwnApiKeys<'_>,
    organization_id: &str,
    name: &str,
    permissions: &[&str],
) -> Result<(ApiKey, Secret), AppError> {
    if keys.list().await.map_err(failed)?.len() >= KEYS_MAX {
        return Err(AppError::new(StatusCode::CONFLICT, TOO_MANY));
    }
    keys.create(organization_id, name, permissions).await.map_err(failed)
}

/// Reads the body of a program.
async fn read_new_key(parts: &Parts, body: Body) -> Result<(String, Vec<&'static str>), AppError> {
    let mut fields = Fields::of(read_json(&parts.headers, body).await?)?;
    let name = fields.required("name", |value| parse_text(value, NAME_MAX_CHARS));
    let permissions = fields.required("permissions", parse_permissions);
    Ok(fields.finish_with(name.zip(permissions))?)
}

fn parse_permissions(value: &Value) -> Result<Vec<&'static str>, Fault> {
    let listed = value.as_array().ok_or(Fault::NotAList)?;
    if listed.is_empty() {
        return Err(Fault::EmptyList);
    }
    for value in listed {
        let name = value.as_str().ok_or(Fault::NotAString)?;
        if !Access::SCOPES.contains(&name) {
            return Err(Fault::NotOneOf(PERMISSIONS));
        }
    }
    let is_listed = |scope: &&str| listed.iter().any(|value| value.as_str() == Some(scope));
    Ok(Access::SCOPES.into_iter().filter(is_listed).collect())
}

impl<'a> KeyForm<'a> {
    fn from_fields(fields: &'a Parameters) -> Self {
        let field = |name| fields.get(name).unwrap_or_default();
        let chosen = FIELDS.into_iter().zip(Access::SCOPES);
        let permissions: Vec<_> =
            chosen.filter(|(name, _)| !field(name).is_empty()).map(|(_, scope)| scope).collect();
        let name = field("name");
        let is_name = trimmed_text(name, NAME_MAX_CHARS).is_ok();
        Self {
            name,
            name_error: (!is_name).then_some("Give the key a name of 1 to 100 characters."),
            permissions_error: permissions.is_empty().then_some("Choose what the key may do."),
            permissions,
        }
    }

    fn is_valid(&self) -> bool {
        self.name_error.is_none() && self.permissions_error.is_none()
    }
}

/// The organization of the caller's new keys.
fn organization_of_new_keys(caller: &CurrentUser) -> Result<&str, Rejection> {
    let forbidden =
        |detail: &'static str| Rejection::Forbidden { detail: detail.into(), challenge: None };
    if caller.impersonator().is_some() {
        return Err(forbidden(IMPERSONATED));
    }
    caller.organization_id().ok_or_else(|| forbidden(NO_ORGANIZATION))
}

/// The page for a request.
struct PageOf<'a> {
    caller: &'a CurrentUser,
    parts: &'a Parts,
}

impl PageOf<'_> {
    fn show(&self, keys: Option<&[ApiKey]>, form: &KeyForm<'_>, notice: Notice<'_>) -> Markup {
        let offered: Vec<_> = FIELDS
            .into_iter()
            .zip(Access::SCOPES)
            .filter(|(_, scope)| self.caller.allows(scope))
            .collect();
        let refusal = organization_of_new_keys(self.caller).err().map(|error| error.to_string());
        page(&KeysPage {
            account: &Account::from(self.caller),
            keys,
            form,
            offered: &offered,
            refusal: refusal.as_deref(),
            notice,
            locale: Locale::from_headers(&self.parts.headers),
            path: PATH,
        })
    }
}

fn describe_all(keys: &[ApiKey]) -> Vec<u8> {
    let mut list = vec![b'['];
    for (index, key) in keys.iter().enumerate() {
        if index > 0 {
            list.push(b',');
        }
        list.extend(describe(ObjectText::with_capacity(512), key, None).finish());
    }
    list.push(b']');
    list
}

fn describe(object: ObjectText, key: &ApiKey, value: Option<&Secret>) -> ObjectText {
    let object = object
        .member("id", &*key.id)
        .member("name", &*key.name)
        .member("obfuscated_value", &*key.obfuscated_value)
        .member("permissions", &key.permissions)
        .member("organization_id", &key.owner.organization_id())
        .member("created_at", &*key.created_at)
        .member("last_used_at", &key.last_used_at.as_deref())
        .member("expires_at", &key.expires_at.as_deref());
    match value {
        Some(value) => object.member("value", value.expose()),
        None => object,
    }
}

/// The response to a request that WorkOS did not perform.
fn failed(error: OwnApiKeysError) -> AppError {
    match error {
        OwnApiKeysError::Absent => {
            AppError::new(StatusCode::NOT_FOUND, "API key not found: it may be revoked already")
                .with_action("Your API keys", PATH)
        }
        OwnApiKeysError::Workos(WorkosError::Refused { code, description }) => {
            let said = description.map(|text| format!(": {text}")).unwrap_or_default();
            let detail = format!(
                "WorkOS does not allow this ({code}{said}). An administrator of this application finds the \
                 settings in the WorkOS dashboard, under API Keys"
            );
            AppError::new(StatusCode::FORBIDDEN, detail)
        }
        OwnApiKeysError::Workos(WorkosError::Unavailable(outage)) => outage.into_error(
            "API keys cannot be reached right now. A change may or may not have been made: look at the list in \
             a moment",
        ),
    }
}
