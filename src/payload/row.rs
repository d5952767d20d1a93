//! The row of an event as a JSON object.

use super::object::Object;
use crate::event::shape::Shape;
use crate::{
    change::RowChange,
    event::{Event, Subject},
    lookup::enrich::EnrichedField,
    postgres::{relation::Column, tuple::Image},
};

/// A row as a JSON object.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// The object, or any JSON that a message carries.
    pub(super) json: Vec<u8>,
    /// The columns that it lacks, because the stream left them out and they could not be read.
    pub(super) unchanged: Vec<String>,
}

/// Which names the columns of a rendered row have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// The names that receivers see.
    Shown,
    /// The columns' own names.
    Own,
}

impl Row {
    /// The new row or, after a deletion, the old one, with the fields of `enrich`. For a message it is the payload.
    pub(super) fn of_event(event: &Event) -> Self {
        let (change, added) = match &event.subject {
            Subject::Row { change, added, .. } => (change, added),
            Subject::Message(message) => return Self::of(message.payload.get().as_bytes()),
        };
        let Some(image) = change.shown() else {
            return Self::of(b"null");
        };
        let mut row = Self::render(event, image, Names::Shown, &|_| true);
        if added.is_empty() {
            return row;
        }
        let mut object = Object::reopen(row.json);
        for EnrichedField { key, json } in added {
            match json {
                Some(json) => object.raw(key, json.as_bytes()),
                None => row.unchanged.push(key.to_string()),
            }
        }
        Self {
            json: object.close(),
            unchanged: row.unchanged,
        }
    }

    /// The row before an update, as far as it is known; null for everything else. A deleted row is shown by
    /// [`of_event`](Self::of_event) already.
    pub(super) fn before_update(event: &Event) -> Self {
        let old = match event.change().map(|change| &change.row) {
            Some(RowChange::Update { old, .. }) => old.image(),
            Some(
                RowChange::Insert { .. }
                | RowChange::Delete { .. }
                | RowChange::Fired { .. }
                | RowChange::Truncate,
            )
            | None => None,
        };
        old.map_or_else(
            || Self::of(b"null"),
            |image| Self::render(event, image, Names::Shown, &|_| true),
        )
    }

    /// Renders the columns that are `wanted`, by their own names, and shown.
    fn render(
        event: &Event,
        image: Image<'_>,
        names: Names,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Self {
        let Subject::Row { change, shape, .. } = &event.subject else {
            return Self::of(b"null");
        };
        let key_only = matches!(image, Image::Key(_));
        let relation = &change.relation;
        let mut json = Vec::with_capacity(relation.json_size_hint(image.tuple()));
        let show = |column| {
            let shown = show(column, shape, key_only, names);
            shown.filter(|_| wanted(&column.name))
        };
        let unchanged = relation.write_row(image.tuple(), show, &mut json);
        Self { json, unchanged }
    }

    fn of(json: &[u8]) -> Self {
        Self {
            json: json.to_vec(),
            unchanged: Vec::new(),
        }
    }
}

/// The name of a column, if the column is shown and its value is known in the image.
fn show<'a>(column: &'a Column, shape: &'a Shape, key_only: bool, names: Names) -> Option<&'a str> {
    let shown = shape.column(column)?;
    if key_only && !column.identity_key {
        return None;
    }
    Some(match names {
        Names::Shown => shown,
        Names::Own => &column.name,
    })
}

/// What is sent in place of a row whose body would be too large.
pub(super) struct Thin<'a> {
    /// The key of the row, as a JSON object.
    pub(super) key: Vec<u8>,
    /// The names of the columns and of the `enrich` fields that were left out.
    pub(super) left_out: Vec<&'a str>,
}

impl<'a> Thin<'a> {
    /// The key of the event's row. For a message it is null.
    pub(super) fn of_event(event: &'a Event) -> Self {
        let Subject::Row { change, added, .. } = &event.subject else {
            return Self {
                key: b"null".to_vec(),
                left_out: vec!["data"],
            };
        };
        let mut key = Vec::new();
        match change.shown() {
            Some(image) => change.relation.write_key(image.tuple(), &mut key),
            None => key.extend_from_slice(b"null"),
        }
        let shown = event.shown().into_iter();
        let left_out = shown.filter(|column| !change.relation.key.contains(&column.at));
        let left_out = left_out.map(|column| column.name);
        Self {
            key,
            left_out: left_out
                .chain(added.iter().map(|added| &*added.key))
                .collect(),
        }
    }
}

/// `new` and `old` for expressions and templates, as JSON: the row after and before the change, with the columns that
/// payloads show but by their own names, as far as they are `wanted`; or the payload of a message and null.
pub(super) fn values(event: &Event, wanted: &dyn Fn(&str) -> bool) -> (String, String) {
    let text = |json: Vec<u8>| match String::from_utf8(json) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    match &event.subject {
        Subject::Row { change, .. } => {
            let value = |image: Option<Image<'_>>| {
                let row = image.map(|image| Row::render(event, image, Names::Own, wanted));
                row.map_or_else(|| "null".to_owned(), |row| text(row.json))
            };
            (
                value(change.after().map(Image::Whole)),
                value(change.before()),
            )
        }
        Subject::Message(message) => (message.payload.get().to_owned(), "null".to_owned()),
    }
}
