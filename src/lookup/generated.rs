//! Computes the generated columns that the stream leaves out: all before Postgres 18, and the virtual ones since then.
//!
//! They are not read from the table: the row may have changed since, and its new value would be told of the old one.
//! Postgres evaluates the column's expression over the values that came, for many rows at once.
//!
//! Two things are easily overlooked. The expression is the catalog's, which may be later than the row: whatever the
//! expression depends on must have been in place when the row was written. And it may call functions that users wrote,
//! which would run with the rights of rowhook's role. That happens only where the table's owner could have these
//! rights anyway. What is not computed stays unknown.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio_postgres::{
    Client, Error, Row, Statement,
    error::SqlState,
    types::{ToSql, Type},
};

use crate::{
    change::Change,
    postgres::{
        address::Address,
        quote,
        relation::Relation,
        tuple::{Tuple, Value},
    },
};

/// The time-out of one query. After a batch fails, its parts are tried for at most this long in all.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of values that are sent in one query, unless a single row has more.
const MOST_BYTES: usize = 4 << 20;
/// The most statements that are kept prepared.
const KEPT_AT_MOST: usize = 256;

/// Computes generated columns. Connects when the first row needs it, and again after the connection broke.
pub struct Generated {
    address: Address,
    session: Option<Session>,
}

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

impl Generated {
    /// Computes in a session of its own at `address`.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            session: None,
        }
    }

    /// Fills in the generated columns of all whole images of `changes`, as far as they can be computed.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn fill(&mut self, changes: &mut [&mut Change]) -> Result<()> {
        let mut by_relation: HashMap<usize, Vec<&mut Change>> = HashMap::new();
        for change in changes {
            if lacks_generated(change) {
                let key = Arc::as_ptr(&change.relation).addr();
                by_relation.entry(key).or_default().push(change);
            }
        }
        for mut changes in by_relation.into_values() {
            let session = match self.session.take().filter(|s| !s.client.is_closed()) {
                Some(session) => session,
                None => Session::open(&self.address).await?,
            };
            let session = self.session.insert(session);
            session.fill_table(&mut changes).await?;
        }
        Ok(())
    }
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

struct Session {
    client: Client,
    /// Prepared statements by their SQL.
    prepared: HashMap<String, Statement>,
}

/// A value that was computed: its text, or null.
type Computed = Option<String>;

impl Session {
    async fn open(address: &Address) -> Result<Self> {
        let client = address.connect("rowhook generated").await?;
        let settings = format!(
            "set default_transaction_read_only = on; set statement_timeout = {}",
            TIMEOUT.as_millis()
        );
        let prepared = client.batch_execute(&settings).await;
        prepared.context("prepare the session that computes generated columns")?;
        Ok(Self {
            client,
            prepared: HashMap::new(),
        })
    }

    /// Fills in the generated columns of changes of one table.
    async fn fill_table(&mut self, changes: &mut [&mut Change]) -> Result<()> {
        let Some(relation) = changes.first().map(|change| Arc::clone(&change.relation)) else {
            return Ok(());
        };
        // Read for each batch, because a function can be replaced without a word in the stream.
        let formulas = match Formula::read_all(&self.client, relation.oid).await {
            Ok(formulas) => formulas,
            Err(error) if is_about_query(&error) => {
                warn(&relation, None, &error);
                return Ok(());
            }
            Err(error) => return Err(error).context("read how columns are generated"),
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
            self.fill_column(&relation, formula, at, &bases, changes)
                .await?;
        }
        Ok(())
    }

    async fn fill_column(
        &mut self,
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
        let computed = self.compute(relation, formula, &rows).await?;
        drop(rows);
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

    /// Computes a column for these rows; `None` where that fails.
    async fn compute(
        &mut self,
        relation: &Relation,
        formula: &Formula,
        rows: &[Vec<Option<&str>>],
    ) -> Result<Vec<Option<Computed>>> {
        let sql = formula.sql();
        let mut values = vec![None; rows.len()];
        let begun = Instant::now();
        let mut failed = false;
        // Parts that are still to be computed, the first one last.
        let mut parts = portions(rows);
        parts.reverse();
        while let Some(part) = parts.pop() {
            let error = match self
                .compute_part(&sql, rows, part.clone(), &mut values)
                .await
            {
                Ok(()) => continue,
                Err(error) if is_about_query(&error) => error,
                Err(error) => return Err(error).context("compute a generated column"),
            };
            if !std::mem::replace(&mut failed, true) {
                warn(relation, Some(formula), &error);
            }
            // One row may have failed all of them: the halves are tried by themselves.
            let late = begun.elapsed() > TIMEOUT || error.code() == Some(&SqlState::QUERY_CANCELED);
            if part.len() > 1 && !late {
                let middle = part.start + part.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
        }
        Ok(values)
    }

    async fn compute_part(
        &mut self,
        sql: &str,
        rows: &[Vec<Option<&str>>],
        part: std::ops::Range<usize>,
        values: &mut [Option<Computed>],
    ) -> Result<(), Error> {
        let statement = match self.prepared.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                if self.prepared.len() >= KEPT_AT_MOST {
                    self.prepared.clear();
                }
                let statement = self.client.prepare(sql).await?;
                self.prepared.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        let chosen = rows.get(part.clone()).unwrap_or_default();
        let numbers: Vec<i32> = (0..).take(chosen.len()).collect();
        let width = chosen.first().map_or(0, Vec::len);
        let column = |at: usize| chosen.iter().map(move |row| row.get(at).copied().flatten());
        let columns: Vec<Vec<Option<&str>>> = (0..width).map(|at| column(at).collect()).collect();
        let mut arguments: Vec<&(dyn ToSql + Sync)> = vec![&numbers];
        arguments.extend(columns.iter().map(|column| column as &(dyn ToSql + Sync)));
        for row in self.client.query(&statement, &arguments).await? {
            let number: i32 = row.try_get(0)?;
            let at = usize::try_from(number).unwrap_or(usize::MAX);
            let place = part.start.saturating_add(at);
            if let Some(value) = values.get_mut(place) {
                *value = Some(row.try_get(1)?);
            }
        }
        Ok(())
    }
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

/// Divides rows so that each portion has at most `MOST_BYTES`, or one row.
fn portions(rows: &[Vec<Option<&str>>]) -> Vec<std::ops::Range<usize>> {
    let mut portions = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, row) in rows.iter().enumerate() {
        let size: usize = row.iter().flatten().map(|text| text.len()).sum();
        if at > start && bytes + size > MOST_BYTES {
            portions.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < rows.len() {
        portions.push(start..rows.len());
    }
    portions
}

fn warn(relation: &Relation, formula: Option<&Formula>, error: &Error) {
    let message = error
        .as_db_error()
        .map_or_else(|| error.to_string(), |error| error.message().to_owned());
    tracing::warn!(
        table = %relation.table(),
        column = formula.map(|formula| formula.name.as_str()),
        error = message,
        "a generated column cannot be computed for all rows; where it is not, it is told as unknown"
    );
}

/// Does the error concern only the query, so that the session can go on?
fn is_about_query(error: &Error) -> bool {
    let ended = [
        &SqlState::ADMIN_SHUTDOWN,
        &SqlState::CRASH_SHUTDOWN,
        &SqlState::CANNOT_CONNECT_NOW,
    ];
    error
        .code()
        .is_some_and(|code| !ended.contains(&code) && !code.code().starts_with("08"))
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

    #[test]
    fn rows_are_sent_in_portions_of_a_few_megabytes() {
        let large = "x".repeat(MOST_BYTES / 2 + 1);
        let row = |text| vec![Some(text), None];
        assert!(portions(&[]).is_empty());
        let one = portions(&[row("a"), row("b")]);
        assert_eq!(one.first(), Some(&(0..2)));
        assert_eq!(one.len(), 1);
        let rows = [row("a"), row(&large), row(&large), row("b")];
        assert_eq!(portions(&rows), [0..2, 2..4]);
    }
}
