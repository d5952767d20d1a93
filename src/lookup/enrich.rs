//! What is looked up beside a row: `enrich` of a table.
//!
//! A query of the user's is asked for a whole batch of rows at once. It sees the present, which may be later than the row. What
//! it does not answer is not known, and the payload says so; no row waits for another answer.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, Result};

use crate::{
    change::Change,
    config::{Config, TableRules},
    expression::question::Question,
    lookup::asking::{Arguments, Asker, batched},
    postgres::{
        TableName,
        relation::Relation,
        tuple::{Image, Value},
    },
};

/// What was looked up for one row under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The key under which it is shown.
    pub key: Arc<str>,
    /// The first row of the answer as a JSON object, `null` where there was none; `None`: it is not known.
    pub json: Option<String>,
}

/// Looks up what is shown beside rows.
pub struct Enrichment {
    tables: HashMap<TableName, Vec<Addition>>,
    asker: Asker,
}

/// One line of `[tables.NAME.enrich]`.
struct Addition {
    key: Arc<str>,
    question: Question,
}

impl Enrichment {
    /// What `[tables.NAME.enrich]` asks for.
    pub fn new(config: &Config) -> Self {
        let tables = config.tables.iter();
        let tables = tables.filter(|rules| !rules.enrich.is_empty());
        let additions = |rules: &TableRules| {
            let all = rules.enrich.iter().map(|enrich| Addition {
                key: enrich.key.as_str().into(),
                question: enrich.question.clone(),
            });
            all.collect()
        };
        Self {
            tables: tables
                .map(|rules| (rules.table.clone(), additions(rules)))
                .collect(),
            asker: Asker::new("rowhook enrich", config.database.address.clone()),
        }
    }

    /// Looks up what is shown beside each of these changes: one query for each table and key.
    ///
    /// # Errors
    /// When the database cannot be reached. A query that fails is no error: what it was to find is not known.
    pub async fn look_up(&mut self, changes: Vec<(&Change, &mut Vec<Added>)>) -> Result<()> {
        let mut by_relation: HashMap<usize, Vec<(&Change, &mut Vec<Added>)>> = HashMap::new();
        for (change, added) in changes {
            if self.tables.contains_key(&change.relation.table()) {
                let key = Arc::as_ptr(&change.relation).addr();
                by_relation.entry(key).or_default().push((change, added));
            }
        }
        for mut rows in by_relation.into_values() {
            let Some(relation) = rows.first().map(|(change, _)| Arc::clone(&change.relation))
            else {
                continue;
            };
            for addition in self.tables.get(&relation.table()).into_iter().flatten() {
                let asked: Vec<Arguments<'_>> = rows
                    .iter()
                    .map(|(change, _)| arguments(change, &addition.question))
                    .collect();
                let sql = sql(&addition.question, &relation);
                let answers = self.asker.ask(&sql, &asked).await;
                let answers = answers.context("look up what enrich adds")?;
                if let Some(error) = answers.failed {
                    tracing::warn!(
                        table = %relation.table(),
                        key = &*addition.key,
                        error,
                        "a query of enrich failed; what it was to add is left out"
                    );
                }
                for ((_, added), json) in rows.iter_mut().zip(answers.texts) {
                    let key = Arc::clone(&addition.key);
                    added.push(Added { key, json });
                }
            }
        }
        Ok(())
    }
}

/// The values of the row that the question asks with.
fn arguments<'a>(change: &'a Change, question: &Question) -> Arguments<'a> {
    let columns = question.columns().into_iter();
    columns.map(|column| known(change, column)).collect()
}

/// The text of a column in what is shown of the row; `None` where it is not known.
pub(crate) fn known<'a>(change: &'a Change, column: &str) -> Option<Option<&'a str>> {
    let at = change.relation.column(column)?;
    let image = change.shown()?;
    if matches!(image, Image::Key(_)) && !change.relation.columns.get(at)?.identity_key {
        return None;
    }
    match image.tuple().get(at)? {
        Value::Text(text) => std::str::from_utf8(text).ok().map(Some),
        Value::Null => Some(None),
        Value::Unchanged => None,
    }
}

/// The SQL of the question for many rows: the first row that it finds as an object.
pub(crate) fn sql(question: &Question, relation: &Relation) -> String {
    let answer = |query: &str| {
        format!(
            "coalesce((select row_to_json(asked)::text from ({query}) as asked limit 1), 'null')"
        )
    };
    batched(question, |column| sql_type(relation, column), answer)
}

/// What a column is in SQL.
pub(crate) fn sql_type(relation: &Relation, column: &str) -> String {
    let at = relation.column(column);
    let column = at.and_then(|at| relation.columns.get(at));
    column.map_or_else(|| "text".to_owned(), |column| column.sql_type.clone())
}
