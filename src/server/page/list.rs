//! The shape of each list on the page: what it is limited to, and the way to its next page. The fields have the names
//! that the API and the command line have for the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use minijinja::{Value, context};
use serde::Deserialize;
use url::form_urlencoded;

use crate::{
    manage::{PageRequest, forget::RowKey, moment},
    server::problem::Problem,
};

/// What the address of a list asks for. A form sends a field that was left empty as an empty text.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Asked(BTreeMap<String, String>);

/// A field by which a list is limited.
pub(super) struct Field {
    name: &'static str,
    label: &'static str,
    /// What is shown while it is empty.
    example: &'static str,
    /// How many characters are to be seen.
    size: u8,
    /// What can be chosen or, where anything can be written, what is proposed.
    choices: BTreeSet<String>,
    is_choice: bool,
}

impl Field {
    /// A field that anything can be written into.
    pub(super) fn text(name: &'static str, label: &'static str, size: u8) -> Self {
        Self {
            name,
            label,
            example: "",
            size,
            choices: BTreeSet::new(),
            is_choice: false,
        }
    }

    /// A field that one of these is chosen in, or none.
    pub(super) fn choice<T: Into<String>>(
        name: &'static str,
        label: &'static str,
        choices: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            choices: choices.into_iter().map(Into::into).collect(),
            is_choice: true,
            ..Self::text(name, label, 0)
        }
    }

    /// The same, with an example of what can be written.
    pub(super) fn such_as(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// The same, with proposals.
    pub(super) fn proposing(self, choices: impl IntoIterator<Item = String>) -> Self {
        Self {
            choices: choices.into_iter().collect(),
            ..self
        }
    }
}

impl Asked {
    /// The text of a field; `None` where it was left empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = self.0.get(name)?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The time in a field, as an age or a date.
    pub(super) fn time(&self, name: &str) -> Result<Option<SystemTime>, Problem> {
        let text = self.text(name);
        let time = text.map(|text| moment::parse(&text, SystemTime::now()));
        let time = time.transpose();
        time.map_err(|error| Problem::bad_request(format!("{name}: {error}")))
    }

    /// The row that the fields `table` and `key` name.
    pub(super) fn row(&self) -> Result<Option<RowKey>, Problem> {
        match (self.text("table"), self.text("key")) {
            (Some(table), Some(key)) => Ok(Some(RowKey::parse(&table, &key))),
            (None, None) => Ok(None),
            _ => Err(Problem::bad_request(
                "a row is named by its table and its key; give both, or neither",
            )),
        }
    }

    /// Where in the list the page begins.
    pub(super) fn page(&self) -> PageRequest {
        PageRequest {
            cursor: self.text("cursor"),
            limit: None,
        }
    }

    /// The list as its template sees it: its fields with what is in them, the query that they make, and the queries of
    /// this page and of the next one.
    pub(super) fn list(&self, path: &str, fields: &[Field], next: Option<&str>) -> Value {
        let given = |field: &Field| self.text(field.name).map(|text| (field.name, text));
        let query = |more: Option<&str>| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(fields.iter().filter_map(given));
            query.extend_pairs(more.map(|cursor| ("cursor", cursor)));
            query.finish()
        };
        let shown = fields.iter().map(|field| {
            context! {
                name => field.name,
                label => field.label,
                example => field.example,
                size => field.size,
                choices => field.choices.iter().cloned().collect::<Vec<String>>(),
                is_choice => field.is_choice,
                value => self.text(field.name).unwrap_or_default(),
            }
        });
        let shown: Vec<Value> = shown.collect();
        context! {
            path,
            fields => shown,
            is_limited => fields.iter().any(|field| given(field).is_some()),
            query => query(None),
            this => query(self.text("cursor").as_deref()),
            next => next.map(|next| query(Some(next))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Asked {
        let pairs = pairs.iter();
        Asked(
            pairs
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn the_next_page_is_limited_to_the_same() {
        let asked = asked(&[
            ("hook", " 7 "),
            ("event", "a&b"),
            ("state", ""),
            ("cursor", "x"),
            ("other", "y"),
        ]);
        let fields = [
            Field::choice("state", "State", ["dead", "parked"]),
            Field::text("hook", "Hook", 8),
            Field::text("event", "Event", 8),
        ];
        let list = asked.list("/deliveries", &fields, Some("next"));
        let text = |name: &str| list.get_attr(name).unwrap().to_string();
        assert_eq!(text("query"), "hook=7&event=a%26b");
        assert_eq!(text("next"), "hook=7&event=a%26b&cursor=next");
        assert!(list.get_attr("is_limited").unwrap().is_true());
        let last = asked.list("/deliveries", &fields, None);
        assert!(last.get_attr("next").unwrap().is_none());
    }

    #[test]
    fn a_row_has_a_table_and_a_key() {
        assert!(asked(&[]).row().unwrap().is_none());
        assert!(
            asked(&[("table", "book"), ("key", "7")])
                .row()
                .unwrap()
                .is_some()
        );
        assert!(asked(&[("table", "book"), ("key", " ")]).row().is_err());
        assert!(asked(&[("since", "never")]).time("since").is_err());
        assert!(asked(&[("since", "2h")]).time("since").unwrap().is_some());
    }
}
