//! The link from a page of the list to the next one, which the JSON and the HTML interface share.

use http::HeaderValue;
use url::form_urlencoded;

use crate::url_encoded::Parameters;
use axum_authkit::AppError;

/// The parameters that a list reads beside the cursor.
pub(crate) const LIST_PARAMETERS: [&str; 9] =
    ["limit", "sort", "category", "from", "to", "q", "min_amount", "max_amount", "currency"];
/// A query of the page's own filters, with room for a link's tracking parameters.
const QUERY_REPEATED_MAX_BYTES: usize = 1024;

/// `Link` to the next page (RFC 8288).
pub(crate) fn next_link(query: &str, cursor: &str) -> Result<HeaderValue, AppError> {
    let query = next_query(query, cursor);
    HeaderValue::try_from(format!("</expenses?{query}>; rel=\"next\"")).map_err(AppError::internal)
}

/// The query of the next page: each parameter once, in the order given, with another cursor. Of a long
/// query only what the list reads is repeated, so that a request cannot make the header grow.
pub(crate) fn next_query(query: &str, cursor: &str) -> String {
    let is_short = query.len() <= QUERY_REPEATED_MAX_BYTES;
    let parameters = Parameters::parse(query.as_bytes());
    let repeated = parameters
        .iter()
        .filter(|(name, _)| *name != "cursor" && (is_short || LIST_PARAMETERS.contains(name)));
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(repeated)
        .append_pair("cursor", cursor)
        .finish()
}
