//! Reads the values that the stream left out: large ones that an update did not change, and generated columns that
//! cannot be computed.
//!
//! A value counts only if the row is still the one that the transaction wrote, which its xmin shows. A row that was
//! changed since, or was written in a subtransaction, keeps its gaps, and the payload lists them. A later version of
//! the same transaction has the same xmin: the caller leaves out what [`versions`](super::versions) rules out. And a
//! column counts only if it is still the one that the row had: one that was made later can have its name, and where the
//! same transaction has altered the table, it may have written the rows anew.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use crate::{
    change::{Change, RowChange},
    lookup::{
        halves::{Halves, Refusal},
        present::Present,
    },
    postgres::{
        TableName,
        fault::Fault,
        quote,
        relation::Relation,
        tuple::{Tuple, Value},
    },
};

/// The most times that rows are read. The stream may carry a commit a moment before other sessions see it.
const TRIES: u32 = 50;
/// The pause before rows are read again.
const PAUSE: Duration = Duration::from_millis(10);
/// The most bytes that are read of a table at a time, unless a single row has more.
const MOST_BYTES: usize = 4 << 20;

/// The place of the first column in what is read: before it are the xmin, if there is room, and what was altered.
const FIRST_COLUMN: usize = 3;

/// What came of filling the gaps in changes.
#[derive(Debug, Default)]
pub struct Filled {
    /// The number of changes, from the first on, that are finished: at least one, if there are any.
    pub done: usize,
    /// The tables that could not be read, or not all of their rows, and why.
    pub refused: HashMap<TableName, Refusal>,
}

/// Fills the gaps in the new rows of `changes`, as far as the rows have not changed since, can be read, and
/// `MOST_BYTES` allow.
///
/// # Errors
/// When the connection is lost. Where a table cannot be read, its gaps stay.
pub async fn fill(client: &Client, changes: &mut [&mut Change]) -> Result<Filled, Error> {
    let mut by_relation: HashMap<usize, Vec<(usize, &mut Change)>> = HashMap::new();
    let mut filled = Filled {
        done: changes.len(),
        refused: HashMap::new(),
    };
    for (number, change) in changes.iter_mut().enumerate() {
        let key = Arc::as_ptr(&change.relation).addr();
        by_relation.entry(key).or_default().push((number, change));
    }
    for mut changes in by_relation.into_values() {
        let left = fill_table(client, &mut changes, &mut filled.refused).await?;
        filled.done = left.map_or(filled.done, |left| filled.done.min(left));
    }
    if let (0, Some(first)) = (filled.done, changes.first_mut()) {
        fill_table(client, &mut [(0, first)], &mut filled.refused).await?;
        filled.done = 1;
    }
    Ok(filled)
}

/// Fills the gaps in changes of one table. Returns the place of the first change for which there was no room.
async fn fill_table(
    client: &Client,
    changes: &mut [(usize, &mut Change)],
    refused: &mut HashMap<TableName, Refusal>,
) -> Result<Option<usize>, Error> {
    let Some((_, first)) = changes.first() else {
        return Ok(None);
    };
    let relation = Arc::clone(&first.relation);
    let mut source = Source {
        relation: &relation,
        present: Present::as_streamed(&relation),
    };
    let (mut left, mut refusal) = source.fill_rows(client, changes).await?;
    if matches!(&refusal, Some(refusal) if refusal.fault == Fault::Renamed)
        && let Some(present) = Present::read(client, &relation).await?
        && present != source.present
    {
        source.present = present;
        (left, refusal) = source.fill_rows(client, changes).await?;
    }
    refused.extend(refusal.map(|refusal| (relation.table(), refusal)));
    Ok(left)
}

/// Where the rows of a relation are read again.
struct Source<'a> {
    relation: &'a Relation,
    /// What the table and its columns are called now.
    present: Present,
}

impl Source<'_> {
    /// Fills the gaps, as far as the rows can be read. Returns the place of the first change for which there was no
    /// room, and why rows could not be read.
    async fn fill_rows(
        &self,
        client: &Client,
        changes: &mut [(usize, &mut Change)],
    ) -> Result<(Option<usize>, Option<Refusal>), Error> {
        let mut halves = Halves::of(changes.len());
        let mut left: Option<usize> = None;
        while let Some(part) = halves.next_part() {
            let some = changes.get_mut(part.clone()).unwrap_or_default();
            match self.fill_some(client, some, None).await {
                Ok(no_room) => left = left.into_iter().chain(no_room).min(),
                Err(error) => {
                    let refusal = Refusal::of(error)?;
                    if let (Fault::Row, [_]) = (refusal.fault, &*some) {
                        self.fill_columns(client, some).await?;
                    }
                    halves.refuse(part, refusal);
                }
            }
        }
        let refusal = halves.refused().into_iter().next();
        Ok((left, refusal.map(|(_, refusal)| refusal)))
    }

    /// Fills the gaps of a row column by column, because one of them cannot be read.
    async fn fill_columns(
        &self,
        client: &Client,
        row: &mut [(usize, &mut Change)],
    ) -> Result<(), Error> {
        for at in 0..self.relation.columns.len() {
            if row.iter().any(|(_, change)| is_gap(change, at))
                && let Err(error) = self.fill_some(client, row, Some(at)).await
            {
                Refusal::of(error)?;
            }
        }
        Ok(())
    }

    /// Fills the gaps of these rows, or only those of the column at `only`. Returns the place of the first change for
    /// which there was no room.
    async fn fill_some(
        &self,
        client: &Client,
        changes: &mut [(usize, &mut Change)],
        only: Option<usize>,
    ) -> Result<Option<usize>, Error> {
        let wanted =
            |at: usize, change: &Change| only.is_none_or(|only| only == at) && is_gap(change, at);
        let mut columns: Vec<usize> = (0..self.relation.columns.len()).collect();
        columns.retain(|at| {
            let is_there = matches!(self.present.columns.get(*at), Some(Some(_)));
            is_there && changes.iter().any(|(_, change)| wanted(*at, change))
        });
        let Some(sql) = self.query(changes, &columns) else {
            return Ok(None);
        };
        let mut left = None;
        for _ in 0..TRIES {
            let messages = client.simple_query(&sql).await?;
            let mut rows = messages.into_iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            });
            let snapshot = rows.next();
            let snapshot = snapshot
                .as_ref()
                .and_then(|row| row.get(0))
                .and_then(Snapshot::parse);
            left = None;
            for row in rows {
                let no_room = fill_from(self.relation, changes, &columns, &row);
                left = left.into_iter().chain(no_room).min();
            }
            let still_to_come = |(_, change): &(usize, &mut Change)| {
                has_gap(change)
                    && snapshot
                        .as_ref()
                        .is_some_and(|snapshot| !snapshot.shows(change.transaction.xid))
            };
            if !changes.iter().any(still_to_come) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(left)
    }

    /// The SQL that reads a snapshot and then, for each row, its xmin, whether there is room for it, which columns may
    /// be others by now, its key, and those of `wanted` that the table still has. `None`: the table has no primary key,
    /// no row has one, or nothing can be read.
    fn query(&self, changes: &[(usize, &mut Change)], wanted: &[usize]) -> Option<String> {
        let Self { relation, present } = self;
        let name_of = |at: usize| Some(quote::name(present.columns.get(at)?.as_ref()?));
        if relation.primary_key.is_empty() || !wanted.iter().any(|at| name_of(*at).is_some()) {
            return None;
        }
        let key_names = relation.primary_key.iter().map(|at| name_of(*at));
        let key_names = key_names.collect::<Option<Vec<String>>>()?;
        let key = key_names.join(", ");
        let keys: Vec<String> = changes
            .iter()
            .filter_map(|(_, change)| find_row(relation, &key_names, change.after()?))
            .collect();
        if keys.is_empty() {
            return None;
        }
        let is_one = match (&relation.primary_key[..], &relation.key_equals[..]) {
            // One array, which the index is searched for at once.
            ([at], [equals]) => {
                let ty = &relation.columns.get(*at)?.sql_type;
                format!("{key} {equals} any (array[{}]::{ty}[])", keys.join(", "))
            }
            _ => keys.join(" or "),
        };
        // Only the columns that some row lacks are read: whole rows would carry every other large value too.
        let (mut inner, mut outer, mut names, mut bytes) = (vec![], vec![], vec![], vec![]);
        let mut read = vec![];
        for (at, column) in relation.columns.iter().enumerate() {
            names.push(format!("c{at}"));
            match name_of(at) {
                Some(name) if relation.primary_key.contains(&at) => {
                    outer.push(format!("c{at}"));
                    inner.push(name);
                }
                Some(name) if wanted.contains(&at) => {
                    outer.push(format!("case when has_room then c{at} end"));
                    bytes.push(format!("coalesce(octet_length({name}::text), 0)"));
                    inner.push(name);
                    if let Some(Some(name)) = present.columns.get(at) {
                        read.push(format!(
                            "({at}, {}, {})",
                            quote::text(name),
                            *name == column.name
                        ));
                    }
                }
                Some(_) | None => {
                    outer.push("null".to_owned());
                    inner.push("null".to_owned());
                }
            }
        }
        bytes.push("0".to_owned());
        Some(format!(
            "select pg_current_snapshot();
            select written_by, has_room, ({altered}), {outer}
            from (
                select
                    xmin,
                    sum({bytes}) over so_far <= {MOST_BYTES} or row_number() over so_far = 1,
                    tableoid,
                    {inner}
                from {table}
                where {is_one}
                window so_far as (order by {key} rows unbounded preceding)
            ) as again (written_by, has_room, stored_in, {names})",
            altered = altered(&read),
            outer = outer.join(", "),
            bytes = bytes.join(" + "),
            inner = inner.join(", "),
            table = quote::table(&present.table),
            names = names.join(", "),
        ))
    }
}

/// SQL for the places of those columns of a row `again` that may not be what the row had. `columns` are rows of the
/// place, the name, and whether the stream knows the column by that name.
///
/// Nothing is younger than the row where nothing was altered. A column that alone was altered, in a table that was not
/// written anew and got no other column, is the same one. So is one that was found by its place, as its name is another
/// since.
fn altered(columns: &[String]) -> String {
    if columns.is_empty() {
        return "''".to_owned();
    }
    format!(
        "select coalesce(string_agg(wanted.place::text, ' '), '')
        from (values {columns}) as wanted (place, name, by_name)
        join pg_attribute as its on its.attrelid = stored_in and its.attname = wanted.name
        join pg_class as class on class.oid = stored_in
        where age(its.xmin) <= age(written_by)
            and (
                age(class.xmin) <= age(written_by)
                or wanted.by_name and exists (
                    select
                    from pg_attribute as other
                    where other.attrelid = stored_in
                        and other.attnum > 0
                        and other.attnum <> its.attnum
                        and age(other.xmin) <= age(written_by)
                )
            )",
        columns = columns.join(", ")
    )
}

/// The key of a row in SQL: its literal where it is one column, and else the condition that finds it. `names` are what
/// the columns of the key are called now.
fn find_row(relation: &Relation, names: &[String], tuple: &Tuple) -> Option<String> {
    let literal = |at: &usize| match tuple.get(*at)? {
        Value::Text(bytes) => std::str::from_utf8(bytes).ok().map(quote::text),
        Value::Null | Value::Unchanged => None,
    };
    if let [at] = &relation.primary_key[..] {
        return literal(at);
    }
    let parts = relation.primary_key.iter().zip(names);
    let parts = parts.zip(&relation.key_equals);
    let parts = parts.map(|((at, name), equals)| Some(format!("{name} {equals} {}", literal(at)?)));
    let parts: Option<Vec<String>> = parts.collect();
    Some(format!("({})", parts?.join(" and ")))
}

/// Fills the gaps in these columns from a row that was read. Returns the place of its change if there was no room for
/// it.
fn fill_from(
    relation: &Relation,
    changes: &mut [(usize, &mut Change)],
    columns: &[usize],
    row: &SimpleQueryRow,
) -> Option<usize> {
    let xmin = row.get(0).and_then(|xmin| xmin.parse::<u32>().ok());
    let has_room = row.get(1) == Some("t");
    let altered = row.get(2).unwrap_or_default().split_whitespace();
    let altered: Vec<usize> = altered.filter_map(|at| at.parse().ok()).collect();
    let mut left = None;
    for (number, change) in changes
        .iter_mut()
        .filter(|(_, change)| Some(change.transaction.xid) == xmin)
    {
        let (RowChange::Insert { new }
        | RowChange::Update { new, .. }
        | RowChange::Fired { new, .. }) = &mut change.row
        else {
            continue;
        };
        let same = |at: &usize| matches!(new.get(*at), Some(Value::Text(key)) if row.get(*at + FIRST_COLUMN).map(str::as_bytes) == Some(key));
        if !relation.primary_key.iter().all(same) {
            continue;
        }
        if !has_room {
            left = left.into_iter().chain([*number]).min();
            continue;
        }
        for (at, value) in new.iter_mut().enumerate().filter(|(at, value)| {
            **value == Value::Unchanged && columns.contains(at) && !altered.contains(at)
        }) {
            *value = match row.get(at + FIRST_COLUMN) {
                Some(text) => Value::Text(Bytes::copy_from_slice(text.as_bytes())),
                None => Value::Null,
            };
        }
    }
    left
}

/// Does the new row lack a value?
pub fn has_gap(change: &Change) -> bool {
    change
        .after()
        .is_some_and(|new| new.contains(&Value::Unchanged))
}

fn is_gap(change: &Change, at: usize) -> bool {
    change.after().and_then(|new| new.get(at)) == Some(&Value::Unchanged)
}

/// Waits until a committed transaction is visible, for a moment at most: the stream has it a little earlier than others
/// see it.
///
/// # Errors
/// When the database cannot be asked.
pub async fn until_visible(client: &Client, xid: u32) -> Result<(), Error> {
    for _ in 0..TRIES {
        let sql = "select pg_current_snapshot()::text";
        let row = client.query_one(sql, &[]).await?;
        let snapshot = Snapshot::parse(row.try_get(0)?);
        if snapshot.is_none_or(|snapshot| snapshot.shows(xid)) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// A `pg_current_snapshot()`: `xmin:xmax:running,…`, with ids of 64 bits.
#[derive(Debug, PartialEq, Eq)]
struct Snapshot {
    xmax: u64,
    running: Vec<u64>,
}

impl Snapshot {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let _xmin = parts.next()?;
        let xmax = parts.next()?.parse().ok()?;
        let running = parts.next()?.split(',').filter(|id| !id.is_empty());
        let running = running.map(|id| id.parse().ok()).collect::<Option<_>>()?;
        Some(Self { xmax, running })
    }

    /// Is the committed transaction `xid` visible? `xid` has only the lower 32 bits; the id nearest to xmax is meant.
    fn shows(&self, xid: u32) -> bool {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            reason = "ids wrap around at 32 bits"
        )]
        let distance = xid.wrapping_sub(self.xmax as u32) as i32;
        let full = self.xmax.saturating_add_signed(distance.into());
        full < self.xmax && !self.running.contains(&full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_shows_what_was_finished_before_it() {
        let snapshot = Snapshot::parse("740:745:741,743").unwrap();
        let shown: Vec<u32> = (739..748).filter(|xid| snapshot.shows(*xid)).collect();
        assert_eq!(shown, [739, 740, 742, 744]);
        assert_eq!(Snapshot::parse("745:745:").unwrap().running, [0_u64; 0]);
        assert_eq!(Snapshot::parse("745"), None);
    }

    #[test]
    fn a_snapshot_knows_ids_across_the_wrap_around() {
        let snapshot = Snapshot::parse("4294967290:4294967301:4294967298").unwrap();
        assert!(snapshot.shows(4_294_967_290));
        assert!(!snapshot.shows(2), "running");
        assert!(snapshot.shows(3));
        assert!(!snapshot.shows(5), "xmax itself");
    }
}
