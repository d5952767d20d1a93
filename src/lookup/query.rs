//! Runs the queries of hooks.toml for many rows at once, in a read-only session with a short statement time-out.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result};
use tokio_postgres::{Client, Error, Statement, error::SqlState, types::ToSql};

use crate::{
    expression::query::Query,
    lookup::halves::{Halves, Refusal},
    postgres::{address::Address, connect::session, fault::Fault},
};

/// The time-out of one query.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a query waits for a lock. Others wait with it, and it is asked again later.
const LOCK_TIMEOUT: Duration = Duration::from_millis(250);

/// The arguments of a query for one row: a text or null for each of the query's columns, in its order. `None`: not all
/// of them are known, and the query is not run for the row.
pub type Arguments<'a> = Option<Vec<Option<&'a str>>>;

/// Runs queries. Connects when the first one comes, and again after the connection broke.
pub struct QueryRunner {
    name: &'static str,
    address: Address,
    session: Option<Session>,
}

struct Session {
    client: Client,
    /// Prepared statements by their SQL.
    prepared: HashMap<String, Statement>,
}

/// The answers to one query for many rows.
pub struct Answers {
    /// The text that the query gave for each row; `None`: it is unknown.
    pub texts: Vec<Option<String>>,
    /// Why the query failed, where it failed for some of the rows.
    pub failed: Option<Refusal>,
}

/// The SQL that runs a query for many rows: `$1` are the numbers of the rows, and each parameter after it the texts of
/// one column.
///
/// `ty` gives the SQL type of a column. `answer` gives the expression that makes a text of the query, which may be put
/// into `from (…)`.
pub fn batch_sql(
    query: &Query,
    ty: impl Fn(&str) -> String,
    answer: impl FnOnce(&str) -> String,
) -> String {
    let columns = query.columns();
    let place = |name: &str| columns.iter().position(|column| *column == name);
    let inner = query.sql(|name| {
        format!(
            "(rowhook.c{}::{})",
            place(name).unwrap_or_default(),
            ty(name)
        )
    });
    // In the search_path of the role, in which somebody may have a function `unnest`.
    let arrays = (0..columns.len()).map(|at| format!(", pg_catalog.unnest(${}::text[])", at + 2));
    let names = (0..columns.len()).map(|at| format!(", c{at}"));
    format!(
        "select rowhook.n, ({}) from rows from (pg_catalog.unnest($1::int4[]){}) as rowhook (n{})",
        answer(&inner),
        arrays.collect::<String>(),
        names.collect::<String>(),
    )
}

impl QueryRunner {
    /// Queries the database at `address`, in a session with the application name `name`.
    pub fn new(name: &'static str, address: Address) -> Self {
        Self {
            name,
            address,
            session: None,
        }
    }

    /// Runs `sql`, which [`batch_sql`] made, for these rows.
    ///
    /// # Errors
    /// When the connection is lost. A query that fails is no error: its answers are unknown.
    pub async fn run(&mut self, sql: &str, rows: &[Arguments<'_>]) -> Result<Answers> {
        let session = match self.session.take().filter(|s| !s.client.is_closed()) {
            Some(session) => session,
            None => match Session::open(self.name, &self.address).await? {
                Ok(session) => session,
                Err(refusal) => {
                    return Ok(Answers {
                        texts: vec![None; rows.len()],
                        failed: Some(refusal),
                    });
                }
            },
        };
        self.session.insert(session).run(sql, rows).await
    }
}

impl Session {
    /// Opens a session. The inner error says why there is none, where others may go on without it: all connections may
    /// be in use.
    async fn open(name: &'static str, address: &Address) -> Result<Result<Self, Refusal>> {
        let client = match address.connect(name).await {
            Ok(client) => client,
            Err(error) => {
                let fault = match error.is_transient() {
                    true => Fault::ForNow,
                    false => Fault::ForGood,
                };
                let reason = error.to_string();
                return Ok(Err(Refusal { fault, reason }));
            }
        };
        let settings = format!(
            "set default_transaction_read_only = on; set statement_timeout = {}; set lock_timeout = {}",
            TIMEOUT.as_millis(),
            LOCK_TIMEOUT.as_millis(),
        );
        let prepared = async {
            session::search_as_role(&client).await?;
            client.batch_execute(&settings).await
        };
        prepared.await.context("prepare a session that asks")?;
        Ok(Ok(Self {
            client,
            prepared: HashMap::new(),
        }))
    }

    async fn run(&mut self, sql: &str, rows: &[Arguments<'_>]) -> Result<Answers> {
        let mut texts = vec![None; rows.len()];
        let known: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].is_some()).collect();
        let mut halves = Halves::of(known.len());
        while let Some(part) = halves.next_part() {
            let some = known.get(part.clone()).unwrap_or_default();
            if let Err(error) = self.run_some(sql, rows, some, &mut texts).await {
                let is_too_slow = error.code() == Some(&SqlState::QUERY_CANCELED);
                let mut refusal = Refusal::of(error).context("ask a question of hooks.toml")?;
                if is_too_slow {
                    // The time-out is ours, and asked again the query would be as slow.
                    refusal.fault = Fault::ForGood;
                }
                if refusal.fault == Fault::Renamed {
                    // It may have been prepared for columns that were renamed since.
                    self.prepared.remove(sql);
                }
                halves.refuse(part, refusal);
            }
        }
        let failed = halves.refused().into_iter().next();
        let failed = failed.map(|(_, refusal)| refusal);
        Ok(Answers { texts, failed })
    }

    async fn run_some(
        &mut self,
        sql: &str,
        rows: &[Arguments<'_>],
        places: &[usize],
        texts: &mut [Option<String>],
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
        let known: Vec<&Vec<Option<&str>>> = places
            .iter()
            .filter_map(|at| rows.get(*at)?.as_ref())
            .collect();
        let width = known.first().map_or(0, |row| row.len());
        let columns: Vec<Vec<Option<&str>>> = (0..width)
            .map(|column| known.iter().map(|row| row[column]).collect())
            .collect();
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&numbers];
        values.extend(columns.iter().map(|column| column as &(dyn ToSql + Sync)));
        for row in self.client.query(&statement, &values).await? {
            let at: i32 = row.try_get(0)?;
            let text: Option<String> = row.try_get(1)?;
            if let Some(answer) = usize::try_from(at).ok().and_then(|at| texts.get_mut(at)) {
                *answer = text;
            }
        }
        Ok(())
    }
}
