//! What is looked up beside a row: `enrich` of a table.
//!
//! A query of the user's is asked for a whole batch of rows at once, in a session that cannot write and does not wait for
//! long. It sees the present, which may be later than the row. What it does not answer is not known, and the payload says so;
//! no row waits for another answer.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio_postgres::{Client, Error, Statement, error::SqlState, types::ToSql};

use crate::{
    change::{Change, Image, Value},
    config::{Config, TableName},
    postgres::{address::Address, question::Question, relation::Relation},
};

/// So long a query may take, and so long rows are asked for one by one when one of a batch has no answer.
const PATIENCE: Duration = Duration::from_secs(5);

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
    address: Address,
    session: Option<Session>,
}

/// One line of `[tables.NAME.enrich]`.
struct Addition {
    key: Arc<str>,
    question: Question,
}

struct Session {
    client: Client,
    /// By their SQL.
    prepared: HashMap<String, Statement>,
}

impl Enrichment {
    /// What `config` asks for, in the database at `address`.
    pub fn new(config: &Config, address: Address) -> Self {
        let tables = config
            .tables
            .iter()
            .filter(|rules| !rules.enrich.is_empty());
        let additions = |rules: &crate::config::TableRules| {
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
            address,
            session: None,
        }
    }

    /// Looks up what is shown beside each of these changes: one query for each table and key.
    ///
    /// # Errors
    /// When the database cannot be reached. A query that fails is no error: what it was to find is not known.
    pub async fn look_up(&mut self, changes: Vec<(&Change, &mut Vec<Added>)>) -> Result<()> {
        let mut by_relation: HashMap<*const Relation, Vec<(&Change, &mut Vec<Added>)>> =
            HashMap::new();
        for (change, added) in changes {
            if self.tables.contains_key(&change.relation.table()) {
                let rows = by_relation
                    .entry(Arc::as_ptr(&change.relation))
                    .or_default();
                rows.push((change, added));
            }
        }
        for mut rows in by_relation.into_values() {
            let Some(relation) = rows.first().map(|(change, _)| Arc::clone(&change.relation))
            else {
                continue;
            };
            for addition in self.tables.get(&relation.table()).into_iter().flatten() {
                let asked: Vec<Option<Vec<Option<&str>>>> = rows
                    .iter()
                    .map(|(change, _)| arguments(change, &addition.question))
                    .collect();
                let session = match self.session.take().filter(|s| !s.client.is_closed()) {
                    Some(session) => session,
                    None => Session::open(&self.address).await?,
                };
                let session = self.session.insert(session);
                let answers = session.ask(&relation, addition, &asked).await?;
                for ((_, added), json) in rows.iter_mut().zip(answers) {
                    let key = Arc::clone(&addition.key);
                    added.push(Added { key, json });
                }
            }
        }
        Ok(())
    }
}

/// The values of the row that the question asks with; `None` where one of them is not known.
fn arguments<'a>(change: &'a Change, question: &Question) -> Option<Vec<Option<&'a str>>> {
    let Image::Whole(row) = change.shown()? else {
        return None;
    };
    let value = |column: &str| match row.get(change.relation.column(column)?)? {
        Value::Text(text) => std::str::from_utf8(text).ok().map(Some),
        Value::Null => Some(None),
        Value::Unchanged => None,
    };
    question.columns().into_iter().map(value).collect()
}

/// The SQL of the question, to be asked with the numbers of rows as `$1` and the texts of each of its columns as those after.
pub(crate) fn batched(question: &Question, relation: &Relation) -> String {
    let columns = question.columns();
    let place = |name: &str| columns.iter().position(|column| *column == name);
    let inner = question.sql(|name| {
        let ty = relation
            .column(name)
            .and_then(|at| relation.columns.get(at));
        let ty = ty.map_or("text", |column| column.sql_type.as_str());
        format!("(rowhook.c{}::{ty})", place(name).unwrap_or_default())
    });
    let arrays = (0..columns.len()).map(|at| format!(", ${}::text[]", at + 2));
    let names = (0..columns.len()).map(|at| format!(", c{at}"));
    format!(
        "select rowhook.n, (select row_to_json(asked)::text from ({inner}) as asked limit 1) \
         from unnest($1::int4[]{}) as rowhook (n{})",
        arrays.collect::<String>(),
        names.collect::<String>(),
    )
}

impl Session {
    async fn open(address: &Address) -> Result<Self> {
        let client = address.connect("rowhook enrich").await?;
        let settings = format!(
            "set default_transaction_read_only = on; set statement_timeout = {}",
            PATIENCE.as_millis()
        );
        client
            .batch_execute(&settings)
            .await
            .context("prepare the session of enrich")?;
        Ok(Self {
            client,
            prepared: HashMap::new(),
        })
    }

    /// The answers for rows of `relation`, in their order.
    async fn ask(
        &mut self,
        relation: &Relation,
        addition: &Addition,
        rows: &[Option<Vec<Option<&str>>>],
    ) -> Result<Vec<Option<String>>> {
        let mut answers = vec![None; rows.len()];
        let all: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].is_some()).collect();
        let sql = batched(&addition.question, relation);
        let failed = match self.ask_some(&sql, rows, &all, &mut answers).await {
            Ok(()) => return Ok(answers),
            Err(error) if is_answer(&error) => error,
            Err(error) => return Err(error).context("look up what enrich adds"),
        };
        tracing::warn!(
            table = %relation.table(),
            key = &*addition.key,
            rows = all.len(),
            error = told(&failed),
            "a query of enrich failed; what it was to add is left out"
        );
        // One row may have spoilt it for all.
        let begun = Instant::now();
        let patient = failed.code() != Some(&SqlState::QUERY_CANCELED) && all.len() > 1;
        for at in all.iter().filter(|_| patient) {
            if begun.elapsed() > PATIENCE {
                break;
            }
            match self.ask_some(&sql, rows, &[*at], &mut answers).await {
                Ok(()) => {}
                Err(error) if is_answer(&error) => {}
                Err(error) => return Err(error).context("look up what enrich adds"),
            }
        }
        Ok(answers)
    }

    async fn ask_some(
        &mut self,
        sql: &str,
        rows: &[Option<Vec<Option<&str>>>],
        places: &[usize],
        answers: &mut [Option<String>],
    ) -> Result<(), Error> {
        if places.is_empty() {
            return Ok(());
        }
        let statement = match self.prepared.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let statement = self.client.prepare(sql).await?;
                self.prepared.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        let numbers: Vec<i32> = places
            .iter()
            .map(|at| i32::try_from(*at).unwrap_or(-1))
            .collect();
        let asked: Vec<&Vec<Option<&str>>> = places
            .iter()
            .filter_map(|at| rows.get(*at)?.as_ref())
            .collect();
        let width = asked.first().map_or(0, |row| row.len());
        let columns: Vec<Vec<Option<&str>>> = (0..width)
            .map(|column| asked.iter().map(|row| row[column]).collect())
            .collect();
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&numbers];
        values.extend(columns.iter().map(|column| column as &(dyn ToSql + Sync)));
        for row in self.client.query(&statement, &values).await? {
            let at: i32 = row.try_get(0)?;
            let json: Option<String> = row.try_get(1)?;
            if let Some(answer) = usize::try_from(at).ok().and_then(|at| answers.get_mut(at)) {
                *answer = Some(json.unwrap_or_else(|| "null".to_owned()));
            }
        }
        Ok(())
    }
}

/// Is it what the server says of the query, and not of the session?
fn is_answer(error: &Error) -> bool {
    let ended = [
        &SqlState::ADMIN_SHUTDOWN,
        &SqlState::CRASH_SHUTDOWN,
        &SqlState::CANNOT_CONNECT_NOW,
    ];
    error
        .code()
        .is_some_and(|code| !ended.contains(&code) && !code.code().starts_with("08"))
}

fn told(error: &Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |error| error.message().to_owned())
}
