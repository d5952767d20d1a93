//! The images of a row, as the stream carries them.

use bytes::Bytes;

/// What is known of a row as it was before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Old {
    /// Nothing was sent: the key is the same as in the new row.
    SameKey,
    /// Only the columns of the replica identity; the others hold [`Value::Null`] and are unknown.
    Key(Tuple),
    /// The whole row.
    Full(Tuple),
}

/// The values of a row, in the order of [`Relation::columns`].
pub type Tuple = Vec<Value>;

/// One value of a row image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A TOASTed value that the update did not touch, and that is not in the stream.
    Unchanged,
    /// Postgres' text for the value, in the pinned session settings.
    Text(Bytes),
}

/// A row as it was or is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image<'a> {
    /// All columns.
    Whole(&'a Tuple),
    /// Only the columns of the replica identity are known.
    Key(&'a Tuple),
}

impl<'a> Image<'a> {
    /// The values; those outside the key mean nothing in [`Image::Key`].
    pub fn tuple(self) -> &'a Tuple {
        match self {
            Self::Whole(tuple) | Self::Key(tuple) => tuple,
        }
    }
}

impl Old {
    /// The image, if one was sent.
    pub fn image(&self) -> Option<Image<'_>> {
        match self {
            Self::SameKey => None,
            Self::Key(tuple) => Some(Image::Key(tuple)),
            Self::Full(tuple) => Some(Image::Whole(tuple)),
        }
    }
}
