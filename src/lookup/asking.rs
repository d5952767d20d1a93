//! Asks the questions of hooks.toml: for many rows at once, in a session that cannot write and does not wait for long.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio_postgres::{Client, Error, Statement, error::SqlState, types::ToSql};

use crate::{expression::question::Question, postgres::address::Address};

/// So long a query may take, and so long rows are asked for one by one when one of a batch has no answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What a question is asked with: the texts of its columns, in its order, or null. `None`: not all of them are known, and it is
/// not asked.
pub type Arguments<'a> = Option<Vec<Option<&'a str>>>;

/// Asks questions. Connects when there is one, and again when a connection breaks.
pub struct Asker {
    name: &'static str,
    address: Address,
    session: Option<Session>,
}

struct Session {
    client: Client,
    /// By their SQL.
    prepared: HashMap<String, Statement>,
}

/// What came of asking.
pub struct Answers {
    /// For each row the text that the query gave; `None`: it is not known.
    pub texts: Vec<Option<String>>,
    /// Why some of them are not known, if it is the query that failed.
    pub failed: Option<String>,
}

/// The SQL of a question for many rows: the numbers of rows are `$1`, the texts of each of its columns those after. `ty` says
/// what a column is in SQL, and `answer` makes a text of the query, which is an expression that may be put into `from (…)`.
pub fn batched(
    question: &Question,
    ty: impl Fn(&str) -> String,
    answer: impl FnOnce(&str) -> String,
) -> String {
    let columns = question.columns();
    let place = |name: &str| columns.iter().position(|column| *column == name);
    let inner = question.sql(|name| {
        format!(
            "(rowhook.c{}::{})",
            place(name).unwrap_or_default(),
            ty(name)
        )
    });
    let arrays = (0..columns.len()).map(|at| format!(", ${}::text[]", at + 2));
    let names = (0..columns.len()).map(|at| format!(", c{at}"));
    format!(
        "select rowhook.n, ({}) from unnest($1::int4[]{}) as rowhook (n{})",
        answer(&inner),
        arrays.collect::<String>(),
        names.collect::<String>(),
    )
}

impl Asker {
    /// One that calls itself `name` in the database at `address`.
    pub fn new(name: &'static str, address: Address) -> Self {
        Self {
            name,
            address,
            session: None,
        }
    }

    /// Asks `sql`, made by [`batched`], for rows.
    ///
    /// # Errors
    /// When the database cannot be reached. A query that fails is no error: its answers are not known.
    pub async fn ask(&mut self, sql: &str, rows: &[Arguments<'_>]) -> Result<Answers> {
        let session = match self.session.take().filter(|s| !s.client.is_closed()) {
            Some(session) => session,
            None => Session::open(self.name, &self.address).await?,
        };
        self.session.insert(session).ask(sql, rows).await
    }
}

impl Session {
    async fn open(name: &'static str, address: &Address) -> Result<Self> {
        let client = address.connect(name).await?;
        let settings = format!(
            "set default_transaction_read_only = on; set statement_timeout = {}",
            PATIENCE.as_millis()
        );
        client
            .batch_execute(&settings)
            .await
            .context("prepare a session that asks")?;
        Ok(Self {
            client,
            prepared: HashMap::new(),
        })
    }

    async fn ask(&mut self, sql: &str, rows: &[Arguments<'_>]) -> Result<Answers> {
        let mut texts = vec![None; rows.len()];
        let all: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].is_some()).collect();
        let failed = match self.ask_some(sql, rows, &all, &mut texts).await {
            Ok(()) => {
                let failed = None;
                return Ok(Answers { texts, failed });
            }
            Err(error) if is_answer(&error) => error,
            Err(error) => return Err(error).context("ask a question of hooks.toml"),
        };
        // One row may have spoilt it for all.
        let begun = Instant::now();
        let patient = failed.code() != Some(&SqlState::QUERY_CANCELED) && all.len() > 1;
        for at in all.iter().filter(|_| patient) {
            if begun.elapsed() > PATIENCE {
                break;
            }
            match self.ask_some(sql, rows, &[*at], &mut texts).await {
                Ok(()) => {}
                Err(error) if is_answer(&error) => {}
                Err(error) => return Err(error).context("ask a question of hooks.toml"),
            }
        }
        let failed = Some(told(&failed));
        Ok(Answers { texts, failed })
    }

    async fn ask_some(
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
            let text: Option<String> = row.try_get(1)?;
            if let Some(answer) = usize::try_from(at).ok().and_then(|at| texts.get_mut(at)) {
                *answer = text;
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
