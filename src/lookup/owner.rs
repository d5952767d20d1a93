//! Finds the owner of a row: in a column of the row, or along a path of foreign keys.
//!
//! Paths are looked up in batches. An answer is cached only for tables that are published, because the stream keeps
//! those up to date. Other tables are queried for every batch: a row that is sent to its former owner would be a leak.
//! A key that the database gives no answer for makes the owners of its own rows unknown, and no others.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio_postgres::{Client, Error, Row};

use crate::{
    change::Change,
    config::{OwnerRule, OwnerStep},
    lookup::halves::{Halves, Refusal},
    postgres::{
        TableName,
        fault::Fault,
        quote,
        tuple::{Image, Value},
    },
};

/// The column of the owner in tables that have no owner rule.
pub const DEFAULT_COLUMN: &str = "user_id";

/// The most answers that are cached of one step. When there are as many, all of them are dropped.
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
    Owner(Arc<str>),
    /// Nobody's: the column or the row that the path leads to is null or missing, or the stream does not carry it.
    Nobody,
    /// Somebody's perhaps: the database did not answer.
    Unknown(Refusal),
}

/// The cache of one step: the keys of its table, and the value of the step's column for each.
#[derive(Debug, Default)]
struct Answers {
    known: HashMap<Arc<str>, Option<Arc<str>>>,
    /// The keys that the database gave no answer for when they were looked up last.
    refused: HashMap<Arc<str>, Refusal>,
    lookup: Option<Lookup>,
}

/// How a step finds a row of its table: the primary key, and the query.
#[derive(Debug, Clone)]
struct Lookup {
    key: String,
    sql: String,
}

impl Owners {
    /// Finds owners by these rules, with empty caches. The stream carries the changes of the `published` tables.
    pub fn new<'a>(
        rules: impl IntoIterator<Item = &'a OwnerRule>,
        published: impl IntoIterator<Item = TableName>,
    ) -> Self {
        let steps = rules.into_iter().flat_map(|rule| &rule.steps);
        Self {
            published: published.into_iter().collect(),
            steps: steps
                .map(|step| (step.clone(), Answers::default()))
                .collect(),
        }
    }

    /// Whose a row is, from the change and the cached answers.
    pub fn owner(&self, rule: Option<&OwnerRule>, change: &Change) -> Ownership {
        let column = rule.map_or(DEFAULT_COLUMN, |rule| &rule.column);
        let Some(mut key) = shown_text(change, column) else {
            return Ownership::Nobody;
        };
        for step in rule.map_or(&[][..], |rule| &rule.steps) {
            let Some(answers) = self.steps.get(step) else {
                return Ownership::Nobody;
            };
            if let Some(refusal) = answers.refused.get(&key) {
                return Ownership::Unknown(refusal.clone());
            }
            match answers.known.get(&key) {
                Some(Some(next)) => key = Arc::clone(next),
                Some(None) | None => return Ownership::Nobody,
            }
        }
        Ownership::Owner(key)
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
                        .is_none_or(|answers| !answers.known.contains_key(key))
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
                    let answer = self.steps.get(step)?.known.get(&key)?.clone()?;
                    (!later.is_empty()).then_some((later, answer))
                })
                .collect();
        }
        Ok(())
    }

    /// Updates the caches with a change of a table that owners are looked up in.
    pub fn follow(&mut self, change: &Change) {
        let table = change.relation.table();
        // The answer of a deleted row is kept, because the stream may delete its children after it.
        let Some(Image::Whole(row)) = change.shown() else {
            return;
        };
        for (step, answers) in self
            .steps
            .iter_mut()
            .filter(|(step, _)| step.table == table)
        {
            let Some(Lookup { key, .. }) = &answers.lookup else {
                continue;
            };
            let text =
                |column: &str| match change.relation.column(column).and_then(|at| row.get(at)) {
                    Some(Value::Text(bytes)) => Some(Some(text(bytes))),
                    Some(Value::Null) => Some(None),
                    Some(Value::Unchanged) | None => None,
                };
            if let (Some(Some(key)), Some(value)) = (text(key), text(&step.column)) {
                answers.keep(key, value);
            }
        }
    }

    /// Drops the answers about tables that are not published, and all refusals. Call it after each batch.
    pub fn forget(&mut self) {
        for (step, answers) in &mut self.steps {
            answers.refused.clear();
            if !self.published.contains(&step.table) {
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
        answers.forgive(&keys);
        if let Some(lookup) = answers.lookup.clone()
            && answers.ask(client, &lookup, &keys).await? == Asked::OfAnotherTable
        {
            answers.lookup = None;
            answers.forgive(&keys);
        }
        if answers.lookup.is_none() {
            match Lookup::prepare(client, step).await? {
                Ok(lookup) => {
                    answers.ask(client, &lookup, &keys).await?;
                    answers.lookup = Some(lookup);
                }
                Err(refusal) => {
                    let refused = keys.into_iter().map(|key| (key, refusal.clone()));
                    answers.refused.extend(refused);
                }
            }
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
    fn keep(&mut self, key: Arc<str>, value: Option<Arc<str>>) {
        if self.known.len() >= KEPT_AT_MOST {
            self.known.clear();
        }
        self.known.insert(key, value);
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
                    .for_each(|(key, value)| self.keep(key, value)),
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
        let table = quote::table(&step.table);
        let sql = include_str!("../../sql/catalog/primary_key.sql");
        let read = async {
            let keys = client.query(sql, &[&table]).await?;
            let key = |row: &Row| Ok::<_, Error>((row.try_get(0)?, row.try_get(1)?));
            keys.iter()
                .map(key)
                .collect::<Result<Vec<(String, String)>, _>>()
        };
        let keys = match read.await {
            Ok(keys) => keys,
            Err(error) => return Ok(Err(Refusal::of(error)?)),
        };
        let [(key, ty)] = &keys[..] else {
            return Ok(Err(Refusal {
                fault: Fault::ForGood,
                reason: format!("the primary key of {} is not one column", step.table),
            }));
        };
        let quoted = quote::name(key);
        let sql = format!(
            "select {quoted}::text, {}::text from {table} where {quoted} = any($1::text[]::{ty}[])",
            quote::name(&step.column),
        );
        let key = key.clone();
        Ok(Ok(Self { key, sql }))
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
