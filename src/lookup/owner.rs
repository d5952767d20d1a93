//! Finds the owner of a row: in a column of the row, or along a path of foreign keys.
//!
//! Paths are looked up in batches. An answer is cached only for tables whose updates are published, because the stream
//! keeps those up to date. Other tables are queried for every batch: a row that is sent to its former owner would be a
//! leak.
//!
//! A key that the database gives no answer for makes the owners of its own rows unknown, and no others.
//!
//! What the stream itself tells of a row before a change goes before what the table holds now: its owner may have
//! changed since, and a row that was deleted together with its children is not there any more.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use anyhow::Context;
use tokio_postgres::{Client, Error, Row};

use crate::{
    change::{Change, RowChange},
    config::{OwnerRule, OwnerStep},
    lookup::halves::{Halves, Refusal},
    postgres::{
        TableName,
        equality::Equality,
        fault::Fault,
        quote,
        relation::Relation,
        tuple::{Image, Old, Tuple, Value},
    },
};

/// The column of the owner in tables that have no owner rule.
pub const DEFAULT_COLUMN: &str = "user_id";

/// The most answers that are cached of one step from one batch to the next. Where there are as many, all are dropped.
const KEPT_AT_MOST: usize = 100_000;

/// Finds the owners of rows, and caches what it looked up.
#[derive(Debug)]
pub struct Owners {
    published: HashSet<TableName>,
    steps: HashMap<OwnerStep, Answers>,
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
}

/// The owner of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its name, as the stream or the database has it.
    pub text: Arc<str>,
    /// When another text is the same owner.
    pub equality: Equality,
}

/// The cache of one step: the keys of its table, and the value of the step's column for each.
#[derive(Debug, Default)]
struct Answers {
    /// The table that the answers are of, where the stream has told of it.
    oid: Option<u32>,
    known: HashMap<Arc<str>, Option<Arc<str>>>,
    /// The keys of rows that the open transaction has deleted. Their children may be deleted after them.
    gone: Vec<Arc<str>>,
    /// The keys that the database gave no answer for when they were looked up last.
    refused: HashMap<Arc<str>, Refusal>,
    lookup: Option<Lookup>,
}

/// How a step finds a row of its table: the primary key, and the query.
#[derive(Debug, Clone)]
struct Lookup {
    key: String,
    /// Keys are kept by the texts that are canonical in this.
    key_equality: Equality,
    value_equality: Equality,
    sql: String,
}

impl Owners {
    /// Finds owners by these rules, with empty caches. No table counts as published yet.
    pub fn new<'a>(rules: impl IntoIterator<Item = &'a OwnerRule>) -> Self {
        let steps = rules.into_iter().flat_map(|rule| &rule.steps);
        Self {
            published: HashSet::new(),
            steps: steps
                .map(|step| (step.clone(), Answers::default()))
                .collect(),
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
        let sql = include_str!("../../sql/catalog/wholly_published.sql");
        let rows = client.query(sql, &[&publication]).await;
        let rows = rows.with_context(|| format!("read what {publication} publishes"))?;
        let name = |row: &Row| {
            Ok::<_, Error>(TableName {
                schema: row.try_get("schema")?,
                name: row.try_get("name")?,
            })
        };
        self.published = rows.iter().map(name).collect::<Result<_, Error>>()?;
        self.forget();
        Ok(())
    }

    /// Asks for what this table says from now on, because the stream does not tell of it any more.
    pub fn distrust(&mut self, table: &TableName) {
        if self.published.remove(table) {
            self.forget();
        }
    }

    /// Whose a row is, from the change and the cached answers.
    pub fn owner(&self, rule: Option<&OwnerRule>, change: &Change) -> Ownership {
        match self.follow_path(rule, change) {
            Ok(Some(owner)) => Ownership::Owner(owner),
            Ok(None) => Ownership::Nobody,
            Err(refusal) => Ownership::Unknown(refusal),
        }
    }

    /// The end of the path from a row; `None` where there is none.
    ///
    /// # Errors
    /// Why the database did not answer.
    fn follow_path(
        &self,
        rule: Option<&OwnerRule>,
        change: &Change,
    ) -> Result<Option<Owner>, Refusal> {
        let name = rule.map_or(DEFAULT_COLUMN, |rule| &rule.column);
        let at = change.relation.column(name);
        let column = at.and_then(|at| change.relation.columns.get(at));
        let (Some(mut text), Some(column)) = (shown_text(change, name), column) else {
            return Ok(None);
        };
        let mut equality = Equality::of(column);
        for step in rule.map_or(&[][..], |rule| &rule.steps) {
            let Some(answers) = self.steps.get(step) else {
                return Ok(None);
            };
            if let Some(refusal) = answers.refused.get(&text) {
                return Err(refusal.clone());
            }
            let (Some(Some(next)), Some(lookup)) = (answers.get(&text), &answers.lookup) else {
                return Ok(None);
            };
            (text, equality) = (Arc::clone(next), lookup.value_equality);
        }
        Ok(Some(Owner { text, equality }))
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
        // The first steps of all paths are looked up together, then the second ones.
        while !wanted.is_empty() {
            let mut missing: HashMap<&OwnerStep, HashSet<Arc<str>>> = HashMap::new();
            for (steps, key) in &wanted {
                if let [step, ..] = steps
                    && self
                        .steps
                        .get(step)
                        .is_none_or(|answers| answers.get(key).is_none())
                {
                    missing.entry(step).or_default().insert(Arc::clone(key));
                }
            }
            for (step, keys) in missing {
                self.ask(client, step, keys).await?;
            }
            wanted = wanted
                .into_iter()
                .filter_map(|(steps, key)| {
                    let (step, later) = steps.split_first()?;
                    let answer = self.steps.get(step)?.get(&key)?.clone()?;
                    (!later.is_empty()).then_some((later, answer))
                })
                .collect();
        }
        Ok(())
    }

    /// Takes from these changes, which are the next ones of the stream, what they tell of rows before them. It is the
    /// answer for all that comes before the change itself, also where the row is gone from the table by now.
    ///
    /// # Errors
    /// When the connection is lost. A table that cannot be looked at tells nothing.
    pub async fn foresee(&mut self, client: &Client, changes: &[&Change]) -> Result<(), Error> {
        for change in changes {
            for (step, answers) in steps_of(change, &mut self.steps, &self.published) {
                answers.are_of(change.relation.oid);
                if answers.prepare(client, step).await?.is_err() {
                    continue;
                }
                let (image, is_new) = match &change.row {
                    RowChange::Insert { new } => (new, true),
                    RowChange::Update { old, .. } | RowChange::Delete { old } => match old {
                        Old::Full(old) => (old, false),
                        Old::Key(_) | Old::SameKey => continue,
                    },
                    RowChange::Fired { .. } | RowChange::Truncate => continue,
                };
                if let Some((key, value)) = answers.read(step, change, image) {
                    let before = if is_new { None } else { value };
                    answers.known.entry(key).or_insert(before);
                }
            }
        }
        Ok(())
    }

    /// Updates the caches with a change of a table that owners are looked up in.
    pub fn follow(&mut self, change: &Change) {
        let Some(Image::Whole(row)) = change.shown() else {
            return;
        };
        for (step, answers) in steps_of(change, &mut self.steps, &self.published) {
            answers.are_of(change.relation.oid);
            let Some((key, value)) = answers.read(step, change, row) else {
                continue;
            };
            match change.row {
                RowChange::Delete { .. } => answers.gone.push(Arc::clone(&key)),
                _ => answers.gone.retain(|gone| *gone != key),
            }
            answers.known.insert(key, value);
        }
    }

    /// The transaction has ended: the rows that it deleted have no children any more.
    pub fn end_transaction(&mut self) {
        for answers in self.steps.values_mut() {
            for key in answers.gone.drain(..) {
                answers.known.remove(&key);
            }
        }
    }

    /// Drops the answers about a table whose rows are all gone.
    pub fn empty(&mut self, table: &TableName) {
        let of_table = self
            .steps
            .iter_mut()
            .filter(|(step, _)| step.table == *table);
        of_table.for_each(|(_, answers)| answers.known.clear());
    }

    /// Drops all refusals, the answers about tables that are not published, and all of a table where they are too many.
    /// Call it after each batch.
    pub fn forget(&mut self) {
        for (step, answers) in &mut self.steps {
            answers.refused.clear();
            let too_many = answers.known.len() >= KEPT_AT_MOST;
            if too_many || !self.published.contains(&step.table) {
                answers.known.clear();
            }
        }
    }

    async fn ask(
        &mut self,
        client: &Client,
        step: &OwnerStep,
        keys: HashSet<Arc<str>>,
    ) -> Result<(), Error> {
        let answers = self.steps.entry(step.clone()).or_default();
        let keys: Vec<Arc<str>> = keys.into_iter().collect();
        // Once more with what the catalog says now, where the table is another than the query was made for.
        for _ in 0..2 {
            answers.forgive(&keys);
            let asked = match answers.prepare(client, step).await? {
                Ok(lookup) => answers.ask(client, &lookup, &keys).await?,
                Err(refusal) => {
                    let refused = keys.iter().map(|key| (Arc::clone(key), refusal.clone()));
                    answers.refused.extend(refused);
                    Asked::Done
                }
            };
            if asked == Asked::Done {
                break;
            }
            answers.lookup = None;
        }
        Ok(())
    }
}

/// What came of a query for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Each key was answered or refused.
    Done,
    /// The table is no longer the one that the query was made for.
    OfAnotherTable,
}

impl Answers {
    /// Drops the answers of another table, which had the name before this one.
    fn are_of(&mut self, oid: u32) {
        if self.oid.replace(oid).is_some_and(|before| before != oid) {
            *self = Self {
                oid: self.oid,
                ..Self::default()
            };
        }
    }

    /// What is known of the row with this key.
    fn get(&self, key: &str) -> Option<&Option<Arc<str>>> {
        let lookup = self.lookup.as_ref()?;
        self.known.get(&*lookup.key_equality.canonical(key))
    }

    /// Keeps an answer of the table, unless the stream has told more of the row.
    fn keep(&mut self, key: &str, value: Option<Arc<str>>) {
        if let Some(lookup) = &self.lookup {
            let key = lookup.key_equality.canonical(key);
            self.known.entry(Arc::from(&*key)).or_insert(value);
        }
    }

    /// The key and the value of the step in a row of its table; `None` where one of them is not known.
    fn read(
        &self,
        step: &OwnerStep,
        change: &Change,
        row: &Tuple,
    ) -> Option<(Arc<str>, Option<Arc<str>>)> {
        let lookup = self.lookup.as_ref()?;
        let value = |column: &str| row.get(change.relation.column(column)?);
        let Value::Text(key) = value(&lookup.key)? else {
            return None;
        };
        let key = String::from_utf8_lossy(key);
        let key = Arc::from(&*lookup.key_equality.canonical(&key));
        match value(&step.column)? {
            Value::Text(bytes) => Some((key, Some(text(bytes)))),
            Value::Null => Some((key, None)),
            Value::Unchanged => None,
        }
    }

    /// How the step is looked up; the first time that is read from the catalog. The inner error says why it cannot be.
    async fn prepare(
        &mut self,
        client: &Client,
        step: &OwnerStep,
    ) -> Result<Result<Lookup, Refusal>, Error> {
        if let Some(lookup) = &self.lookup {
            return Ok(Ok(lookup.clone()));
        }
        let prepared = Lookup::prepare(client, step).await?;
        self.lookup = prepared.as_ref().ok().cloned();
        Ok(prepared)
    }

    /// Forgets why these keys were refused.
    fn forgive(&mut self, keys: &[Arc<str>]) {
        for key in keys {
            self.refused.remove(key);
        }
    }

    async fn ask(
        &mut self,
        client: &Client,
        lookup: &Lookup,
        keys: &[Arc<str>],
    ) -> Result<Asked, Error> {
        let mut halves = Halves::of(keys.len());
        while let Some(part) = halves.next_part() {
            let some = keys.get(part.clone()).unwrap_or_default();
            match lookup.values(client, some).await {
                Ok(found) => found
                    .into_iter()
                    .for_each(|(key, value)| self.keep(&key, value)),
                Err(error) => halves.refuse(part, Refusal::of(error)?),
            }
        }
        let refused = halves.refused();
        let is_of_another = |(_, refusal): &(usize, Refusal)| refusal.fault == Fault::Renamed;
        let asked = match refused.iter().any(is_of_another) {
            true => Asked::OfAnotherTable,
            false => Asked::Done,
        };
        let refused = refused
            .into_iter()
            .filter_map(|(at, refusal)| Some((Arc::clone(keys.get(at)?), refusal)));
        self.refused.extend(refused);
        Ok(asked)
    }
}

impl Lookup {
    /// The query for a step, from the catalog as it is now. The inner error says why there is none.
    async fn prepare(client: &Client, step: &OwnerStep) -> Result<Result<Self, Refusal>, Error> {
        let relation = match Relation::find(client, &step.table).await {
            Ok(relation) => relation,
            Err(error) => return Ok(Err(Refusal::of(error)?)),
        };
        let refused = |fault: Fault, reason: String| Ok(Err(Refusal { fault, reason }));
        let Some(relation) = relation else {
            return refused(Fault::Renamed, format!("{} is not there", step.table));
        };
        let column = |at: usize| relation.columns.get(at);
        let key = match &relation.primary_key[..] {
            [key] => column(*key),
            _ => None,
        };
        let Some(key) = key else {
            let reason = format!("the primary key of {} is not one column", step.table);
            return refused(Fault::ForGood, reason);
        };
        let Some(value) = relation.column(&step.column).and_then(column) else {
            let reason = format!("{} has no column {:?}", step.table, step.column);
            return refused(Fault::Renamed, reason);
        };
        let (quoted, wanted) = (quote::name(&key.name), quote::name(&value.name));
        let equals = relation.key_equals.first().map_or("=", String::as_str);
        // `format` writes values as the stream does. `::text` does not: it cuts character(n), and writes true for t.
        let sql = format!(
            "select pg_catalog.format('%s', {quoted}), \
             case when {wanted} is not null then pg_catalog.format('%s', {wanted}) end \
             from {} where {quoted} {equals} any($1::text[]::{}[])",
            quote::table(&step.table),
            key.sql_type,
        );
        Ok(Ok(Self {
            key_equality: Equality::of(key),
            value_equality: Equality::of(value),
            key: key.name.clone(),
            sql,
        }))
    }

    /// The value of the step's column for each of these keys that there is a row of.
    async fn values(
        &self,
        client: &Client,
        keys: &[Arc<str>],
    ) -> Result<Vec<(Arc<str>, Option<Arc<str>>)>, Error> {
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        let rows = client.query(&self.sql, &[&keys]).await?;
        let value = |row: &Row| {
            let value: Option<&str> = row.try_get(1)?;
            Ok((Arc::from(row.try_get::<_, &str>(0)?), value.map(Arc::from)))
        };
        rows.iter().map(value).collect()
    }
}

/// The steps that look into the table of this change; none where the stream lacks some of its changes, because what it
/// tells of a row can then be outdated already.
fn steps_of<'a>(
    change: &Change,
    steps: &'a mut HashMap<OwnerStep, Answers>,
    published: &HashSet<TableName>,
) -> impl Iterator<Item = (&'a OwnerStep, &'a mut Answers)> {
    let relation = &change.relation;
    steps.iter_mut().filter(|(step, _)| {
        let table = &step.table;
        relation.name == table.name && relation.schema == table.schema && published.contains(table)
    })
}

/// The text of a column of the shown row; `None` where it is null or unknown.
fn shown_text(change: &Change, column: &str) -> Option<Arc<str>> {
    let at = change.relation.column(column)?;
    let image = change.shown()?;
    if matches!(image, Image::Key(_)) && !change.relation.columns.get(at)?.identity_key {
        return None;
    }
    match image.tuple().get(at)? {
        Value::Text(bytes) => Some(text(bytes)),
        Value::Null | Value::Unchanged => None,
    }
}

fn text(bytes: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(bytes).into()
}
