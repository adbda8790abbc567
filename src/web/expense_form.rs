//! The fields of an expense's form: those that are typed, and the hidden ones.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    expenses::{model::Expense, version::Version},
    typed::{Locale, expense::TypedExpense},
    url_encoded::Parameters,
};
use edge_host::random_bytes;

/// The values of the form's fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormInput {
    /// The fields of the expense.
    pub expense: TypedExpense,
    /// A hidden field of the form that adds: sending the form twice adds one expense.
    pub idempotency_key: String,
    /// A hidden field of the form that edits: the version of the expense that the page shows.
    pub version: String,
    /// A hidden field of the form that edits: the query of the list that the page was opened from.
    pub return_to: String,
}

impl FormInput {
    /// Reads a body of `application/x-www-form-urlencoded`. Fields that it lacks come from `otherwise`.
    /// Of equal names the last counts, as in the API; unknown names are ignored.
    #[must_use]
    pub fn from_form(body: &[u8], otherwise: Self) -> Self {
        Parameters::parse(body).into_iter().fold(otherwise, |mut input, (name, value)| {
            let field = match &*name {
                "description" => &mut input.expense.description,
                "amount" => &mut input.expense.amount,
                "currency" => &mut input.expense.currency,
                "category" => &mut input.expense.category,
                "date" => &mut input.expense.date,
                "idempotency_key" => &mut input.idempotency_key,
                "version" => &mut input.version,
                "return_to" => &mut input.return_to,
                _ => return input,
            };
            *field = value;
            input
        })
    }

    /// The input that an expense's form begins with.
    #[must_use]
    pub fn from_expense(expense: &Expense, locale: Locale) -> Self {
        Self {
            expense: TypedExpense::of(&expense.content, locale),
            version: Version::of(expense).as_str().to_owned(),
            ..Self::default()
        }
    }
}

/// A new value for the hidden field of a form that adds.
#[must_use]
pub fn new_idempotency_key() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes::<16>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_of_equal_names_counts() {
        let expense = TypedExpense { date: "2026-11-23".to_owned(), ..TypedExpense::default() };
        let form = FormInput { expense, ..FormInput::default() };
        let kept = FormInput::from_form(
            b"amount=1&amount=2%2C5&category=&zebra=x&description=a+%26%C3%A9",
            form.clone(),
        );
        assert_eq!(kept.expense.description, "a &é");
        assert_eq!(kept.expense.amount, "2,5");
        assert_eq!(FormInput::from_form(b"", form.clone()), form);
    }
}
