//! The parameters of `application/x-www-form-urlencoded` text: a query, or the body of a form.

use url::form_urlencoded;

/// Most pairs that are read, the last ones: a thousand times as many as a form here has fields would cost
/// time and no more.
const MAX_PAIRS: usize = 1000;

/// Names and values, in the order of the names' first appearance. Of equal names the last counts, as in
/// FastAPI.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Parses `text`. Every text has a meaning; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let unread = form_urlencoded::parse(text).count().saturating_sub(MAX_PAIRS);
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text).skip(unread) {
            match parameters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value.into_owned(),
                None => parameters.push((name.into_owned(), value.into_owned())),
            }
        }
        Self(parameters)
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl IntoIterator for Parameters {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_of_equal_names_counts_in_first_place() {
        let parameters = Parameters::parse(b"a=1&b=%C3%A9+%26&a=2&&c");
        let pairs: Vec<(&str, &str)> = parameters.iter().collect();
        assert_eq!(pairs, [("a", "2"), ("b", "é &"), ("c", "")]);
        assert_eq!((parameters.get("a"), parameters.get("d")), (Some("2"), None));
    }

    #[test]
    fn first_pairs_of_many_are_not_read() {
        let text: String = (0..1001).map(|number| format!("{number}=x&")).collect();
        let parameters = Parameters::parse(text.as_bytes());
        assert_eq!((parameters.get("0"), parameters.get("1")), (None, Some("x")));
    }
}
