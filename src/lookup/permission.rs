//! `visible` of a table: which owners may see a row. It is asked for each owner's hook before anything is sent to it.
//!
//! When the answer is no, no delivery is made. When there is no answer, nothing is sent either: the delivery is parked,
//! and the check is made again when its turn comes. It is kept in the table together with the delivery, because every
//! attempt asks anew.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    change::Change,
    config::Config,
    expression::query::Query,
    lookup::{
        enrich::{column_text, sql_type},
        query::{Arguments, QueryRunner, batch_sql},
    },
    meters::{Counts, Meters},
    postgres::{TableName, relation::Relation},
};

/// How long a query is not asked that waits for a lock: the reader waits with it, for other tables too.
const REST: Duration = Duration::from_secs(1);
/// The variable of a query that stands for the hook's owner.
pub const OWNER: &str = "owner";
/// The variable of a query that stands for the row's primary key, where that is one column.
pub const KEY: &str = "key";

/// Asks which owners may see which rows.
pub struct Permission {
    tables: HashMap<TableName, Query>,
    runner: Mutex<QueryRunner>,
    /// The queries that the database could not answer, until when they are not asked again, and why.
    resting: Mutex<HashMap<String, (Instant, String)>>,
    meters: Arc<Meters>,
}

/// The question whether an owner may see a row: the table, and the values that its query needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisibilityCheck {
    schema: String,
    table: String,
    values: Vec<Argument>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Argument {
    name: String,
    /// The SQL type.
    ty: String,
    text: Option<String>,
}

/// May an owner see a row?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The owner may see the row.
    Yes,
    /// The owner may not see the row.
    No,
    /// There is no answer, for this reason.
    Unknown(String),
}

impl Permission {
    /// Asks what `visible` of `config` says. Answers are counted in `meters`.
    pub fn new(config: &Config, meters: Arc<Meters>) -> Self {
        let address = config.database.source().clone();
        let tables = config.tables.iter();
        let queries =
            tables.filter_map(|rules| Some((rules.table.clone(), rules.visible.clone()?)));
        Self {
            tables: queries.collect(),
            runner: Mutex::new(QueryRunner::new("rowhook permission", address)),
            resting: Mutex::default(),
            meters,
        }
    }

    /// Has this table a `visible`?
    pub fn concerns(&self, table: &TableName) -> bool {
        self.tables.contains_key(table)
    }

    /// The question whether `owner` may see the row; `None` where the table has no `visible`.
    pub fn question(&self, change: &Change, owner: &str) -> Option<VisibilityCheck> {
        let relation = &change.relation;
        let query = self.tables.get(&relation.table())?;
        let values = query.columns().into_iter().filter_map(|name| {
            let (ty, text) = match column(name, relation) {
                None => ("text".to_owned(), Some(owner)),
                Some(column) => (sql_type(relation, column), column_text(change, column)?),
            };
            Some(Argument {
                name: name.to_owned(),
                ty,
                text: text.map(str::to_owned),
            })
        });
        Some(VisibilityCheck {
            schema: relation.schema.clone(),
            table: relation.name.clone(),
            values: values.collect(),
        })
    }

    /// The answers, in the order of the questions. All questions about a table are one query.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn ask(&self, checks: &[&VisibilityCheck]) -> Result<Vec<Answer>> {
        let mut answers = vec![Answer::Unknown(String::new()); checks.len()];
        let mut by_sql: HashMap<String, Vec<usize>> = HashMap::new();
        let mut rows: Vec<Arguments<'_>> = vec![None; checks.len()];
        for (at, check) in checks.iter().enumerate() {
            match self.current_query(check) {
                Ok(query) => {
                    by_sql.entry(check.sql(query)).or_default().push(at);
                    rows[at] = Some(check.texts(query));
                }
                Err(reason) => answers[at] = Answer::Unknown(reason),
            }
        }
        for (sql, places) in by_sql {
            let rows: Vec<Arguments<'_>> = places.iter().map(|at| rows[*at].take()).collect();
            let mut resting = self.resting.lock().await;
            resting.retain(|_, (until, _)| *until > Instant::now());
            if let Some((_, reason)) = resting.get(&sql) {
                places
                    .iter()
                    .for_each(|at| answers[*at] = Answer::Unknown(reason.clone()));
                continue;
            }
            drop(resting);
            let mut runner = self.runner.lock().await;
            let found = runner.run(&sql, &rows).await.context("ask who may see")?;
            drop(runner);
            if let Some(refusal) = found.failed.as_ref().filter(|refusal| refusal.is_for_now()) {
                let mut resting = self.resting.lock().await;
                resting.insert(sql, (Instant::now() + REST, refusal.reason.clone()));
            }
            let reason = found.failed.map(|refusal| refusal.reason);
            let reason = reason.unwrap_or_else(|| "it has no answer".to_owned());
            for (at, text) in places.into_iter().zip(found.texts) {
                answers[at] = match text.as_deref() {
                    Some("true") => Answer::Yes,
                    Some(_) => Answer::No,
                    None => Answer::Unknown(reason.clone()),
                };
            }
        }
        for answer in &mut answers {
            if let Answer::Unknown(reason) = answer {
                *reason = format!("who may see it is not known: {reason}");
            }
            answer.count(&self.meters.permission);
        }
        Ok(answers)
    }

    /// The query that the table's `visible` is now: it may have been another when a delivery was parked.
    ///
    /// # Errors
    /// Why it cannot be run: the table has none any more, or the check lacks a value that it needs.
    fn current_query(&self, check: &VisibilityCheck) -> Result<&Query, String> {
        let name = TableName {
            schema: check.schema.clone(),
            name: check.table.clone(),
        };
        let query = self.tables.get(&name);
        let query = query.ok_or_else(|| format!("{name} has no visible any more"))?;
        let missing = |column: &&str| check.value(column).is_none();
        if let Some(column) = query.columns().into_iter().find(missing) {
            return Err(format!("visible asks for {column}, which is not known"));
        }
        Ok(query)
    }
}

impl VisibilityCheck {
    /// The form in which it is kept with a parked delivery.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts are JSON")
    }

    /// The same question with no other values than the owner's and those of the row's key.
    pub fn of_key(&self, key: &[String]) -> Self {
        let is_of_key = |name: &str| {
            name == OWNER
                || name == KEY && key.len() == 1
                || key.iter().any(|column| column == name)
        };
        let mut of_key = self.clone();
        of_key.values.retain(|value| is_of_key(&value.name));
        of_key
    }

    fn value(&self, column: &str) -> Option<&Argument> {
        self.values.iter().find(|value| value.name == column)
    }

    /// The query as SQL, with the types of its arguments.
    fn sql(&self, query: &Query) -> String {
        sql(query, |column| {
            let value = self.value(column);
            value.map_or_else(|| "text".to_owned(), |value| value.ty.clone())
        })
    }

    /// The arguments of the query, in its order.
    fn texts(&self, query: &Query) -> Vec<Option<&str>> {
        let columns = query.columns().into_iter();
        columns
            .map(|column| self.value(column)?.text.as_deref())
            .collect()
    }
}

impl Answer {
    fn count(&self, counts: &Counts) {
        let count = match self {
            Self::Yes => &counts.yes,
            Self::No => &counts.no,
            Self::Unknown(_) => &counts.unknown,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The column that a variable of a query stands for; `None`: it stands for the owner.
pub(crate) fn column<'a>(name: &'a str, relation: &'a Relation) -> Option<&'a str> {
    let own = relation.column(name).map(|_| name);
    match (own, name) {
        (_, OWNER) => None,
        (None, KEY) => match relation.primary_key[..] {
            [at] => relation.columns.get(at).map(|column| column.name.as_str()),
            // The check at start has refused it.
            _ => Some(name),
        },
        _ => Some(name),
    }
}

/// The SQL that runs the query for many rows. It gives `true` where the query finds a row whose first value is neither
/// null nor false.
pub(crate) fn sql(query: &Query, ty: impl Fn(&str) -> String) -> String {
    batch_sql(query, ty, |inner| {
        format!(
            "coalesce((select asked.c is not null and asked.c::text operator(pg_catalog.<>) 'false' from ({inner}) as asked (c) limit 1), false)::text"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_question_the_owner_and_the_key_are_left() {
        let names = ["owner", "key", "id", "title"];
        let values = names.map(|name| Argument {
            name: name.into(),
            ty: "text".into(),
            text: Some("7".into()),
        });
        let check = VisibilityCheck {
            schema: "public".into(),
            table: "book".into(),
            values: values.into(),
        };
        let left = |key: &[&str]| {
            let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
            let left = check.of_key(&key).values.into_iter();
            left.map(|value| value.name).collect::<Vec<_>>()
        };
        assert_eq!(left(&["id"]), ["owner", "key", "id"]);
        assert_eq!(left(&["id", "shop"]), ["owner", "id"]);
        assert_eq!(left(&[]), ["owner"]);
    }
}
