//! The row that an event tells of, as a JSON object.

use serde_json::Value;

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
    /// The object, or whatever JSON a message carries.
    pub(super) json: Vec<u8>,
    /// Columns that it lacks because the stream did, and nobody could say.
    pub(super) unchanged: Vec<String>,
}

/// Which names columns have in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Those that receivers see.
    Shown,
    /// Their own.
    Own,
}

impl Row {
    /// What the event tells of: the row as it is now or, when it is gone, as it was. With what was looked up beside it.
    pub(super) fn of_event(event: &Event) -> Self {
        let (change, added) = match &event.subject {
            Subject::Row { change, added, .. } => (change, added),
            Subject::Message(message) => return Self::of(message.payload.get().as_bytes()),
        };
        let Some(image) = change.shown() else {
            return Self::of(b"null");
        };
        let mut row = Self::render(event, image, Names::Shown);
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

    /// The row before an update, as far as it is known; null for everything else. What is known of a deleted row is told
    /// already.
    pub(super) fn before_update(event: &Event) -> Self {
        let old = match event.change().map(|change| &change.row) {
            Some(RowChange::Update { old, .. }) => old.image(),
            Some(RowChange::Insert { .. } | RowChange::Delete { .. } | RowChange::Fired { .. })
            | None => None,
        };
        old.map_or_else(
            || Self::of(b"null"),
            |image| Self::render(event, image, Names::Shown),
        )
    }

    fn render(event: &Event, image: Image<'_>, names: Names) -> Self {
        let Subject::Row { change, shape, .. } = &event.subject else {
            return Self::of(b"null");
        };
        let key_only = matches!(image, Image::Key(_));
        let relation = &change.relation;
        let mut json = Vec::with_capacity(relation.about_as_json(image.tuple()));
        let show = |column| show(column, shape, key_only, names);
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

/// The name of a column in an image, if it is shown and known there.
fn show<'a>(column: &'a Column, shape: &'a Shape, key_only: bool, names: Names) -> Option<&'a str> {
    let shown = shape.name(&column.name)?;
    if key_only && !column.identity_key {
        return None;
    }
    Some(match names {
        Names::Shown => shown,
        Names::Own => &column.name,
    })
}

/// What stands in place of a row whose body would be too large.
pub(super) struct Thin<'a> {
    /// Its key, as an object.
    pub(super) key: Vec<u8>,
    /// The columns that are not in it, and what else is not.
    pub(super) left_out: Vec<&'a str>,
}

impl<'a> Thin<'a> {
    /// The key of the event's row; of a message nothing.
    pub(super) fn of_event(event: &'a Event) -> Self {
        let Subject::Row { change, added, .. } = &event.subject else {
            return Self {
                key: b"null".to_vec(),
                left_out: vec!["data"],
            };
        };
        let mut key = Vec::new();
        if let Some(image) = change.shown() {
            change.relation.write_key(image.tuple(), &mut key);
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

/// What expressions and templates may look at: the row after and before, as far as a payload shows it but by its own names, or
/// the payload of a message.
pub(super) fn values(event: &Event) -> (Value, Value) {
    let parse = |json: &[u8]| serde_json::from_slice(json).unwrap_or_default();
    match &event.subject {
        Subject::Row { change, .. } => {
            let value = |image: Option<Image<'_>>| {
                let row = image.map(|image| Row::render(event, image, Names::Own));
                row.map_or(Value::Null, |row| parse(&row.json))
            };
            (
                value(change.after().map(Image::Whole)),
                value(change.before()),
            )
        }
        Subject::Message(message) => (parse(message.payload.get().as_bytes()), Value::Null),
    }
}
