//! Watches the tables of `[events]` while rowhook is attached, because the stream does not say when one is replaced.
//!
//! A table that is renamed or moved stays in its publication, and its changes come under the new name; they are heard
//! under the old one. A table that is created anew under a known name is not in any publication, and is added. One that
//! has lost its replica identity is published for inserts only from then on, or the application's own UPDATE would
//! fail.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::atomic::Ordering::Relaxed,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tokio_postgres::{Client, Error};

use super::context::SessionContext;
use crate::{
    config::Config,
    postgres::{TableName, followed::Followed, stream, time::timestamp},
    setup::{
        LockPolicy,
        catalog::{Facts, followed_tables, hook_table, published_tables},
        heard::{TableProblem, problems},
        publish,
    },
};

/// The interval between looks at the catalog.
const INTERVAL: Duration = Duration::from_millis(500);
/// After how long something that could not be mended is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// What is known of the tables, from one session to the next.
#[derive(Debug, Default)]
pub(super) struct TableWatch {
    tables: Vec<Seen>,
    /// When each table was last seen to be heard.
    last_heard: HashMap<TableName, SystemTime>,
    problems: BTreeSet<TableProblem>,
    /// When to look closely, whether something changed or not.
    due: Option<Instant>,
}

/// A table as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    oid: u32,
    name: TableName,
    in_whole: bool,
    in_inserts: bool,
    /// The replica identity, in words of no meaning but that equal ones are the same.
    identity: String,
    /// Its partitions, where Postgres does not tell the stream when they change.
    untold_parts: Option<String>,
}

impl TableWatch {
    /// Watches for as long as it is polled, or until the stream has to be opened anew.
    pub(super) async fn keep_watching(
        &mut self,
        client: &Client,
        context: &SessionContext<'_>,
        followed: &Followed,
    ) -> stream::Error {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // If this fails for the sake of the connection, the session is lost, which is found elsewhere.
            match self.look(client, context, followed).await {
                Ok(None) => {}
                Ok(Some(table)) => {
                    return stream::Error::Lost(format!(
                        "the partitions of {table} have changed, which Postgres 14 tells only a new session"
                    ));
                }
                Err(error) => tracing::warn!(
                    error = crate::postgres::error_message(&error),
                    "the tables of events were not looked at"
                ),
            }
        }
    }

    /// Learns which table each name stands for. Done before the stream is read: a table may be renamed at once.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(super) async fn learn(
        &self,
        client: &Client,
        context: &SessionContext<'_>,
        followed: &Followed,
    ) -> Result<(), Error> {
        let names = published_tables(context.config);
        let tables = read(client, context, &names, &followed.oids()).await?;
        self.follow(context, &names, &tables, followed);
        follow_renamed(context.config, &names, &tables, followed);
        Ok(())
    }

    /// Looks at the tables. Returns one of which the stream does not know the partitions any more, if there is one.
    async fn look(
        &mut self,
        client: &Client,
        context: &SessionContext<'_>,
        followed: &Followed,
    ) -> Result<Option<TableName>, Error> {
        let config = context.config;
        let names = published_tables(config);
        let now = SystemTime::now();
        let tables = read(client, context, &names, &followed.oids()).await?;
        let is_due = self.due.is_some_and(|due| due <= Instant::now());
        if tables == self.tables && !is_due {
            self.heard(&names, &tables, now);
            return Ok(None);
        }
        self.follow(context, &names, &tables, followed);
        follow_renamed(config, &names, &tables, followed);
        let mut facts = Facts::read(client, None, config).await?;
        if context.setup {
            let all = followed_tables(config, &facts);
            let configured: HashSet<&TableName> = names.iter().collect();
            let unfit = |name: &&TableName| {
                let table = facts.table(name);
                !configured.contains(name) && table.is_some_and(|table| !table.is_identified())
            };
            for name in all.iter().filter(unfit) {
                followed.leave(name.clone());
            }
            // A table that was created since the first look is known before its changes come, under whatever name.
            let newest = read(client, context, &names, &followed.oids()).await?;
            self.follow(context, &names, &newest, followed);
            // Of the newest too: what was heard under a name may have been another table a moment ago.
            let heard = newest
                .iter()
                .filter(|table| table.in_whole || table.in_inserts);
            let heard: HashSet<&TableName> = heard.map(|table| &table.name).collect();
            let policy = LockPolicy::default();
            let mended = publish(config, policy, &all, &facts, &|name| followed.oid(name)).await;
            let mut is_changed = false;
            for (name, result) in mended {
                match result {
                    Ok(reason) => {
                        is_changed = true;
                        let since = self.last_heard.get(&name).copied().map(timestamp);
                        if heard.contains(&name) || !configured.contains(&name) {
                            tracing::warn!(table = %name, "{reason}");
                        } else {
                            tracing::warn!(
                                table = %name,
                                not_heard_since = since,
                                "{reason}; what was changed before is not told: send it with rowhook backfill"
                            );
                        }
                    }
                    Err(error) => tracing::warn!(
                        table = %name,
                        error = %error,
                        "the table could not be published as it must be; tried again later"
                    ),
                }
            }
            if is_changed {
                facts = Facts::read(client, None, config).await?;
            }
        }
        self.tell(context, problems(config, &facts).into_iter().collect());
        self.due = (!self.problems.is_empty()).then(|| Instant::now() + AGAIN);
        // What was read first, and not what it is by now: a change since then is seen by the next look.
        self.heard(&names, &tables, now);
        let before = std::mem::replace(&mut self.tables, tables);
        let before: HashMap<u32, &Seen> = before.iter().map(|table| (table.oid, table)).collect();
        let outdated = self.tables.iter().find(|table| {
            let before = before.get(&table.oid);
            before.is_some_and(|before| before.untold_parts != table.untold_parts)
        });
        Ok(outdated.map(|table| table.name.clone()))
    }

    /// Each name stands for the table that has it.
    fn follow(
        &self,
        context: &SessionContext<'_>,
        names: &[TableName],
        tables: &[Seen],
        followed: &Followed,
    ) {
        let by_name: HashMap<&TableName, &Seen> =
            tables.iter().map(|table| (&table.name, table)).collect();
        for name in names {
            let Some(table) = by_name.get(name) else {
                continue;
            };
            // Until now the name stood for another table.
            let previous = followed.oid(name).filter(|previous| *previous != table.oid);
            if let Some(previous) = previous {
                let later = tables.iter().find(|table| table.oid == previous);
                let later = later.map(|table| table.name.clone());
                followed.replaced(name.clone(), previous, later);
            }
            followed.put(name.clone(), table.oid);
            if previous.is_some() {
                self.tell_replaced(context, name);
            }
        }
    }

    /// Remembers which tables were heard at this moment.
    fn heard(&mut self, names: &[TableName], tables: &[Seen], now: SystemTime) {
        let names: HashSet<&TableName> = names.iter().collect();
        for table in tables.iter().filter(|table| names.contains(&table.name)) {
            if table.in_whole || table.in_inserts {
                self.last_heard.insert(table.name.clone(), now);
            }
        }
    }

    fn tell_replaced(&self, context: &SessionContext<'_>, name: &TableName) {
        context.meters.tables_replaced.fetch_add(1, Relaxed);
        tracing::warn!(
            table = %name,
            last_seen = self.last_heard.get(name).copied().map(timestamp),
            "another table has this name now; changes of it are not told before it is published"
        );
    }

    /// Logs what has become wrong and what has become right.
    fn tell(&mut self, context: &SessionContext<'_>, problems: BTreeSet<TableProblem>) {
        for TableProblem {
            table,
            what,
            remedy,
            ..
        } in problems.difference(&self.problems)
        {
            tracing::warn!(table, remedy, "{what}");
        }
        for problem in self.problems.difference(&problems) {
            tracing::info!(table = problem.table, "no longer true: {}", problem.what);
        }
        let count = i64::try_from(problems.len()).unwrap_or(i64::MAX);
        context.meters.table_problems.store(count, Relaxed);
        self.problems = problems;
    }
}

/// Follows a table that was renamed before it was first seen: the only one of the publications whose name is unknown.
fn follow_renamed(config: &Config, names: &[TableName], tables: &[Seen], followed: &Followed) {
    let owners = config.owner_exists.as_ref().map(|exists| &exists.table);
    let hooks = hook_table(config);
    let configured: HashSet<&TableName> = names.iter().collect();
    let there: HashSet<&TableName> = tables.iter().map(|table| &table.name).collect();
    let is_unknown = |table: &&Seen| {
        (table.in_whole || table.in_inserts)
            && !configured.contains(&table.name)
            && table.name != hooks
            && Some(&table.name) != owners
            && followed.name(table.oid, &table.name).is_none()
    };
    let gone = names
        .iter()
        .filter(|name| !there.contains(name) && !followed.has(name));
    let (gone, unknown): (Vec<_>, Vec<_>) =
        (gone.collect(), tables.iter().filter(is_unknown).collect());
    if let ([name], [table]) = (&gone[..], &unknown[..]) {
        followed.put((*name).clone(), table.oid);
    }
}

/// Reads the tables of these names, those with these oids, and those of the publications.
async fn read(
    client: &Client,
    context: &SessionContext<'_>,
    names: &[TableName],
    oids: &[u32],
) -> Result<Vec<Seen>, Error> {
    let schemas: Vec<&str> = names.iter().map(|name| name.schema.as_str()).collect();
    let tables: Vec<&str> = names.iter().map(|name| name.name.as_str()).collect();
    let database = &context.config.database;
    let sql = include_str!("../../sql/catalog/watched_tables.sql");
    let inserts = database.inserts_publication();
    let rows = client
        .query(
            sql,
            &[&schemas, &tables, &oids, &database.publication, &inserts],
        )
        .await?;
    let seen = rows.iter().map(|row| {
        Ok(Seen {
            oid: row.try_get("oid")?,
            name: TableName {
                schema: row.try_get("schema")?,
                name: row.try_get("name")?,
            },
            in_whole: row.try_get("in_whole")?,
            in_inserts: row.try_get("in_inserts")?,
            identity: row.try_get("identity")?,
            untold_parts: row.try_get("untold_parts")?,
        })
    });
    seen.collect()
}
