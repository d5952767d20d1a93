//! Finds the owner of a row: in a column of the row, or along a path of foreign keys.
//!
//! Paths are looked up in batches. An answer is cached only for tables whose updates are published, because the stream
//! keeps those up to date. Other tables are queried for every batch: a row that is sent to its former owner would be a
//! leak.
//!
//! A key that the database gives no answer for makes the owners of its own rows unknown, and no others.
//!
//! What the stream itself tells of a row before a change goes before what the table holds now: its owner may have
//! changed since, and a row that was deleted together with its children is not there any more. Where the stream has not
//! come to the moment of an answer, and the row may have been written since, the answer waits until it has.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use anyhow::Context;
use tokio_postgres::{Client, Error, Row};

use super::{
    moment::{Moment, Reach},
    owner_rows::{Answer, Asked, Rows},
};
use crate::{
    change::Change,
    config::{OwnerRule, OwnerStep},
    lookup::halves::Refusal,
    postgres::{
        Lsn, TableName,
        equality::Equality,
        snapshot::Snapshot,
        tuple::{Image, Value},
    },
};

/// The column of the owner in tables that have no owner rule.
pub const DEFAULT_COLUMN: &str = "user_id";

/// The most answers that are cached of one step from one batch to the next. Where there are as many, all are dropped.
const KEPT_AT_MOST: usize = 100_000;

/// A transaction of our own, with which the stream comes to where the database was asked. A standby cannot write one,
/// and tells how far it is.
const MARK: &str = "select case when not pg_catalog.pg_is_in_recovery() \
                    then pg_catalog.pg_logical_emit_message(true, 'rowhook.asked', '') end";

/// Finds the owners of rows, and caches what it looked up.
#[derive(Debug)]
pub struct Owners {
    published: HashSet<TableName>,
    steps: HashMap<OwnerStep, Rows>,
    /// How far it is known what happens to the rows of published tables.
    reach: Reach,
}

/// Whose a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// This owner's.
    Owner(Owner),
    /// Nobody's: the column or the row that the path leads to is null or missing, or the stream does not carry it.
    Nobody,
    /// Somebody's perhaps: the database did not answer.
    Unknown(Refusal),
    /// Somebody's perhaps: what the database says may be later than the row, and the stream has not come so far.
    Untold,
}

/// The owner of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its name, as the stream or the database has it.
    pub text: Arc<str>,
    /// When another text is the same owner.
    pub equality: Equality,
}

impl Owners {
    /// Finds owners by these rules, with empty caches. No table counts as published yet.
    pub fn new<'a>(rules: impl IntoIterator<Item = &'a OwnerRule>) -> Self {
        let steps = rules.into_iter().flat_map(|rule| &rule.steps);
        Self {
            published: HashSet::new(),
            steps: steps.map(|step| (step.clone(), Rows::default())).collect(),
            reach: Reach::default(),
        }
    }

    /// Reads which tables on the paths are published with all that happens to their rows.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn learn_published(
        &mut self,
        client: &Client,
        publication: &str,
    ) -> anyhow::Result<()> {
        if self.steps.is_empty() {
            return Ok(());
        }
        self.published = wholly_published(client, publication).await?;
        // Views and tables that were not published are asked in another way.
        self.steps.values_mut().for_each(|rows| rows.lookup = None);
        self.forget();
        Ok(())
    }

    /// Asks for what this table says from now on, because the stream does not tell of it any more.
    pub fn distrust(&mut self, table: &TableName) {
        if self.published.remove(table) {
            self.forget();
        }
    }

    /// Follows what happens to the rows of this table from now on, because the stream tells of all of it.
    pub fn trust(&mut self, table: TableName) {
        let mut steps = self.steps.iter_mut();
        let mut is_on_path = false;
        while let Some((_, rows)) = steps.find(|(step, _)| step.table == table) {
            is_on_path = true;
            if !self.published.contains(&table) {
                // It was asked in another way.
                rows.lookup = None;
                rows.forget();
            }
        }
        if is_on_path {
            self.published.insert(table);
        }
    }

    /// Whose a row is, from the change and the cached answers.
    pub fn owner(&self, rule: Option<&OwnerRule>, change: &Change) -> Ownership {
        let owner = self.known_owner(rule, change);
        owner.unwrap_or(Ownership::Nobody)
    }

    /// The same; `None` where it has not been asked for.
    pub fn known_owner(&self, rule: Option<&OwnerRule>, change: &Change) -> Option<Ownership> {
        let name = rule.map_or(DEFAULT_COLUMN, |rule| &rule.column);
        let at = change.relation.column(name);
        let column = at.and_then(|at| change.relation.columns.get(at));
        let (Some(mut text), Some(column)) = (shown_text(change, name), column) else {
            return Some(Ownership::Nobody);
        };
        let mut equality = Equality::of(column);
        for step in rule.map_or(&[][..], |rule| &rule.steps) {
            let rows = self.steps.get(step)?;
            let next = match rows.get(&text) {
                Answer::Known(Some(next)) => next,
                Answer::Known(None) => return Some(Ownership::Nobody),
                Answer::Missing => return None,
                Answer::Untold => return Some(Ownership::Untold),
                Answer::Refused(refusal) => return Some(Ownership::Unknown(refusal.clone())),
            };
            let lookup = rows.lookup.as_ref();
            equality = lookup
                .map(|lookup| lookup.value_equality)
                .unwrap_or_default();
            text = Arc::clone(next);
        }
        Some(Ownership::Owner(Owner { text, equality }))
    }

    /// Looks up what [`owner`](Self::owner) will need for `changes`, with one query for each step.
    ///
    /// # Errors
    /// When the connection is lost. A query that fails is no error: then owners are unknown.
    pub async fn look_up<'a>(
        &mut self,
        client: &Client,
        changes: impl IntoIterator<Item = (&'a OwnerRule, &'a Change)>,
    ) -> Result<(), Error> {
        let mut wanted: Vec<(&[OwnerStep], Arc<str>)> = changes
            .into_iter()
            .filter(|(rule, _)| !rule.steps.is_empty())
            .filter_map(|(rule, change)| Some((&rule.steps[..], shown_text(change, &rule.column)?)))
            .collect();
        let mut waits = false;
        // The first steps of all paths are looked up together, then the second ones.
        while !wanted.is_empty() {
            let mut missing: HashMap<&OwnerStep, HashSet<Arc<str>>> = HashMap::new();
            for (steps, key) in &wanted {
                if let [step, ..] = steps
                    && self.steps.get(step).is_none_or(|rows| {
                        matches!(rows.get(key), Answer::Missing | Answer::Refused(_))
                    })
                {
                    missing.entry(step).or_default().insert(Arc::clone(key));
                }
            }
            for (step, keys) in missing {
                waits |= self.ask(client, step, keys).await?;
            }
            wanted = wanted
                .into_iter()
                .filter_map(|(steps, key)| {
                    let (step, later) = steps.split_first()?;
                    let Answer::Known(Some(next)) = self.steps.get(step)?.get(&key) else {
                        return None;
                    };
                    (!later.is_empty()).then_some((later, Arc::clone(next)))
                })
                .collect();
        }
        if waits {
            client.execute(MARK, &[]).await?;
        }
        Ok(())
    }

    /// Notes what a change that is still to be applied tells of a row before it. It is the answer for what comes before
    /// the change, also where the row is gone from the table by now.
    ///
    /// # Errors
    /// When the connection is lost. A table that cannot be looked at tells nothing.
    pub async fn foresee(&mut self, client: &Client, change: &Change) -> Result<(), Error> {
        for (step, rows) in steps_of(change, &mut self.steps, &self.published) {
            // What another table tells that will have the name is of no use before it has.
            if rows.are_of_another(change.relation.oid) {
                continue;
            }
            rows.are_of(change.relation.oid);
            if rows.prepare(client, step, true).await?.is_ok() {
                rows.foresee(step, change);
            }
        }
        Ok(())
    }

    /// Notes that a table will be emptied by a transaction that commits here.
    pub fn foresee_emptied(&mut self, table: &TableName, commit_lsn: Lsn) {
        let mut steps = self.steps.iter_mut();
        while let Some((_, rows)) = steps.find(|(step, _)| step.table == *table) {
            rows.foresee_emptied(commit_lsn);
        }
    }

    /// All that was committed before `reached` has been applied or foreseen.
    pub fn has_foreseen(&mut self, reached: Lsn) {
        self.reach.extend(reached);
        for rows in self.steps.values_mut() {
            rows.settle(&self.reach);
        }
    }

    /// All that this snapshot saw was committed before `reached`.
    pub fn has_seen(&mut self, snapshot: &Snapshot, reached: Lsn) {
        self.reach.expect(Moment::of(snapshot.oldest(), reached));
    }

    /// Is there room to note more in advance?
    pub fn has_room(&self) -> bool {
        self.steps.values().all(|rows| rows.count() < KEPT_AT_MOST)
    }

    /// Does this table stand on a path?
    pub fn is_on_path(&self, table: &TableName) -> bool {
        self.published.contains(table) && self.steps.keys().any(|step| step.table == *table)
    }

    /// Does another table take the name of one on a path with this change?
    pub fn is_replaced_by(&self, change: &Change) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|(step, rows)| {
            is_of(change, &step.table) && rows.are_of_another(change.relation.oid)
        })
    }

    /// Updates the caches with a change of a table that owners are looked up in.
    pub fn follow(&mut self, change: &Change) {
        let mut is_another = false;
        for (step, rows) in steps_of(change, &mut self.steps, &self.published) {
            is_another |= rows.are_of(change.relation.oid) || rows.lookup.is_none();
            rows.follow(step, change);
        }
        if is_another {
            // Nothing was noted in advance of this one, or it cannot be followed.
            let before = change.transaction.commit_lsn.0.saturating_sub(1);
            self.reach.shrink(Lsn(before));
        }
    }

    /// The transaction has ended whose commit ends here.
    pub fn end_transaction(&mut self, end_lsn: Lsn) {
        for rows in self.steps.values_mut() {
            rows.end_transaction(end_lsn);
        }
    }

    /// Drops the answers about a table whose rows are all gone.
    pub fn empty(&mut self, table: &TableName) {
        let of_table = self
            .steps
            .iter_mut()
            .filter(|(step, _)| step.table == *table);
        of_table.for_each(|(_, rows)| rows.empty());
    }

    /// Drops all refusals, the answers about tables that are not published, and all of a table where they are too many.
    /// Call it after each batch.
    pub fn forget(&mut self) {
        for (step, rows) in &mut self.steps {
            rows.forgive_all();
            let too_many = rows.count() >= KEPT_AT_MOST;
            if too_many {
                self.reach.shrink(Lsn::ZERO);
            }
            if too_many || !self.published.contains(&step.table) {
                rows.forget();
            }
        }
    }

    /// Asks for the rows of a step with these keys. Returns whether the stream has to go on for an answer.
    async fn ask(
        &mut self,
        client: &Client,
        step: &OwnerStep,
        keys: HashSet<Arc<str>>,
    ) -> Result<bool, Error> {
        let is_published = self.published.contains(&step.table);
        let rows = self.steps.entry(step.clone()).or_default();
        let keys: Vec<Arc<str>> = keys.into_iter().collect();
        // Once more with what the catalog says now, where the table is another than the query was made for.
        for _ in 0..2 {
            let asked = match rows.prepare(client, step, is_published).await? {
                Ok(lookup) => {
                    let reach = is_published.then_some(&mut self.reach);
                    rows.ask(client, &lookup, &keys, reach).await?
                }
                Err(refusal) => {
                    rows.refuse(&keys, &refusal);
                    Asked::Done
                }
            };
            if asked == Asked::Done {
                break;
            }
            rows.lookup = None;
        }
        Ok(rows.wait())
    }
}

/// The tables of a publication of which the stream carries all that happens to their rows.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn wholly_published(
    client: &Client,
    publication: &str,
) -> anyhow::Result<HashSet<TableName>> {
    let sql = include_str!("../../sql/catalog/wholly_published.sql");
    let rows = client.query(sql, &[&publication]).await;
    let rows = rows.with_context(|| format!("read what {publication} publishes"))?;
    let name = |row: &Row| {
        Ok(TableName {
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
        })
    };
    rows.iter().map(name).collect()
}

/// The steps that look into the table of this change; none where the stream lacks some of its changes, because what it
/// tells of a row can then be outdated already.
fn steps_of<'a>(
    change: &Change,
    steps: &'a mut HashMap<OwnerStep, Rows>,
    published: &HashSet<TableName>,
) -> impl Iterator<Item = (&'a OwnerStep, &'a mut Rows)> {
    let mut steps = steps.iter_mut();
    std::iter::from_fn(move || {
        steps.find(|(step, _)| is_of(change, &step.table) && published.contains(&step.table))
    })
}

fn is_of(change: &Change, table: &TableName) -> bool {
    change.relation.name == table.name && change.relation.schema == table.schema
}

/// The text of a column of the shown row; `None` where it is null or unknown.
fn shown_text(change: &Change, column: &str) -> Option<Arc<str>> {
    let at = change.relation.column(column)?;
    let image = change.shown()?;
    if matches!(image, Image::Key(_)) && !change.relation.columns.get(at)?.identity_key {
        return None;
    }
    match image.tuple().get(at)? {
        Value::Text(bytes) => Some(String::from_utf8_lossy(bytes).into()),
        Value::Null | Value::Unchanged => None,
    }
}
