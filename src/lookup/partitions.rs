//! Rows that move from one partition of a table to another one.
//!
//! Postgres carries out such an update as a deletion and an insertion, and the stream does not say that they are one.
//! They are taken for one where the rest of the key is the same: the columns of the primary key that do not decide the
//! partition. A row that stays in its partition has not moved, so the conditions of the partitions are evaluated where
//! that runs no code of users.

use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_postgres::{Client, Error, Row, types::ToSql};

use crate::postgres::{
    division::Division,
    error_message,
    fault::Fault,
    quote,
    relation::Relation,
    tuple::{Old, Tuple, Value},
};

/// How a partitioned table is divided.
#[derive(Debug)]
pub struct Partitions {
    /// The columns that decide the partition of a row, by their places in the relation.
    columns: Vec<usize>,
    /// The columns of the primary key that a row keeps when it moves.
    kept: Vec<usize>,
    /// Whether triggers can change rows of other tables between the two halves of a move.
    pub has_triggers: bool,
    /// How to find out which rows have stayed in their partition; `None`: that might run code of users.
    conditions: Option<Conditions>,
}

/// The conditions of the partitions. They are read when they are needed first, because that may wait for a lock.
#[derive(Debug)]
struct Conditions {
    oid: u32,
    names: Vec<String>,
    types: Vec<String>,
    sql: OnceCell<String>,
}

impl Partitions {
    /// How the rows of a relation are divided. `None`: columns have other names now, so nothing can be said of a row.
    pub fn of(division: &Division, relation: &Relation) -> Option<Arc<Self>> {
        let places = division.columns.iter().map(|name| relation.column(name));
        let columns = places.collect::<Option<Vec<usize>>>()?;
        let kept = relation.primary_key.iter().copied();
        let kept = kept.filter(|at| !columns.contains(at)).collect();
        Some(Arc::new(Self {
            kept,
            columns,
            has_triggers: division.has_triggers,
            conditions: division.is_plain.then(|| Conditions {
                oid: relation.oid,
                names: division.columns.clone(),
                types: division.types.clone(),
                sql: OnceCell::new(),
            }),
        }))
    }

    /// Can an old row and a new one be the same row, before and after a move?
    pub fn may_be_one(&self, old: &Old, new: &Tuple) -> bool {
        let Some(old) = old.image() else {
            return false;
        };
        let old = old.tuple();
        let is_kept = |at: &usize| matches!((old.get(*at), new.get(*at)), (Some(Value::Text(old)), Some(Value::Text(new))) if old == new);
        let differs = |at: &usize| old.get(*at) != new.get(*at);
        !self.kept.is_empty() && self.kept.iter().all(is_kept) && self.columns.iter().any(differs)
    }

    /// Which of these rows, old and new, are in one and the same partition. Where that cannot be found out, none are.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn stayed(
        &self,
        client: &Client,
        rows: &[(&Tuple, &Tuple)],
    ) -> Result<Vec<usize>, Error> {
        let Some(conditions) = self.conditions.as_ref().filter(|_| !rows.is_empty()) else {
            return Ok(Vec::new());
        };
        match self.ask(client, conditions, rows).await {
            Ok(stayed) => Ok(stayed),
            Err(error) if Fault::of(&error) == Fault::Lost => Err(error),
            Err(error) => {
                let error = error_message(&error);
                tracing::debug!(
                    error,
                    "whether rows have stayed in their partitions cannot be found out"
                );
                Ok(Vec::new())
            }
        }
    }

    async fn ask(
        &self,
        client: &Client,
        conditions: &Conditions,
        rows: &[(&Tuple, &Tuple)],
    ) -> Result<Vec<usize>, Error> {
        let sql = conditions
            .sql
            .get_or_try_init(|| conditions.read(client))
            .await?;
        let numbers: Vec<i32> = (0..).take(rows.len()).collect();
        let old = self
            .columns
            .iter()
            .map(|at| column(rows.iter().map(|(old, _)| *old), *at));
        let new = self
            .columns
            .iter()
            .map(|at| column(rows.iter().map(|(_, new)| *new), *at));
        let values: Vec<Vec<Option<&str>>> = old.chain(new).collect();
        let mut arguments: Vec<&(dyn ToSql + Sync)> = vec![&numbers];
        arguments.extend(values.iter().map(|values| values as &(dyn ToSql + Sync)));
        let found = client.query(sql, &arguments).await?;
        let number = |row: &Row| row.try_get::<_, i32>(0);
        let numbers: Vec<i32> = found.iter().map(number).collect::<Result<_, _>>()?;
        let numbers = numbers.into_iter().map(usize::try_from);
        Ok(numbers.filter_map(Result::ok).collect())
    }
}

impl Conditions {
    /// The query that finds the rows which have stayed.
    async fn read(&self, client: &Client) -> Result<String, Error> {
        let sql = include_str!("../../sql/catalog/partition_conditions.sql");
        let rows = client.query(sql, &[&self.oid]).await?;
        let conditions = rows.iter().map(|row| row.try_get("condition"));
        let conditions: Vec<String> = conditions.collect::<Result<_, _>>()?;
        Ok(stayed(&self.names, &self.types, &conditions))
    }
}

/// The texts of the column at `at`.
fn column<'a>(rows: impl Iterator<Item = &'a Tuple>, at: usize) -> Vec<Option<&'a str>> {
    let text = |row: &'a Tuple| match row.get(at)? {
        Value::Text(text) => std::str::from_utf8(text).ok(),
        Value::Null | Value::Unchanged => None,
    };
    rows.map(text).collect()
}

/// The SQL that finds the rows which meet the condition of the same partition before and after. `$1` are the numbers of
/// the rows; the parameters after it are the texts of the columns, first before and then after.
fn stayed(names: &[String], types: &[String], conditions: &[String]) -> String {
    let arrays = (0..2 * names.len()).map(|at| format!(", ${}::pg_catalog.text[]", at + 2));
    let raw = (0..2 * names.len()).map(|at| format!(", c{at}"));
    let base = |first: usize| {
        let columns = names.iter().zip(types).enumerate();
        let columns = columns.map(|(at, (name, ty))| {
            let at = first + at;
            format!("(raw.c{at})::{ty} as {}", quote::name(name))
        });
        columns.collect::<Vec<_>>().join(", ")
    };
    let cases: String = (1..)
        .zip(conditions)
        .map(|(number, condition)| format!(" when {condition} then {number}"))
        .collect();
    let partition = match cases.is_empty() {
        true => "null::pg_catalog.int4".to_owned(),
        false => format!("case{cases} end"),
    };
    format!(
        "select raw.n
        from unnest($1::pg_catalog.int4[]{arrays}) as raw (n{raw})
        where (select {partition} from (select {before}) as base)
            = (select {partition} from (select {after}) as base)",
        arrays = arrays.collect::<String>(),
        raw = raw.collect::<String>(),
        before = base(0),
        after = base(names.len()),
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn tuple(values: [&str; 3]) -> Tuple {
        let value = |text: &str| match text {
            "-" => Value::Null,
            text => Value::Text(Bytes::copy_from_slice(text.as_bytes())),
        };
        values.into_iter().map(value).collect()
    }

    #[test]
    fn a_row_moves_where_the_rest_of_its_key_stays_the_same() {
        // A table with the columns id, region and title.
        for (kept, columns, old, new, expected) in [
            (&[0][..], &[1][..], ["1", "a", "-"], ["1", "b", "x"], true),
            (&[0], &[1], ["1", "a", "-"], ["2", "b", "x"], false),
            // In the same partition.
            (&[0], &[1], ["1", "a", "-"], ["1", "a", "x"], false),
            // The whole key decides the partition, so nothing of the row remains.
            (&[], &[0], ["1", "a", "-"], ["2", "a", "x"], false),
            // The old key is not known.
            (&[0], &[1], ["-", "a", "-"], ["1", "b", "x"], false),
            (&[0, 2], &[1], ["1", "a", "x"], ["1", "b", "x"], true),
            (&[0, 2], &[1], ["1", "a", "x"], ["1", "b", "y"], false),
        ] {
            let partitions = Partitions {
                columns: columns.to_vec(),
                kept: kept.to_vec(),
                has_triggers: false,
                conditions: None,
            };
            let named = format!("{kept:?} {columns:?} {old:?} {new:?}");
            let old = Old::Key(tuple(old));
            assert_eq!(
                partitions.may_be_one(&old, &tuple(new)),
                expected,
                "{named}"
            );
        }
        let partitions = Partitions {
            columns: vec![1],
            kept: vec![0],
            has_triggers: false,
            conditions: None,
        };
        assert!(!partitions.may_be_one(&Old::SameKey, &tuple(["1", "b", "x"])));
    }
}
