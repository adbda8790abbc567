//! Which column of a file has which field of an expense, and how its dates and amounts are written.

use std::borrow::Cow;

use crate::{
    expenses::csv,
    fastapi::{Fault, Problem, Problems, Source},
    typed::expense::Field,
};
use edge_host::text::folded;

/// The fields that a file can have, in the order of the page.
pub(crate) const FIELDS: [Field; 5] =
    [Field::Date, Field::Description, Field::Category, Field::Amount, Field::Currency];

/// The names of columns that are recognised, in small letters without accents; the first of a list counts most.
const NAMES: [&str; FIELDS.len()] = [
    "date|day|transaction date|booking date|posting date|completed date|started date|datum|buchungstag|\
     buchungsdatum|valuta|date operation|fecha|data",
    "description|what|payee|merchant|name|title|details|memo|text|purpose|reference|beschreibung|\
     verwendungszweck|empfanger|libelle|descripcion|concepto|descrizione|omschrijving",
    "category|categories|tag|tags|kategorie|categorie|categoria",
    "amount|total|sum|price|cost|value|betrag|summe|montant|importe|importo|bedrag|valor",
    "currency|currency code|ccy|wahrung|devise|moneda|moeda",
];

/// How to read a file: its columns, its dates, its amounts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// The name of the column for each of [`FIELDS`]; an empty one is no column. `None`: recognise it.
    pub(crate) columns: [Option<String>; FIELDS.len()],
    /// The currency of expenses without one, as it is typed.
    pub(crate) currency: Option<String>,
    /// Whether `03/04/2026` is 3 April.
    pub(crate) is_day_first: Option<bool>,
    /// Whether expenses are the negative amounts, as in a bank's statement.
    pub(crate) is_negative: bool,
    /// Whether rows that cannot be read are left out.
    pub(crate) skips_invalid: bool,
}

impl Settings {
    /// Reads the parameters of a request, or the fields of the page's form, which are empty where nothing is chosen.
    pub(super) fn parse(parameters: &[(String, String)]) -> Result<Self, Problems> {
        let get = |name: &str| {
            let found = parameters.iter().rev().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        let problem = |name, fault| {
            let input = get(name).unwrap_or_default().into();
            Problems::from(Problem::of_field(Source::Query, name, fault, input))
        };
        let choice = |name, choices: &[&str], expected| match get(name).unwrap_or_default() {
            "" => Ok(None),
            chosen => match choices.iter().position(|choice| *choice == chosen) {
                Some(index) => Ok(Some(index)),
                None => Err(problem(name, Fault::NotOneOf(expected))),
            },
        };
        let currency = get("default_currency").filter(|code| !code.is_empty());
        let dates = choice("dates", &["day-first", "month-first"], "'day-first' or 'month-first'")?;
        Ok(Self {
            columns: FIELDS.map(|field| get(field.name()).map(str::to_owned)),
            currency: currency.map(str::to_owned),
            is_day_first: dates.map(|index| index == 0),
            is_negative: choice("amounts", &["negative"], "'negative'")?.is_some(),
            skips_invalid: choice("invalid", &["skip"], "'skip'")?.is_some(),
        })
    }
}

/// The columns of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The column of each of [`FIELDS`].
    pub(crate) of: [Option<usize>; FIELDS.len()],
    /// The columns of an export of this Worker, in the export's order.
    pub(super) own: Option<[usize; csv::COLUMNS]>,
}

impl Columns {
    pub(super) fn of(header: &[Cow<'_, str>], settings: &Settings) -> Self {
        let exactly = |name: &str| header.iter().position(|cell| cell.trim() == name);
        let own: Option<Vec<usize>> = csv::HEADER.trim_end().split(',').map(exactly).collect();
        let names: Vec<String> = header.iter().map(|cell| folded(cell.trim()).into()).collect();
        let recognized = |known: &str| {
            known.split('|').find_map(|known| names.iter().position(|name| name == known))
        };
        let mut of = [None; FIELDS.len()];
        for ((column, wanted), known) in of.iter_mut().zip(&settings.columns).zip(NAMES) {
            *column = match wanted {
                Some(name) => exactly(name.trim()).filter(|_| !name.trim().is_empty()),
                None => recognized(known),
            };
        }
        Self { of, own: own.and_then(|own| own.try_into().ok()) }
    }

    /// The fields that have no column, although an expense needs them.
    pub(crate) fn missing(&self) -> impl Iterator<Item = Field> {
        let needed = |field: &Field| !matches!(field, Field::Category | Field::Currency);
        FIELDS
            .into_iter()
            .zip(self.of)
            .filter(|(_, column)| column.is_none())
            .map(|(field, _)| field)
            .filter(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &[&str], settings: &Settings) -> Columns {
        let header: Vec<Cow<'_, str>> = header.iter().map(|name| Cow::Borrowed(*name)).collect();
        Columns::of(&header, settings)
    }

    #[test]
    fn columns_are_recognized_in_several_languages() {
        let settings = Settings::default();
        for (header, expected) in [
            (["Amount", "DATE", "Payee", "Currency", "Tags"], [1, 2, 4, 0, 3]),
            (
                ["Währung", "Betrag", "Verwendungszweck", "Buchungstag", "Kategorie"],
                [3, 2, 4, 1, 0],
            ),
            ([" Fecha ", "Concepto", "Importe", "Moneda", "Categoría"], [0, 1, 4, 2, 3]),
        ] {
            assert_eq!(of(&header, &settings).of, expected.map(Some), "{header:?}");
        }
        let columns = of(&["memo", "date", "payee", "booking date"], &settings);
        assert_eq!(columns.of, [Some(1), Some(2), None, None, None]);
        assert_eq!(columns.missing().collect::<Vec<_>>(), [Field::Amount]);
    }

    #[test]
    fn named_columns_come_before_recognized_ones() {
        let [date, category] = [Some("Booked".to_owned()), Some(String::new())];
        let settings =
            Settings { columns: [date, None, category, None, None], ..Settings::default() };
        let columns = of(&["Date", "Booked", "Payee", "Category", "Amount", ""], &settings);
        assert_eq!(columns.of, [Some(1), Some(2), None, Some(4), None]);
        assert_eq!(columns.own, None);
    }

    #[test]
    fn own_export_is_recognized_in_any_order_of_columns() {
        let settings = Settings::default();
        let header: Vec<&str> = csv::HEADER.trim_end().split(',').rev().collect();
        assert_eq!(of(&header, &settings).own, Some([7, 6, 5, 4, 3, 2, 1, 0]));
        assert_eq!(of(&header[1..], &settings).own, None);
    }
}
