//! Rows transposed: a statement that writes many rows takes an array for each column, and gives them to `unnest`.

use tokio_postgres::types::ToSql;

/// The columns of some rows, each an array.
pub(super) struct Columns<'a>(pub(super) Vec<Box<dyn ToSql + Sync + Send + 'a>>);

impl<'a> Columns<'a> {
    /// Transposes rows; `None` where there are none.
    pub(super) fn of<Row>(rows: impl Iterator<Item = Row>) -> Option<Self>
    where
        Self: FromIterator<Row>,
    {
        let mut rows = rows.peekable();
        rows.peek()?;
        Some(rows.collect())
    }

    /// The parameters of the statement: the columns in the order of the row's fields.
    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        let columns = self.0.iter();
        columns
            .map(|column| &**column as &(dyn ToSql + Sync))
            .collect()
    }
}

/// Defines a row whose fields are the parameters of a statement, in order, and lets rows be collected into [`Columns`].
macro_rules! row {
    (
        $(#[$attribute:meta])*
        struct $row:ident<$lifetime:lifetime> { $($field:ident: $type:ty,)+ }
    ) => {
        $(#[$attribute])*
        struct $row<$lifetime> { $($field: $type,)+ }

        impl<$lifetime> FromIterator<$row<$lifetime>> for $crate::store::columns::Columns<$lifetime> {
            fn from_iter<Rows: IntoIterator<Item = $row<$lifetime>>>(rows: Rows) -> Self {
                $(let mut $field: Vec<$type> = Vec::new();)+
                for row in rows {
                    $($field.push(row.$field);)+
                }
                let mut columns = Self(Vec::new());
                $(columns.0.push(Box::new($field));)+
                columns
            }
        }
    };
}

pub(super) use row;
