//! Parses the fields of a body, a query or a form one by one, and collects every problem.

use serde_json::{Map, Value};

use super::problem::{Fault, Loc, Problem, Problems, Source, beginning};
use crate::{
    expenses::model::{TextError, trimmed_text},
    url_encoded::Parameters,
};

/// The most unknown members of a body that a response lists.
const MAX_UNKNOWN_MEMBERS: usize = 100;

/// The fields of one part of a request.
pub struct Fields {
    source: Source,
    members: Map<String, Value>,
    /// The names of the parsed fields.
    known: Vec<&'static str>,
    problems: Problems,
}

impl Fields {
    /// The members of `body`.
    ///
    /// # Errors
    ///
    /// [`Fault::NotAnObject`].
    pub fn of(body: Value) -> Result<Self, Problems> {
        let Value::Object(members) = body else {
            return Err(Problem::new(Loc::Body, Fault::NotAnObject, body).into());
        };
        Ok(Self::new(Source::Body, members))
    }

    /// The parameters of a query, each a string. The last of equal names counts, as in FastAPI.
    #[must_use]
    pub fn of_query(query: &str) -> Self {
        Self::of_parameters(Source::Query, query.as_bytes())
    }

    /// The fields of a form, each a string. The last of equal names counts.
    #[must_use]
    pub fn of_form(body: &[u8]) -> Self {
        Self::of_parameters(Source::Body, body)
    }

    fn of_parameters(source: Source, encoded: &[u8]) -> Self {
        let parameters = Parameters::parse(encoded).into_iter();
        let members = parameters.map(|(name, value)| (name, Value::String(value))).collect();
        Self::new(source, members)
    }

    fn new(source: Source, members: Map<String, Value>) -> Self {
        Self { source, members, known: Vec::new(), problems: Problems::default() }
    }

    /// A field as it was sent, which is parsed later.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// Parses a field that may be absent.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&Value) -> Result<T, Fault>,
    ) -> Option<T> {
        self.known.push(name);
        match parse(self.members.get(name)?) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.reject(name, fault);
                None
            }
        }
    }

    /// Parses a field that must be present.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&Value) -> Result<T, Fault>,
    ) -> Option<T> {
        if !self.members.contains_key(name) {
            let input = Value::Object(self.members.clone());
            self.problems.add(Problem::of_field(self.source, name, Fault::Missing, input));
            return None;
        }
        self.optional(name, parse)
    }

    /// Adds a problem of a field.
    pub fn reject(&mut self, name: &'static str, fault: Fault) {
        let input = self.members.get(name).cloned().unwrap_or_default();
        self.problems.add(Problem::of_field(self.source, name, fault, input));
    }

    /// Returns every problem. Unknown members of a body are problems: the first hundred in their order,
    /// then the number of the rest. Unknown query parameters are allowed.
    #[must_use]
    pub fn finish(mut self) -> Problems {
        if self.source == Source::Query {
            return self.problems;
        }
        let known = self.known;
        let mut unknown =
            self.members.into_iter().filter(|(name, _)| !known.contains(&name.as_str()));
        for (name, value) in unknown.by_ref().take(MAX_UNKNOWN_MEMBERS) {
            let loc = Loc::Field(Source::Body, beginning(name).into());
            self.problems.add(Problem::new(loc, Fault::Unknown, value));
        }
        let unlisted = unknown.count();
        if unlisted > 0 {
            let fault = Fault::MoreUnknown(unlisted);
            self.problems.add(Problem::new(Loc::Body, fault, Value::Null));
        }
        self.problems
    }

    /// The value of a required field, if there are no problems.
    ///
    /// # Errors
    ///
    /// The problems of [`Self::finish`]. A required field without a value is one of them.
    pub fn finish_with<T>(self, required: Option<T>) -> Result<T, Problems> {
        let problems = self.finish();
        required.filter(|_| problems.is_empty()).ok_or(problems)
    }
}

/// Reads a string.
///
/// # Errors
///
/// [`Fault::NotAString`].
pub fn parse_string(value: &Value) -> Result<&str, Fault> {
    value.as_str().ok_or(Fault::NotAString)
}

/// Reads a text of 1 to `max_chars` characters, and trims it.
///
/// # Errors
///
/// [`Fault::NotAString`], [`Fault::Text`].
pub fn parse_text(value: &Value, max_chars: usize) -> Result<String, Fault> {
    trimmed_text(parse_string(value)?, max_chars)
        .map(str::to_owned)
        .map_err(|error: TextError| error.into())
}
