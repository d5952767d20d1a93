//! The row that an event tells of, as a JSON object.

use serde_json::Value;

use crate::{
    change::{Change, Image},
    config::Columns,
    event::{Event, Subject},
};

/// A row as a JSON object.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// The object, or whatever JSON a message carries.
    pub(super) json: Vec<u8>,
    /// Columns that it lacks because the stream did, and nobody could say.
    pub(super) unchanged: Vec<String>,
}

impl Row {
    /// What the event tells of: the row as it is now or, when it is gone, as it was.
    pub(super) fn of_event(event: &Event) -> Self {
        match &event.subject {
            Subject::Row { change, .. } => match change.shown() {
                Some(image) => Self::render(event, image),
                None => Self::of(b"null"),
            },
            Subject::Message(message) => Self::of(message.payload.get().as_bytes()),
        }
    }

    /// An image of the row, in the columns that the event shows.
    pub(super) fn render(event: &Event, image: Image<'_>) -> Self {
        let Subject::Row { change, columns } = &event.subject else {
            return Self::of(b"null");
        };
        let relation = &change.relation;
        let mut json = Vec::with_capacity(256);
        let key_columns;
        let show = match image {
            Image::Whole(_) => columns,
            Image::Key(_) => {
                let known = event.shown_columns().into_iter();
                let known = known.filter(|(at, _)| {
                    relation
                        .columns
                        .get(*at)
                        .is_some_and(|column| column.identity_key)
                });
                key_columns = Columns::Only(known.map(|(_, name)| name.to_owned()).collect());
                &key_columns
            }
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

/// What stands in place of a row whose body would be too large.
pub(super) struct Thin<'a> {
    /// Its key, as an object.
    pub(super) key: Vec<u8>,
    /// The columns that are not in it.
    pub(super) left_out: Vec<&'a str>,
}

impl<'a> Thin<'a> {
    /// The key of the event's row; of a message nothing.
    pub(super) fn of_event(event: &'a Event) -> Self {
        match event.change() {
            Some(change) => Self::of_row(event, change),
            None => Self {
                key: b"null".to_vec(),
                left_out: vec!["data"],
            },
        }
    }

    fn of_row(event: &'a Event, change: &Change) -> Self {
        let mut key = Vec::new();
        if let Some(image) = change.shown() {
            change.relation.write_key(image.tuple(), &mut key);
        }
        let shown = event.shown_columns().into_iter();
        let left_out = shown.filter(|(at, _)| !change.relation.key.contains(at));
        Self {
            key,
            left_out: left_out.map(|(_, name)| name).collect(),
        }
    }
}

/// What expressions may look at: the row after and before, as a payload shows it, or the payload of a message.
pub fn values(event: &Event) -> (Value, Value) {
    let parse = |json: &[u8]| serde_json::from_slice(json).unwrap_or_default();
    match &event.subject {
        Subject::Row { change, .. } => {
            let value = |image: Option<Image<'_>>| {
                image.map_or(Value::Null, |image| parse(&Row::render(event, image).json))
            };
            (
                value(change.after().map(Image::Whole)),
                value(change.before()),
            )
        }
        Subject::Message(message) => (parse(message.payload.get().as_bytes()), Value::Null),
    }
}
