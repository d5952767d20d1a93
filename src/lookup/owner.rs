//! Finds the owner of a row: in a column of the row, or along a path of foreign keys.
//!
//! Paths are looked up in batches. An answer is cached only for tables that are published, because the stream keeps
//! those up to date. Other tables are queried for every batch: a row that is sent to its former owner would be a leak.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use anyhow::{Context, Result};
use tokio_postgres::Client;

use crate::{
    change::Change,
    config::{OwnerRule, OwnerStep},
    postgres::{
        TableName, quote,
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

/// The cache of one step: the keys of its table, and the value of the step's column for each.
#[derive(Debug, Default)]
struct Answers {
    known: HashMap<Arc<str>, Option<Arc<str>>>,
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

    /// The owner of a row, from the change and the cached answers; `None` where it has none or it is unknown.
    pub fn owner(&self, rule: Option<&OwnerRule>, change: &Change) -> Option<Arc<str>> {
        let column = rule.map_or(DEFAULT_COLUMN, |rule| &rule.column);
        let mut key = shown_text(change, column)?;
        for step in rule.map_or(&[][..], |rule| &rule.steps) {
            key = self.steps.get(step)?.known.get(&key)?.clone()?;
        }
        Some(key)
    }

    /// Looks up what [`owner`](Self::owner) will need for `changes`, with one query for each step.
    ///
    /// # Errors
    /// When a query fails.
    pub async fn look_up<'a>(
        &mut self,
        client: &Client,
        changes: impl IntoIterator<Item = (&'a OwnerRule, &'a Change)>,
    ) -> Result<()> {
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

    /// Drops the answers about tables that are not published. Call it after each batch.
    pub fn forget(&mut self) {
        for (step, answers) in &mut self.steps {
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
    ) -> Result<()> {
        let answers = self.steps.entry(step.clone()).or_default();
        let lookup = match &answers.lookup {
            Some(lookup) => lookup.clone(),
            None => answers
                .lookup
                .insert(Lookup::prepare(client, step).await?)
                .clone(),
        };
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        let rows = client.query(&lookup.sql, &[&keys]).await;
        for row in
            rows.with_context(|| format!("look up {}.{} for owners", step.table, step.column))?
        {
            let value: Option<&str> = row.try_get(1)?;
            answers.keep(Arc::from(row.try_get::<_, &str>(0)?), value.map(Arc::from));
        }
        Ok(())
    }
}

impl Answers {
    fn keep(&mut self, key: Arc<str>, value: Option<Arc<str>>) {
        if self.known.len() >= KEPT_AT_MOST {
            self.known.clear();
        }
        self.known.insert(key, value);
    }
}

impl Lookup {
    async fn prepare(client: &Client, step: &OwnerStep) -> Result<Self> {
        let table = quote::table(&step.table);
        let sql = include_str!("../../sql/catalog/primary_key.sql");
        let keys = client.query(sql, &[&table]).await;
        let keys = keys.with_context(|| format!("find the primary key of {}", step.table))?;
        let [key] = &keys[..] else {
            anyhow::bail!(
                "an owner path goes through {}, whose primary key is not one column",
                step.table
            );
        };
        let (key, ty, equals): (String, String, String) =
            (key.try_get(0)?, key.try_get(1)?, key.try_get(2)?);
        let quoted = quote::name(&key);
        let sql = format!(
            "select {quoted}::text, {}::text from {table} where {quoted} {equals} any($1::text[]::{ty}[])",
            quote::name(&step.column),
        );
        Ok(Self { key, sql })
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
