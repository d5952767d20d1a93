//! What a table and its columns are called now.
//!
//! The stream names columns as they were when a row was written, and tells neither their places nor what became of
//! them. The catalog keeps the place of each column, also of a dropped one. A column that still has its name keeps its
//! neighbours in order, so what stands between two of them can be told apart by place and type.

use tokio_postgres::{Client, Error, Row};

use crate::postgres::{TableName, relation::Relation};

/// The names that a table and its columns have now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Present {
    /// The table.
    pub(super) table: TableName,
    /// The columns, in the order of the relation. `None`: it was dropped, or which one it is cannot be told.
    pub(super) columns: Vec<Option<String>>,
}

/// A column of the stream, or the place of a column in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    type_oid: u32,
    dropped: bool,
}

impl Present {
    /// The names of `relation`, as the stream has described it.
    pub(super) fn as_streamed(relation: &Relation) -> Self {
        let columns = relation.columns.iter();
        Self {
            table: relation.stored_as.clone(),
            columns: columns.map(|column| Some(column.name.clone())).collect(),
        }
    }

    /// The names that the catalog has now; `None` where the table no longer exists.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(super) async fn read(client: &Client, relation: &Relation) -> Result<Option<Self>, Error> {
        let sql = include_str!("../../sql/catalog/columns_now.sql");
        let rows = client.query(sql, &[&relation.oid]).await?;
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let table = TableName {
            schema: first.try_get("schema")?,
            name: first.try_get("name")?,
        };
        let is_left_out = |row: &Row| {
            let name: &str = row.try_get("column")?;
            let generated = row.try_get("generated")?;
            Ok::<_, Error>(row.try_get("left_out")? || generated && relation.leaves_out(name))
        };
        let mut places = Vec::new();
        let mut computed = Vec::new();
        for row in &rows {
            let column = Column {
                name: row.try_get("column")?,
                type_oid: row.try_get("type_oid")?,
                dropped: row.try_get("dropped")?,
            };
            match is_left_out(row)? {
                true => computed.push(column.name),
                false => places.push(column),
            }
        }
        let (streamed, left_out): (Vec<_>, Vec<_>) = relation
            .columns
            .iter()
            .partition(|column| !column.generated);
        let streamed: Vec<Column> = streamed
            .into_iter()
            .map(|column| Column {
                name: column.name.clone(),
                type_oid: column.type_oid,
                dropped: false,
            })
            .collect();
        let left_out = left_out.into_iter().map(|column| {
            let name = &column.name;
            computed.contains(name).then(|| name.clone())
        });
        // The relation has the generated ones after the others.
        let columns = renamed(&streamed, &places).into_iter().chain(left_out);
        let columns = columns.collect();
        Ok(Some(Self { table, columns }))
    }
}

/// The present names of the `streamed` columns, among the `places` of the catalog.
fn renamed(streamed: &[Column], places: &[Column]) -> Vec<Option<String>> {
    let same = |column: &Column| {
        let is_same = |place: &Column| !place.dropped && place.name == column.name;
        places.iter().position(is_same)
    };
    let anchors: Vec<Option<usize>> = streamed.iter().map(same).collect();
    let mut names = vec![None; streamed.len()];
    if !anchors.iter().flatten().is_sorted() {
        // Names have changed places, so none of them says which column it is.
        return names;
    }
    let (mut at, mut place) = (0, 0);
    while at < streamed.len() {
        let end = (at..streamed.len()).find(|at| anchors[*at].is_some());
        let (end, place_end) = match end {
            Some(end) => (end, anchors[end].unwrap_or(places.len())),
            None => (streamed.len(), places.len()),
        };
        let (gap, slots) = (&streamed[at..end], &places[place..place_end]);
        let all = slots.len();
        // Columns that were added since stand behind all others.
        let slots = match end == streamed.len() {
            true => slots.get(..gap.len()).unwrap_or(slots),
            false => slots,
        };
        // A place that is too many is that of a column which was dropped before, if it is not one of those behind.
        let fits = all == gap.len()
            || (slots.len() == gap.len() && slots.iter().all(|slot| !slot.dropped));
        if slots.len() < gap.len() {
            return vec![None; streamed.len()];
        }
        for (offset, (column, slot)) in gap.iter().zip(slots).enumerate() {
            if fits && !slot.dropped && slot.type_oid == column.type_oid {
                names[at + offset] = Some(slot.name.clone());
            }
        }
        if let Some(column) = streamed.get(end) {
            names[end] = Some(column.name.clone());
        }
        (at, place) = (end + 1, place_end + 1);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns from `name:type`; a name with a minus was dropped.
    fn columns(text: &str) -> Vec<Column> {
        let each = text.split_whitespace().map(|column| {
            let (name, type_oid) = column.split_once(':').unwrap();
            Column {
                name: name.to_owned(),
                type_oid: type_oid.parse().unwrap(),
                dropped: name.starts_with('-'),
            }
        });
        each.collect()
    }

    #[test]
    fn a_column_is_found_by_its_place_between_those_that_kept_their_names() {
        for (streamed, now, expected) in [
            ("id:1 notes:2", "id:1 notes:2", "id notes"),
            ("id:1 notes:2", "id:1 remarks:2", "id remarks"),
            ("id:1 notes:2", "id:1 -2:0", "id ?"),
            ("id:1 notes:2", "id:1 -2:0 pages:3", "id ?"),
            ("id:1 notes:2", "id:1 remarks:2 pages:2", "id remarks"),
            ("id:1 notes:2 n:3", "id:1 remarks:2 n:3", "id remarks n"),
            ("id:1 a:2 b:2", "id:1 c:2 d:2", "id c d"),
            ("id:1 a:2 b:2", "id:1 -2:0 d:2", "id ? d"),
            ("id:1 a:2 b:2", "id:1 -2:0 d:2 -4:0", "id ? ?"),
            // A column that was dropped before the row was written has a place too.
            ("id:1 notes:2 n:3", "id:1 -2:0 remarks:2 n:3", "id ? n"),
            ("id:1 notes:2", "id:1 remarks:9", "id ?"),
            ("notes:2 id:1", "remarks:2 id:1", "remarks id"),
            // The names have changed places.
            ("id:1 a:2 b:2", "id:1 b:2 a:2", "? ? ?"),
            // `b` has taken the name of `a`, which was dropped.
            ("id:1 a:2 b:2", "id:1 -2:0 a:2", "? ? ?"),
        ] {
            let names = renamed(&columns(streamed), &columns(now));
            let names: Vec<_> = names
                .iter()
                .map(|name| name.as_deref().unwrap_or("?"))
                .collect();
            assert_eq!(names.join(" "), expected, "{streamed} -> {now}");
        }
    }
}
