//! Computes the generated columns that the stream leaves out: all before Postgres 18, and the virtual ones since then.
//!
//! They are not read from the table: the row may have changed since, and its new value would be told of the old one.
//! Postgres evaluates the column's expression over the values that came, for many rows at once.
//!
//! Two things are easily overlooked. The expression is the catalog's, which may be later than the row: whatever the
//! expression depends on must have been in place when the row was written. And it may call functions that users wrote,
//! which would run with the rights of rowhook's role. That happens only where the table's owner could have these
//! rights anyway. What is not computed stays unknown.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio_postgres::{
    Client, Error, Row,
    types::{ToSql, Type},
};

use super::{
    computing::{Computing, Session, portions},
    halves::{Halves, Refusal},
};
use crate::{
    change::Change,
    postgres::{
        quote,
        relation::Relation,
        tuple::{Tuple, Value},
    },
};

/// How a generated column is computed.
#[derive(Debug)]
pub struct Formula {
    /// The column.
    pub name: String,
    /// The role that owns the table.
    pub owner: String,
    /// Whether its code may run with our rights, and is the same for all partitions.
    pub usable: bool,
    ty: String,
    expression: String,
    /// The columns that the expression uses, with their types.
    bases: Vec<(String, String)>,
    /// The transactions that made the formula what it is.
    made_by: Vec<u32>,
    next_xid: u32,
}

impl Formula {
    /// Reads the formulas of a table's generated columns. The session has to have `search_path = pg_catalog`, or else
    /// only the names can be used.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub async fn read_all(client: &Client, oid: u32) -> Result<Vec<Self>, Error> {
        let sql = include_str!("../../sql/catalog/generated.sql");
        let statement = client.prepare_typed(sql, &[Type::OID]).await?;
        let rows = client.query(&statement, &[&oid]).await?;
        rows.iter().map(Self::read).collect()
    }

    fn read(row: &Row) -> Result<Self, Error> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "ids of transactions wrap around at 32 bits"
        )]
        let xid = |id: i64| id as u32;
        let bases: Vec<String> = row.try_get("bases")?;
        let types: Vec<String> = row.try_get("base_types")?;
        let made_by: Vec<i64> = row.try_get("made_by")?;
        Ok(Self {
            name: row.try_get("name")?,
            owner: row.try_get("owner")?,
            usable: row.try_get("trusted")? && row.try_get("uniform")?,
            ty: row.try_get("type")?,
            expression: row.try_get("expression")?,
            bases: bases.into_iter().zip(types).collect(),
            made_by: made_by.into_iter().map(xid).collect(),
            next_xid: xid(row.try_get("next_xid")?),
        })
    }

    /// Was it in place before this transaction began to write?
    fn holds_for(&self, xid: u32) -> bool {
        // A row of the catalog may be older than half of all ids. Then it looks as if it were from the future.
        let is_past = |id: u32| is_before(id, xid) || !is_before(id, self.next_xid);
        self.made_by.iter().all(|id| is_past(*id))
    }

    /// The SQL that computes the column for many rows: `$1` are the numbers of the rows, and each parameter after it
    /// the texts of a column.
    fn sql(&self) -> String {
        let columns = || 0..self.bases.len();
        let arrays = columns().map(|at| format!(", ${}::pg_catalog.text[]", at + 2));
        let names = columns().map(|at| format!(", c{at}"));
        let typed = self
            .bases
            .iter()
            .enumerate()
            .map(|(at, (name, ty))| format!("(raw.c{at})::{ty} as {}", quote::name(name)));
        // `format` prints a value as the stream does; a cast to text would not, such as that of a boolean. With
        // `offset 0` the expression is evaluated once.
        format!(
            "select raw.n, (
                select case when made.value is distinct from null then pg_catalog.format('%s', made.value) end
                from (select {typed}) as base
                cross join lateral (select ({expression})::{ty} as value offset 0) as made
            )
            from unnest($1::pg_catalog.int4[]{arrays}) as raw (n{names})",
            typed = typed.collect::<Vec<_>>().join(", "),
            expression = self.expression,
            ty = self.ty,
            arrays = arrays.collect::<String>(),
            names = names.collect::<String>(),
        )
    }
}

/// Is a transaction id older than another one, as far as ids of 32 bits can tell?
fn is_before(id: u32, other: u32) -> bool {
    id.wrapping_sub(other).cast_signed() < 0
}

/// Fills in the generated columns of all whole images of `changes`, as far as they can be computed.
///
/// # Errors
/// When the database cannot be reached.
pub async fn fill(computing: &mut Computing, changes: &mut [&mut Change]) -> Result<()> {
    let mut by_relation: HashMap<usize, Vec<&mut Change>> = HashMap::new();
    for change in changes {
        if lacks_generated(change) {
            let key = Arc::as_ptr(&change.relation).addr();
            by_relation.entry(key).or_default().push(change);
        }
    }
    for mut changes in by_relation.into_values() {
        fill_table(computing.session().await?, &mut changes).await?;
    }
    Ok(())
}

/// Does a whole image of the change lack a generated column?
pub fn lacks_generated(change: &Change) -> bool {
    let columns = &change.relation.columns;
    columns.iter().any(|column| column.generated)
        && change.whole_images().any(|image| {
            let mut values = image.iter().zip(columns);
            values.any(|(value, column)| column.generated && *value == Value::Unchanged)
        })
}

/// A value that was computed: its text, or null.
type Computed = Option<String>;

/// Fills in the generated columns of changes of one table.
async fn fill_table(session: &mut Session, changes: &mut [&mut Change]) -> Result<()> {
    let Some(relation) = changes.first().map(|change| Arc::clone(&change.relation)) else {
        return Ok(());
    };
    // Read for each batch, because a function can be replaced without a word in the stream.
    let formulas = match Formula::read_all(&session.client, relation.oid).await {
        Ok(formulas) => formulas,
        Err(error) => {
            let refusal = Refusal::of_code(error).context("read how columns are generated")?;
            warn(&relation, None, &refusal);
            return Ok(());
        }
    };
    for formula in formulas.iter().filter(|formula| formula.usable) {
        let Some(at) = relation.column(&formula.name) else {
            continue;
        };
        let bases = formula.bases.iter().map(|(name, _)| relation.column(name));
        // A column that was renamed since is not found.
        let Some(bases) = bases.collect::<Option<Vec<usize>>>() else {
            continue;
        };
        fill_column(session, &relation, formula, at, &bases, changes).await?;
    }
    Ok(())
}

async fn fill_column(
    session: &mut Session,
    relation: &Relation,
    formula: &Formula,
    at: usize,
    bases: &[usize],
    changes: &mut [&mut Change],
) -> Result<()> {
    let mut places = Vec::new();
    let mut rows: Vec<Vec<Option<&str>>> = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        if !formula.holds_for(change.transaction.xid) {
            continue;
        }
        for (image, tuple) in change.whole_images().enumerate() {
            if tuple.get(at) == Some(&Value::Unchanged)
                && let Some(row) = texts(tuple, bases)
            {
                places.push((number, image));
                rows.push(row);
            }
        }
    }
    let (computed, refusal) = compute(session, formula, &rows).await?;
    drop(rows);
    if let Some(refusal) = refusal {
        warn(relation, Some(formula), &refusal);
    }
    for ((number, image), value) in places.into_iter().zip(computed) {
        let tuple = changes
            .get_mut(number)
            .and_then(|change| change.whole_images_mut().nth(image));
        if let (Some(value), Some(place)) = (value, tuple.and_then(|tuple| tuple.get_mut(at))) {
            *place = value.map_or(Value::Null, |text| Value::Text(Bytes::from(text)));
        }
    }
    Ok(())
}

/// Computes a column for these rows; `None` where that fails, and why it does.
async fn compute(
    session: &mut Session,
    formula: &Formula,
    rows: &[Vec<Option<&str>>],
) -> Result<(Vec<Option<Computed>>, Option<Refusal>)> {
    let sql = formula.sql();
    let mut values: Vec<Option<Computed>> = vec![None; rows.len()];
    let size = |row: &Vec<Option<&str>>| row.iter().flatten().map(|text| text.len()).sum();
    let sizes: Vec<usize> = rows.iter().map(size).collect();
    let mut halves = Halves::of_portions(portions(&sizes));
    while let Some(part) = halves.next_part() {
        let some = rows.get(part.clone()).unwrap_or_default();
        let values = values.get_mut(part.clone()).unwrap_or_default();
        if let Err(error) = compute_some(session, &sql, some, values).await {
            let refusal = Refusal::of_code(error).context("compute a generated column")?;
            halves.refuse(part, refusal);
        }
    }
    Ok((values, halves.first_refusal()))
}

async fn compute_some(
    session: &mut Session,
    sql: &str,
    rows: &[Vec<Option<&str>>],
    values: &mut [Option<Computed>],
) -> Result<(), Error> {
    let statement = session.statement(sql).await?;
    let numbers: Vec<i32> = (0..).take(rows.len()).collect();
    let width = rows.first().map_or(0, Vec::len);
    let column = |at: usize| rows.iter().map(move |row| row.get(at).copied().flatten());
    let columns: Vec<Vec<Option<&str>>> = (0..width).map(|at| column(at).collect()).collect();
    let mut arguments: Vec<&(dyn ToSql + Sync)> = vec![&numbers];
    arguments.extend(columns.iter().map(|column| column as &(dyn ToSql + Sync)));
    for row in session.client.query(&statement, &arguments).await? {
        let number: i32 = row.try_get(0)?;
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(value) = values.get_mut(at) {
            *value = Some(row.try_get(1)?);
        }
    }
    Ok(())
}

/// The texts of these columns; `None` where one of them is unknown.
fn texts<'a>(tuple: &'a Tuple, columns: &[usize]) -> Option<Vec<Option<&'a str>>> {
    let text = |at: &usize| match tuple.get(*at)? {
        Value::Text(text) => std::str::from_utf8(text).ok().map(Some),
        Value::Null => Some(None),
        Value::Unchanged => None,
    };
    columns.iter().map(text).collect()
}

fn warn(relation: &Relation, formula: Option<&Formula>, refusal: &Refusal) {
    tracing::warn!(
        table = %relation.table(),
        column = formula.map(|formula| formula.name.as_str()),
        error = refusal.reason,
        "a generated column cannot be computed for all rows; where it is not, it is told as unknown"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formula(made_by: &[u32], next_xid: u32) -> Formula {
        Formula {
            name: "total".into(),
            owner: "app".into(),
            usable: true,
            ty: "integer".into(),
            expression: "(n * 10)".into(),
            bases: vec![("n".into(), "integer".into())],
            made_by: made_by.to_vec(),
            next_xid,
        }
    }

    #[test]
    fn a_formula_holds_for_what_was_written_after_it() {
        for (made_by, next_xid, xid, expected) in [
            (&[700][..], 900, 800, true),
            (&[800], 900, 800, false),
            (&[850], 900, 800, false),
            (&[700, 850], 900, 800, false),
            // From before the ids wrapped around.
            (&[u32::MAX - 5], 20, 10, true),
            (&[8], 20, u32::MAX - 5, false),
            // Older than half of all ids.
            (&[3_000_000_000], 900, 800, true),
            (&[], 900, 800, true),
        ] {
            let formula = formula(made_by, next_xid);
            assert_eq!(formula.holds_for(xid), expected, "{made_by:?} {xid}");
        }
    }
}
