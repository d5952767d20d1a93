//! `enrich` of a table: what the user's queries add to a row.
//!
//! A query runs for a whole batch of rows at once. It sees the present, which may be later than the row. What it does
//! not answer is listed as unknown in the payload; no row waits until a query succeeds.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, Result};

use crate::{
    change::Change,
    config::{Config, TableRules},
    expression::query::Query,
    lookup::{
        halves::Refusal,
        query::{Arguments, QueryRunner, batch_sql},
    },
    postgres::{
        TableName,
        relation::Relation,
        tuple::{Image, Value},
    },
};

/// The result of one `enrich` query for one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrichedField {
    /// The key under which it is shown.
    pub key: Arc<str>,
    /// The first row of the result as a JSON object, or `null` if there was none. `None`: the query failed.
    pub json: Option<String>,
}

/// Runs the queries of `enrich`.
pub struct Enrichment {
    tables: HashMap<TableName, Vec<Addition>>,
    runner: QueryRunner,
}

/// One line of `[tables.NAME.enrich]`.
struct Addition {
    key: Arc<str>,
    query: Query,
}

impl Enrichment {
    /// Runs the queries of each `[tables.NAME.enrich]`.
    pub fn new(config: &Config) -> Self {
        let tables = config.tables.iter();
        let tables = tables.filter(|rules| !rules.enrich.is_empty());
        let additions = |rules: &TableRules| {
            let all = rules.enrich.iter().map(|enrich| Addition {
                key: enrich.key.as_str().into(),
                query: enrich.query.clone(),
            });
            all.collect()
        };
        Self {
            tables: tables
                .map(|rules| (rules.table.clone(), additions(rules)))
                .collect(),
            runner: QueryRunner::new("rowhook enrich", config.database.source().clone()),
        }
    }

    /// Adds to each change's fields what the queries find for its row, with one query for each table and key. Returns
    /// the tables for which the database could not answer now, whose changes it has added nothing to.
    ///
    /// # Errors
    /// When the database cannot be reached. A query that fails for good is no error: its fields are unknown.
    pub async fn look_up(
        &mut self,
        changes: Vec<(&Change, &mut Vec<EnrichedField>)>,
    ) -> Result<HashMap<TableName, Refusal>> {
        let mut by_relation: HashMap<usize, Vec<(&Change, &mut Vec<EnrichedField>)>> =
            HashMap::new();
        for (change, added) in changes {
            if self.tables.contains_key(&change.relation.table()) {
                let key = Arc::as_ptr(&change.relation).addr();
                by_relation.entry(key).or_default().push((change, added));
            }
        }
        let mut not_now = HashMap::new();
        for mut rows in by_relation.into_values() {
            let Some(relation) = rows.first().map(|(change, _)| Arc::clone(&change.relation))
            else {
                continue;
            };
            for addition in self.tables.get(&relation.table()).into_iter().flatten() {
                let rows_of_arguments: Vec<Arguments<'_>> = rows
                    .iter()
                    .map(|(change, _)| arguments(change, &addition.query))
                    .collect();
                let sql = sql(&addition.query, &relation);
                let answers = self.runner.run(&sql, &rows_of_arguments).await;
                let answers = answers.context("look up what enrich adds")?;
                match answers.failed {
                    Some(refusal) if refusal.is_for_now() => {
                        rows.iter_mut().for_each(|(_, added)| added.clear());
                        not_now.insert(relation.table(), refusal);
                        break;
                    }
                    Some(refusal) => {
                        tracing::warn!(
                            table = %relation.table(),
                            key = &*addition.key,
                            error = refusal.reason,
                            "a query of enrich failed; what it was to add is left out"
                        );
                    }
                    None => {}
                }
                for ((_, added), json) in rows.iter_mut().zip(answers.texts) {
                    let key = Arc::clone(&addition.key);
                    added.push(EnrichedField { key, json });
                }
            }
        }
        Ok(not_now)
    }

    /// The fields of a table's rows where nothing can be looked up for them.
    pub fn unknown(&self, table: &TableName) -> Vec<EnrichedField> {
        let additions = self.tables.get(table).into_iter().flatten();
        let unknown = additions.map(|addition| EnrichedField {
            key: Arc::clone(&addition.key),
            json: None,
        });
        unknown.collect()
    }
}

/// The arguments of the query for a row.
fn arguments<'a>(change: &'a Change, query: &Query) -> Arguments<'a> {
    let columns = query.columns().into_iter();
    columns.map(|column| column_text(change, column)).collect()
}

/// The text of a column of the shown row, or null; `None` where the value is unknown.
pub(crate) fn column_text<'a>(change: &'a Change, column: &str) -> Option<Option<&'a str>> {
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

/// The SQL that runs the query for many rows, and gives the first row of each result as a JSON object.
pub(crate) fn sql(query: &Query, relation: &Relation) -> String {
    let answer = |inner: &str| {
        format!(
            "coalesce((select pg_catalog.row_to_json(asked)::text from ({inner}) as asked limit 1), 'null')"
        )
    };
    batch_sql(query, |column| sql_type(relation, column), answer)
}

/// The SQL type of a column.
pub(crate) fn sql_type(relation: &Relation, column: &str) -> String {
    let at = relation.column(column);
    let column = at.and_then(|at| relation.columns.get(at));
    column.map_or_else(|| "text".to_owned(), |column| column.sql_type.clone())
}
