//! Who may see a row: `visible` of a table, asked for the hooks of owners before anything is sent to them.
//!
//! A no is a delivery that is not made, and counted. Where nobody can tell, nothing is sent either: the delivery waits, and is
//! asked about again when its turn comes. The question goes with it into the table, for every attempt asks anew.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::{
    change::Change,
    config::Config,
    expression::question::Question,
    lookup::{
        asking::{Arguments, Asker, batched},
        enrich::{known, sql_type},
    },
    meters::{Counts, Meters},
    postgres::{TableName, address::Address, relation::Relation},
};

/// Stands for the hook's owner in a query.
pub const OWNER: &str = "owner";
/// Stands for the row's primary key, where that is one column.
pub const KEY: &str = "key";

/// Asks who may see what.
pub struct Permission {
    tables: HashMap<TableName, Question>,
    asker: Mutex<Asker>,
    meters: Arc<Meters>,
}

/// What an owner is asked about: a row, by the values that the table's query names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    schema: String,
    table: String,
    values: Vec<Named>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Named {
    name: String,
    /// As SQL writes it.
    ty: String,
    text: Option<String>,
}

/// What is known of an owner and a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The owner may see it.
    Yes,
    /// The owner may not.
    No,
    /// Nobody can tell, for this reason.
    Unknown(String),
}

impl Permission {
    /// What `config` asks, in the database at `address`. Answers are counted in `meters`.
    pub fn new(config: &Config, address: Address, meters: Arc<Meters>) -> Self {
        let tables = config.tables.iter();
        let asked = tables.filter_map(|rules| Some((rules.table.clone(), rules.visible.clone()?)));
        Self {
            tables: asked.collect(),
            asker: Mutex::new(Asker::new("rowhook permission", address)),
            meters,
        }
    }

    /// Is there something to ask about rows of this table?
    pub fn concerns(&self, table: &TableName) -> bool {
        self.tables.contains_key(table)
    }

    /// The question whether `owner` may see the row; `None` where the table has none.
    pub fn question(&self, change: &Change, owner: &str) -> Option<Asked> {
        let relation = &change.relation;
        let question = self.tables.get(&relation.table())?;
        let values = question.columns().into_iter().filter_map(|name| {
            let (ty, text) = match column(name, relation) {
                None => ("text".to_owned(), Some(owner)),
                Some(column) => (sql_type(relation, column), known(change, column)?),
            };
            Some(Named {
                name: name.to_owned(),
                ty,
                text: text.map(str::to_owned),
            })
        });
        Some(Asked {
            schema: relation.schema.clone(),
            table: relation.name.clone(),
            values: values.collect(),
        })
    }

    /// The answers, in the order of the questions: one query for all of a table.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn ask(&self, questions: &[&Asked]) -> Result<Vec<Answer>> {
        let mut answers = vec![Answer::Unknown(String::new()); questions.len()];
        let mut by_sql: HashMap<String, Vec<usize>> = HashMap::new();
        let mut rows: Vec<Arguments<'_>> = vec![None; questions.len()];
        for (at, asked) in questions.iter().enumerate() {
            match self.todays(asked) {
                Ok(question) => {
                    by_sql.entry(asked.sql(question)).or_default().push(at);
                    rows[at] = Some(asked.texts(question));
                }
                Err(reason) => answers[at] = Answer::Unknown(reason),
            }
        }
        for (sql, places) in by_sql {
            let rows: Vec<Arguments<'_>> = places.iter().map(|at| rows[*at].take()).collect();
            let mut asker = self.asker.lock().await;
            let told = asker.ask(&sql, &rows).await.context("ask who may see")?;
            let reason = told.failed.unwrap_or_else(|| "it has no answer".to_owned());
            for (at, text) in places.into_iter().zip(told.texts) {
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

    /// What is asked today about a row of this table, if what is known of it is enough.
    fn todays(&self, asked: &Asked) -> Result<&Question, String> {
        let name = TableName {
            schema: asked.schema.clone(),
            name: asked.table.clone(),
        };
        let question = self.tables.get(&name);
        let question = question.ok_or_else(|| format!("{name} has no visible any more"))?;
        let missing = |column: &&str| asked.value(column).is_none();
        if let Some(column) = question.columns().into_iter().find(missing) {
            return Err(format!("visible asks for {column}, which is not known"));
        }
        Ok(question)
    }
}

impl Asked {
    /// As it is kept with a delivery.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts are JSON")
    }

    fn value(&self, column: &str) -> Option<&Named> {
        self.values.iter().find(|value| value.name == column)
    }

    /// The question as SQL, with the types of the columns that it asks with.
    fn sql(&self, question: &Question) -> String {
        sql(question, |column| {
            let value = self.value(column);
            value.map_or_else(|| "text".to_owned(), |value| value.ty.clone())
        })
    }

    /// What the question asks with, in its order: it may have been another when the row was parked.
    fn texts(&self, question: &Question) -> Vec<Option<&str>> {
        let columns = question.columns().into_iter();
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

/// The column that a name of a query stands for; `None`: for the owner.
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

/// The SQL of the question for many rows: `true` where the query finds a row whose first value is neither null nor false.
pub(crate) fn sql(question: &Question, ty: impl Fn(&str) -> String) -> String {
    batched(question, ty, |query| {
        format!(
            "coalesce((select asked.c is not null and asked.c::text <> 'false' from ({query}) as asked (c) limit 1), false)::text"
        )
    })
}
