//! Rows as the stream carries them.

use bytes::Bytes;

/// What the stream carries of a row before an update or delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Old {
    /// Nothing: the update did not change the replica identity, so its columns are those of the new row.
    SameKey,
    /// The columns of the replica identity. All others hold [`Value::Null`] and are unknown.
    Key(Tuple),
    /// The whole row.
    Full(Tuple),
}

/// The values of a row, in the order of the columns of its relation.
pub type Tuple = Vec<Value>;

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A TOASTed value that the update did not change. The stream does not carry it.
    Unchanged,
    /// The value as text, as Postgres prints it under [`SESSION_SETTINGS`](super::types::SESSION_SETTINGS).
    Text(Bytes),
}

/// An image of a row, before or after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image<'a> {
    /// All columns are known.
    Whole(&'a Tuple),
    /// Only the columns of the replica identity are known.
    Key(&'a Tuple),
}

impl<'a> Image<'a> {
    /// The values of the row. In an [`Image::Key`], those of other columns than the key's mean nothing.
    pub fn tuple(self) -> &'a Tuple {
        match self {
            Self::Whole(tuple) | Self::Key(tuple) => tuple,
        }
    }
}

impl Old {
    /// The image of the old row; `None` if the stream does not carry one.
    pub fn image(&self) -> Option<Image<'_>> {
        match self {
            Self::SameKey => None,
            Self::Key(tuple) => Some(Image::Key(tuple)),
            Self::Full(tuple) => Some(Image::Whole(tuple)),
        }
    }
}
